"""What to label next: orders by worth against random order, on the VOC part.

    python research/worth.py --out runs/worth [--head sigmoid|cnn-rnn] [--process I --processes N]

Five stratified folds over `sub_trainval` (765 photographs), three seeds. In each, 60 random photographs of the
fold's training part are labelled; a head is trained on them with its default recipe (without validation images, all
epochs); each order picks 60 more of the rest, the head is trained anew on all, and so on up to 480. mAP and
log-likelihood are those of the held-out fold. What is told are means over the 15 runs and differences from random
order of the same run, with t intervals; the folds share training photographs, so the intervals are somewhat too narrow.
The order that the page's service gives by default was to be the one with the best mAP difference, averaged over sizes;
random order, if no interval is above zero. The two orders by rare positives were added when four runs of the others
had been seen. `sub_test` is never touched.

Finished runs are kept in OUT: a killed benchmark goes on, and several processes may share it.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from voc_cross_validation import measure, predict, train

from labelbeam.data.dataset import Dataset
from labelbeam.data.stratified import folds
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.features.extract import readable_features
from labelbeam.files import written_whole
from labelbeam.formats.registry import open_dataset
from labelbeam.labels.vocabulary import PRESENT, order_labels
from labelbeam.runs.config import configure
from labelbeam.suggest import label_entropies, order_by_worth, rare_positives, spread_order

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from measuring import machine

NUM_FOLDS, SEEDS, STEP, MOST = 5, (0, 1, 2), 60, 480
MEASURES = ("mAP_area", "log_likelihood")


@dataclass(frozen=True)
class Known:
    """What an order may look at: of all photographs of the training part."""

    scores: np.ndarray  # [images labels]
    features: np.ndarray  # [images features]
    labelled: np.ndarray  # rows
    counts: np.ndarray  # [labels], positives among the labelled
    random: np.random.Generator


def spread(known: Known, worth: np.ndarray) -> np.ndarray:
    """Take the greatest worth times the distance to the nearest one taken."""
    worth = worth.copy()
    worth[known.labelled] = 0
    return spread_order(worth, known.features, labelled=known.labelled.tolist())


def entropy(known: Known) -> np.ndarray:
    """Return the sum of label entropies."""
    return label_entropies(known.scores).sum(axis=1)


def rarity(known: Known) -> np.ndarray:
    """Return the expected gain in positives."""
    return rare_positives(known.scores, known.counts)


ORDERS: dict[str, Callable[[Known], np.ndarray]] = {
    "random": lambda known: known.random.permutation(len(known.scores)),
    "entropy": lambda known: order_by_worth(entropy(known)),
    "entropy, spread": lambda known: spread(known, entropy(known)),
    "spread alone": lambda known: spread(known, np.ones(len(known.scores))),
    "rare positives": lambda known: order_by_worth(rarity(known)),
    "rare positives, spread": lambda known: spread(known, rarity(known)),
}
"""Known -> all rows in order; labelled ones are left out of it."""


def recipe(head: str) -> dict:
    """Return a head's default recipe in the words of `voc_cross_validation.train`."""
    config = configure(head=head)
    told = {
        name: getattr(config.recipe, name)
        for name in ("learning_rate", "weight_decay", "batch_size", "epochs")
    }
    if head == "sigmoid":
        return told | {name: getattr(config.sigmoid, name) for name in ("hidden_size", "feature_dropout")}
    names = ("activation", "image_hidden_size", "feature_dropout", "projection_dropout", "hidden_size")
    return told | {name: getattr(config.label_model, name) for name in names}


def labelled_step_by_step(
    head: str,
    views: np.ndarray,
    targets: np.ndarray,
    held_out: np.ndarray,
    names: tuple[str, ...],
    *,
    order: str,
    seed: int,
) -> dict[str, list[float]]:
    """Simulate one fold with one seed and one order; return each measure at each size.

    Args:
        head: its name.
        views: features [images views features], of all photographs.
        targets: of all photographs.
        held_out: rows that measure.
        names: of labels.
        order: a name of `ORDERS`.
        seed: of the first photographs and the training.
    """
    config, pool = recipe(head), np.setdiff1d(np.arange(len(targets)), held_out)
    labelled = np.random.default_rng(seed).permutation(len(pool))[:STEP]
    random, curve = np.random.default_rng(seed + 1000), []
    while True:
        rows = pool[labelled]
        model = train(head, config, views[rows], targets[rows], seed)
        curve.append(measure(predict(model, views[held_out], targets[held_out]), targets[held_out], names))
        if len(labelled) >= MOST:
            return {one: [measured[one] for measured in curve] for one in MEASURES}
        scores = predict(model, views[pool], targets[pool]).scores.astype(np.float64)
        counts = (targets[rows] == PRESENT).sum(axis=0)
        best = ORDERS[order](Known(scores, views[pool, 0], labelled, counts, random))
        labelled = np.concatenate((labelled, best[~np.isin(best, labelled)][:STEP]))


def summary(runs: list[dict[str, dict[str, list[float]]]]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return means and differences from random order with 95 % t intervals, by size; the last entry is their mean."""
    told: dict[str, dict[str, dict[str, list[float]]]] = {}
    for name in ORDERS:
        told[name] = {}
        for one in MEASURES:
            values, rival = (np.array([run[key][one] for run in runs]) for key in (name, "random"))
            values, rival = (np.column_stack((x[:, 1:], x[:, 1:].mean(axis=1))) for x in (values, rival))
            apart = values - rival
            half = stats.t.ppf(0.975, len(runs) - 1) * apart.std(axis=0, ddof=1) / np.sqrt(len(runs))
            told[name][one] = {
                "mean": values.mean(axis=0).tolist(),
                "minus_random": apart.mean(axis=0).tolist(),
                "half_interval": half.tolist(),
            }
    return told


def stored(folder: Path, order: str, number: int, seed: int) -> Path:
    """Return the file of one fold, seed and order."""
    return folder / f"fold{number}-seed{seed}-{order.replace(', ', '-').replace(' ', '-')}.json"


def voc_part(root: Path) -> tuple[Dataset, np.ndarray]:
    """Return the photographs, labels in label order, and their features in two views."""
    data = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    encoder = build_encoder(EncoderConfig("", root / "weights" / "mobilenetv2_100.tf_in1k.safetensors"))
    kept, views, _ = readable_features(data, encoder, flips=True)
    return kept, views


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/worth"), help="finished runs and results are kept here"
    )
    parser.add_argument("--head", choices=("sigmoid", "cnn-rnn"), default="sigmoid")
    parser.add_argument("--order", choices=ORDERS, action="append", help="train for this one only")
    parser.add_argument("--root", type=Path, default=Path("../shared/data"), help="folder of the photographs")
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--told", action="store_true", help="train nothing: tell of what is there")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    folder = asked.out / asked.head
    folder.mkdir(parents=True, exist_ok=True)
    units = [(number, seed) for seed in SEEDS for number in range(NUM_FOLDS)]
    if not asked.told:
        data, views = voc_part(asked.root)
        parts = folds(data.targets, NUM_FOLDS, seed=0)
        work = [(order, *unit) for unit in units for order in asked.order or ORDERS]
        for order, number, seed in work[asked.process :: asked.processes]:
            file = stored(folder, order, number, seed)
            if file.exists():
                continue
            found = labelled_step_by_step(
                *(asked.head, views, data.targets, parts[number][1], data.vocabulary.names),
                order=order,
                seed=seed,
            )
            with written_whole(file) as part:
                part.write_text(json.dumps(found) + "\n", encoding="utf-8")
            print(f"fold {number}, seed {seed}, {order}", flush=True)
    runs = []
    for unit in units:
        files = {order: stored(folder, order, *unit) for order in ORDERS}
        if all(file.exists() for file in files.values()):
            runs.append(
                {order: json.loads(file.read_text(encoding="utf-8")) for order, file in files.items()}
            )
    if len(runs) < 2:
        return
    table = summary(runs)
    sizes = [*range(2 * STEP, MOST + 1, STEP)]
    result = {"machine": machine(), "head": asked.head, "runs": len(runs), "sizes": sizes, "table": table}
    with written_whole(folder / "worth.json") as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(
        f"{asked.head}, {len(runs)} runs of {len(units)}; differences from random order with 95 % intervals"
    )
    for one in MEASURES:
        scale, digits = (100, 1) if one == "mAP_area" else (1, 3)
        print(f"\n{one:18}" + "".join(f"{size:>16}" for size in [*sizes, "mean"]))
        for name, by in table.items():
            cells = [
                f"{scale * mean:.{digits}f}"
                if name == "random"
                else f"{scale * apart:+.{digits}f} ±{scale * half:.{digits}f}"
                for mean, apart, half in zip(*by[one].values(), strict=True)
            ]
            print(f"{name:18}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()
