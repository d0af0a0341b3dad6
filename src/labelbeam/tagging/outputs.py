"""Where the results of a job go: printed, or into files and folders that are complete or can be gone on with."""

import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from labelbeam.charts.page import font_advice, render, shown_file, text
from labelbeam.errors import InputError, printable, printable_json, unknown_name
from labelbeam.files import written_whole
from labelbeam.formats.csv_rows import TAGGED_COLUMNS
from labelbeam.predict.prediction import Prediction
from labelbeam.runs.tagger import ANSWERED_TOGETHER
from labelbeam.tagging.journal import FIELD, Journal, journal, mark_of, recorded, settings_of
from labelbeam.tagging.sidecars import KINDS, RECORD, KeywordChoices, Sidecars
from labelbeam.tagging.sources import Choices
from labelbeam.tagging.tables import Choosing, csv_table, is_our_parquet, parquet_table

SUFFIXES = {
    "": "jsonl",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
}
"""What the name of `--out` says."""

FORMATS = ("jsonl", "csv", "parquet", *KINDS)
"""Formats of a job's result, as `--format` names them."""


@dataclass(frozen=True)
class Destination:
    """A file or folder, and its format.

    Attributes:
        out: the file; of sidecars, the folder.
        format: one of `FORMATS`.
        update: whether what is new is added to a result that is there.

    Raises:
        InputError: an unknown format, or one to which nothing can be added.
    """

    out: Path
    format: str
    update: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise unknown_name("format", self.format, FORMATS)
        if self.update and self.format in ("csv", "parquet"):
            raise InputError(
                f"--update adds lines, and {self.format} is made in one go. Use .jsonl; or leave --update out."
            )

    @property
    def file(self) -> Path:
        """The file that holds a line or row for every image."""
        return self.out / RECORD if self.format in KINDS else self.out

    def check(self, *, overwrite: bool) -> None:
        """Refuse a place where nothing can be written or something would be lost, before any work.

        Raises:
            InputError: no such folder, a folder where a file is needed, a result that is there, somebody else's file;
                Parquet without pyarrow.
        """
        if self.format in KINDS:
            if self.out.exists() and not self.out.is_dir():
                raise InputError(
                    f"--out {self.out}: sidecars go into a folder, and this is a file. Give the folder."
                )
            if not self.out.parent.is_dir():
                raise InputError(f"--out {self.out}: there is no folder {self.out.parent}. Create it first.")
        elif self.out.is_dir():
            name = self.out / f"tags.{self.format}"
            raise InputError(f"--out {self.out} is a folder. Name a file, such as {name}.")
        elif not self.out.parent.is_dir():
            raise InputError(f"--out {self.out}: there is no folder {self.out.parent}. Create it first.")
        if self.format == "parquet":
            parquet_table(all_scores=False)  # is pyarrow there?
        if not self.file.exists() or ((self.format in KINDS or self.update) and not overwrite):
            return
        if not overwrite:
            raise InputError(
                f"{self.file} is there already, and would be replaced. Give another --out, say --overwrite, or, "
                "to tag only what is new, call with --update from the first time on."
            )
        if not self._is_ours():
            raise InputError(
                f"--out {self.file}: a file is there that is no result of labelbeam's; it is not overwritten. Give "
                "another name, or remove it."
            )

    def _is_ours(self) -> bool:
        if self.format == "parquet":
            return is_our_parquet(self.file)
        with self.file.open("rb") as file:
            start = file.read(64).lstrip()
        return not start or start.startswith((b"{", ",".join(TAGGED_COLUMNS).encode()))


def destination(out: Path | None, format: str | None, *, update: bool = False) -> Destination | None:
    """Return where results go; None: to standard output.

    Without a format, the suffix of `out` says it.

    Raises:
        InputError: an unknown format or suffix, or a format that cannot be printed.
    """
    if format is not None and format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    if out is None:
        if update:
            raise InputError("--update adds to a result that is there. Name it with --out.")
        if format in KINDS:
            raise InputError(
                f"--format {format} needs --out FOLDER. Give the images' own folder to have the files beside them."
            )
        if format not in (None, "jsonl"):
            raise InputError(f"--format {format} needs --out FILE; only jsonl can be printed.")
        return None
    if format is None and out.suffix.lower() not in SUFFIXES and not out.is_dir():
        raise InputError(
            f"--out {out}: which format is {out.suffix!r}? Add --format {', '.join(FORMATS[:-1])} or {FORMATS[-1]}; "
            f"or end the name in .jsonl, .csv or .parquet."
        )
    return Destination(out, format or SUFFIXES.get(out.suffix.lower(), "jsonl"), update)


class Recorded:
    """A job's predictions in its journal, sidecars written beside.

    Attributes:
        done: images that an earlier call did.
        unreadable: those of all so far that could not be read.
        not_written: images of this call whose sidecars were not written.
        why_not: of the first of them, the reason.
        moved: images of this call that were done at another place, and not again.
    """

    def __init__(
        self,
        lines: Journal,
        sidecars: Sidecars | None,
        *,
        marks: bool = False,
        choosing: Choosing | None = None,
    ) -> None:
        """Prepare."""
        self.done, self.unreadable, self.moved = lines.done, lines.failed, 0
        self.not_written, self.why_not = 0, ""
        self._lines, self._sidecars, self._marks = lines, sidecars, marks
        self._choosing = choosing

    def settle(self) -> int | None:
        """Choose images for nobody to look at, now that all are tagged.

        Returns:
            How many are for a person; None where nothing waited for that.
        """
        if self._choosing is None:
            return None
        self._choosing.settle(self._lines.partial)
        return self._choosing.for_person

    def remaining(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Yield the images that are not done yet; those that moved since they were done keep what they have."""
        for image in self._lines.remaining(paths):
            before = self._lines.moved(image) if self._lines.gone else None
            if before is None:
                yield image
            else:
                self._take_along(before, image)

    def _take_along(self, line: str, image: Path) -> None:
        prediction = recorded(line)
        if self._sidecars is not None:
            self._sidecars.take_along(Path(prediction.image), image)
        self.write(replace(prediction, image=str(image)))
        self.moved += 1

    def write(self, prediction: Prediction) -> None:
        """Write a prediction; when this returns, a kill of the process does not lose it."""
        line = prediction.to_json()
        more: dict[str, Any] = {}
        self.unreadable += bool(prediction.error)
        # The sidecar first: what has a line has its sidecar.
        why = "" if self._sidecars is None or prediction.error else self._sidecars.write(prediction)
        if why:
            more["not_written"] = why
            self.not_written += 1
            self.why_not = self.why_not or why
        # Keywords may have gone into the file itself: what it is now counts.
        if self._marks and not prediction.error and (mark := mark_of(Path(prediction.image))) is not None:
            more[FIELD] = mark.to_dict()
        self._lines.write(json.dumps({**json.loads(line), **more}, ensure_ascii=False) if more else line)
        self._lines.flush()

    def first(self, count: int) -> list[Prediction]:
        """Return the first predictions of the whole job, those of earlier calls too."""
        with self._lines.partial.open(encoding="utf-8") as lines:
            found = [recorded(line) for line in islice(lines, count)]
        return found if self._choosing is None else [self._choosing.chosen(one) for one in found]


@contextmanager
def recording(
    where: Destination,
    *,
    job: Mapping[str, Any],
    labels: Sequence[str],
    named: Sequence[str],
    choices: Choices,
    overwrite: bool,
    keywords: KeywordChoices | None = None,
    more_columns: Sequence[str] = (),
    choosing: Choosing | None = None,
) -> Iterator[Recorded]:
    """Open the record of a job; when the block ends, the result is there, and when it fails it can be gone on with.

    Lines made for another `job` are not continued; `overwrite` forgets an interrupted job, and replaces text files with
    other content.

    Raises:
        InputError: as `journal`; a label that the format cannot hold.
    """
    table, sidecars = None, None
    if where.format == "csv":
        table = csv_table(labels, all_scores=choices.all_scores, more=more_columns)
    elif where.format == "parquet":
        table = parquet_table(all_scores=choices.all_scores)
    if choosing is not None:
        table = choosing.table(table)
    asked = json.loads(json.dumps({**job, "format": where.format}))
    beside = where.format in KINDS
    # Sidecars of another run are made anew in place of its own; whatever else is at `out` is only added to when asked.
    other = beside and where.file.exists() and settings_of(where.file) != asked
    interrupted = where.file.with_name(where.file.name + ".partial").exists()
    if beside:
        sidecars = Sidecars(
            where.format, where.out, labels=labels, named=named, replace=overwrite, choices=keywords
        )
    try:
        with journal(
            where.file,
            job=asked,
            together=ANSWERED_TOGETHER,
            anew=overwrite or (other and not interrupted),
            update=beside or where.update,
            table=table,
        ) as lines:
            yield Recorded(lines, sidecars, marks=beside or where.update, choosing=choosing)
            if sidecars is not None:
                sidecars.finish()
    finally:
        if sidecars is not None:
            sidecars.close()


class Printed:
    """A job's predictions on standard output, as JSON Lines or as text."""

    def __init__(self, *, json: bool, keep: int = 0) -> None:
        self.done = self.unreadable = self.moved = 0
        self.not_written, self.why_not = 0, ""
        self._json, self._keep = json, keep
        self._kept: list[Prediction] = []
        # A name that is not UTF-8 becomes \\udcXX, which is what JSON calls it too.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(
                encoding="utf-8" if json else sys.stdout.encoding, errors="backslashreplace"
            )

    def settle(self) -> int | None:
        """Choose nothing: what is printed cannot wait for all images."""
        return None

    def remaining(self, paths: Iterable[Path]) -> Iterator[Path]:
        """Yield all images: what was printed is not kept."""
        yield from paths

    def write(self, prediction: Prediction) -> None:
        """Print a prediction at once."""
        self.unreadable += bool(prediction.error)
        if len(self._kept) < self._keep:
            self._kept.append(prediction)
        sys.stdout.write(
            (printable_json(prediction.to_json()) if self._json else format_line(prediction)) + "\n"
        )
        sys.stdout.flush()

    def first(self, count: int) -> list[Prediction]:
        """Return the first predictions, at most as many as were to be kept."""
        return self._kept[:count]


def format_line(prediction: Prediction) -> str:
    r"""Return a prediction as a line for people.

    Example:
        >>> format_line(Prediction("a.jpg"))
        'a.jpg\t(no label)'
    """
    name = printable(prediction.image, lines=False)
    if prediction.error:
        return f"{name}\terror: {printable(prediction.error, lines=False)}"
    labels = ", ".join(f"{one.label} {one.score:.2f}" for one in prediction.labels)
    marks = "\tfor a person" * (prediction.unseen is False) + "\todd: nothing is promised" * prediction.void
    listed = "".join(f"\n\t{p:.2f} {', '.join(one) or '(no label)'}" for one, p in prediction.sets)
    nothing = "(nothing fits)" if prediction.refused else "(no label)"
    return printable(f"{name}\t{labels or nothing}{marks}{listed}")


# The HTML page of a job's first pictures with their tags; small, so that a browser opens it.


@dataclass(frozen=True)
class TaggedPicture:
    """One card.

    Attributes:
        prediction: of the model.
        truth: its true labels, None: unknown.
        others: what other models decided: (name, labels, whether such a set is possible).
    """

    path: Path
    prediction: Prediction
    truth: tuple[str, ...] | None = None
    others: tuple[tuple[str, tuple[str, ...], bool], ...] = ()


def shown_cards(pictures: Sequence[TaggedPicture], *, pixelated: bool = False) -> list[tuple[object, ...]]:
    """Return what the template `tagging/cards.html.jinja` shows of each picture.

    Args:
        pixelated: whether the pictures are small ones: embedded as they are and enlarged without blur;
            others are embedded as thumbnails, with their file names.
    """
    # Where an image could not be tagged, its prediction has the reason already.
    return [
        (
            one,
            text(one.path.name),
            *(("", "") if one.prediction.error else shown_file(one.path, whole=pixelated)),
        )
        for one in pictures
    ]


def write_page(
    page: Path, predictions: Sequence[Prediction], count: int, *, report: Callable[[str], None]
) -> None:
    """Write the page of tagged pictures, those that a person should look at first."""
    predictions = sorted(predictions, key=lambda one: one.unseen is not False)
    advice = font_advice(one.label for prediction in predictions for one in prediction.labels)
    if advice:
        report(advice)
    html = render(
        "tagging/page.html.jinja",
        count=count,
        asked=sum(prediction.unseen is False for prediction in predictions),
        advice=advice,
        pictures=shown_cards([TaggedPicture(Path(one.image), one) for one in predictions]),
    )
    with written_whole(page) as part:
        part.write_text(html, encoding="utf-8")
