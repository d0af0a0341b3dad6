"""Losses of a label model that prescribe no order: which label is taught at which step is settled by the model."""

import numpy as np
import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor
from torch.nn.functional import one_hot

from labelbeam.labels.vocabulary import PRESENT

# The cheapest one-to-one assignment of rows to columns, exact (the Hungarian method).
#
# Some labels to as many steps: a few rows at most, so an import of scipy is not worth it. Knows only numbers.


def cheapest_assignment(costs: Float[np.ndarray, "rows rows"]) -> Int[np.ndarray, " rows"]:
    """Return each row's column, so that the sum of the costs is the least possible.

    Rows are added one by one; each takes the shortest augmenting path under costs reduced by the prices of rows and
    columns, which keeps them from being negative. Time grows with the cube of the rows.

    Args:
        costs: finite.

    Source:
        Kuhn 1955, in the form of Jonker and Volgenant 1987.

    Example:
        >>> cheapest_assignment(np.array([[4.0, 1.0], [2.0, 3.0]])).tolist()
        [1, 0]
    """
    size = len(costs)
    row_prices, column_prices = np.zeros(size), np.zeros(size)
    row_of = np.full(size, -1)
    for added in range(size):
        distance, before = np.full(size, np.inf), np.full(size, -1)
        done = np.zeros(size, dtype=bool)
        row, last, length = added, -1, 0.0
        while True:
            through = length + costs[row] - row_prices[row] - column_prices
            nearer = ~done & (through < distance)
            distance[nearer], before[nearer] = through[nearer], last
            last = int(np.where(done, np.inf, distance).argmin())
            length = distance[last]
            done[last] = True
            if row_of[last] < 0:
                break
            row = row_of[last]
        # Prices along the tree of shortest paths; the free column's own does not change.
        row_prices[added] += length
        for column in np.flatnonzero(done):
            gain = length - distance[column]
            column_prices[column] -= gain
            if row_of[column] >= 0:
                row_prices[row_of[column]] += gain
        while last >= 0:
            earlier = before[last]
            row_of[last] = row_of[earlier] if earlier >= 0 else added
            last = earlier
    columns = np.empty(size, dtype=np.int64)
    columns[row_of] = np.arange(size)
    return columns


# Losses of a label model that prescribe no order: which label is taught at which step is settled by the
# model.
#
# They read the model's log-probabilities along a path of its own choice (`CNNRNN.own_run`), unknown labels
# masked out already. Pure functions of arrays; they know no model.

FORBIDDEN = 1e6
"""Cost of a label at a step where it was emitted before: more than any sum of real costs."""


def aligned_nats(
    log_probs: Float[Tensor, "batch steps outcomes"],
    emitted: Int[Tensor, "batch paths"],
    targets: Int8[Tensor, "batch labels"],
    *,
    keep_hits: bool,
) -> Float[Tensor, " batch"]:
    """Return the cross-entropy of the n present labels, each at a step of its own among the first n, then END.

    MLA (`keep_hits` false) takes the cheapest alignment of labels and steps. PLA first leaves every present label that
    the model emitted where it was emitted, and aligns the others with the steps that are left.

    Args:
        log_probs: of every outcome at every step, END last; -inf where not allowed.
        emitted: the labels that the model emitted, one fewer than steps; those after an image's n-th do not matter.
        targets: 1 present, 0 absent, -1 unknown.
        keep_hits: PLA instead of MLA.

    Returns:
        Nats per image.

    Source:
        Yazici et al. 2020, Orderless recurrent models for multi-label classification, eq. 6 to 9 (MLA and PLA). Here
        END is not emitted while labels are missing, none twice, and the softmax is masked accordingly.
    """
    taught = taught_labels(log_probs.detach(), emitted, targets, keep_hits=keep_hits)
    chosen = log_probs.gather(2, taught.clamp(min=0)[:, :, None])[:, :, 0]  # [batch steps]
    return -chosen.masked_fill(taught < 0, 0.0).sum(dim=1)


def taught_labels(
    log_probs: Float[Tensor, "batch steps outcomes"],
    emitted: Int[Tensor, "batch paths"],
    targets: Int8[Tensor, "batch labels"],
    *,
    keep_hits: bool,
) -> Int[Tensor, "batch steps"]:
    """Return which label each step is taught: the alignment, then END, then -1. Arguments as `aligned_nats`."""
    nats = -log_probs.double().cpu().numpy()
    paths, present = emitted.cpu().numpy(), (targets == PRESENT).cpu().numpy()
    taught = np.full(nats.shape[:2], -1, dtype=np.int64)
    for image, row in enumerate(present):
        missing, steps = [int(label) for label in np.flatnonzero(row)], list(range(row.sum()))
        taught[image, len(steps)] = present.shape[1]
        if keep_hits:
            for step, label in enumerate(paths[image, : len(steps)]):
                if label in missing:
                    taught[image, step] = label
                    missing.remove(int(label))
                    steps.remove(step)
        if missing:
            costs = np.minimum(nats[image][np.ix_(steps, missing)], FORBIDDEN)
            taught[image, steps] = np.array(missing)[cheapest_assignment(costs)]
    return torch.from_numpy(taught).to(log_probs.device)


def remaining_set_nats(
    log_probs: Float[Tensor, "batch steps outcomes"],
    emitted: Int[Tensor, "batch paths"],
    targets: Int8[Tensor, "batch labels"],
) -> Float[Tensor, " batch"]:
    """Return the cross-entropy with "any of the present labels not emitted yet, alike"; END when none is left.

    Along a path of present labels, the most probable one first, this is the loss of an order drawn at random, its
    expectation over the next label taken.

    Args:
        log_probs: of every outcome at every step, END last; -inf where not allowed.
        emitted: present labels as the model emitted them; those after an image's n-th do not matter.
        targets: 1 present, 0 absent, -1 unknown.

    Returns:
        Nats per image.

    Source:
        Dutta, Verma, Jawahar 2020, Recurrent image annotation with explicit inter-label dependencies: every step is
        taught all labels not emitted yet. Theirs are a sigmoid per label and step without END, fed with its own
        guesses, right or wrong; here it is one softmax with END, which the searches need, fed with right guesses only.
    """
    present = targets == PRESENT
    num_labels, sizes = present.shape[1], present.sum(dim=1)
    total, remaining = log_probs.new_zeros(len(targets)), present.clone()
    for step in range(log_probs.shape[1]):
        going = step < sizes
        shares = remaining.sum(dim=1).clamp(min=1)
        labels = log_probs[:, step, :-1].masked_fill(~remaining, 0.0).sum(dim=1) / shares
        end = torch.where(sizes == step, log_probs[:, step, num_labels], 0.0)
        total = total - torch.where(going, labels, end)
        if step < emitted.shape[1]:
            remaining = remaining & ~(one_hot(emitted[:, step], num_labels) > 0)
    return total
