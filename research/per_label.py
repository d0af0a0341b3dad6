"""One head for scores and sets: a label model whose image row holds each label's own logit, beside its rivals.

    python research/per_label.py --out runs/per-label --encoder mobilenetv2 --seeds 0,1,2
    python research/per_label.py --out runs/per-label --encoder efficientnet-lite2 --seeds 0,1,2

Five stratified folds over VOC's `sub_trainval` (765 photographs), every rival with the default recipe by size and
nothing tuned; predictions are pooled over folds, differences paired over images, averaged over seeds, with a bootstrap
over images. `--refit` trains on all 765 and answers `sub_test` (300) and the 159 shared COCO photographs, of which 32
show none of VOC's labels (research/nothing.py).
Rivals, each a row of RIVALS:

- `cnn-rnn`: the image's row is U_l^T U_I I, as in the paper; h is ReLU: the default before.
- `joint W`: plus r(z), z a linear read-out of the same hidden units, taught by its own cross-entropy with weight W.
- `plain`: the same with r(z) = z. `detached`: the sequence's loss does not reach z; `joint 1 detached` is the default
  of photographs. `no U_I`: r(z) alone; `from 0`: U_I starts at 0.
- `taught`: END at the root learned from the sequences, not from z.
- `product`: the average, in log-odds, of the scores of `cnn-rnn` and of the two-layer sigmoid head; sets of the former.

Scores: `own` are the model's marginals, `z` the labels' own, `mean` their average in log-odds. A trained item is kept
in OUT, so a killed run goes on. `--details`, on the first fold: whether an image lies near its labels in the joint
space, how fast scores are, and whether sets drawn by z alone, with weights, say more of the marginals than as many of
the model's own.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import MethodType

import numpy as np
import torch
from plain_training import standardize, teach

import labelbeam.heads.label_model
from labelbeam.data.dataset import Dataset
from labelbeam.data.stratified import folds, split
from labelbeam.decoding.likelihood import set_log_prob
from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.search import Search
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.encoders.encoder import EncoderConfig
from labelbeam.features.extract import extract
from labelbeam.files import cache_folder, written_whole
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.arrays_torch import trained
from labelbeam.labels.vocabulary import PRESENT, order_labels
from labelbeam.metrics.comparison import Protocol, compare
from labelbeam.metrics.evaluation import numbers
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.runs.build import build_answerer, build_head, start_head
from labelbeam.runs.config import configure
from labelbeam.runs.recipe import recipe_for, some_empty
from labelbeam.training.learning import size_of

SHOWN = ("mAP_area", "OF1", "CF1", "MAP@10", "subset_accuracy", "log_likelihood")
VOC_NAMES = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}

RIVALS: dict[str, tuple[str, dict]] = {
    "sigmoid": ("sigmoid", {}),
    "sigmoid-mlp": ("sigmoid-mlp", {}),
    "cnn-rnn": ("cnn-rnn", {}),
    "joint 1": ("cnn-rnn", {"per_label": 1.0, "activation": "identity"}),
    "joint 1 relu": ("cnn-rnn", {"per_label": 1.0, "activation": "relu"}),
    "joint 3 relu": ("cnn-rnn", {"per_label": 3.0, "activation": "relu"}),
    "joint 0.3": ("cnn-rnn", {"per_label": 0.3, "activation": "identity"}),
    "joint 3": ("cnn-rnn", {"per_label": 3.0, "activation": "identity"}),
    "joint 1 plain": ("cnn-rnn", {"per_label": 1.0, "activation": "identity"}),
    "joint 1 detached": (
        "cnn-rnn",
        {"per_label": 1.0, "per_label_detached": True, "activation": "identity"},
    ),
    "joint 1 no U_I": ("cnn-rnn", {"per_label": 1.0, "activation": "identity"}),
    "joint 1 from 0": ("cnn-rnn", {"per_label": 1.0, "activation": "identity"}),
    "joint 1 taught": ("cnn-rnn", {"per_label": 1.0, "activation": "identity", "nothing": "taught"}),
}


def coco_truth(data: Dataset, names: tuple[str, ...]) -> np.ndarray:
    """Return COCO's labels as VOC's names have them, int8 [images labels]."""
    found = np.zeros((len(data), len(names)), dtype=np.int8)
    for i in range(len(data)):
        for name in data.example(i).present:
            if (name := VOC_NAMES.get(name, name)) in names:
                found[i, names.index(name)] = PRESENT
    return found


def encoder_of(name: str, root: Path, *, mirrored: bool):
    """Return an encoder as docs/voc.md and the README have it."""
    if name == "mobilenetv2":
        weights = root / "weights" / "mobilenetv2_100.tf_in1k.safetensors"
        chosen = EncoderConfig(
            "", weights, pooling="catavgmax", size=352, resize="squash", horizontal_flip=mirrored
        )
    else:
        chosen = EncoderConfig(name, horizontal_flip=mirrored)
    return build_encoder(chosen)


def log_odds(p: np.ndarray) -> np.ndarray:
    p = np.clip(p.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(p) - np.log1p(-p)


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def learned(rival: str, features: np.ndarray, targets: np.ndarray, seed: int):
    """Return a trained head and its configuration; features [images views features]."""
    head, differences = RIVALS[rival]
    size = replace(size_of(features[:, 0], targets.shape[1]), vectors=False)  # the recipe of photographs
    options: dict = {"seed": seed}
    if head == "cnn-rnn":
        options["label_model"] = {
            "nothing": "taught" if some_empty(targets) else "independent",
            **differences,
        }
    config = configure(head=head, by_data=recipe_for(size, head), options=options)
    module = build_head(config, num_labels=targets.shape[1], feature_size=features.shape[2])
    standardize(module, features)
    start_head(module, targets)
    if rival.endswith("plain"):
        module.per_label_row = MethodType(lambda self, z: torch.nn.functional.pad(z, (0, 1)), module)
    if rival.endswith("no U_I"):
        torch.nn.init.zeros_(module.U_I.weight)
        module.U_I.weight.requires_grad_(False)
    if rival.endswith("from 0"):
        torch.nn.init.zeros_(module.U_I.weight)
    torch.manual_seed(seed)
    teach(module, features, targets, recipe=config.recipe, seed=seed)
    return trained(module), config


def answered(
    rival: str, head, config, parts: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return what a head says of some images, by part and kind."""
    found, chain = {}, labelbeam.heads.label_model.per_label_row
    if rival.endswith("plain"):
        labelbeam.heads.label_model.per_label_row = lambda z, canonical: z.astype(np.float32)
    for part, (features, targets) in parts.items():
        answerer = build_answerer(head, config)
        said = answerer.answer(features)
        found |= {
            f"{part}/scores": said.scores,
            f"{part}/stderr": said.stderr,
            f"{part}/sets": said.path_sets(),
            f"{part}/log_probs": said.log_probs,
            f"{part}/log_likelihood": answerer.set_log_prob(features, targets),
        }
        if config.head != "cnn-rnn" or head.options.scores_labels:
            found[f"{part}/z"] = (
                head.logits(features) if config.head != "cnn-rnn" else head.per_label_logits(features)
            )
    labelbeam.heads.label_model.per_label_row = chain
    return found


def item(path: Path, make) -> dict[str, np.ndarray]:
    """Return what a file holds, or make it and keep it there."""
    if not path.exists():
        found = make()
        with written_whole(path) as part, part.open("wb") as file:
            np.savez(file, **found)
    with np.load(path) as kept:
        return {name: kept[name] for name in kept.files}


def measured(
    said: dict, kind: str, targets: np.ndarray, names: tuple[str, ...], weights: np.ndarray, part: str
) -> dict:
    """Return every number of predictions for each row of weights over images."""
    scores = said[f"{part}/scores"]
    if kind == "z":
        scores = sigmoid(said[f"{part}/z"])
    elif kind == "mean":
        scores = sigmoid((said[f"{part}/z"] + log_odds(scores)) / 2)
    found = compare(
        targets,
        names,
        protocol=Protocol("sets", decided_by="path"),
        scores=scores.astype(np.float64),
        decisions=said[f"{part}/sets"],
        log_likelihood=said[f"{part}/log_likelihood"],
    )
    return numbers(found, weights)


def table(
    rows: dict[str, list],
    targets: np.ndarray,
    names: tuple[str, ...],
    *,
    part: str,
    against: str,
    resamples: int,
) -> None:
    """Print each rival's numbers, averaged over seeds, and differences to one with 95 % intervals over images."""
    count = len(targets)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = np.concatenate((np.ones((1, count), dtype=drawn.dtype), drawn))
    values: dict[str, dict[str, np.ndarray]] = {}
    for rival, seeds in rows.items():
        for kind in ("own", "z", "mean") if rival.startswith("joint") else ("own",):
            each = [
                measured(said, kind, targets, names, weights, part)
                for said in seeds
                if f"{part}/sets" in said
            ]
            if each:
                values[f"{rival} {kind}"] = {n: np.mean([one[n] for one in each], axis=0) for n in SHOWN}
    if "cnn-rnn" in rows and "sigmoid-mlp" in rows:
        mixed = []
        for ours, theirs in zip(rows["cnn-rnn"], rows["sigmoid-mlp"], strict=False):
            scores = sigmoid((log_odds(ours[f"{part}/scores"]) + theirs[f"{part}/z"]) / 2)
            mixed.append(measured({**ours, f"{part}/scores": scores}, "own", targets, names, weights, part))
        values["product own"] = {n: np.mean([one[n] for one in mixed], axis=0) for n in SHOWN}
    print(f"\n{part}, {count} images" + "".join(f"{name:>24}" for name in SHOWN))
    base = values.get(f"{against} own")
    for rival, by in values.items():
        cells = []
        for name in SHOWN:
            scale, digits = (1, 3) if name == "log_likelihood" else (100, 1)
            cell = f"{scale * by[name][0]:.{digits}f}"
            if base is not None and by is not base:
                low, high = np.quantile(scale * (by[name] - base[name])[1:], (0.025, 0.975))
                cell += f" ({low:+.{digits}f}, {high:+.{digits}f})"
            cells.append(f"{cell:>24}")
        print(f"{rival:22}" + "".join(cells))


def images_per_second(answerer: LabelModelAnswerer, features: np.ndarray) -> float:
    """Return how many images are answered in a processor second, on a trie that knows them."""
    answerer.answer(features)
    seconds = []
    for _ in range(9):
        begun = time.process_time()
        answerer.answer(features)
        seconds.append(time.process_time() - begun)
    return len(features) / float(np.median(seconds))


def proposal(head, features: np.ndarray, count: int = 64) -> None:
    """Print the errors of marginals by sets drawn from z, weighted, and by as many samples of the model's own."""
    rows, z = head.image_rows(features), head.per_label_logits(features).astype(np.float64)
    trie, random = PrefixTrie(head), np.random.default_rng(0)
    truth = label_marginals(trie, rows, expansions=4000, samples=4000, stderr=0.0005).score
    own = label_marginals(PrefixTrie(head), rows, expansions=1, samples=count, stderr=None).score
    drawn, effective = np.empty_like(own), []
    for image, logits in enumerate(z):
        sets = (random.random((count, len(logits))) < sigmoid(logits)).astype(np.int8)
        proposed = -np.logaddexp(0, np.where(sets == 1, -logits, logits)).sum(axis=1)
        weights = np.exp(
            set_log_prob(trie, np.repeat(rows[image : image + 1], count, axis=0), sets) - proposed
        )
        drawn[image] = weights @ sets / weights.sum()
        effective.append(weights.sum() ** 2 / (weights**2).sum() / count)
    print(f"marginals of {len(z)} images by {count} samples, root mean square error: all labels, worst label")
    for name, found in (("drawn by z, weighted", drawn), ("the model's own", own)):
        error = np.sqrt(((found - truth) ** 2).mean(axis=0))
        print(f"{name:24}{np.sqrt((error**2).mean()):8.4f}{error.max():8.4f}")
    print(f"of 100 sets drawn by z, {100 * np.mean(effective):.0f} count")
    print(f"z from the marginals: {np.abs(sigmoid(z) - truth).mean():.4f} on average")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/per-label"))
    parser.add_argument("--encoder", default="mobilenetv2")
    parser.add_argument("--data", help="another data set, of vectors, such as vectors:emotions.xml#train")
    parser.add_argument("--rivals", default=",".join(RIVALS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--against", default="sigmoid-mlp")
    parser.add_argument("--refit", action="store_true")
    parser.add_argument(
        "--inner", action="store_true", help="judge on a quarter of each fold's training part"
    )
    parser.add_argument("--stop-after", type=float, default=float("inf"), help="seconds; run again to go on")
    parser.add_argument("--show", action="store_true", help="what is there, nothing trained")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--details", action="store_true", help="joint space, z as a proposal; one fold")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    root, seeds = Path(os.environ["LABELBEAM_DATA"]), [int(seed) for seed in asked.seeds.split(",")]
    data = open_dataset(asked.data or f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    names, targets = data.vocabulary.names, np.ascontiguousarray(data.targets)
    tests: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if asked.data:
        assert data.features is not None
        views, name = (
            np.asarray(data.features[:])[:, None],
            Path(asked.data.partition(":")[2].partition("#")[0]).stem,
        )
    else:
        plain, mirrored = (encoder_of(asked.encoder, root, mirrored=mirrored) for mirrored in (False, True))
        name = asked.encoder

        def of(paths, encoder=plain) -> np.ndarray:
            return extract(paths, encoder, cache=cache_folder() / "features").values

        views = np.stack((of(data.paths), of(data.paths, mirrored)), axis=1)
        if asked.refit:
            home = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_test").with_vocabulary(names)
            away = [open_dataset(f"coco:{root / 'coco'}#{part}") for part in ("train2017", "val2017")]
            away_truth = np.concatenate([coco_truth(one, names) for one in away])
            tests["home"] = (of(home.paths), home.targets)
            tests["away"] = (np.concatenate([of(one.paths) for one in away]), away_truth)
    every = np.arange(len(targets))
    parts = {"held": folds(targets, 5, seed=0)} if not asked.refit else {"refit": [(every, every[:0])]}
    if asked.inner:
        inner = [(fitted, *split(targets[fitted], (0.75, 0.25), seed=0)) for fitted, _ in parts["held"]]
        parts = {"inner": [(fitted[kept], fitted[judged]) for fitted, kept, judged in inner]}
    if asked.details:
        fitted, held = parts["held"][0]
        for rival in ("cnn-rnn", "joint 1 detached"):
            head, _ = learned(rival, views[fitted], targets[fitted], seeds[0])
            near = (head.h(head.image_vectors(views[held, 0])) @ head.label_points.T).argmax(axis=1)
            right = (targets[held, near] == 1).mean()
            print(f"{rival}: the label nearest to the image's point is present in {100 * right:.1f} %")
            for score in ("marginal", "per-label")[: 1 + (head.options.per_label > 0)]:
                speed = images_per_second(LabelModelAnswerer(head, Search(score=score)), views[held, 0])
                print(f"{rival}: sets and scores ({score}) of {speed:,.0f} images a second")
        proposal(head, views[held, 0])
        return
    (asked.out / "items").mkdir(parents=True, exist_ok=True)
    rows: dict[str, list] = {}
    for seed in seeds:
        for rival in asked.rivals.split(","):
            found = []
            for number, (fitted, held) in enumerate(next(iter(parts.values()))):
                path = asked.out / "items" / f"{name} {rival} {next(iter(parts))}{number} seed{seed}.npz"
                if asked.show and not path.exists():
                    break
                if time.monotonic() - started > asked.stop_after and not path.exists():
                    sys.exit(f"stopped after {asked.stop_after:.0f} s; run again to go on")
                judged = tests if asked.refit else {"held": (views[held, 0], targets[held])}
                found.append(
                    item(
                        path,
                        lambda rival=rival, fitted=fitted, judged=judged, seed=seed: answered(
                            rival, *learned(rival, views[fitted], targets[fitted], seed), judged
                        ),
                    )
                )
                print(f"{name}, {rival}, {number}, seed {seed}", flush=True)
            else:
                joined = {key: np.concatenate([one[key] for one in found]) for key in found[0]}
                rows.setdefault(rival, []).append(joined)
    more = {"resamples": asked.resamples, "against": asked.against}
    if not asked.refit:
        order = np.concatenate([held for _, held in next(iter(parts.values()))])
        table(rows, targets[order], names, part="held", **more)
        return
    table(rows, tests["home"][1], names, part="home", **more)
    table(rows, tests["away"][1], names, part="away", **more)


if __name__ == "__main__":
    main()
