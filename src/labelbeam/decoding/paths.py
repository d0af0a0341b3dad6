"""Batches of searches: rows checked, halved where the trie is full, and the paths of many images in arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int

from labelbeam.decoding.trie import PrefixTrie, TrieFullError
from labelbeam.errors import InputError

Answer = TypeVar("Answer")


def checked_rows(
    trie: PrefixTrie, image_rows: Float[np.ndarray, "images width"]
) -> Float[np.ndarray, "images width"]:
    """Return image rows as the searches take them: float32, contiguous, as wide as the trie's rows, finite.

    Raises:
        InputError: wrong width, NaN or infinity (the first image concerned is named).
    """
    rows = np.ascontiguousarray(image_rows, dtype=np.float32)
    width = trie.rows.shape[1]
    if rows.shape[1] != width:
        raise InputError(
            f"image rows must have {width} numbers, as many as the label model's rows; "
            f"given {rows.shape[1]}. Embed the images with the run that the trie was made from."
        )
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise InputError(
            f"image row {int(np.argmin(finite))} holds NaN or infinity; all must be finite. "
            "Check the features that it was computed from."
        )
    return rows


def in_batches(
    trie: PrefixTrie, search: Callable[..., Answer], size: int, *arrays: np.ndarray
) -> list[Answer]:
    """Run a search over batches of so many images, each `in_halves`; return the answers in the order of the images.

    There is at least one answer: that of no image where there is none.
    """
    answers = []
    for first in range(0, max(len(arrays[0]), 1), size):
        answers += in_halves(trie, search, *(array[first : first + size] for array in arrays))
    return answers


def joined(parts: Sequence[Answer]) -> Answer:
    """Return the answers to consecutive batches, dataclasses of arrays with a row per image, as one."""
    if len(parts) == 1:
        return parts[0]
    columns = {one.name: [getattr(part, one.name) for part in parts] for one in fields(parts[0])}  # type: ignore[arg-type]
    return type(parts[0])(
        **{
            name: joined(column) if is_dataclass(column[0]) else np.concatenate(column)
            for name, column in columns.items()
        }
    )


def in_halves(trie: PrefixTrie, search: Callable[..., Answer], *arrays: np.ndarray) -> list[Answer]:
    """Run a search over a batch, or over parts of it where it needs more nodes than the trie may hold.

    The trie is locked meanwhile; threads that share it take turns, batch by batch. `search` is called with the arrays,
    or with the same part of each, and may raise TrieFullError; answers come in the order of the images.

    Raises:
        InputError: the trie cannot hold what a single image needs.
    """
    answers: list[Answer] = []
    spans = [(0, len(arrays[0]))]
    while spans:
        first, last = spans.pop()
        try:
            with trie.lock:
                trie.start_batch()
                answers.append(search(*(array[first:last] for array in arrays)))
        except TrieFullError:
            if last - first <= 1:
                raise InputError(
                    f"a trie limit of {trie.byte_limit:,} bytes ({trie.capacity} prefixes) is too small for "
                    "the beams of a single image. Raise the limit or lower the beam width."
                ) from None
            middle = (first + last) // 2
            spans += [(middle, last), (first, middle)]
    return answers


NO_LABEL = -1
"""Padding behind a path, and the length of a path that is not there. No label has this id."""


@dataclass(frozen=True)
class BeamPaths:
    """Finished paths of each image, best first: labels without START and END; log-probabilities with END.

    Attributes:
        labels: int32 [images width longest], label ids in path order, NO_LABEL behind the end.
        lengths: int32 [images width], number of labels; NO_LABEL where there are fewer candidates.
        log_probs: float64 [images width], nats, END included; -inf where there are fewer candidates.

    Example:
        >>> found = BeamPaths(np.array([[[2, 5]]], np.int32), np.array([[2]], np.int32), np.array([[-0.5]]))
        >>> found.best(0), found.candidates(0)
        ((2, 5), [((2, 5), -0.5)])
    """

    labels: Int[np.ndarray, "images width longest"]
    lengths: Int[np.ndarray, "images width"]
    log_probs: Float[np.ndarray, "images width"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def paths(self) -> list[tuple[int, ...]]:
        """Each image's best path: labels in path order."""
        return [self.best(image) for image in range(len(self))]

    def best(self, image: int) -> tuple[int, ...]:
        """Return the labels of an image's first path."""
        return tuple(self.labels[image, 0, : self.lengths[image, 0]].tolist())

    def candidates(self, image: int) -> list[tuple[tuple[int, ...], float]]:
        """Return the paths of an image and their log-probabilities, best first."""
        return [
            (tuple(labels[:length].tolist()), float(log_prob))
            for labels, length, log_prob in zip(
                self.labels[image], self.lengths[image], self.log_probs[image], strict=True
            )
            if length != NO_LABEL
        ]

    def repeats(self) -> Int[np.ndarray, " images"]:
        """Return how many labels of each image's first path occur in it before; other than 0 only under `paper`."""
        best = self.labels[:, 0]
        behind = np.arange(best.shape[1]) >= self.lengths[:, :1]
        ordered = np.sort(np.where(behind, NO_LABEL, best), axis=1)
        return ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NO_LABEL)).sum(axis=1)


def best_first_order(
    scores: Float[np.ndarray, "images paths"], labels: Int[np.ndarray, "images paths longest"]
) -> Int[np.ndarray, "images paths"]:
    """Return the order of each image's paths: greatest score first, equal scores by label sequence (shorter first)."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ordered = np.take_along_axis(scores, order, axis=1)
    ties = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] > -np.inf)).any(axis=1)
    for i in np.flatnonzero(ties):
        order[i] = sorted(range(scores.shape[1]), key=lambda j: (-scores[i, j], labels[i, j].tolist()))
    return order
