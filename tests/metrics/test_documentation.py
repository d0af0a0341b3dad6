"""What docs/metrics.md shows is what runs."""

import doctest
from pathlib import Path

import pytest

from labelbeam.metrics.comparison import RULES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_the_pages_example_runs_as_printed():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert tried > 5
    assert failed == 0


@pytest.mark.parametrize("protocol", sorted(RULES))
def test_the_page_names_every_protocol(protocol):
    assert f"| `{protocol}` |" in PAGE.read_text(encoding="utf-8")


def test_the_page_defines_every_number_of_a_result():
    import numpy as np

    from labelbeam.metrics.comparison import Protocol, compare
    from labelbeam.metrics.evaluation import evaluate

    truth = np.ones((1, 1), np.int8)
    likelihood = np.zeros(1)
    sets = compare(truth, ["a"], protocol=Protocol("sets"), decisions=truth == 1, log_likelihood=likelihood)
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in evaluate(sets).values if f"`{name}`" not in text] == []
