"""A prediction as the journal of a job holds it, read back: where tables and pages of a long job come from.

Knows the JSON of `answers.prediction`; knows no file format.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from labelbeam.answers.prediction import Prediction, ScoredLabel


def recorded(line: str) -> Prediction:
    """Return the prediction of a line of JSON; numbers have the digits that the line has.

    Args:
        line: what `Prediction.to_json` returned.

    Example:
        >>> recorded('{"image": "b.jpg", "error": "not an image"}').error
        'not an image'
    """
    told = json.loads(line)
    told.pop("not_written", None)  # about its sidecar
    labels = tuple(ScoredLabel(**one) for one in told.pop("labels", ()))
    return Prediction(**{**told, "labels": labels, "path": tuple(told.get("path", ()))})


def records(lines: Path) -> Iterator[Prediction]:
    """Yield the predictions of a file of lines, one at a time."""
    with lines.open(encoding="utf-8") as file:
        for line in file:
            yield recorded(line)


def status(prediction: Prediction) -> str:
    """Return what became of an image: `ok`, `refused` (it fits nothing) or `unreadable`."""
    if prediction.error:
        return "unreadable"
    return "refused" if prediction.refused else "ok"
