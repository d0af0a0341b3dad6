"""How often the 95 % interval of mAP holds the truth: `python benchmarks/map_coverage.py [--sims N]`.

Each setting is a population of 30,000 images with normal scores, whose mAP is known; test sets are drawn from it. The
interval of `metrics.intervals` stands beside the percentile bootstrap. About three minutes on one core.
"""

import argparse
import sys
import time
from dataclasses import dataclass

import numpy as np

from labelbeam.metrics.comparison import Comparison, Protocol, compare
from labelbeam.metrics.evaluation import numbers
from labelbeam.metrics.intervals import map_intervals
from labelbeam.metrics.ranking import RULES

POPULATION = 30_000
NAMES = [f"mAP_{rule}" for rule in RULES]


@dataclass(frozen=True)
class Setting:
    """A population of images: how frequent labels are, and how far positives lie above negatives in deviations."""

    name: str
    frequencies: tuple[float, ...]
    distance: float
    images: tuple[int, ...]


SETTINGS = (
    Setting("8 labels, 3 to 40 %", (0.4, 0.3, 0.2, 0.15, 0.1, 0.08, 0.05, 0.03), 1.2, (150, 300)),
    Setting("20 labels, mostly 5 %", (0.41, 0.15, 0.09, 0.08, 0.08, *[0.05] * 15), 2.9, (150, 300)),
    Setting("20 labels, mostly 2 %", (0.41, 0.15, 0.09, 0.08, 0.08, *[0.02] * 15), 2.2, (150, 300, 1000)),
    Setting("nearly perfect", (0.41, 0.15, 0.09, 0.08, 0.08, *[0.05] * 15), 5.0, (150,)),
    Setting("chance", (0.41, 0.15, 0.09, 0.08, 0.08, *[0.05] * 15), 0.0, (150,)),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sims", type=int, default=300, help="test sets drawn per setting and size")
    sims = parser.parse_args().sims
    sys.stdout.write(
        f"| setting | images | {' | '.join(RULES)} | bootstrap | refused | ms |\n|---|--:|{'--:|' * 6}\n"
    )
    for seed, setting in enumerate(SETTINGS):
        rng = np.random.default_rng(seed)
        shape = (POPULATION, len(setting.frequencies))
        truth = rng.random(shape) < np.array(setting.frequencies)
        scores = truth * setting.distance + rng.standard_normal(shape)
        known = _values(_compared(truth, scores), np.ones((1, POPULATION), dtype=np.int64))[0]
        for images in setting.images:
            held, by_bootstrap, seconds = [], [], 0.0
            for _ in range(sims):
                rows = rng.integers(POPULATION, size=images)
                one = _compared(truth[rows], scores[rows])
                started = time.perf_counter()
                found = map_intervals([one])
                seconds += time.perf_counter() - started
                if not found:  # refused: too many labels with a single positive
                    continue
                held.append([found[n].low <= v <= found[n].high for n, v in zip(NAMES, known, strict=True)])
                draws = [np.bincount(rng.integers(images, size=images), minlength=images) for _ in range(200)]
                low, high = np.quantile(_values(one, np.stack(draws))[:, 0], [0.025, 0.975])
                by_bootstrap.append(low <= known[0] <= high)
            shares = " | ".join(
                f"{100 * share:.1f}" for share in (*np.mean(held, axis=0), np.mean(by_bootstrap))
            )
            sys.stdout.write(
                f"| {setting.name} | {images} | {shares} | {sims - len(held)} | {1000 * seconds / sims:.0f} |\n"
            )
            sys.stdout.flush()


def _compared(truth: np.ndarray, scores: np.ndarray) -> Comparison:
    names = [f"label {c:02d}" for c in range(truth.shape[1])]
    return compare(truth.astype(np.int8), names, protocol=Protocol("none"), scores=scores)


def _values(comparison: Comparison, weights: np.ndarray) -> np.ndarray:
    """Return mAP by every rule, [weightings rules]."""
    found = numbers(comparison, weights)
    return np.stack([found[name] for name in NAMES], axis=1)


if __name__ == "__main__":
    main()
