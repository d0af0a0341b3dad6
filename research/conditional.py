"""Measure p(label | image, known labels) by every mechanism.

    python research/conditional.py voc|scenes|coco80|nuswide81 [--at-least 2] [--quick]

Of held-out images with at least max(2, n) labels (or --at-least instead of 2), n = 0, 1, 2, 4 present labels are
accepted, at random or the most frequent first, and n // 2 absent ones, at random, rejected (seed n). Of the labels that
are not known: nats per image and per label, and MAP@10 over images that have another label. Intervals are 95 %
percentiles of 2,000 resamples of the images, the same for all mechanisms; differences are to likelihood weighting with
a click's budget.
`--quick` is for trying out. JSON goes to --out (default: runs/conditional/SOURCE.json).
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import conditional_sources
import numpy as np
import torch
from conditional_mechanisms import ORDER, WEIGHTING, Mechanisms, given_evidence, nats
from conditional_truth import TRUE

from labelbeam.files import written_whole
from labelbeam.labels.vocabulary import UNKNOWN
from labelbeam.metrics.ranking import average_precision_at, rank_labels

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from decoding import machine

NUMBERS, RESAMPLES = (0, 1, 2, 4), 2000
RULES = {"random": False, "most frequent first": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", choices=("voc", "scenes", "coco80", "nuswide81"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="hardly trained, few images")
    parser.add_argument("--at-least", type=int, default=2, help="fewest labels of the images that are judged")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, out = time.monotonic(), options.out or Path("runs/conditional") / f"{options.source}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    make = getattr(conditional_sources, options.source)
    more = {"out": out.with_suffix("")} if options.source == "scenes" else {}
    told: dict[str, Any] = {
        "source": options.source,
        "at least": options.at_least,
        "machine": machine(),
        "parts": [],
        "rows": {},
    }
    parts = []
    for part in make(quick=options.quick, **more):
        parts.append(measured(part, told, at_least=options.at_least))
        print(f"part {len(parts)}: {time.monotonic() - started:.0f} s", flush=True)
    for key in parts[0]:
        told["rows"][key] = summary([one[key] for one in parts])
        show(key, told["rows"][key])
    told["seconds"] = round(time.monotonic() - started)
    with written_whole(out) as file:
        file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def measured(
    part: conditional_sources.Part, told: dict[str, Any], *, at_least: int
) -> dict[str, dict[str, Any]]:
    """Return per-image numbers of every mechanism, by rule and number of known labels."""
    mechanisms, found = Mechanisms(part, at_least=at_least), {}
    for rule, frequent_first in RULES.items():
        for n in NUMBERS[frequent_first:]:  # with nothing known the rules are the same
            ((rows, known),) = given_evidence(
                part.targets, (n,), frequent_first=frequent_first, at_least=at_least, seed=0
            )
            scores = mechanisms.scores(rows, known, frequent_first=frequent_first)
            print(f"{n} known, {rule}: {len(rows)} images", flush=True)
            targets = part.targets[rows]
            found[f"{n} known, {rule}" if n else "0 known"] = {
                "images": part.images[rows],
                "asked": ((known == UNKNOWN) & (targets != UNKNOWN)).sum(axis=1),
                "nats": {name: nats(one, targets, known) for name, one in scores.items()},
                "MAP": {name: precision(one, targets, known, part.names) for name, one in scores.items()},
                "above true": {name: above(one, scores[TRUE], known) for name, one in scores.items()}
                if TRUE in scores
                else {},
                "told": {k: v for k, v in mechanisms.told.items() if k.startswith("effective")},
            }
    told["parts"].append({**part.told, **mechanisms.told, "seed": part.seed})
    return found


def precision(
    scores: np.ndarray, targets: np.ndarray, known: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    """Return AP@10 [images] of the ranking of the labels that are not known; NaN where no other label is present."""
    left = np.where(known == UNKNOWN, targets, np.int8(UNKNOWN))
    return average_precision_at(left, rank_labels(scores, names, observed=left != UNKNOWN, depth=10), n=10)


def above(scores: np.ndarray, true: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return expected nats [images] above the true conditionals': the divergence of every label, summed."""
    q, p = np.clip(scores, 1e-4, 1 - 1e-4), np.clip(true, 1e-4, 1 - 1e-4)
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    return np.where(known == UNKNOWN, divergence, 0.0).sum(axis=1)


def summary(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Pool parts; an image that several parts judged (seeds) counts once, by its mean."""
    images, where = np.unique(np.concatenate([one["images"] for one in parts]), return_inverse=True)
    times = np.bincount(where)

    def pooled(values: list[np.ndarray]) -> np.ndarray:
        return np.bincount(where, np.concatenate(values)) / times

    random, asked = np.random.default_rng(0), pooled([one["asked"] for one in parts])
    drawn = random.multinomial(len(images), np.full(len(images), 1 / len(images)), size=RESAMPLES)
    drawn = np.concatenate((np.ones((1, len(images)), dtype=drawn.dtype), drawn)).astype(np.float64)
    rows: dict[str, dict[str, Any]] = {}
    for measure in ("nats", "MAP", "above true"):
        values = {
            name: pooled([one[measure][name] for one in parts]) for name in ORDER if name in parts[0][measure]
        }
        means = {name: averaged(drawn, value) for name, value in values.items()}
        for name, mean in means.items():
            row = rows.setdefault(name, {})
            row[measure] = interval(mean)
            row[f"{measure} minus {WEIGHTING}"] = interval(mean - means[WEIGHTING])
            if measure == "nats":
                row["nats per label"] = float(values[name].sum() / asked.sum())
    return {"images": len(images), "parts": [one["told"] for one in parts], "mechanisms": rows}


def averaged(drawn: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the mean of each resample [1 + resamples]; images where the value is not defined are left out."""
    defined = ~np.isnan(values)
    if not defined.any():
        return np.full(len(drawn), np.nan)
    with np.errstate(invalid="ignore"):
        return (drawn[:, defined] @ values[defined]) / drawn[:, defined].sum(axis=1)


def interval(means: np.ndarray) -> list[float]:
    """Return value, low and high; the first mean is that of the images as they are."""
    return [round(float(x), 5) for x in (means[0], *np.nanquantile(means[1:], (0.025, 0.975)))]


def show(key: str, told: dict[str, Any]) -> None:
    """Print one number of known labels as a table."""
    print(f"\n{key}: {told['images']} images")
    heading = ("nats an image", "minus likelihood weighting", "a label", "MAP@10", "above true")
    print(f"{'':48}" + "".join(f"{text:>28}" for text in heading))
    for name, row in told["mechanisms"].items():
        cells = [
            shown(row["nats"]), shown(row[f"nats minus {WEIGHTING}"]), f"{row['nats per label']:.4f}",
            shown(row["MAP"], 100), shown(row["above true"]) if "above true" in row else "",
        ]  # fmt: skip
        print(f"{name:48}" + "".join(f"{cell:>28}" for cell in cells), flush=True)


def shown(value: list[float], times: int = 1) -> str:
    """Return value and interval as a cell."""
    places = 1 if times > 1 else 3
    return "{:.{p}f} [{:.{p}f}, {:.{p}f}]".format(*(times * x for x in value), p=places)


if __name__ == "__main__":
    main()
