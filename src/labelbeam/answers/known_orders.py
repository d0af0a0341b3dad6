"""Log-likelihoods of label sets whose order is free, some labels unknown: those leave the softmax at every step.

The same reading of unknown labels as in `known_likelihood`, for models that may say a set in any order (`no-repeat`).
Follows every order of one image's set, level by level. Knows a step of a label model; no search and no head.
"""

from itertools import permutations

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.decoding.likelihood import MOST_ORDERED
from labelbeam.decoding.step import LabelStep
from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT, UNKNOWN


def known_orders_log_prob(
    step: LabelStep,
    image_rows: Float[np.ndarray, "images width"],
    targets: Int8[np.ndarray, "images labels"],
) -> Float[np.ndarray, " images"]:
    """Return log of the sum, over all orders of an image's labels, of p(said in this order, then END | image).

    Args:
        step: a label model under `no-repeat`.
        image_rows: of each image.
        targets: 1 present, 0 absent, -1 unknown.

    Returns:
        float64, nats.

    Raises:
        InputError: a set with too many labels to sum over their orders.

    Example:
        >>> from labelbeam.decoding.table import TableStep
        >>> step = TableStep({}, num_labels=3, allowed="no-repeat")
        >>> targets = np.array([[1, 1, 0], [1, 1, -1]], dtype=np.int8)
        >>> np.exp(known_orders_log_prob(step, np.zeros((2, 4), np.float32), targets)).round(3).tolist()
        [0.083, 0.333]
    """
    most = int((targets == PRESENT).sum(axis=1).max(initial=0))
    if most > MOST_ORDERED:
        raise InputError(
            f"a set of {most} labels has too many orders to sum over; at most {MOST_ORDERED} labels are."
        )
    rows = np.ascontiguousarray(image_rows, dtype=np.float32)
    return np.array([_of_image(step, row[None], known) for row, known in zip(rows, targets, strict=True)])


def _of_image(step: LabelStep, image_row: np.ndarray, targets: np.ndarray) -> float:
    said = np.flatnonzero(targets == PRESENT)
    states, rows = step.start()
    prefixes: list[tuple[int, ...]] = [()]
    log_probs = np.zeros(1)  # of the prefixes
    for length in range(len(said) + 1):
        allowed = np.tile(np.append(targets != UNKNOWN, True), (len(prefixes), 1))  # [prefixes outcomes]
        for i, prefix in enumerate(prefixes):
            allowed[i, list(prefix)] = False
        logits = step.combine(rows, np.repeat(image_row, len(prefixes), axis=0)).astype(np.float64)
        logits = np.where(allowed, logits, -np.inf)
        nats = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        if length == len(said):
            break
        longer = list(permutations(said.tolist(), length + 1))
        place = {prefix: i for i, prefix in enumerate(prefixes)}
        parents = np.array([place[prefix[:-1]] for prefix in longer])
        labels = np.array([prefix[-1] for prefix in longer])
        log_probs = log_probs[parents] + nats[parents, labels]
        states, rows = step.step(states[parents], labels)
        prefixes = longer
    return float(np.logaddexp.reduce(log_probs + nats[:, -1]))
