"""A job of tagging: images through a source into a record, with progress, and what became of them in the end."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labelbeam.errors import InputError
from labelbeam.joints.progress import progress_bar
from labelbeam.joints.tag_outputs import Printed, Recorded
from labelbeam.joints.tag_sources import Source

LOG_EVERY = 60.0
"""Seconds between lines that say how far a job is, where standard error is no terminal."""


@dataclass(frozen=True)
class Counts:
    """What became of a job's images, those of earlier calls included.

    Attributes:
        images: how many there were.
        unreadable: how many of them could not be read.
        first_error: name and error of the first of this call that could not be read.
        not_written: images of this call whose sidecars were not written.
        why_not: of the first of them, the reason.
    """

    images: int
    unreadable: int
    first_error: str
    not_written: int
    why_not: str

    def told(self, named: Sequence[str]) -> list[str]:
        """Return what a user should know, in sentences; none where everything is in order.

        Args:
            named: what the user named to be tagged.
        """
        lines = []
        if not self.images:
            where = ", ".join(named) or "the store"
            lines.append(f"no image found in {where}; inside folders, files count by their suffix.")
        if self.unreadable:
            lines.append(
                f"{self.unreadable} of {self.images} files could not be read; each has a line with its error."
            )
        if self.not_written:
            lines.append(
                f"{self.not_written} sidecars were not written; the record says why of each. The first: "
                f"{self.why_not}"
            )
        return lines

    def refuse_nothing_read(self) -> None:
        """Refuse to call a job done of which no file could be read.

        Raises:
            InputError: there were images, and none could be read.
        """
        if self.images and self.unreadable == self.images:
            first = f" The first: {self.first_error}" if self.first_error else ""
            raise InputError(f"none of {self.images} files could be read.{first}")


def do_job(
    record: Printed | Recorded,
    source: Source,
    paths: Iterable[Path],
    *,
    total: int | None,
    shown: bool,
    report: Callable[[str], None],
) -> Counts:
    """Tag what is left to do, one image after another, each written before the next is asked for.

    Args:
        record: what knows what is done, and keeps what is made.
        source: makes predictions.
        paths: all images of the job, in order.
        total: how many they are; None where nobody knows.
        shown: whether progress is shown on a terminal.
        report: told a sentence that a person may want to read.
    """
    if record.done:
        report(f"{record.done:,} images are done already; going on.")
    count, first_error = record.done, ""
    log_every = LOG_EVERY if isinstance(record, Recorded) else None
    with progress_bar("tagging", total, shown=shown, done=record.done, log_every=log_every) as advance:
        for prediction in source(record.remaining(paths)):
            record.write(prediction)
            count += 1
            if prediction.error and not first_error:
                first_error = f"{prediction.image}: {prediction.error}"
            advance(1)
    return Counts(count, record.unreadable, first_error, record.not_written, record.why_not)
