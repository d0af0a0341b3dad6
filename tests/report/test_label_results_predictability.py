import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.heads.chow_liu import ChowLiuTree
from labelbeam.report.label_results import conditional_on_others, predictability


def chained(images: int, labels: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    targets = np.zeros((images, labels), dtype=np.int8)
    targets[:, 0] = rng.random(images) < 0.5
    for j in range(1, labels):
        keep = rng.random(images) < 0.85
        targets[:, j] = np.where(keep, targets[:, j - 1], 1 - targets[:, j - 1])
    return targets


def test_conditionals_are_those_of_belief_propagation_with_one_label_hidden() -> None:
    targets = chained(60, 5)
    tree = ChowLiuTree.fit(targets)
    found = conditional_on_others(tree, targets)
    for label in range(5):
        known = targets.copy()
        known[:, label] = -1
        assert found[:, label] == pytest.approx(tree.conditional(known)[:, label], abs=1e-9)


def test_a_label_between_two_like_it_is_more_predictable_than_one_at_the_end() -> None:
    found = predictability(chained(4000, 3))
    assert found[1] > found[0] > 0.2
    # The exact share of a label at the end: 1 - H(0.85) / log 2.
    entropy = -(0.85 * np.log(0.85) + 0.15 * np.log(0.15)) / np.log(2)
    assert found[0] == pytest.approx(1 - entropy, abs=0.04)


def test_a_label_that_never_varies_has_no_predictability() -> None:
    targets = np.hstack((chained(50, 2), np.ones((50, 1), dtype=np.int8)))
    assert np.isnan(predictability(targets)).tolist() == [False, False, True]


def test_unknown_labels_are_not_judged() -> None:
    targets = chained(400, 3)
    hidden = targets.copy()
    hidden[:40] = -1
    assert predictability(hidden)[1] == pytest.approx(predictability(targets[40:])[1], abs=0.08)


def test_too_few_images_are_reported() -> None:
    with pytest.raises(InputError, match="at least 4"):
        predictability(np.ones((3, 2), dtype=np.int8))
