"""The examples in docs/data.md say what happens."""

import doctest
from pathlib import Path


def test_the_examples_of_the_page_on_data_run(tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "data.md"
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert (result.failed, result.attempted > 8) == (0, True)
