"""What local evidence is worth: heads with and without it, in five folds of VOC's `sub_trainval`.

    python benchmarks/local_evidence.py --encoder mobilenetv2 --out runs/local
    python benchmarks/local_evidence.py --encoder resnet50 --size 224 --grid 7 --cost

Every head is trained by the default recipe on the features of one encoder (352 px squashed, `catavgmax`, mirroring),
those named `HEAD+csra` or `HEAD+log-sum-exp` on its map as well. Predictions of held-out images are pooled over
folds, numbers averaged over seeds; differences with 95 % intervals from a paired bootstrap over images. `small` is the
recall of labels whose boxes cover less than 4 % of the image, at the threshold where the precision over all labels is
what the first head's is at 0.5. Nothing is chosen on `sub_test`; `--test` trains on all of `sub_trainval` and judges it
once.

Work is kept item by item in OUT: a killed run goes on, `--minutes` ends it early, and `--table` only prints.
"""

import argparse
import os
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from labelbeam.data.dataset import Dataset
from labelbeam.data.stratified import folds
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.encoders.encoder import Encoder, EncoderConfig, accelerator_for
from labelbeam.features.extract import extract, readable_features
from labelbeam.files import written_whole
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.arrays_torch import trained
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, order_labels
from labelbeam.metrics.comparison import Protocol, compare
from labelbeam.metrics.evaluation import numbers
from labelbeam.runs.build import build_answerer, build_head, start_head
from labelbeam.runs.config import RunConfig, configure
from labelbeam.runs.recipe import DataSize, build_optimiser, recipe_for
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.loop import fit

HEADS = (
    "sigmoid-mlp",
    "sigmoid",
    "sigmoid+csra",
    "cnn-rnn",
    "cnn-rnn+csra",
    "sigmoid+log-sum-exp",
    "sigmoid-mlp+csra",
)
SHOWN = ("mAP_area", "subset_accuracy", "log_likelihood", "OF1", "CF1", "MAP@10")
SMALL, DRAWS = 0.04, 1000


@dataclass(frozen=True)
class Predictions:
    """What a trained head says of held-out images."""

    scores: np.ndarray  # float32 [images labels]
    sets: np.ndarray  # bool [images labels], the most probable set
    log_likelihood: np.ndarray  # float64 [images], of the true set


def encoder_of(name: str, root: Path, size: int, grid: int) -> Encoder:
    weights = root / "weights" / "mobilenetv2_100.tf_in1k.safetensors" if name == "mobilenetv2" else None
    return build_encoder(
        EncoderConfig(
            "" if weights else name,
            weights,
            pretrained=name != "resnet50",  # of which only the cost is measured
            pooling="catavgmax",
            size=size,
            resize="squash",
            grid=grid,
        )
    )


def config_of(
    head: str, images: int, encoder: Encoder, labels: int, settings: list[str], seed: int
) -> RunConfig:
    """Return the default recipe's configuration, as `labelbeam train` settles it for as many images."""
    name, _, local = head.partition("+")
    options = {"local": {"name": local}} if local else {}
    by_data = recipe_for(DataSize(images, encoder.num_features, labels), name, local=bool(local))
    if name in ("cnn-rnn", "no-rnn"):  # of VOC's training images none is empty
        by_data["label_model"] = {**by_data["label_model"], "nothing": "independent"}
    mine = settings if local else []
    return configure(head=name, options={**options, "seed": seed}, settings=mine, by_data=by_data)


def learned(
    config: RunConfig, rows: np.ndarray, targets: np.ndarray, encoder: Encoder
) -> Callable[[np.ndarray, np.ndarray], Predictions]:
    """Train a head on [images views row] and return what predicts."""
    shape = encoder.map_shape
    head = build_head(
        config, num_labels=targets.shape[1], feature_size=encoder.num_features, channels=shape.channels
    )
    start_head(head, targets)
    if config.local.name == "none":
        rows = rows[:, :, : encoder.num_features]
    batches = FeatureBatches(rows, targets, config.recipe.batch_size, config.seed)
    head.scaling.fit(batches.flat)
    if getattr(head, "local", None) is not None:
        head.local.fit(batches.flat)
    fit(
        head,
        build_optimiser(config.recipe, head),
        batches,
        recipe=config.recipe,
        validate=None,
        folder=None,
        seed=config.seed,
        settings="",
        accelerator=accelerator_for("no"),
    )
    answerer = build_answerer(trained(head), config)

    def predict(rows: np.ndarray, targets: np.ndarray) -> Predictions:
        answers = answerer.answer(rows)
        return Predictions(answers.scores, answers.path_sets(), answerer.set_log_prob(rows, targets))

    return predict


def covered(dataset: Dataset) -> np.ndarray:
    """Return what share of an image the boxes of each label cover together, at most; [images labels]."""
    share = np.zeros(dataset.targets.shape)
    for row, path in enumerate(dataset.paths):
        root = ET.parse(path.parent.parent / "Annotations" / f"{path.stem}.xml").getroot()
        whole = float(root.findtext("size/width")) * float(root.findtext("size/height"))
        for thing in root.iter("object"):
            left, top, right, bottom = (
                float(thing.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax")
            )
            share[row, dataset.vocabulary.id_of(thing.findtext("name"))] += (
                (right - left) * (bottom - top) / whole
            )
    return share


def small_recall(scores: np.ndarray, truth: np.ndarray, small: np.ndarray, precision: float) -> float:
    """Return the recall of small objects at the lowest threshold with at least this precision over all labels."""
    known = truth != UNKNOWN
    order = np.argsort(-scores[known], kind="stable")
    right = (truth[known] == PRESENT)[order]
    precisions = right.cumsum() / np.arange(1, len(right) + 1)
    enough = np.flatnonzero(precisions >= precision)
    threshold = scores[known][order][enough[-1]] if len(enough) else np.inf
    return float((scores[small] >= threshold).mean())


def precision_at_half(scores: np.ndarray, truth: np.ndarray) -> float:
    decided = (scores >= 0.5) & (truth != UNKNOWN)
    return float((truth[decided] == PRESENT).mean())


def kept(path: Path, make: Callable[[], Predictions]) -> Predictions:
    """Return what a file holds, or make it and keep it there."""
    if not path.exists():
        said = make()
        with written_whole(path) as part, part.open("wb") as file:
            np.savez(file, scores=said.scores, sets=said.sets, log_likelihood=said.log_likelihood)
    with np.load(path) as held:
        return Predictions(held["scores"], held["sets"], held["log_likelihood"])


def measured(
    said: Predictions, truth: np.ndarray, names: tuple[str, ...], weights: np.ndarray
) -> dict[str, np.ndarray]:
    comparison = compare(
        truth,
        names,
        protocol=Protocol("sets", decided_by="path"),
        scores=said.scores.astype(np.float64),
        decisions=said.sets,
        log_likelihood=said.log_likelihood,
    )
    found = numbers(comparison, weights)
    return {name: found[name] for name in SHOWN}


def row(name: str, of: dict[str, np.ndarray], base: dict[str, np.ndarray] | None) -> str:
    """Return a line of the table: values, and differences to the first head with their intervals."""
    cells = []
    for key in (*SHOWN, "small"):
        factor = 1 if key == "log_likelihood" else 100
        text = f"{factor * of[key][0]:.{2 if factor == 1 else 1}f}"
        if base is not None:
            apart = factor * (of[key] - base[key])
            low, high = np.nanpercentile(apart[1:], [2.5, 97.5])
            text += f" ({apart[0]:+.{2 if factor == 1 else 1}f}: {low:+.2f} to {high:+.2f})"
        cells.append(text)
    return f"| {name} | " + " | ".join(cells) + " |"


def table(
    said: dict[str, list[Predictions]], truth: np.ndarray, names: tuple[str, ...], share: np.ndarray
) -> None:
    """Print every head's numbers, and what it has over the first."""
    draws = np.random.default_rng(0).multinomial(len(truth), np.full(len(truth), 1 / len(truth)), size=DRAWS)
    weights = np.concatenate((np.ones((1, len(truth)), dtype=draws.dtype), draws))
    small = (truth == PRESENT) & (share > 0) & (share < SMALL)
    first = next(iter(said))
    precision = np.mean([precision_at_half(one.scores, truth) for one in said[first]])
    print(f"{small.sum()} labels below {SMALL:.0%} of their image; precision {precision:.3f}")
    print("| head | " + " | ".join((*SHOWN, "small")) + " |\n|" + "---|" * (len(SHOWN) + 2))
    base: dict[str, np.ndarray] | None = None
    for name, seeds in said.items():
        found = [measured(one, truth, names, weights) for one in seeds]
        of = {key: np.mean([one[key] for one in found], axis=0) for key in SHOWN}
        of["small"] = np.mean(
            [resampled_recall(one.scores, truth, small, precision, draws) for one in seeds], axis=0
        )
        print(row(f"{name} ({len(seeds)} seeds)", of, base), flush=True)
        base = of if base is None else base


def resampled_recall(
    scores: np.ndarray, truth: np.ndarray, small: np.ndarray, precision: float, draws: np.ndarray
) -> np.ndarray:
    values = [small_recall(scores, truth, small, precision)]
    for draw in draws:
        rows = np.repeat(np.arange(len(truth)), draw)
        values.append(small_recall(scores[rows], truth[rows], small[rows], precision))
    return np.array(values)


def cost(data: Dataset, root: Path, asked: argparse.Namespace) -> None:
    """Print what tagging costs with local evidence, as a multiple of tagging without: processor time, in turn."""
    ways: dict[str, Callable[[], object]] = {}
    for head, grid in (("sigmoid", 0), ("sigmoid+csra", asked.grid)):
        encoder = encoder_of(asked.encoder, root, asked.size, grid).ready("cpu")
        config = config_of(head, len(data), encoder, len(data.vocabulary), asked.set, 0)
        channels = encoder.map_shape.channels if encoder.map_shape else 0
        module = build_head(
            config, num_labels=len(data.vocabulary), feature_size=encoder.num_features, channels=channels
        )
        answerer = build_answerer(trained(module), config)
        ways[head] = lambda encoder=encoder, answerer=answerer: answerer.answer(
            extract(data.paths[:32], encoder, workers=1).values
        )
    spent: dict[str, list[float]] = {head: [] for head in ways}
    for turn in range(6):
        for head, tag in ways.items():
            started = time.process_time()
            tag()
            if turn:  # the first loads
                spent[head].append(time.process_time() - started)
    without, within = (min(times) / 32 for times in spent.values())
    print(
        f"{asked.encoder}, {asked.size} px: {1000 * without:.1f} ms an image without, {1000 * within:.1f} ms with "
        f"local evidence: {within / without:.2f} times"
    )


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    root = Path(os.environ.get("LABELBEAM_DATA", "."))
    reader.add_argument(
        "--encoder", default="mobilenetv2", help="mobilenetv2, or any --encoder of labelbeam train"
    )
    reader.add_argument("--size", type=int, default=352)
    reader.add_argument("--grid", type=int, default=11)
    reader.add_argument("--heads", default=",".join(HEADS), help="the first is what others are compared with")
    reader.add_argument("--seeds", type=int, default=1)
    reader.add_argument("--set", action="append", default=[], help="of heads with local evidence")
    reader.add_argument("--part", type=int, help="this fold alone")
    reader.add_argument("--minutes", type=float, default=1e9)
    reader.add_argument("--test", action="store_true", help="all of sub_trainval to sub_test, once")
    reader.add_argument("--cost", action="store_true", help="only what tagging costs")
    reader.add_argument("--table", action="store_true", help="train nothing")
    reader.add_argument("--out", type=Path, default=Path("runs/local"))
    asked = reader.parse_args()
    torch.set_num_threads(1)
    ends = time.monotonic() + 60 * asked.minutes
    data = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    if asked.cost:
        return cost(data, root, asked)
    encoder = encoder_of(asked.encoder, root, asked.size, asked.grid)
    rows = None if asked.table else readable_features(data, encoder, flips=True)[1]
    judged, judged_rows = data, rows
    parts = dict(enumerate(folds(data.targets, 5, seed=0)))
    if asked.part is not None:
        parts = {asked.part: parts[asked.part]}
    if asked.test:
        judged = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_test").with_vocabulary(data.vocabulary.names)
        judged_rows = None if asked.table else readable_features(judged, encoder, flips=False)[1]
        parts = {0: (np.arange(len(data)), np.arange(len(judged)))}
    asked.out.mkdir(parents=True, exist_ok=True)
    mark = "-".join([asked.encoder, f"{asked.size}px", f"{asked.grid}", *(["test"] if asked.test else [])])
    said: dict[str, list[Predictions]] = {}
    for seed in range(asked.seeds):
        for head in asked.heads.split(","):
            found, own = [], "-".join([mark, *(asked.set if "+" in head else []), head])
            for number, (fitted, held) in parts.items():
                path = asked.out / f"{own}-{seed}-{number}.npz"
                if not path.exists() and (asked.table or time.monotonic() > ends):
                    break
                started = time.monotonic()

                def make(head=head, seed=seed, fitted=fitted, held=held) -> Predictions:
                    config = config_of(head, len(fitted), encoder, len(data.vocabulary), asked.set, seed)
                    predict = learned(config, rows[fitted], data.targets[fitted], encoder)
                    return predict(judged_rows[held, 0], judged.targets[held])

                found.append(kept(path, make))
                if time.monotonic() - started > 1:
                    print(
                        f"{head}, seed {seed}, part {number}: {time.monotonic() - started:.0f} s", flush=True
                    )
            if len(found) == len(parts):
                joined = [
                    np.concatenate([getattr(one, k) for one in found]) for k in Predictions.__annotations__
                ]
                said.setdefault(head, []).append(Predictions(*joined))
    if said:
        order = np.concatenate([held for _, held in parts.values()])
        table(said, judged.targets[order], data.vocabulary.names, covered(judged)[order])


if __name__ == "__main__":
    main()
