"""Images for nobody to look at, chosen when all of a job are tagged: their promise holds on average over whole batches.

While a job runs its lines hold how sure each image is (`Prediction.sure`); at its end the cut is settled by all of
them, and the result says of each whether a person must look. In the data path: journal -> **choosing** -> result.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelbeam.errors import InputError
from labelbeam.predict.prediction import Prediction
from labelbeam.runs.tagger import Tagger
from labelbeam.tagging.journal import records

Table = Callable[[Path, Path], None]


class Choosing:
    """Chooses images once all are tagged.

    Attributes:
        for_person: how many images are for a person, once it is settled.
    """

    def __init__(self, tagger: Tagger) -> None:
        self._tagger, self._cut = tagger, math.inf
        self.for_person = 0

    def settle(self, lines: Path) -> None:
        """Find the cut, from a file of the lines of all images."""
        sure = np.array([one.sure for one in records(lines) if _counts(one)], dtype=np.float64)
        tagger = self._tagger
        decision = tagger.run.config.decision
        self._cut = decision.unseen_cut(tagger.promises, len(tagger.labels), sure, tagger.thresholds)
        self.for_person = sum(self.chosen(one).unseen is False for one in records(lines))

    def chosen(self, prediction: Prediction) -> Prediction:
        """Return a prediction that says whether a person must look at its image."""
        if prediction.error:
            return prediction
        return replace(prediction, unseen=_counts(prediction) and (prediction.sure or 0.0) >= self._cut)

    def table(self, table: Table | None) -> Table:
        """Return what makes a result of a file of lines: the lines themselves (None), or a table of them."""

        def write(lines: Path, part: Path) -> None:
            settled = part if table is None else part.with_name(part.name + ".settled")
            with settled.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                file.writelines(self.chosen(one).to_json() + "\n" for one in records(lines))
            if table is not None:
                try:
                    table(settled, part)
                finally:
                    settled.unlink()

        return write


def _counts(one: Prediction) -> bool:
    return not one.error and not one.void


def choosing_for(tagger: Tagger, *, format: str | None, update: bool) -> Choosing | None:
    """Return what chooses the images of a job; None where its decision asks for none, or goes image by image.

    Args:
        tagger: of the job.
        format: of its result; None: printed.
        update: whether it adds to a result.

    Raises:
        InputError: a result that cannot wait for all images.
    """
    decision = tagger.run.config.decision
    if decision.unseen is None or not decision.on_average:
        return None
    if format not in ("jsonl", "csv", "parquet") or update:
        raise InputError(
            "--unseen with --on-average chooses among all images of a job, when they are tagged: write them to a file "
            "(--out tags.jsonl, .csv or .parquet), without --update. Without --on-average images go one at a time."
        )
    return Choosing(tagger)
