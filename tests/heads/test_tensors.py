"""Arrays that are not those of the head are refused in words."""

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.label_scores import TrainedAnySubset, TrainedSigmoid, TrainedTree
from labelbeam.heads.options import LabelModelOptions, SigmoidOptions

FEATURES, LABELS = 3, 2


def linear(**others: np.ndarray) -> dict[str, np.ndarray]:
    arrays = {
        "scaling.mean": np.zeros(FEATURES, np.float32),
        "scaling.deviation": np.ones(FEATURES, np.float32),
        "last.weight": np.ones((LABELS, FEATURES), np.float32),
        "last.bias": np.zeros(LABELS, np.float32),
    }
    return arrays | others


def sigmoid(arrays: dict[str, np.ndarray], hidden: int = 0) -> TrainedSigmoid:
    return TrainedSigmoid(
        arrays, SigmoidOptions(hidden), scaling="none", num_labels=LABELS, num_features=FEATURES
    )


def test_log_odds_are_the_product_with_the_weights_whatever_width_they_are_stored_in() -> None:
    arrays = linear(**{"last.weight": np.array([[1, 2, 3], [0, 0, 1]], np.float64)})
    assert sigmoid(arrays).logits(np.array([[1, 1, 1]], np.float16)).tolist() == [[6, 1]]
    assert sigmoid(arrays).logits(np.zeros((0, FEATURES), np.float32)).shape == (0, LABELS)


def without(name: str) -> dict[str, np.ndarray]:
    return {key: array for key, array in linear().items() if key != name}


def tree(parent: list[int]) -> dict[str, np.ndarray]:
    return linear(parent=np.array(parent), log_given=np.zeros((LABELS, 2, 2), np.float32))


WRONG = {
    "missing": (lambda: sigmoid(without("last.bias")), ["'last.bias' is missing"]),
    "a strange one": (lambda: sigmoid(linear(more=np.zeros(1))), ["does not have: more"]),
    "fewer labels": (
        lambda: sigmoid(linear(**{"last.bias": np.zeros(1, np.float32)})),
        ["'last.bias' must be float32 [2]", "[1]"],
    ),
    "other features": (
        lambda: sigmoid(linear(**{"scaling.mean": np.zeros(7, np.float32)})),
        ["'scaling.mean' must be float32 [3]", "[7]"],
    ),
    "integers": (
        lambda: sigmoid(linear(**{"last.bias": np.zeros(LABELS, np.int64)})),
        ["'last.bias' must be float32", "int64"],
    ),
    "no hidden layer": (lambda: sigmoid(linear(), hidden=4), ["'before.1.weight' is missing"]),
    "an any-subset head without one": (
        lambda: TrainedAnySubset(linear(), SigmoidOptions(), scaling="none", num_labels=LABELS),
        ["needs a hidden layer"],
    ),
    "a label that is its own ancestor": (
        lambda: TrainedTree(tree([1, 0]), SigmoidOptions(), scaling="none", num_labels=LABELS),
        ["own ancestors"],
    ),
    "a parent that is no label": (
        lambda: TrainedTree(tree([-1, 5]), SigmoidOptions(), scaling="none", num_labels=LABELS),
        ["label ids, or -1"],
    ),
    "a label model's of a sigmoid head": (
        lambda: TrainedLabelModel(linear(), LabelModelOptions(), scaling="none", num_labels=LABELS),
        ["'U_l' is missing"],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_reported(name: str) -> None:
    make, words = WRONG[name]
    with pytest.raises(InputError) as told:
        make()
    assert all(word in str(told.value) for word in words), told.value
