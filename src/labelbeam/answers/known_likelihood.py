"""Log-likelihoods of label sets of which some labels are unknown: those leave the softmax at every step.

A set is said in label order (`canonical`, `paper`): one path. The model's own likelihood, whatever length a search
forces. Knows a step of a label model; no search and no head.
"""

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.decoding.allowed import PathLength, allowed_outcomes
from labelbeam.decoding.step import LabelStep
from labelbeam.labels.targets import PRESENT, UNKNOWN

BLOCK = 1024
"""Images followed side by side; bounds the work space."""


def known_log_prob(
    step: LabelStep,
    image_rows: Float[np.ndarray, "images width"],
    targets: Int8[np.ndarray, "images labels"],
) -> Float[np.ndarray, " images"]:
    """Return log p(true labels, said in label order, then END | image), unknown labels conditioned away.

    Each distinct prefix of a block of images is computed once.

    Args:
        step: the label model.
        image_rows: of each image.
        targets: 1 present, 0 absent, -1 unknown.

    Returns:
        float64, nats.

    Example:
        >>> from labelbeam.decoding.table import TableStep
        >>> targets = np.array([[1, 0], [1, -1]], dtype=np.int8)
        >>> known_log_prob(TableStep({}, num_labels=2), np.zeros((2, 3), np.float32), targets).round(3).tolist()
        [-1.792, -0.693]
    """
    blocks = [slice(first, first + BLOCK) for first in range(0, len(targets), BLOCK)]
    return np.concatenate([np.zeros(0), *(_of_block(step, image_rows[at], targets[at]) for at in blocks)])


def _of_block(step: LabelStep, image_rows: np.ndarray, targets: np.ndarray) -> np.ndarray:
    num_labels, present = targets.shape[1], targets == PRESENT
    sizes = present.sum(axis=1)
    said = np.argsort(~present, axis=1, kind="stable")  # the present labels come first, by rising id
    total = np.zeros(len(targets))
    going, at = np.arange(len(targets)), np.zeros(len(targets), dtype=np.int64)
    (states, rows), prefixes = step.start(), np.zeros((1, 0), dtype=np.int32)
    for t in range(int(sizes.max(initial=0)) + 1):
        allowed = _allowed(step, prefixes)[at]
        allowed[:, :num_labels] &= targets[going] != UNKNOWN
        logits = np.where(allowed, step.combine(rows[at], image_rows[going]), -np.inf)
        outcomes = np.where(sizes[going] == t, num_labels, said[going, min(t, num_labels - 1)])
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
