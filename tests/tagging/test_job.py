"""A job of tagging without a model: memory that does not grow, counts over a kill, what a user is told."""

import itertools
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from labelbeam.errors import InputError
from labelbeam.predict.prediction import Prediction, ScoredLabel
from labelbeam.tagging import outputs as tag_outputs
from labelbeam.tagging import tables as tag_tables
from labelbeam.tagging.job import Counts, do_job
from labelbeam.tagging.outputs import Destination, recording
from labelbeam.tagging.sources import Choices


def answered(paths: Iterable[Path]) -> Iterator[Prediction]:
    for path in paths:
        bad = path.name.startswith("bad")
        yield Prediction(str(path), () if bad else (ScoredLabel("dog", 0.5, 0.5, 0.5, 0.0),), error="x" * bad)


def done(out: Path, format: str, names: Iterable[str], *, stop_after: int | None = None) -> Counts:
    """Do a job; stop as a kill would."""

    def source(paths: Iterable[Path]) -> Iterator[Prediction]:
        yield from itertools.islice(answered(paths), stop_after)
        if stop_after is not None:
            raise KeyboardInterrupt

    asked = {"job": {}, "labels": ["dog"], "named": [], "choices": Choices(), "overwrite": False}
    with recording(Destination(out, format), **asked) as record:
        counts = do_job(record, source, map(Path, names), total=None, shown=False, report=lambda line: None)
        assert [one.image for one in record.first(2)] == [str(name) for name in FIRST[:2]]
    return counts


FIRST = ("0.jpg", "1.jpg")

NAMES = [sys.intern(f"{i}.jpg") for i in range(50)]
"""Kept: paths are made of interned strings, and now and then Python makes its table of those anew, some megabytes."""


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet", "txt"])
def test_memory_does_not_grow_with_the_number_of_files(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(tag_tables, "ROWS", 100)

    def peak(count: int) -> int:
        names = (NAMES[i % len(NAMES)] for i in range(count))
        tracemalloc.start()
        done(tmp_path / f"{count}.{format}", format, names)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(100)  # what is imported and compiled on the way is no memory of the job
    few, many = peak(300), peak(1200)
    assert many < few + 50_000, "900 more lines are more than 50,000 bytes"


def test_counts_are_of_all_calls_and_a_page_shows_the_first_pictures_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_outputs, "ANSWERED_TOGETHER", 2)
    names = [*FIRST, "bad1.jpg", "3.jpg", "4.jpg", "bad2.jpg"]
    with pytest.raises(KeyboardInterrupt):
        done(tmp_path / "a.csv", "csv", names, stop_after=5)
    counts = done(tmp_path / "a.csv", "csv", names)
    assert (counts.images, counts.unreadable, counts.first_error) == (6, 2, "bad2.jpg: x")
    rows = (tmp_path / "a.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == names
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (Counts(0, 0, "", 0, ""), ["no image found in a, b; inside folders, files count by their suffix."]),
        (Counts(5, 0, "", 0, ""), []),
        (Counts(5, 2, "c: d", 0, ""), ["2 of 5 files could not be read; each has a line with its error."]),
        (
            Counts(5, 0, "", 3, "e is there"),
            ["3 sidecars were not written; the record says why of each. The first: e is there"],
        ),
    ],
)
def test_what_became_of_a_job_is_said(counts: Counts, said: list[str]) -> None:
    assert counts.summary(["a", "b"]) == said
    counts.refuse_nothing_read()


def test_a_job_of_which_nothing_could_be_read_is_not_called_done() -> None:
    with pytest.raises(InputError, match=r"none of 2 files could be read\. The first: a: b"):
        Counts(2, 2, "a: b", 0, "").refuse_nothing_read()


def test_a_user_is_told_for_how_many_images_the_exact_search_ran_out_of_budget(tmp_path: Path) -> None:
    counts = Counts(images=20, unreadable=0, first_error="", not_written=0, why_not="", uncertified=3)
    (line,) = counts.summary(["photos"])
    assert "ran out of budget for 3 of 20 images" in line
    assert "--set search.expansions=1000" in line


@pytest.mark.parametrize(("certifies", "uncertified"), [(True, 3), (False, 0)])
def test_only_an_exact_search_is_said_to_run_out_of_budget(
    certifies: bool, uncertified: int, tmp_path: Path
) -> None:
    asked = {"job": {}, "labels": ["dog"], "named": [], "choices": Choices(), "overwrite": False}
    names = map(Path, ["0.jpg", "bad.jpg", "1.jpg", "2.jpg"])
    with recording(Destination(tmp_path / "a.jsonl", "jsonl"), **asked) as record:
        counts = do_job(
            record, answered, names, total=None, shown=False, certifies=certifies, report=lambda line: None
        )
    assert counts.uncertified == uncertified
