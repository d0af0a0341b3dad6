"""How many of the labels that a run disagrees with are wrong, where that is known: labels flipped at a known rate.

    python benchmarks/label_errors.py RUN --data voc2007:VOCdevkit#sub_test

Labels of images that the run was not trained on are flipped at random, each seed anew: a share of the labels that
images have is taken away, and as many are put where they are not, which is how people err. The list is the report's
(`report.label_errors`), by falling disagreement; precision is the share of flipped labels among its first k. What the
data had wrong before counts as not flipped, so precision is a lower bound.
"""

import argparse
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import ReadOptions
from labelbeam.features.extract import readable_features
from labelbeam.formats.registry import open_dataset
from labelbeam.labels.vocabulary import ABSENT, PRESENT
from labelbeam.report.label_errors import label_errors
from labelbeam.runs.tagger import Tagger


def flipped(targets: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Return targets with a share of the present labels absent, and as many absent ones present."""
    changed = targets.copy()
    count = round(rate * int((targets == PRESENT).sum()))
    for value, other in ((PRESENT, ABSENT), (ABSENT, PRESENT)):
        places = np.argwhere(targets == value)
        rows, columns = places[rng.choice(len(places), count, replace=False)].T
        changed[rows, columns] = other
    return changed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.02, 0.05, 0.1])
    parser.add_argument("--first", type=int, nargs="+", default=[5, 10, 20, 50])
    parser.add_argument("--seeds", type=int, default=200)
    asked = parser.parse_args()
    tagger = Tagger.load(asked.run)
    dataset, features, _ = readable_features(
        open_dataset(asked.data, options=ReadOptions()), tagger.run.encoder, flips=False
    )
    scores = tagger.answer(features[:, 0]).scores
    targets = dataset.targets[:, [dataset.vocabulary.names.index(name) for name in tagger.labels]]
    print(f"{len(targets)} images, {int((targets == PRESENT).sum())} labels present, {asked.seeds} seeds")
    for rate in asked.rates:
        at = {k: [] for k in asked.first}
        listed, caught, count = [], [], 0
        for seed in range(asked.seeds if rate else 1):
            wrong = flipped(targets, rate, np.random.default_rng(seed))
            is_flipped = wrong != targets
            found = label_errors(wrong, scores).found
            hits = np.array([is_flipped[one.image, one.label] for one in found])
            count = int(is_flipped.sum())
            listed.append(len(hits))
            caught.append(hits.sum() / count if count else np.nan)
            for k in asked.first:
                at[k].append(hits[:k].mean())
        words = ", ".join(f"first {k}: {np.mean(values):.0%}" for k, values in at.items())
        print(
            f"{rate:.0%} taken away, as many put in ({count} flipped): {np.mean(listed):.0f} listed, {words}"
        )
        if count:
            print(f"    of the flipped labels the list has {np.mean(caught):.0%}")


if __name__ == "__main__":
    main()
