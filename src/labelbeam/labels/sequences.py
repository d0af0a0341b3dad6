"""Label sets as the sequences that a label model is taught, and evidence about an image's labels."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, Int8
from torch import Tensor

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary

# Label sets as the sequences a label model is taught: labels in order, then END.
#
# Between multi-hot targets and the label model in the data path (`docs/architecture.md`, "teach"). Labels an
# image has once occur once, however many instances a reader saw; PAD is -1 and is never a label or END.

PAD = -1
"""Fills sequences behind their END; it is not the id of anything."""


def sequences_of(
    targets: Int8[Tensor, "images labels"], *, shuffle: torch.Generator | None = None
) -> Int[Tensor, "images steps"]:
    """Return each image's label sequence: its present labels by rising id, then END, then PAD.

    Args:
        targets: 1 present, 0 absent, -1 unknown; columns in label order. Unknown labels are never said.
        shuffle: where given, each image's labels come in a new random order instead.

    Returns:
        Label ids, END (= number of labels) and PAD; as many steps as the largest set has labels, plus one.

    Example:
        >>> sequences_of(torch.tensor([[0, 1, 1], [0, 0, 0]], dtype=torch.int8)).tolist()
        [[1, 2, 3], [3, -1, -1]]
    """
    present = targets == PRESENT
    num_images, num_labels = present.shape
    sizes = present.sum(dim=1)
    steps = int(sizes.max()) + 1
    if shuffle is None:
        rank = torch.arange(num_labels, device=targets.device).expand(num_images, -1)
    else:
        rank = torch.rand(num_images, num_labels, generator=shuffle).to(targets.device)
    ids = torch.where(present, rank, num_labels + 1).argsort(dim=1)
    ids = torch.cat((ids, ids.new_zeros(num_images, 1)), dim=1)[:, :steps]
    step = torch.arange(steps, device=targets.device)
    ids = torch.where(step < sizes[:, None], ids, PAD)
    return torch.where(step == sizes[:, None], num_labels, ids)


@dataclass(frozen=True)
class DistinctPrefixes:
    """The distinct prefixes of a batch of sequences, by length.

    Many images of a batch say the same labels first; the recurrence sees each prefix once.

    Attributes:
        levels: for each prefix length 1, 2, …: (parent [n], label [n]), where `parent` is the row of the
            prefix without its last label among the prefixes one shorter (length 0 is the empty prefix alone).
        rows: int64 [batch steps], for each image and step the row of its prefix among all prefixes,
            shortest first; 0, the empty prefix, behind END.
    """

    levels: list[tuple[Tensor, Tensor]]
    rows: Tensor

    @property
    def count(self) -> int:
        """The number of distinct prefixes, the empty one included."""
        return 1 + sum(len(labels) for _, labels in self.levels)


def distinct_prefixes(sequences: Int[Tensor, "batch steps"], num_labels: int) -> DistinctPrefixes:
    """Find the distinct prefixes that precede the steps of a batch of sequences.

    Args:
        sequences: label ids, END (= `num_labels`), PAD.
        num_labels: number of labels.

    Returns:
        The prefixes; running a recurrence over them and gathering by `rows` gives what running it over
        every sequence gives.

    Example:
        >>> prefixes = distinct_prefixes(torch.tensor([[0, 1, 2], [0, 2, -1], [2, -1, -1]]), 2)
        >>> prefixes.count, prefixes.rows.tolist()
        (3, [[0, 1, 2], [0, 1, 0], [0, 0, 0]])
    """
    batch, steps = sequences.shape
    at = torch.zeros(batch, dtype=torch.int64, device=sequences.device)  # row within the current level
    rows = torch.zeros_like(sequences)
    levels: list[tuple[Tensor, Tensor]] = []
    before = 1
    for t in range(steps - 1):
        said = (sequences[:, t] >= 0) & (sequences[:, t] < num_labels)
        if not said.any():
            break
        keys, inverse = torch.unique(at[said] * num_labels + sequences[said, t], return_inverse=True)
        levels.append((keys // num_labels, keys % num_labels))
        at = at.clone()
        at[said] = inverse
        rows[said, t + 1] = before + inverse
        before += len(keys)
    return DistinctPrefixes(levels, rows)


# What is known of an image's labels beside its pixels: those that a person accepted, those they rejected.
#
# One row in the coding of targets: PRESENT (accepted), ABSENT (rejected), UNKNOWN (nothing known). Made
# from names here, or drawn from true labels to measure with, so that searches and heads see numbers only.


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


def drawn_evidence(
    targets: Int8[np.ndarray, "images labels"],
    *,
    accepted: int,
    rejected: int,
    frequent_first: bool = False,
    seed: int = 0,
) -> Int8[np.ndarray, "images labels"]:
    """Draw what a person might have said of images whose labels are known.

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
    known = np.full(targets.shape, UNKNOWN, dtype=np.int8)
    random = np.random.default_rng(seed)
    for row, shown in zip(targets, known, strict=True):
        present, absent = random.permutation(np.flatnonzero(row == PRESENT)), np.flatnonzero(row == ABSENT)
        shown[(np.sort(present) if frequent_first else present)[:accepted]] = PRESENT
        shown[random.permutation(absent)[:rejected]] = ABSENT
    return known
