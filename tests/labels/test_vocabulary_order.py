"""Label orders: what each is, and that the easiest label is the one that can be told."""

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import easiest_first, order_labels


def told(images: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels: 0 noise, 1 in the features with noise, 2 in the features, 3 is label 0 nearly always."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(images, 5))
    noise = random.random(images) < 0.5
    columns = [
        noise,
        features[:, 0] + random.normal(size=images) > 0,
        features[:, 1] > 0,
        noise ^ (random.random(images) < 0.02),
    ]
    return features.astype(np.float16), np.stack(columns, axis=1).astype(np.int8)


def test_random_is_one_order_for_a_seed() -> None:
    targets = np.eye(9, dtype=np.int8)
    first, again, other = (order_labels(targets, "random", seed=seed).tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert sorted(first) == list(range(9))


def test_the_easiest_label_comes_first_and_what_another_label_tells_comes_right_after_it() -> None:
    order = easiest_first(*told()).tolist()
    assert order[:2] == [2, 1]
    # Neither of the twins can be told from the image; once one is placed, the other is the easy one.
    assert set(order[2:]) == {0, 3}


def test_a_label_that_another_one_tells_is_placed_before_a_harder_one_that_the_image_tells() -> None:
    features, targets = told()
    twin = targets[:, 2] ^ (np.random.default_rng(5).random(len(targets)) < 0.01)
    order = easiest_first(
        features[:, [0]], np.column_stack((targets[:, 1], targets[:, 2], twin)).astype(np.int8)
    )
    assert order.tolist() in ([0, 1, 2], [0, 2, 1])
    order = easiest_first(features, np.column_stack((targets[:, 1], targets[:, 2], twin)).astype(np.int8))
    assert order.tolist() in ([1, 2, 0], [2, 1, 0])


def test_the_same_images_give_the_same_order_whatever_the_features_scale() -> None:
    features, targets = told()
    scaled = features.astype(np.float64) * 1000 + 7
    assert easiest_first(features, targets).tolist() == easiest_first(scaled, targets).tolist()


def test_unknown_labels_are_not_judged_and_labels_that_do_not_vary_come_last() -> None:
    features, targets = told()
    targets[::3, 2] = -1
    constant = np.column_stack((np.zeros(len(targets)), targets, np.full(len(targets), -1))).astype(np.int8)
    order = easiest_first(features, constant).tolist()
    assert order[0] == 3
    assert order[-2:] == [0, 5]


def test_of_many_images_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelbeam.labels.vocabulary.MOST_IMAGES", 200)
    assert easiest_first(*told(2000)).tolist()[:2] == [2, 1]


def test_easiest_without_features_is_by_frequency_until_there_are_some() -> None:
    features, targets = told()
    assert order_labels(targets, "easiest").tolist() == order_labels(targets, "frequent").tolist()
    found = order_labels(targets, "easiest", features=features)
    assert found.tolist() == easiest_first(features, targets).tolist()


def test_what_cannot_be_ordered_is_refused() -> None:
    features, targets = told(3)
    with pytest.raises(InputError, match="3 are too few"):
        easiest_first(features, targets)
    with pytest.raises(InputError, match="Did you mean 'easiest'"):
        order_labels(targets, "easyest")
