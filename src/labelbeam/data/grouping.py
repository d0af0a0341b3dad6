"""Which images belong together, so that a split keeps them in one part: same folder, same text in the name.

From image keys to group numbers. Knows nothing of labels and splits.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from labelbeam.errors import InputError


def numbered(keys: Iterable[str]) -> Int[np.ndarray, " images"]:
    """Return the same number for the same key, by first appearance.

    Example:
        >>> numbered(["anna", "ben", "anna"]).tolist()
        [0, 1, 0]
    """
    number: dict[str, int] = {}
    return np.array([number.setdefault(key, len(number)) for key in keys], dtype=np.int64)


def folders_of(images: Sequence[str]) -> list[str]:
    """Return the folder of each image key.

    Example:
        >>> folders_of(["anna/1.jpg", "2.jpg"])
        ['anna', '']
    """
    return [image.rpartition("/")[0] for image in images]


def matches_of(images: Sequence[str], pattern: str) -> list[str]:
    r"""Return what a regular expression finds in each image key.

    Args:
        images: keys with forward slashes.
        pattern: searched anywhere in the key; its first pair of parentheses is the group's key, without any the
            whole match is.

    Raises:
        InputError: not a regular expression, or keys in which it finds nothing (counted, five shown).

    Example:
        >>> matches_of(["walk/p07_001.jpg", "walk/p07_002.jpg", "p08_1.jpg"], r"(p\d+)_")
        ['p07', 'p07', 'p08']
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(f"{pattern!r} is not a regular expression: {error}.") from None
    found = [expression.search(image) for image in images]
    if lost := [image for image, match in zip(images, found, strict=True) if match is None]:
        raise InputError(
            f"{pattern!r} finds nothing in {len(lost)} of {len(images)} image names: {', '.join(lost[:5])}. "
            "Widen it, so that each image has a group."
        )
    keys = [match.group(1 if expression.groups else 0) for match in found if match is not None]
    if empty := [image for image, key in zip(images, keys, strict=True) if not key]:
        raise InputError(
            f"{pattern!r} finds an empty group in {len(empty)} of {len(images)} image names: {', '.join(empty[:5])}. "
            "They would all be one group; write a pattern whose parentheses take part in every match."
        )
    return keys
