import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.errors import InputError
from labelbeam.heads.sequences_torch import PAD, distinct_prefixes, sequences_of
from labelbeam.labels.vocabulary import order_labels


def random_targets(seed: int, images: int = 12, labels: int = 5) -> torch.Tensor:
    values = np.random.default_rng(seed).choice([1, 0, -1], p=[0.4, 0.5, 0.1], size=(images, labels))
    return torch.from_numpy(values.astype(np.int8))


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_a_sequence_is_the_present_labels_by_rising_id_then_end(seed: int) -> None:
    targets = random_targets(seed)
    for row, sequence in zip(targets.tolist(), sequences_of(targets).tolist(), strict=True):
        expected = [i for i, value in enumerate(row) if value == 1] + [len(row)]
        assert [token for token in sequence if token != PAD] == expected
        assert sequence == expected + [PAD] * (len(sequence) - len(expected))


def test_a_shuffled_sequence_says_the_same_labels_in_another_order() -> None:
    targets = torch.ones(200, 4, dtype=torch.int8)
    shuffled = sequences_of(targets, shuffle=torch.Generator().manual_seed(0))
    assert (shuffled[:, -1] == 4).all()
    assert (shuffled[:, :4].sort(dim=1).values == torch.arange(4)).all()
    first = torch.bincount(shuffled[:, 0], minlength=4)
    assert first.min() > 25, f"each label should come first about 50 times of 200, came {first.tolist()}"


def test_no_end_start_or_pad_id_is_a_real_label() -> None:
    sequences = sequences_of(random_targets(3))
    labels = sequences[(sequences != PAD) & (sequences != 5)]
    assert labels.min() >= 0
    assert labels.max() < 5


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_the_prefix_a_row_points_to_is_what_came_before(seed: int) -> None:
    sequences = sequences_of(random_targets(seed))
    prefixes = distinct_prefixes(sequences, 5)
    spelled: list[tuple[int, ...]] = [()]
    level = [()]
    for parents, labels in prefixes.levels:
        level = [(*level[p], k) for p, k in zip(parents.tolist(), labels.tolist(), strict=True)]
        spelled += level
    assert len(set(spelled)) == len(spelled) == prefixes.count
    for sequence, rows in zip(sequences.tolist(), prefixes.rows.tolist(), strict=True):
        for t, token in enumerate(sequence):
            if token != PAD:
                assert spelled[rows[t]] == tuple(sequence[:t])


def test_labels_are_ordered_by_the_number_of_images_that_have_them_and_ties_keep_the_readers_order() -> None:
    targets = np.array([[1, 1, 0, -1], [0, 1, 1, -1], [0, 1, 0, 1]], dtype=np.int8)
    assert order_labels(targets, "frequent").tolist() == [1, 0, 2, 3]
    assert order_labels(targets, "rare").tolist() == [0, 2, 3, 1]


def test_a_random_order_is_the_same_for_the_same_seed_only() -> None:
    targets = np.zeros((1, 30), dtype=np.int8)
    assert (
        order_labels(targets, "random", seed=1).tolist() == order_labels(targets, "random", seed=1).tolist()
    )
    assert (
        order_labels(targets, "random", seed=1).tolist() != order_labels(targets, "random", seed=2).tolist()
    )


def test_an_unknown_order_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"unknown label order 'frequency'.*Did you mean 'frequent'"):
        order_labels(np.zeros((1, 2), dtype=np.int8), "frequency")
