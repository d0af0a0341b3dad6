"""Evidence about an image's labels beside its pixels: what a person accepted and what they rejected."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int8

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary


def evidence_row(
    vocabulary: Vocabulary, accepted: Iterable[str] = (), rejected: Iterable[str] = ()
) -> Int8[np.ndarray, " labels"]:
    """Turn the names of accepted and rejected labels into a row of targets.

    Args:
        vocabulary: the names that there are.
        accepted: labels known to be present; a name may be given twice.
        rejected: labels known to be absent.

    Returns:
        int8 [labels]: 1 accepted, 0 rejected, -1 nothing known.

    Raises:
        InputError: a name that is not in the vocabulary, or a label both accepted and rejected.

    Example:
        >>> evidence_row(Vocabulary(("person", "dog", "cat")), ["dog"], ["cat"]).tolist()
        [-1, 1, 0]
    """
    present, absent = (sorted({vocabulary.id_of(name) for name in names}) for names in (accepted, rejected))
    if both := sorted(set(present) & set(absent)):
        raise InputError(
            f"both accepted and rejected: {', '.join(map(repr, vocabulary.names_of(both)))}. A label is either in "
            "the picture or not: leave it out of one of the two lists."
        )
    evidence = np.full(len(vocabulary), UNKNOWN, dtype=np.int8)
    evidence[present], evidence[absent] = PRESENT, ABSENT
    return evidence


def drawn_evidence(
    targets: Int8[np.ndarray, "images labels"],
    *,
    accepted: int,
    rejected: int,
    frequent_first: bool = False,
    seed: int = 0,
) -> Int8[np.ndarray, "images labels"]:
    """Draw what a person might accept and reject of images whose labels are known.

    Args:
        targets: 1 present, 0 absent, -1 unknown (never drawn); columns by falling frequency if `frequent_first`.
        accepted: present labels revealed per image, at most as many as it has.
        rejected: absent labels revealed per image.
        frequent_first: reveal the first present columns instead of random ones, as people type. They tell more
            than they say: that the more frequent labels are absent.
        seed: decides what is drawn.

    Returns:
        int8 [images labels]: 1 accepted, 0 rejected, -1 not revealed.

    Example:
        >>> targets = np.array([[1, 0, 1, 0]], dtype=np.int8)
        >>> drawn_evidence(targets, accepted=1, rejected=0, frequent_first=True).tolist()
        [[1, -1, -1, -1]]
    """
    evidence = np.full(targets.shape, UNKNOWN, dtype=np.int8)
    random = np.random.default_rng(seed)
    for row, shown in zip(targets, evidence, strict=True):
        present, absent = random.permutation(np.flatnonzero(row == PRESENT)), np.flatnonzero(row == ABSENT)
        shown[(np.sort(present) if frequent_first else present)[:accepted]] = PRESENT
        shown[random.permutation(absent)[:rejected]] = ABSENT
    return evidence
