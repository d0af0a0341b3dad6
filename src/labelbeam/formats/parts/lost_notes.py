"""What a format cannot hold, in sentences for the user: the return value of writers.

Knows no layout.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int8

from labelbeam.data.dataset import Dataset
from labelbeam.labels.targets import PRESENT, UNKNOWN


def unknown_note(targets: Int8[np.ndarray, "images labels"]) -> tuple[str, ...]:
    """Return a note about unknown labels, which are written as absent; none where there are none.

    Args:
        targets: those of the images for which the format cannot say unknown.

    Example:
        >>> unknown_note(np.array([[-1, 1, -1]], dtype=np.int8))
        ('2 unknown labels were written as absent, because the format has no word for unknown.',)
    """
    count = int((targets == UNKNOWN).sum())
    if not count:
        return ()
    return (f"{count:,} unknown labels were written as absent, because the format has no word for unknown.",)


def unused_note(
    dataset: Dataset, *, named: Sequence[int] = (PRESENT,), elsewhere: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return a note about labels that are lost where a format names labels of images only.

    Args:
        dataset: what is written.
        named: the values of a label that the format writes.
        elsewhere: labels that are known without any image.
    """
    used = np.any([(dataset.targets == value).any(axis=0) for value in named], axis=0).tolist()
    unused = [
        name
        for name, known in zip(dataset.vocabulary, used, strict=True)
        if not known and name not in elsewhere
    ]
    if not unused:
        return ()
    return (
        f"{len(unused)} labels that no image has cannot be told by this format: {', '.join(unused[:5])}.",
    )


def order_note(dataset: Dataset) -> tuple[str, ...]:
    """Return a note about the order of labels where a format does not hold it; none where they are sorted."""
    names = dataset.vocabulary.names
    if names == tuple(sorted(names)):
        return ()
    return ("the order of the labels is not in the file: they are read sorted by name.",)
