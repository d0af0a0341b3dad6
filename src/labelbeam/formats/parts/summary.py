"""The sentence that says how a file was understood: the first note of every reader of people's own formats.

A misreading shows in it at once, before hours of training. Knows no layout.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int8

from labelbeam.labels.targets import PRESENT, UNKNOWN

_CHUNK = 65_536
"""Images looked at together: beside a matrix of a gigabyte there is no room for another."""


def understood(
    images: Sequence[str], names: Sequence[str], targets: Int8[np.ndarray, "images labels"], layout: str
) -> str:
    """Return the sentence, with the first image that has a label as an example.

    Args:
        images: image keys, at least one.
        names: label names.
        targets: values of PRESENT, ABSENT, UNKNOWN.
        layout: how the labels are written, in words.

    Example:
        >>> understood(("a.jpg", "b.jpg"), ("cat",), np.array([[-1], [1]], dtype=np.int8), "one label a cell")
        'this is what I understood: 2 images, 1 labels, one label a cell, e.g. b.jpg -> cat; 1 images without a \
label; 1 labels of images are unknown.'
    """
    labelled = has_label(targets)
    i, without = int(labelled.argmax()), int((~labelled).sum())
    unknown = sum(
        int((targets[start : start + _CHUNK] == UNKNOWN).sum()) for start in range(0, len(targets), _CHUNK)
    )
    present = [names[j] for j in np.flatnonzero(targets[i] == PRESENT)[:5]]
    return (
        f"this is what I understood: {len(images):,} images, {len(names):,} labels, {layout}, "
        f"e.g. {images[i]} -> {', '.join(present) or 'no label'}"
        + (f"; {without:,} images without a label" if without else "")
        + (f"; {unknown:,} labels of images are unknown." if unknown else ".")
    )


def has_label(targets: Int8[np.ndarray, "images labels"]) -> Bool[np.ndarray, " images"]:
    """Return which images have a label, with little memory beside a large matrix.

    Example:
        >>> has_label(np.array([[0, 1], [0, -1]], dtype=np.int8)).tolist()
        [True, False]
    """
    found = np.zeros(len(targets), dtype=bool)
    for start in range(0, len(targets), _CHUNK):
        found[start : start + _CHUNK] = (targets[start : start + _CHUNK] == PRESENT).any(axis=1)
    return found
