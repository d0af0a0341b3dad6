import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.report.pairs import emitted_together, exclusive_pairs


def test_only_pairs_apart_beyond_chance_exclude_each_other() -> None:
    rng = np.random.default_rng(0)
    either = rng.random(400) < 0.5
    free = rng.random(400) < 0.5
    targets = np.stack((either, ~either, free), axis=1).astype(np.int8)
    assert exclusive_pairs(targets).tolist() == [[0, 1]]


def test_rates_are_those_of_a_double_loop() -> None:
    rng = np.random.default_rng(1)
    pairs = np.array([[0, 1], [1, 3]])
    sets = {name: rng.random((80, 4)) < share for name, share in (("a", 0.5), ("b", 0.3))}
    found = emitted_together(pairs, sets, against="b", rng=rng)
    for i, rows in enumerate(sets.values()):
        clash = [[bool(row[a] and row[b]) for a, b in pairs] for row in rows]
        assert found.with_any[i] == sum(any(row) for row in clash)
        assert found.by_pair[i].tolist() == np.sum(clash, axis=0).tolist()
    value, low, high = found.difference["a"]
    assert value == pytest.approx((found.with_any[0] - found.with_any[1]) / 80)
    assert low <= value <= high
    told = found.to_json(["w", "x", "y", "z"])
    assert {tuple(one["labels"]) for one in told["emitted"]} <= {("w", "x"), ("x", "z")}


def test_no_pair_at_all_is_an_answer_too() -> None:
    none = np.zeros((0, 2), dtype=np.int64)
    found = emitted_together(
        none, {"a": np.ones((3, 2), dtype=bool)}, against="a", rng=np.random.default_rng(0)
    )
    assert found.with_any.tolist() == [0]
    assert found.to_json(["x", "y"])["emitted"] == []


def test_an_unknown_source_and_other_shapes_are_refused() -> None:
    pairs, rng = np.array([[0, 1]]), np.random.default_rng(0)
    with pytest.raises(InputError, match="'c'"):
        emitted_together(pairs, {"a": np.ones((3, 2), dtype=bool)}, against="c", rng=rng)
    with pytest.raises(InputError, match="same images and labels"):
        emitted_together(
            pairs, {"a": np.ones((3, 2), dtype=bool), "b": np.ones((2, 2), dtype=bool)}, against="a", rng=rng
        )
