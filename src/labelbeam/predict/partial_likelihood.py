"""Log-likelihoods of label sets of which some labels are unknown: those leave the softmax at every step."""

from itertools import permutations

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.decoding.likelihood import MOST_ORDERED
from labelbeam.decoding.step import LabelStep, PathLength, allowed_outcomes
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN

# Log-likelihoods of label sets of which some labels are unknown: those leave the softmax at every step.
#
# A set is predicted in label order (`canonical`, `paper`): one path. The model's own likelihood, whatever length
# a search forces. Knows a step of a label model; no search and no head.

BLOCK = 1024
"""Images followed side by side; bounds the work space."""


def known_log_prob(
    step: LabelStep,
    image_rows: Float[np.ndarray, "images width"],
    targets: Int8[np.ndarray, "images labels"],
) -> Float[np.ndarray, " images"]:
    """Return log p(true labels in label order, then END | image), unknown labels conditioned away.

    Each distinct prefix of a block of images is computed once.

    Args:
        step: the label model.
        image_rows: of each image.
        targets: 1 present, 0 absent, -1 unknown.

    Returns:
        float64, nats.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> targets = np.array([[1, 0], [1, -1]], dtype=np.int8)
        >>> known_log_prob(TableStep({}, num_labels=2), np.zeros((2, 3), np.float32), targets).round(3).tolist()
        [-1.792, -0.693]
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, len(targets), BLOCK)]
    return np.concatenate([np.zeros(0), *(_of_block(step, image_rows[at], targets[at]) for at in blocks)])


def _of_block(step: LabelStep, image_rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    num_labels, present = targets.shape[1], targets == PRESENT
    sizes = present.sum(axis=1)
    present_ids = np.argsort(~present, axis=1, kind="stable")  # the present labels come first, by rising id
    total = np.zeros(len(targets))
    going, at = np.arange(len(targets)), np.zeros(len(targets), dtype=np.int64)
    (states, rows), prefixes = step.start(), np.zeros((1, 0), dtype=np.int32)
    for t in range(int(sizes.max(initial=0)) + 1):
        allowed = _allowed(step, prefixes)[at]
        allowed[:, :num_labels] &= targets[going] != UNKNOWN
        logits = np.where(allowed, step.combine(rows[at], image_rows[going]), -np.inf)
        outcomes = np.where(sizes[going] == t, num_labels, present_ids[going, min(t, num_labels - 1)])
        total[going] += _log_softmax(logits.astype(np.float64))[np.arange(len(going)), outcomes]
        further = sizes[going] > t
        going, at, outcomes = going[further], at[further], outcomes[further]
        if not len(going):
            break
        keys, new = np.unique(at * num_labels + outcomes, return_inverse=True)
        labels = keys % num_labels
        states, rows = step.step(states[keys // num_labels], labels)
        prefixes = np.concatenate((prefixes[keys // num_labels], labels[:, None].astype(np.int32)), axis=1)
        at = new
    return total


def _allowed(step: LabelStep, prefixes: Int[np.ndarray, "prefixes depth"]) -> np.ndarray:
    longest = PathLength(0, None if step.allowed != "paper" else prefixes.shape[1] + 1)
    return allowed_outcomes(prefixes, rule=step.allowed, num_labels=step.num_labels, length=longest)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(axis=1, keepdims=True)
    normalised: np.ndarray = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return normalised


# Log-likelihoods of label sets whose order is free, some labels unknown: those leave the softmax at every
# step.
#
# The same reading of unknown labels as above, for models that may say a set in any order
# (`no-repeat`). Follows every order of one image's set, level by level. Knows a step of a label model; no
# search and no head.


def known_orders_log_prob(
    step: LabelStep,
    image_rows: Float[np.ndarray, "images width"],
    targets: Int8[np.ndarray, "images labels"],
) -> Float[np.ndarray, " images"]:
    """Return log of the sum, over all orders of an image's labels, of p(labels in this order, then END | image).

    Args:
        step: a label model under `no-repeat`.
        image_rows: of each image.
        targets: 1 present, 0 absent, -1 unknown.

    Returns:
        float64, nats.

    Raises:
        InputError: a set with too many labels to sum over their orders.

    Example:
        >>> from labelbeam.decoding.step import TableStep
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
    present_ids = np.flatnonzero(targets == PRESENT)
    states, rows = step.start()
    prefixes: list[tuple[int, ...]] = [()]
    log_probs = np.zeros(1)  # of the prefixes
    for length in range(len(present_ids) + 1):
        allowed = np.tile(np.append(targets != UNKNOWN, True), (len(prefixes), 1))  # [prefixes outcomes]
        for i, prefix in enumerate(prefixes):
            allowed[i, list(prefix)] = False
        logits = step.combine(rows, np.repeat(image_row, len(prefixes), axis=0)).astype(np.float64)
        logits = np.where(allowed, logits, -np.inf)
        nats = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        if length == len(present_ids):
            break
        longer = list(permutations(present_ids.tolist(), length + 1))
        place = {prefix: i for i, prefix in enumerate(prefixes)}
        parents = np.array([place[prefix[:-1]] for prefix in longer])
        labels = np.array([prefix[-1] for prefix in longer])
        log_probs = log_probs[parents] + nats[parents, labels]
        states, rows = step.step(states[parents], labels)
        prefixes = longer
    return float(np.logaddexp.reduce(log_probs + nats[:, -1]))
