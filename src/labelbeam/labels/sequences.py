"""Label sets as the sequences that a label model is taught: labels in order, then END, then PAD."""

from dataclasses import dataclass

import torch
from jaxtyping import Int, Int8
from torch import Tensor

from labelbeam.labels.vocabulary import PRESENT

PAD = -1
"""Fills sequences behind their END; it is not the id of anything."""


def sequences_of(
    targets: Int8[Tensor, "images labels"], *, shuffle: torch.Generator | None = None
) -> Int[Tensor, "images steps"]:
    """Return each image's label sequence: its present labels by rising id, then END, then PAD.

    Args:
        targets: 1 present, 0 absent, -1 unknown; columns in label order. Unknown labels are in no sequence.
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
        occupied = (sequences[:, t] >= 0) & (sequences[:, t] < num_labels)
        if not occupied.any():
            break
        keys, inverse = torch.unique(at[occupied] * num_labels + sequences[occupied, t], return_inverse=True)
        levels.append((keys // num_labels, keys % num_labels))
        at = at.clone()
        at[occupied] = inverse
        rows[occupied, t + 1] = before + inverse
        before += len(keys)
    return DistinctPrefixes(levels, rows)
