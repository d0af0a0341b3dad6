"""Stratified splits against `iterative-stratification`, on the same labels: balance and seconds.

Real labels: NUS-WIDE's labelled rows (209,347 x 81) and MS COCO's (122,218 x 80), from the folder that LABELBEAM_DATA
names. Three splits: 5 folds; 80/20; train, validation, test of 80/10/10, which the rival makes by two calls. Balance
is the absolute deviation of a part's share of a label from the wanted share, mean and largest over parts and labels;
the floor is what whole images allow at best, label by label. Seconds are processor time, the median of
interleaved rounds, one thread.
The last rows keep groups of images together, which the rival cannot.

    pip install iterative-stratification
    OMP_NUM_THREADS=1 python benchmarks/split.py --rounds 3

Takes about a minute.
"""

import argparse
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold, MultilabelStratifiedShuffleSplit

from labelbeam.data.stratified import balance_of, split

SPLITS = {"5 folds": (0.2,) * 5, "80/20": (0.8, 0.2), "80/10/10": (0.8, 0.1, 0.1)}
GROUP = 20


def labels_of(file: Path) -> np.ndarray:
    """Return int8 [images labels] of the images that have a label."""
    with np.load(file) as stored:
        targets = stored["labels"].astype(np.int8)
    return targets[targets.any(axis=1)]


def ours(targets: np.ndarray, fractions: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Split as labelbeam does."""
    return split(targets, fractions, seed=seed)


def theirs(targets: np.ndarray, fractions: tuple[float, ...], seed: int) -> list[np.ndarray]:
    """Split as `iterative-stratification` does."""
    if len(set(fractions)) == 1:
        folds = MultilabelStratifiedKFold(len(fractions), shuffle=True, random_state=seed)
        return [held_out for _, held_out in folds.split(targets, targets)]
    rest, parts = np.arange(len(targets)), []
    for i in range(len(fractions) - 1, 0, -1):  # the last part off, then the one before it
        share = fractions[i] / sum(fractions[: i + 1])
        one = MultilabelStratifiedShuffleSplit(1, test_size=share, random_state=seed)
        kept, off = next(one.split(rest, targets[rest]))
        parts.append(rest[off])
        rest = rest[kept]
    return [rest, *parts[::-1]]


def floor_of(targets: np.ndarray, fractions: tuple[float, ...]) -> tuple[float, float]:
    """Return mean and largest deviation where each label by itself is rounded as well as whole images allow."""
    deviations = []
    for total in targets.sum(axis=0, dtype=np.int64):
        wanted = np.array(fractions) * total
        best = np.floor(wanted)
        best[np.argsort(best - wanted, kind="stable")[: round(total - best.sum())]] += 1
        deviations.append(np.abs(best - wanted) / total)
    return float(np.mean(deviations)), float(np.max(deviations))


def row(name: str, targets: np.ndarray, fractions: tuple[float, ...], parts: list[np.ndarray]) -> str:
    named = {str(i): part for i, part in enumerate(parts)}
    balance = balance_of(targets, list(map(str, range(targets.shape[1]))), named, fractions)
    sizes = max(abs(len(p) / len(targets) - f) for p, f in zip(parts, fractions, strict=True))
    return (
        f"  {name:24} mean {balance.mean_deviation:.6f}  largest {balance.max_deviation:.6f}  "
        f"sizes off by {sizes:.6f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("LABELBEAM_DATA", "../shared/data")))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        f"python {platform.python_version()}, numpy {np.__version__}, iterative-stratification "
        f"{version('iterative-stratification')}, {platform.machine()}, {options.rounds} rounds"
    )
    for data in ("nuswide81", "coco80"):
        targets = labels_of(options.data / "labels" / f"{data}_labels.npz")
        for name, fractions in SPLITS.items():
            seconds: dict[str, list[float]] = {"labelbeam": [], "iterative-stratification": []}
            for seed in range(options.rounds):  # interleaved, so that a busy machine is as unfair to each
                for rival, way in (("labelbeam", ours), ("iterative-stratification", theirs)):
                    begun = time.process_time()
                    parts = way(targets, fractions, seed)
                    seconds[rival].append(time.process_time() - begun)
                    if seed == 0:
                        if rival == "labelbeam":
                            print(f"{data}, {targets.shape[0]:,} x {targets.shape[1]}, {name}")
                            print(
                                "  {:24} mean {:.6f}  largest {:.6f}".format(
                                    "floor", *floor_of(targets, fractions)
                                )
                            )
                        print(row(rival, targets, fractions, parts))
            mine, other = median(seconds["labelbeam"]), median(seconds["iterative-stratification"])
            print(f"  labelbeam {mine:.2f} s, iterative-stratification {other:.2f} s: {other / mine:.1f} x")
        groups = np.arange(len(targets)) // GROUP
        begun = time.process_time()
        parts = split(targets, SPLITS["80/10/10"], seed=0, groups=groups)
        taken = time.process_time() - begun
        print(f"{data}, groups of {GROUP} images kept together, 80/10/10, {taken:.2f} s")
        print(row("labelbeam", targets, SPLITS["80/10/10"], parts))


if __name__ == "__main__":
    main()
