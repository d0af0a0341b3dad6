"""The balance of a split: counted by hand."""

import json

import numpy as np
import pytest

from labelbeam.data.stratified import SplitBalance, balance_of
from labelbeam.errors import InputError

TARGETS = np.array([[1, 0, 0], [1, 1, 0], [1, -1, 0], [0, 1, 0]], dtype=np.int8)
PARTS = {"train": np.array([0, 1, 2]), "test": np.array([3])}


def test_shares_and_deviations_are_those_counted_by_hand():
    balance = balance_of(TARGETS, ["a", "b", "never"], PARTS, [0.75, 0.25])
    assert balance.images == (3, 1)
    assert balance.positives.tolist() == [[3, 1, 0], [0, 1, 0]]
    assert balance.deviations[:, :2].tolist() == [[0.25, -0.25], [-0.25, 0.25]]
    assert np.isnan(balance.deviations[:, 2]).all()
    assert balance.off.tolist() == [[0.75, -0.5, 0.0], [-0.75, 0.5, 0.0]]
    assert (balance.mean_deviation, balance.max_deviation) == (0.25, 0.25)
    assert balance.without() == {"train": [], "test": ["a"]}
    assert balance.worst() == []


def test_the_worst_labels_come_first_and_those_within_one_image_not_at_all():
    targets = np.array([[1, 1, 0]] * 6 + [[0, 1, 1]] * 2, dtype=np.int8)
    parts = {"x": np.arange(6), "y": np.arange(6, 8)}
    worst = balance_of(targets, ["a", "b", "c"], parts, [0.5, 0.5]).worst()
    assert [(one.label, one.part, one.images, one.wanted) for one in worst] == [
        ("a", "x", 6, 3.0),
        ("a", "y", 0, 3.0),
        ("b", "x", 6, 4.0),
        ("b", "y", 2, 4.0),
        ("c", "x", 0, 1.0),
        ("c", "y", 2, 1.0),
    ]
    assert worst[0].deviation == 0.5


def test_the_json_holds_every_label_and_no_number_that_is_none():
    told = balance_of(TARGETS, ["a", "b", "never"], PARTS, [0.75, 0.25]).to_json()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["per_label"]["a"] == {"images": 3, "per_part": {"train": 3, "test": 0}}
    assert told["parts"][1]["labels_without_images"] == ["a"]


def test_data_without_any_positive_is_balanced():
    balance = balance_of(np.zeros((4, 1), dtype=np.int8), ["a"], PARTS, [0.75, 0.25])
    assert (balance.mean_deviation, balance.max_deviation, balance.worst()) == (0.0, 0.0, [])


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="2 parts and 1 labels"):
        SplitBalance(("a",), ("x", "y"), (0.5, 0.5), (1, 1), np.zeros((2, 2), dtype=np.int64))
