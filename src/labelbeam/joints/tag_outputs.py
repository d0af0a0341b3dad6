"""A job's predictions on their way out: printed, or into a file or folder that is complete or can be gone on with.

Joins the journal with the tables and sidecars made of it. Computes no prediction.
"""

import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from labelbeam.answers.prediction import Prediction
from labelbeam.joints.journal import Journal, journal
from labelbeam.joints.tag_destination import Destination
from labelbeam.joints.tag_record import recorded
from labelbeam.joints.tag_sidecars import KINDS, Sidecars
from labelbeam.joints.tag_sources import Choices
from labelbeam.joints.tag_tables import csv_table, parquet_table
from labelbeam.joints.tagger import ANSWERED_TOGETHER


class Recorded:
    """A job's predictions in its journal, sidecars written beside.

    Attributes:
        done: images that an earlier call did.
        unreadable: those of all so far that could not be read.
        not_written: images of this call whose sidecars were not written.
        why_not: of the first of them, the reason.
    """

    def __init__(self, lines: Journal, sidecars: Sidecars | None) -> None:
        self.done, self.unreadable = lines.done, lines.failed
        self.not_written, self.why_not = 0, ""
        self._lines, self._sidecars = lines, sidecars

    def remaining(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Yield the images that are not done yet."""
        return self._lines.remaining(paths)

    def write(self, prediction: Prediction) -> None:
        """Write a prediction; when this returns, a kill of the process does not lose it."""
        line = prediction.to_json()
        self.unreadable += bool(prediction.error)
        # The sidecar first: what has a line has its sidecar.
        why = "" if self._sidecars is None or prediction.error else self._sidecars.write(prediction)
        if why:
            line = json.dumps({**json.loads(line), "not_written": why}, ensure_ascii=False)
            self.not_written += 1
            self.why_not = self.why_not or why
        self._lines.write(line)
        self._lines.flush()

    def first(self, count: int) -> list[Prediction]:
        """Return the first predictions of the whole job, those of earlier calls too."""
        with self._lines.partial.open(encoding="utf-8") as lines:
            return [recorded(line) for line in islice(lines, count)]


@contextmanager
def recording(
    where: Destination,
    *,
    job: Mapping[str, Any],
    labels: Sequence[str],
    named: Sequence[str],
    choices: Choices,
    overwrite: bool,
) -> Iterator[Recorded]:
    """Open the record of a job; when the block ends, the result is there, and when it fails it can be gone on with.

    Args:
        where: what the result is to be.
        job: what was asked, plain values; results of something else are not continued.
        labels: the run's labels.
        named: what the user named to be tagged.
        choices: what is asked of predictions.
        overwrite: forget an interrupted job; replace text files with other content.

    Raises:
        InputError: as `journal`; a label that the format cannot hold.
    """
    table, sidecars = None, None
    if where.format == "csv":
        table = csv_table(labels, all_scores=choices.all_scores)
    elif where.format == "parquet":
        table = parquet_table(all_scores=choices.all_scores)
    elif where.format in KINDS:
        sidecars = Sidecars(where.format, where.out, labels=labels, named=named, replace=overwrite)
        where.out.mkdir(exist_ok=True)
    told = {**job, "format": where.format}
    with journal(where.file, job=told, together=ANSWERED_TOGETHER, anew=overwrite, table=table) as lines:
        yield Recorded(lines, sidecars)


class Printed:
    """A job's predictions on standard output, as JSON Lines or as text."""

    def __init__(self, *, json: bool, keep: int = 0) -> None:
        self.done = self.unreadable = 0
        self.not_written, self.why_not = 0, ""
        self._json, self._keep = json, keep
        self._kept: list[Prediction] = []
        # A name that is not UTF-8 becomes \\udcXX, which is what JSON calls it too.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(
                encoding="utf-8" if json else sys.stdout.encoding, errors="backslashreplace"
            )

    def remaining(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Yield all images: nothing that was printed is known any more."""
        yield from paths

    def write(self, prediction: Prediction) -> None:
        """Print a prediction at once."""
        self.unreadable += bool(prediction.error)
        if len(self._kept) < self._keep:
            self._kept.append(prediction)
        sys.stdout.write((prediction.to_json() if self._json else told(prediction)) + "\n")
        sys.stdout.flush()

    def first(self, count: int) -> list[Prediction]:
        """Return the first predictions, at most as many as were to be kept."""
        return self._kept[:count]


def told(prediction: Prediction) -> str:
    r"""Return a prediction as a line for people.

    Example:
        >>> told(Prediction("a.jpg"))
        'a.jpg\t(no label)'
    """
    if prediction.error:
        return f"{prediction.image}\terror: {prediction.error}"
    said = ", ".join(f"{one.label} {one.score:.2f}" for one in prediction.labels)
    return f"{prediction.image}\t{said or ('(nothing fits)' if prediction.refused else '(no label)')}"
