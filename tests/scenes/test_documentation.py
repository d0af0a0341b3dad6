"""What docs/scenes.md shows is what runs."""

import doctest
from pathlib import Path

from labelbeam.scenes.files import SPLITS
from labelbeam.scenes.world import HIDDEN_LABELS, VISIBLE_LABELS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scenes.md"


def test_the_page_s_examples_run_as_printed():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert tried > 5
    assert failed == 0


def test_the_page_states_the_true_sizes_and_numbers_of_labels():
    text = PAGE.read_text(encoding="utf-8")
    assert "{:,}, {} and {:,} pictures".format(*SPLITS.values()) in text
    assert (len(VISIBLE_LABELS), len(HIDDEN_LABELS)) == (15, 14)
    assert "These 15 labels" in text
    assert "Fourteen labels" in text
    assert not [label for label in HIDDEN_LABELS if label not in text]
