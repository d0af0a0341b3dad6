"""In which order labels are said: the permutation that turns a reader's vocabulary into a model's.

A model's vocabulary is sorted in its label order, so that "later in the order" is "greater id". The paper
sorts by training frequency, most frequent first (Section 3).
Knows target matrices; knows nothing of models.
"""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.errors import unknown_name
from labelbeam.labels.easiest_order import easiest_first
from labelbeam.labels.targets import PRESENT

LabelOrder = Literal["frequent", "rare", "random", "easiest", "shuffle"]
"""`frequent`: most frequent first (the paper's). `rare`: rarest first. `random`: one fixed random order.
`easiest`: `labels.easiest_order`, which needs features. `shuffle`: a new random order for every image and
epoch (ids are sorted as for `frequent`; needs `no-repeat`)."""


def order_labels(
    targets: Int8[np.ndarray, "images labels"],
    order: str = "frequent",
    *,
    seed: int = 0,
    features: Float[np.ndarray, "images features"] | None = None,
) -> Int[np.ndarray, " labels"]:
    """Return the columns of a target matrix in label order.

    Frequency counts images, not instances, and equal counts keep the reader's order; the paper says
    neither (both are stated so that ties cannot change a result between machines).

    Args:
        targets: training targets; 1 present, 0 absent, -1 unknown.
        order: one of `LabelOrder`.
        seed: decides the order `random`, and how `easiest` splits the images.
        features: of the images, for `easiest`; without them it is `frequent` (features can be had only once the
            data are read, and the columns are sorted then).

    Returns:
        Column numbers, first label first.

    Raises:
        InputError: `order` is not one of `LabelOrder`.

    Source:
        Wang et al. 2016, Section 3: labels are ordered by their frequency in the training data.

    Example:
        >>> order_labels(np.array([[1, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=np.int8)).tolist()
        [0, 1, 2]
        >>> order_labels(np.array([[0, 0, 1], [0, 1, 1]], dtype=np.int8)).tolist()
        [2, 1, 0]
    """
    if order not in get_args(LabelOrder):
        raise unknown_name("label order", order, get_args(LabelOrder))
    if order == "easiest" and features is not None:
        return easiest_first(features, targets, seed=seed)
    counts = (targets == PRESENT).sum(axis=0)
    if order == "random":
        return np.random.default_rng(seed).permutation(len(counts))
    return np.argsort(counts if order == "rare" else -counts, kind="stable")
