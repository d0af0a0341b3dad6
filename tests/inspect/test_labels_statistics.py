"""Counts of a matrix of targets: against a slow loop over cells, and across the limit of rows at a time."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from labelbeam.inspect import labels as module
from labelbeam.inspect.labels import label_statistics

MATRICES = st.tuples(st.integers(1, 9), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.int8, shape, elements=st.sampled_from([-1, 0, 1]))
)


@given(MATRICES)
def test_counts_are_those_of_a_loop_over_cells(targets):
    counts = label_statistics(targets)
    rows = targets.tolist()
    for j, column in enumerate(zip(*rows, strict=True)):
        assert counts.present[j] == column.count(1)
        assert counts.absent[j] == column.count(0)
        assert counts.unknown[j] == column.count(-1)
    sizes = [row.count(1) for row in rows]
    assert counts.sizes.tolist() == [sizes.count(n) for n in range(max(sizes) + 1)]
    assert counts.without_labels.tolist() == [i for i, size in enumerate(sizes) if size == 0]
    assert counts.with_unknown == sum(-1 in row for row in rows)
    assert counts.mean_labels == sum(sizes) / len(rows)


def test_counting_in_pieces_changes_nothing(monkeypatch):
    targets = np.random.default_rng(0).integers(-1, 2, (100, 7), dtype=np.int8)
    whole = label_statistics(targets)
    monkeypatch.setattr(module, "ROWS", 13)
    pieces = label_statistics(targets)
    for name in ("present", "unknown", "sizes", "without_labels"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name))
    assert whole.with_unknown == pieces.with_unknown
