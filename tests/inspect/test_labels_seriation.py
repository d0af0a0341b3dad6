"""The order of a matrix of pairs."""

import numpy as np

from labelbeam.inspect.labels import side_by_side


def test_groups_that_were_shuffled_stand_together_again():
    rng = np.random.default_rng(0)
    group = rng.permutation(np.repeat(np.arange(4), 6))
    likeness = np.where(group[:, None] == group[None], 2.0, -1.0) + rng.random((24, 24)) * 0.1
    order = side_by_side((likeness + likeness.T) / 2)
    assert sorted(order.tolist()) == list(range(24))
    assert (np.diff(group[order]) != 0).sum() == 3


def test_a_few_labels_or_none_are_an_order_too():
    for size in range(4):
        assert sorted(side_by_side(np.zeros((size, size))).tolist()) == list(range(size))
