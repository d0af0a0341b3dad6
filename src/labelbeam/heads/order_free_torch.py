"""Losses of a label model that prescribe no order: which label is taught at which step is settled by the model.

They read the model's log-probabilities along a path of its own choice (`CNNRNN.own_run`), unknown labels masked out
already. Pure functions of arrays; they know no model.
"""

import numpy as np
import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor
from torch.nn.functional import one_hot

from labelbeam.labels.vocabulary import PRESENT

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
    from scipy.optimize import linear_sum_assignment

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
            taught[image, steps] = np.array(missing)[linear_sum_assignment(costs)[1]]
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
