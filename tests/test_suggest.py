"""Orders of photographs by what is worth labelling: hand-made cases and a slow twin."""

import numpy as np
import pytest

from labelbeam.suggest import label_entropies, order_by_worth, rare_positives, spread_order


def test_entropy_is_that_of_a_coin_and_nothing_where_the_answer_is_certain() -> None:
    found = label_entropies(np.array([[0.5, 0.25, 0.0, 1.0]], dtype=np.float32))
    quarter = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert found[0] == pytest.approx([np.log(2), quarter, 0, 0], abs=1e-9)


def test_images_of_equal_worth_stay_in_the_given_order() -> None:
    assert order_by_worth(np.array([0.5, 0.7, 0.5, 0.7])).tolist() == [1, 3, 0, 2]


def by_hand(worth: np.ndarray, features: np.ndarray, labelled: list[int]) -> list[int]:
    """The slow twin: every cosine anew for every image taken."""
    centred = features.astype(np.float64) - features.astype(np.float64).mean(axis=0)

    def cosine(i: int, j: int) -> float:
        return float(centred[i] @ centred[j] / np.linalg.norm(centred[i]) / np.linalg.norm(centred[j]))

    order: list[int] = []
    while len(order) < len(worth):
        rest = [i for i in range(len(worth)) if i not in order]
        near = {i: max([0.0, *(cosine(i, j) for j in [*order, *labelled])]) for i in rest}
        order.append(max(rest, key=lambda i: worth[i] * (1 - near[i])))
    return order


def test_the_spread_order_is_that_of_its_definition() -> None:
    random = np.random.default_rng(0)
    worth, features = random.random(30), random.random((30, 6)).astype(np.float16)
    worth[[4, 9]] = 0
    assert (
        spread_order(worth, features, labelled=[4, 9])[:28].tolist() == by_hand(worth, features, [4, 9])[:28]
    )


def test_of_a_burst_one_comes_early_and_the_rest_late() -> None:
    random = np.random.default_rng(1)
    others = random.normal(size=(6, 8))
    burst = others[0] + 1e-4 * random.normal(size=(4, 8))
    features = np.concatenate((burst, others[1:]))
    order = spread_order(np.array([1.0] * 4 + [0.5] * 5), features).tolist()
    assert sum(i < 4 for i in order[:6]) == 1
    assert order_by_worth(np.array([1.0] * 4 + [0.5] * 5))[:4].tolist() == [0, 1, 2, 3]


def test_images_beyond_those_compared_follow_by_worth_alone() -> None:
    random = np.random.default_rng(2)
    worth, features = random.random(20), random.random((20, 5))
    order = spread_order(worth, features, compared=3).tolist()
    assert set(order[:3]) == set(np.argsort(-worth)[:3].tolist())
    assert sorted(order) == list(range(20))
    assert worth[order[3:]].tolist() == sorted(worth[order[3:]], reverse=True)


def test_no_image_has_no_order() -> None:
    assert len(spread_order(np.zeros(0), np.zeros((0, 4)))) == 0


def test_a_positive_of_a_rare_label_is_worth_more() -> None:
    scores = np.array([[0.5, 0.25]])
    found = rare_positives(scores, np.array([0, 9]))
    assert found == pytest.approx([0.5 * np.log(2) + 0.25 * np.log(11 / 10)])
