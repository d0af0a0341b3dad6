"""Is "nothing" an answer? Label models that never saw an empty photograph, at home and on another collection.

    python research/nothing.py --out runs/nothing

Trains on VOC's `sub_trainval` (765 photographs, features of MobileNetV2 at 352 pixels, the default recipe by size, all
epochs, SEEDS) and answers `sub_test` (300), and the 159 shared COCO photographs, of which 32 show none of VOC's labels;
their truth is written with VOC's names. Nothing is chosen on either. Rows:

- `taught`: END of the empty prefix as the sequence loss leaves it.
- `independent`: p(empty) from each label's absence, on the units that U_I reads, trained beside the sequences, at the
  training's share of empty photographs, (0 + 1) / (765 + 2).
- `independent, --nothing 0.2`: the same, shifted to a share that a user says.
- `prior only`: the label model conditioned on a label, p(empty) the same number for every image.
- `greater of two`: the sigmoid head's empty set where it is more probable than the most probable path of `taught`.
- `sigmoid`: the linear head.

Sets are the most probable ones; unknown labels do not count. Differences are paired over images, averaged over seeds.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
import torch
from plain_training import standardize, teach

from labelbeam.data.dataset import Dataset
from labelbeam.decoding.search import Search
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.encoders.encoder import EncoderConfig
from labelbeam.features.extract import extract
from labelbeam.files import cache_folder, written_whole
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.labels.vocabulary import ABSENT, PRESENT, order_labels
from labelbeam.predict.answers import SigmoidAnswerer
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.runs.build import build_head, start_head
from labelbeam.runs.config import configure
from labelbeam.runs.recipe import DataSize, recipe_for
from labelbeam.runs.run_directory import versions

SEEDS, SHARES = (0, 1, 2), (0.05, 0.2)
VOC_NAMES = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}


def coco_truth(data: Dataset, names: tuple[str, ...]) -> np.ndarray:
    """Return COCO's labels as VOC's names have them, int8 [images labels]."""
    found = np.zeros((len(data), len(names)), dtype=np.int8)
    for i in range(len(data)):
        for name in data.example(i).present:
            if (name := VOC_NAMES.get(name, name)) in names:
                found[i, names.index(name)] = PRESENT
    return found


def right(sets: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Tell of every image whether the set is right, unknown labels apart."""
    return ((sets == (targets == PRESENT)) | (targets < 0)).all(axis=1)


def answers(head, features: np.ndarray, targets: np.ndarray, *, nothing: float | None = None):
    """Return sets, log-likelihoods of the truth, and log-probabilities of the sets."""
    answerer = (
        LabelModelAnswerer(head, Search(nothing=nothing, samples=0, expansions=400))
        if isinstance(head, TrainedLabelModel)
        else SigmoidAnswerer(head)
    )
    found = answerer.answer(features)
    return found.path_sets(), answerer.set_log_prob(features, targets), found.log_probs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/nothing"))
    parser.add_argument("--resamples", type=int, default=2000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    root = Path(os.environ["LABELBEAM_DATA"])
    weights = root / "weights" / "mobilenetv2_100.tf_in1k.safetensors"

    def features_of(paths, *, mirrored: bool = False) -> np.ndarray:
        config = EncoderConfig(
            "", weights, pooling="catavgmax", size=352, resize="squash", horizontal_flip=mirrored
        )
        return extract(paths, build_encoder(config), cache=cache_folder() / "features").values

    train = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    names = train.vocabulary.names
    views = np.stack([features_of(train.paths, mirrored=mirrored) for mirrored in (False, True)], axis=1)
    home = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_test").with_vocabulary(names)
    coco = [open_dataset(f"coco:{root / 'coco'}#{split}") for split in ("train2017", "val2017")]
    places = {
        "home": (features_of(home.paths), home.targets),
        "coco": (
            np.concatenate([features_of(one.paths) for one in coco]),
            np.concatenate([coco_truth(one, names) for one in coco]),
        ),
    }
    columns = np.asarray(order_labels(train.targets))
    ordered_targets = np.ascontiguousarray(train.targets[:, columns])
    size = DataSize(len(train), views.shape[2], len(names))
    rows: dict[str, dict[str, list[tuple[np.ndarray, np.ndarray]]]] = {}

    def keep(row: str, place: str, sets: np.ndarray, log_likelihood: np.ndarray) -> None:
        found = rows.setdefault(row, {}).setdefault(place, [])
        found.append((right(sets, places[place][1]), log_likelihood))

    for seed in SEEDS:
        heads = {}
        for row in ("taught", "independent", "sigmoid"):
            head = "sigmoid" if row == "sigmoid" else "cnn-rnn"
            settings = (
                [] if row == "sigmoid" else [f"label_model.nothing={row}", "label_model.activation=identity"]
            )
            config = configure(
                head=head, settings=settings, options={"seed": seed}, by_data=recipe_for(size, head)
            )
            model = build_head(config, num_labels=len(names), feature_size=views.shape[2])
            start_head(model, ordered_targets)
            standardize(model, views)
            teach(model, views, ordered_targets, recipe=config.recipe, seed=seed)
            heads[row] = trained(model)
            for place, (features, targets) in places.items():
                for nothing in (None, *SHARES) if row == "independent" else (None,):
                    sets, nats, _ = answers(heads[row], features, targets[:, columns], nothing=nothing)
                    back = np.empty_like(sets)
                    back[:, columns] = sets
                    keep(row + (f", --nothing {nothing}" if nothing else ""), place, back, nats)
        share = 1 / (1 + np.exp(-heads["independent"].nothing.base))
        for place, (features, targets) in places.items():
            ordered, empty = targets[:, columns], (targets == ABSENT).all(axis=1)
            given = heads["independent"]
            odds = given.nothing.log_odds(given.per_label_logits(features))
            sets, nats, best = answers(given, features, ordered)
            # The same model with every image's own probability of the empty set taken out and one put in.
            taken = np.logaddexp(0, odds)  # -log(1 - p)
            inner = LabelModelAnswerer(given, Search(samples=0, expansions=400, min_labels=1)).answer(
                features
            )
            said = inner.path_sets()
            said[inner.log_probs + np.log(1 - share) < np.log(share)] = False
            back = np.empty_like(said)
            back[:, columns] = said
            nats = np.where(empty, np.log(share), nats + taken + np.log(1 - share))
            keep("prior only", place, back, nats)
            taught_sets, nats, best = answers(heads["taught"], features, ordered)
            nothing = -np.logaddexp(0, heads["sigmoid"].logits(features).astype(np.float64)).sum(axis=1)
            taught_sets[nothing > best] = False
            back = np.empty_like(taught_sets)
            back[:, columns] = taught_sets
            keep("greater of two", place, back, np.full(len(nats), np.nan))
        print(f"seed {seed} done", flush=True)

    random, result = np.random.default_rng(0), {"seeds": SEEDS, "rows": {}, "versions": versions()}
    for place, (_, targets) in places.items():
        empty = (targets == ABSENT).all(axis=1)
        chances = np.full(len(targets), 1 / len(targets))
        drawn = random.multinomial(len(targets), chances, size=arguments.resamples) / len(targets)
        print(f"\n{place}: {len(targets)} images, {empty.sum()} show nothing")
        base = [np.mean([one[k] for one in rows["taught"][place]], axis=0) for k in (0, 1)]
        for row, by in rows.items():
            sets, nats = (np.mean([one[k] for one in by[place]], axis=0) for k in (0, 1))
            entry = {"sets": sets.mean(), "log_likelihood": nats.mean()}
            if empty.any():
                entry |= {"sets_empty": sets[empty].mean(), "sets_other": sets[~empty].mean()}
                entry |= {"log_likelihood_other": nats[~empty].mean()}
            for name, apart in (("sets", sets - base[0]), ("log_likelihood", nats - base[1])):
                low, high = np.quantile(drawn @ apart, (0.025, 0.975))
                entry[f"{name}_minus_taught"] = [float(apart.mean()), float(low), float(high)]
            result["rows"].setdefault(row, {})[place] = {
                name: value if isinstance(value, list) else float(value) for name, value in entry.items()
            }
            print(f"  {row:28}" + "  ".join(
                f"{name} " + (" ".join(f"{v:+.3f}" for v in value) if isinstance(value, list) else f"{value:.3f}")
                for name, value in entry.items()
            ))  # fmt: skip
    arguments.out.mkdir(parents=True, exist_ok=True)
    with written_whole(arguments.out / "result.json") as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
