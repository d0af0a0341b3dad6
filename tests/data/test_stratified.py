"""Stratified splits: every image once, every label in proportion, the same from the same seed."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.data.dataset import ReadOptions
from labelbeam.data.stratified import folds, split
from labelbeam.errors import InputError
from labelbeam.formats.voc import read_voc


def long_tailed(images: int, labels: int, *, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((images, labels)) < 0.3 / np.arange(1, labels + 1)).astype(np.int8)


def worst_imbalance(targets: np.ndarray, parts: list[np.ndarray]) -> float:
    """Largest difference, over parts and labels, between a part's positives and its fair share of them."""
    positives = (targets == 1).sum(axis=0)
    return max(
        np.abs((targets[part] == 1).sum(axis=0) - positives * len(part) / len(targets)).max()
        for part in parts
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(5, 60), st.integers(1, 6), st.integers(2, 5), st.integers(0, 5))
def test_every_image_is_in_exactly_one_part_and_no_part_is_out_of_order(images, labels, parts, seed):
    found = split(long_tailed(images, labels, seed=seed), [1 / parts] * parts, seed=seed)
    assert sorted(np.concatenate(found).tolist()) == list(range(images))
    assert all((np.diff(part) > 0).all() for part in found)


def test_the_same_seed_gives_the_same_parts_and_another_gives_others():
    targets = long_tailed(200, 5, seed=0)
    first, again, other = (split(targets, (0.8, 0.2), seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_parts_come_out_near_their_fractions():
    found = split(long_tailed(1000, 10, seed=0), (0.7, 0.2, 0.1), seed=0)
    assert [len(part) for part in found] == pytest.approx([700, 200, 100], abs=10)


def test_two_images_of_a_rare_label_go_to_different_parts():
    targets = long_tailed(500, 5, seed=0)
    rare = np.zeros((500, 1), dtype=np.int8)
    rare[[3, 400]] = 1
    halves = split(np.hstack([targets, rare]), (0.5, 0.5), seed=0)
    assert [int(rare[half].sum()) for half in halves] == [1, 1]


def test_unknown_labels_are_not_counted_as_positives():
    targets = np.array([[1], [-1]] * 10, dtype=np.int8)
    assert [(targets[half] == 1).sum() for half in split(targets, (0.5, 0.5), seed=0)] == [5, 5]


def test_images_without_labels_are_dealt_out_too():
    targets = np.zeros((10, 3), dtype=np.int8)
    assert [len(part) for part in split(targets, (0.5, 0.5), seed=0)] == [5, 5]


def test_folds_hold_out_every_image_once_and_never_train_on_what_they_hold_out():
    targets = long_tailed(103, 4, seed=0)
    found = folds(targets, 5, seed=0)
    assert sorted(np.concatenate([held_out for _, held_out in found]).tolist()) == list(range(103))
    assert all(sorted([*train, *held_out]) == list(range(103)) for train, held_out in found)


def test_folds_of_real_photographs_are_better_balanced_than_random_ones(labelbeam_data):
    options = ReadOptions(missing="keep")
    targets = read_voc(labelbeam_data / "VOCdevkit", "sub_trainval", options=options).targets
    stratified = worst_imbalance(targets, split(targets, [0.2] * 5, seed=0))
    rng = np.random.default_rng(0)
    at_random = [
        worst_imbalance(targets, np.array_split(rng.permutation(len(targets)), 5)) for _ in range(20)
    ]
    assert stratified < 0.5 * min(at_random)


def test_five_thousand_images_take_less_than_a_second():
    targets = long_tailed(5000, 20, seed=0)
    start = time.perf_counter()
    split(targets, [0.2] * 5, seed=0)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("fractions", "words"),
    [
        ([1.0], ["at least two", "[1.0]"]),
        ([0.5, 0.6], ["sum 1"]),
        ([1.0, 0.0], ["above 0"]),
        ([float("nan"), 0.5], ["sum 1"]),
        ([0.2] * 5, ["4 images", "5 parts"]),
    ],
)
def test_fractions_that_make_no_split_are_refused(fractions, words):
    with pytest.raises(InputError) as error:
        split(np.zeros((4, 1), dtype=np.int8), fractions, seed=0)
    assert all(word in str(error.value) for word in words), error.value


def test_one_fold_is_refused():
    with pytest.raises(InputError, match="at least 2 folds, given 1"):
        folds(np.zeros((4, 1), dtype=np.int8), 1, seed=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(8, 60), st.integers(1, 6), st.integers(2, 4), st.integers(0, 5))
def test_images_of_one_group_never_fall_into_different_parts(images, labels, parts, seed):
    targets = long_tailed(images, labels, seed=seed)
    groups = np.random.default_rng(seed).integers(0, images // 2, images)
    if len(set(groups)) < parts:
        groups[:parts] = np.arange(parts)
    found = split(targets, [1 / parts] * parts, seed=seed, groups=groups)
    assert sorted(np.concatenate(found).tolist()) == list(range(images))
    held = [set(groups[part].tolist()) for part in found]
    assert sum(map(len, held)) == len(set(groups.tolist()))


@settings(max_examples=30, deadline=None)
@given(st.integers(6, 60), st.integers(1, 6), st.integers(0, 5))
def test_groups_of_one_image_are_the_split_without_groups(images, labels, seed):
    targets = long_tailed(images, labels, seed=seed)
    alone = split(targets, (0.6, 0.4), seed=seed)
    grouped = split(targets, (0.6, 0.4), seed=seed, groups=np.arange(images))
    assert [part.tolist() for part in grouped] == [part.tolist() for part in alone]


def test_groups_of_any_size_come_out_better_balanced_than_at_random():
    targets = long_tailed(4000, 10, seed=0)
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), rng.multinomial(4000, rng.dirichlet(np.ones(400))))
    stratified = worst_imbalance(targets, split(targets, [0.2] * 5, seed=0, groups=groups))
    at_random = []
    for _ in range(20):
        part_of = rng.permutation(np.arange(400) % 5)[groups]
        at_random.append(worst_imbalance(targets, [np.flatnonzero(part_of == part) for part in range(5)]))
    assert stratified < 0.5 * min(at_random)


def test_folds_keep_groups_together_too():
    targets, groups = long_tailed(60, 3, seed=0), np.arange(60) // 6
    for train, held_out in folds(targets, 5, seed=0, groups=groups):
        assert set(groups[train]).isdisjoint(groups[held_out])


def test_more_parts_than_groups_are_refused():
    targets = np.zeros((6, 1), dtype=np.int8)
    with pytest.raises(InputError, match="2 groups cannot be split into 3 parts"):
        split(targets, [1 / 3] * 3, seed=0, groups=np.array([0, 0, 0, 1, 1, 1]))


def test_all_labelled_images_of_nuswide_take_seconds(labelbeam_data):
    with np.load(labelbeam_data / "labels" / "nuswide81_labels.npz") as stored:
        targets = stored["labels"].astype(np.int8)
    targets = targets[targets.any(axis=1)]
    assert targets.shape == (209_347, 81)
    start = time.perf_counter()
    parts = split(targets, (0.8, 0.1, 0.1), seed=0)
    assert time.perf_counter() - start < 30
    shares = np.array([targets[part].sum(axis=0) for part in parts]) / targets.sum(axis=0)
    assert np.abs(shares - np.array([[0.8], [0.1], [0.1]])).max() < 0.01
