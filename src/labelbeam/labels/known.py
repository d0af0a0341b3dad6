"""What is known of an image's labels beside its pixels: those that a person accepted, those they rejected.

One row in the coding of targets: PRESENT (accepted), ABSENT (rejected), UNKNOWN (nothing known). Made from names
here, so that searches and heads see numbers only.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int8

from labelbeam.errors import InputError
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN
from labelbeam.labels.vocabulary import Vocabulary


def known_labels(
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
        >>> known_labels(Vocabulary(("person", "dog", "cat")), ["dog"], ["cat"]).tolist()
        [-1, 1, 0]
    """
    present, absent = (sorted({vocabulary.id_of(name) for name in names}) for names in (accepted, rejected))
    if both := sorted(set(present) & set(absent)):
        raise InputError(
            f"both accepted and rejected: {', '.join(map(repr, vocabulary.names_of(both)))}. A label is either in "
            "the picture or not: leave it out of one of the two lists."
        )
    known = np.full(len(vocabulary), UNKNOWN, dtype=np.int8)
    known[present], known[absent] = PRESENT, ABSENT
    return known
