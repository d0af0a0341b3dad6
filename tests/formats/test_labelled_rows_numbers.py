"""Labels of rows as numbers: the same as the obvious lists, whichever rows are picked."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelbeam.formats import labelled_rows as said_labels
from labelbeam.formats.labelled_rows import DenseLabels, SparseLabels

ROWS = st.lists(st.dictionaries(st.integers(0, 3), st.sampled_from([1, 0, -1])), min_size=1, max_size=6)


def obvious(rows: list[dict[int, int]], unsaid: int) -> list[list[int]]:
    return [[row.get(j, unsaid) for j in range(4)] for row in rows]


@given(ROWS, st.sampled_from([0, -1]), st.data())
def test_picked_rows_are_those_of_the_obvious_lists(rows, unsaid, data):
    said = SparseLabels.of_rows(rows, unsaid=unsaid, num_labels=4)
    picked = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    expected = obvious([rows[r] for r in picked], unsaid)
    assert said.rows(np.array(picked, dtype=np.int64)).matrix().tolist() == expected


@given(ROWS)
def test_rows_of_one_image_are_merged_and_contradictions_are_found(rows):
    said = SparseLabels.of_rows(rows, unsaid=0, num_labels=4)
    targets, clashes = said.merged(np.zeros(len(rows), dtype=np.int64), 1)
    last = {j: value for row in rows for j, value in row.items()}
    assert targets.tolist() == obvious([last], 0)
    assert clashes.tolist() == [
        r for r, row in enumerate(rows) if any(last[j] != value for j, value in row.items())
    ]


@given(st.sets(st.integers(0, 9), min_size=1), st.integers(1, 4))
def test_dense_rows_move_up_in_place(picked, chunk):
    values = np.arange(30, dtype=np.int8).reshape(10, 3)
    kept = np.array(sorted(picked))
    usual, said_labels._CHUNK = said_labels._CHUNK, chunk
    try:
        found = DenseLabels(values.copy()).take(kept)
    finally:
        said_labels._CHUNK = usual
    assert found.tolist() == values[kept].tolist()
