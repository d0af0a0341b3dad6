"""Scores for anybody's predictions: no model of labelbeam, no torch, only arrays or two files.

    python examples/score_anybody.py [FOLDER]

Makes up a truth and two rivals' scores, judges them from arrays, tests the difference, and writes the files
that `labelbeam score` judges alike.
"""

import json
import sys
from pathlib import Path

import numpy as np

import labelbeam as lb

NAMES = ("person", "dog", "car", "boat")


def write_lines(path: Path, lines: list[dict]) -> None:
    """Write one JSON object a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def main(folder: Path) -> None:
    """Judge two rivals."""
    rng = np.random.default_rng(0)
    truth = (rng.random((300, len(NAMES))) < (0.5, 0.3, 0.2, 0.1)).astype(np.int8)
    truth[0, 3] = -1  # nobody looked whether there is a boat: neither right nor wrong
    noise = rng.normal(size=truth.shape)
    ours, theirs = truth + 0.4 * noise, truth + 0.8 * noise

    top2 = lb.ExactK(2)
    for name, value in lb.score(truth, ours, top2, labels=NAMES).values.items():
        print(f"{name:22} {'-' if value is None else round(value, 4)}")
    our_side = lb.compare(truth, NAMES, protocol=top2, scores=ours)
    their_side = lb.compare(truth, NAMES, protocol=top2, scores=theirs)
    difference = lb.paired_bootstrap(our_side, their_side, rng=rng, resamples=500)["mAP_area"]
    print(
        f"mAP_area, ours - theirs: {difference.difference:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
    )

    folder.mkdir(parents=True, exist_ok=True)
    images = [f"{number:03}.jpg" for number in range(len(truth))]
    named = [[name for name, value in zip(NAMES, row, strict=True) if value == 1] for row in truth]
    unknown = [[name for name, value in zip(NAMES, row, strict=True) if value == -1] for row in truth]
    lines = zip(images, named, unknown, strict=True)
    write_lines(folder / "truth.jsonl", [{"image": i, "labels": n, "unknown": u} for i, n, u in lines])
    for file, scores in (("ours.jsonl", ours), ("theirs.jsonl", theirs)):
        rows = [dict(zip(NAMES, row, strict=True)) for row in scores.tolist()]
        predictions = zip(images, rows, strict=True)
        write_lines(folder / file, [{"image": image, "scores": row} for image, row in predictions])
    print(f"the same: labelbeam score --truth {folder}/truth.jsonl --pred {folder}/ours.jsonl --k 2")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("score_anybody"))
