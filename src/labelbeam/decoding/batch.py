"""What every search does with a batch: check its rows, wait for its turn, halve it where the trie is too small.

Knows the trie's one exception and the shape of image rows; no search.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from labelbeam.decoding.trie import PrefixTrie, TrieFullError
from labelbeam.errors import InputError

Answer = TypeVar("Answer")


def check_image_rows(trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"]) -> None:
    """Refuse image rows of another width than the trie's rows, or with numbers that are not finite.

    Raises:
        InputError: wrong width, NaN or infinity (the first image concerned is named).
    """
    width = trie.rows.shape[1]
    if image_rows.shape[1] != width:
        raise InputError(
            f"image rows must have {width} numbers, as many as the label model's rows; "
            f"given {image_rows.shape[1]}. Embed the images with the run that the trie was made from."
        )
    finite = np.isfinite(image_rows).all(axis=1)
    if not finite.all():
        raise InputError(
            f"image row {int(np.argmin(finite))} holds NaN or infinity; all must be finite. "
            "Check the features that it was computed from."
        )


def in_halves(trie: PrefixTrie, search: Callable[..., Answer], *arrays: np.ndarray) -> list[Answer]:
    """Run a search over a batch, or over parts of it where it needs more nodes than the trie may hold.

    The trie is locked meanwhile; threads that share it take turns, batch by batch.

    Args:
        trie: the trie that the search uses.
        search: called with the arrays, or with the same part of each; may raise TrieFullError.
        arrays: of the batch, equally long.

    Returns:
        The answers, in the order of the images.

    Raises:
        InputError: the trie cannot hold what a single image needs.
    """
    answers: list[Answer] = []
    spans = [(0, len(arrays[0]))] if len(arrays[0]) else []
    while spans:
        first, last = spans.pop()
        try:
            with trie.lock:
                trie.start_batch()
                answers.append(search(*(array[first:last] for array in arrays)))
        except TrieFullError:
            if last - first == 1:
                raise InputError(
                    f"a trie limit of {trie.byte_limit:,} bytes ({trie.capacity} prefixes) is too small for "
                    "the beams of a single image. Raise the limit or lower the beam width."
                ) from None
            middle = (first + last) // 2
            spans += [(middle, last), (first, middle)]
    return answers
