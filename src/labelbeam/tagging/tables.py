"""What is made when all images of a job are tagged: a table, CSV or Parquet, and the choice of images nobody looks at.

Lines of the journal are gone through a few thousand at a time. That nobody looks at an image is a promise on average
over whole batches, so the cut is settled by all of them (`Prediction.sure`).
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labelbeam.errors import InputError
from labelbeam.formats.csv_rows import TAGGED_COLUMNS
from labelbeam.formats.csv_table import is_plain, labels_cell, row_writer
from labelbeam.predict.decision import Decision
from labelbeam.predict.prediction import DIGITS, Prediction
from labelbeam.runs.tagger import Tagger
from labelbeam.tagging.journal import records, status

if TYPE_CHECKING:
    import pyarrow

ROWS = 4096
"""Rows of a row group: what is in memory at a time."""

OURS = b"labelbeam"
"""Key in the metadata of a Parquet file of ours."""


def csv_table(
    labels: Sequence[str], *, all_scores: bool, more: Sequence[str] = ()
) -> Callable[[Path, Path], None]:
    """Return a function that makes a CSV file of a journal: (lines, new file).

    Labels are in `tags`, best first, their scores in the same order in `scores`; `labelbeam`'s own reader and any
    spreadsheet read it. With `all_scores` there is a column `score LABEL` for each label.

    Args:
        labels: the run's labels, in the order of their columns.
        all_scores: whether the lines hold every label's score.
        more: of `asked_columns`.
    """

    def write(lines: Path, part: Path) -> None:
        as_list = _needs_lists(labels, lines)
        scored = labels if all_scores else ()
        # A name that is not UTF-8 becomes \\udcXX, which is what JSON calls it too.
        with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            rows = row_writer(file)
            rows.writerow([*TAGGED_COLUMNS, *more, *(f"score {label}" for label in scored)])
            for one in records(lines):
                rows.writerow(
                    [
                        one.image,
                        labels_cell([label.label for label in one.labels], as_list=as_list),
                        _numbers([label.score for label in one.labels], as_list=as_list),
                        status(one),
                        one.error,
                        *(_cell(one, name) for name in more),
                        *(one.scores.get(label, "") for label in scored),
                    ]
                )

    return write


def asked_columns(decision: Decision, *, ruled: bool, shifted: bool = False) -> tuple[str, ...]:
    """Return what a CSV file holds beside the tags: of rules `kept`, of promises `void` and `sets`.

    And `nothing`, where another share of images than in training is taken to show none of the labels (`shifted`).
    """
    named = {"kept": ruled, "void": decision.promises_something, "sets": decision.sets_among is not None}
    named["nothing"] = shifted
    return tuple(name for name, asked in named.items() if asked)


def _cell(one: Prediction, name: str) -> str | float | int:
    """Return a cell of `asked_columns`: a number, 0 or 1, or the sets as JSON."""
    if one.error:
        return ""
    if name == "sets":
        return json.dumps([{"labels": list(labels), "prob": p} for labels, p in one.sets], ensure_ascii=False)
    if name == "void":
        return int(one.void)
    value = one.nothing if name == "nothing" else one.kept
    return "" if value is None else value


def _needs_lists(labels: Sequence[str], lines: Path) -> bool:
    """Tell whether labels between semicolons would be read as others: then a cell is a list, as JSON writes it."""
    if not all(map(is_plain, labels)):
        return True
    blank = any(" " in label for label in labels)
    return blank and not any(len(one.labels) > 1 for one in records(lines))


def _numbers(scores: Sequence[float], *, as_list: bool) -> str:
    if not scores:
        return ""
    return json.dumps(list(scores)) if as_list else ";".join(f"{score:.{DIGITS}g}" for score in scores)


def parquet_table(*, all_scores: bool) -> Callable[[Path, Path], None]:
    """Return a function that makes a Parquet file of a journal: (lines, new file).

    The columns are those of the JSON lines, with `status`; of decided labels `labels`, `scores`, `low`, `high` and
    `stderr` are lists in one order. With `all_scores` there is a map from label to score. What was not asked for is
    null: `kept` without rules, `nothing` at the training's share, `unseen`, `promise` and `sets` without a promise.

    Raises:
        InputError: pyarrow is not installed.
    """
    pyarrow = _pyarrow()

    def write(lines: Path, part: Path) -> None:
        from pyarrow.parquet import ParquetWriter

        schema = _schema(all_scores=all_scores)
        with ParquetWriter(part, schema, compression="zstd") as writer:
            coming = records(lines)
            while rows := [_row(one) for one in islice(coming, ROWS)]:
                writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))

    return write


def _row(one: Prediction) -> dict[str, Any]:
    parts = {name: [getattr(label, name) for label in one.labels] for name in ("low", "high", "stderr")}
    failed = bool(one.error)
    return {
        "image": one.image.encode("utf-8", "backslashreplace").decode("utf-8"),
        "status": status(one),
        "error": one.error.encode("utf-8", "backslashreplace").decode("utf-8") or None,
        "labels": [label.label for label in one.labels],
        "scores": [label.score for label in one.labels],
        **parts,
        "decide": one.decide or None,
        "path": list(one.path),
        "log_prob": None if failed else one.log_prob,
        "exact": None if failed else one.exact,
        "calibrated": None if failed else one.calibrated,
        "fits": one.fits,
        "kept": one.kept,
        "nothing": one.nothing,
        "promise": one.promise or None,
        "void": None if failed else one.void,
        "unseen": one.unseen,
        "sets": [{"labels": list(labels), "prob": p} for labels, p in one.sets] or None,
        "all_scores": list(one.scores.items()),
    }


def _schema(*, all_scores: bool) -> "pyarrow.Schema":
    pyarrow = _pyarrow()
    text, number, truth = pyarrow.string(), pyarrow.float64(), pyarrow.bool_()
    columns = {
        **{"image": text, "status": text, "error": text, "labels": pyarrow.list_(text)},
        **{name: pyarrow.list_(number) for name in ("scores", "low", "high", "stderr")},
        **{"decide": text, "path": pyarrow.list_(text), "log_prob": number, "exact": truth},
        **{
            "calibrated": truth,
            "fits": number,
            "kept": number,
            "nothing": number,
            "promise": text,
            "void": truth,
            "unseen": truth,
        },
        "sets": pyarrow.list_(pyarrow.struct([("labels", pyarrow.list_(text)), ("prob", number)])),
    }
    if all_scores:
        columns["all_scores"] = pyarrow.map_(text, number)
    return pyarrow.schema(list(columns.items()), metadata={OURS: b"tag"})


def is_our_parquet(file: Path) -> bool:
    """Tell whether a file is a Parquet file that `tag` wrote.

    Raises:
        InputError: pyarrow is not installed.
    """
    pyarrow = _pyarrow()
    from pyarrow.parquet import read_schema

    try:
        return OURS in (read_schema(file).metadata or {})
    except (OSError, pyarrow.ArrowException):
        return False


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise InputError(
            "Parquet needs one more package: pip install 'labelbeam[parquet]'. Or give --format csv."
        ) from None
    return pyarrow


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
