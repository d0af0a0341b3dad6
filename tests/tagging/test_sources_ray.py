"""Tagging on a cluster, as far as it needs none; with one: `tests/cli/test_tag_jobs.py`."""

import sys
from pathlib import Path

import pytest

from labelbeam.decoding.search import Search
from labelbeam.errors import InputError
from labelbeam.predict.decision import Decision
from labelbeam.tagging.sources import Workers
from labelbeam.tagging.tables import parquet_table

WORK = Workers(Path("runs/mine"), Decision(), Search())


def test_without_images_no_cluster_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert list(WORK.predictions([])) == []


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("ray", "pyarrow"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install 'labelbeam\[ray\]'"):
        list(WORK.predictions([Path("a.jpg")]))
    with pytest.raises(InputError, match=r"pip install 'labelbeam\[parquet\]'"):
        parquet_table(all_scores=False)
