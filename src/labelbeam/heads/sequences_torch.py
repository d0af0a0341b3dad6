"""Label sets as sequences, and the textbook LSTM over the tree of their prefixes, with its gradient written out.

A batch's distinct prefixes form a tree (`DistinctPrefixes`); training spends its time on it. Recurrent products are
made once per prefix that goes on, not once per prefix, and the gradient of the recurrent matrix is one product over the
whole tree instead of one per level. `CNNRNN.prefix_vectors` calls it; a plain loop over `label_model_torch.LSTM` is its
twin in tests.
"""

from dataclasses import dataclass
from typing import Any, no_type_check

import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from labelbeam.labels.vocabulary import PRESENT

# Label sets as the sequences that a label model is taught: labels in order, then END, then PAD.

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


def lstm_over_prefixes(
    gates: Float[Tensor, "prefixes gates"],
    recurrent: Float[Tensor, "gates hidden"],
    parents: list[Int[Tensor, " _"]],
) -> Float[Tensor, "prefixes hidden"]:
    """Return the LSTM's output for every prefix.

    Args:
        gates: what the label read last (START for the empty prefix, in row 0) and the biases give to the input,
            forget, candidate and output gates; prefixes of the same length together, shortest first.
        recurrent: the matrix that takes the output of the prefix before to the gates.
        parents: for each length 1, 2, …, which row among the prefixes one shorter a prefix continues; ascending.

    Returns:
        o(t), as wide as a quarter of the gates. Under autocast products are made in its precision, states and
        gates stay in that of `gates`. Differentiable once.

    Example:
        >>> gates = torch.zeros(3, 4)
        >>> lstm_over_prefixes(gates, torch.ones(4, 1), [torch.tensor([0, 0])]).shape
        torch.Size([3, 1])
    """
    kind = gates.device.type
    precision = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else gates.dtype
    return _PrefixLSTM.apply(gates, recurrent, parents, precision)


class _PrefixLSTM(torch.autograd.Function):
    """Forward and backward over the levels of the tree; letters as in `heads.label_model_torch`."""

    @staticmethod
    @no_type_check
    def forward(ctx: Any, gates: Tensor, recurrent: Tensor, parents: list[Tensor], precision: torch.dtype):
        count, hidden = len(gates), recurrent.shape[1]
        weight = recurrent.to(precision)
        opened = gates.clone()  # the gates after their nonlinearities
        r = gates.new_empty(count, hidden)
        squashed, output = torch.empty_like(r), torch.empty_like(r)  # tanh r, o(t)
        starts, goes_on = [0], []
        first, last = 0, 1
        for level in range(len(parents) + 1):
            i, f, x, o = (part for part in opened[first:last].split(hidden, dim=1))
            if level:
                # Siblings are neighbours, so one product serves them all.
                before, of_sibling = torch.unique_consecutive(parents[level - 1], return_inverse=True)
                before = before + starts[-2]
                goes_on.append((before, of_sibling))
                product = (output.index_select(0, before).to(precision) @ weight.T).to(gates.dtype)
                opened[first:last] += product.index_select(0, of_sibling)
            opened[first:last, : 2 * hidden].sigmoid_()
            x.tanh_()
            o.sigmoid_()
            here = torch.mul(i, x, out=r[first:last])
            if level:
                here.addcmul_(f, r.index_select(0, parents[level - 1] + starts[-2]))
            torch.tanh(here, out=squashed[first:last])
            torch.mul(o, squashed[first:last], out=output[first:last])
            if level < len(parents):
                starts.append(last)
                first, last = last, last + len(parents[level])
        ctx.save_for_backward(recurrent, opened, r, squashed, output)
        ctx.tree, ctx.precision = (starts, parents, goes_on), precision
        return output

    @staticmethod
    @once_differentiable
    @no_type_check
    def backward(ctx: Any, output_gradient: Tensor):
        recurrent, opened, r, squashed, output = ctx.saved_tensors
        (starts, parents, goes_on), precision = ctx.tree, ctx.precision
        hidden = recurrent.shape[1]
        weight = recurrent.to(precision)
        d_output, d_r, d_gates = output_gradient.clone(), torch.zeros_like(r), torch.empty_like(opened)
        sums = []  # of siblings' gate gradients, per prefix that goes on
        last = len(opened)
        for level in reversed(range(len(starts))):
            part = slice(starts[level], last)
            i, f, x, o = opened[part].split(hidden, dim=1)
            d_i, d_f, d_x, d_o = d_gates[part].split(hidden, dim=1)
            squash, d_h, d_here = squashed[part], d_output[part], d_r[part]
            d_here += d_h * o * (1 - squash * squash)
            torch.mul(d_h * squash, o * (1 - o), out=d_o)
            torch.mul(d_here * x, i * (1 - i), out=d_i)
            torch.mul(d_here * i, 1 - x * x, out=d_x)
            if not level:
                d_f.zero_()  # nothing is there to be forgotten
                break
            before, of_sibling = goes_on[level - 1]
            r_before = r.index_select(0, parents[level - 1] + starts[level - 1])
            torch.mul(d_here * r_before, f * (1 - f), out=d_f)
            siblings = _sums_of_siblings(torch.cat((d_gates[part], d_here * f), dim=1), of_sibling)
            summed, d_before = siblings.split((opened.shape[1], hidden), dim=1)
            sums.append(summed)
            d_output.index_add_(0, before, (summed.to(precision) @ weight).to(opened.dtype))
            d_r.index_add_(0, before, d_before)
            last = starts[level]
        rows = torch.cat([before for before, _ in reversed(goes_on)])
        d_recurrent = torch.cat(sums).to(precision).T @ output.index_select(0, rows).to(precision)
        return d_gates, d_recurrent.to(recurrent.dtype), None, None


def _sums_of_siblings(
    values: Float[Tensor, "level width"], of_sibling: Int[Tensor, " level"]
) -> Float[Tensor, "parents width"]:
    """Add up the rows of neighbours that have the same parent; `of_sibling` rises from 0 without gaps."""
    ids = torch.arange(len(values), device=values.device)
    first = torch.ones_like(ids, dtype=torch.bool)
    first[1:] = of_sibling[1:] != of_sibling[:-1]
    return embedding_bag(ids, values, offsets=ids[first], mode="sum")
