"""What is explained: one number per step of a path, as a differentiable function of the image's features.

Between a trained head and a map of the image (`explain.methods`). Knows no pixels and no encoder.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labelbeam.decoding.step import PathLength, allowed_outcomes
from labelbeam.errors import InputError, unknown_name
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores_torch import SigmoidHead

TARGETS = ("log_prob", "logit", "expected")
"""`log_prob` (default): log p(label | image, labels before it), against the labels still in play.
`logit`: the label's score s(t) before the softmax. With h the identity its gradient does not depend on the labels
before it. `expected`: the average of the scores of the labels still in play, weighted by their probabilities
(END left out): what the model looks at before it has chosen; the paper's attention pictures."""


def step_target(
    logits: Float[Tensor, " outcomes"], allowed: Bool[Tensor, " outcomes"], outcome: int, *, target: str
) -> Float[Tensor, ""]:
    """Return the number to explain for one step of a label model.

    Args:
        logits: of every label, then END, unmasked.
        allowed: outcomes that may come at this step.
        outcome: the one that came.
        target: one of `TARGETS`.

    Raises:
        InputError: another target; an outcome that may not come; `expected` where only END may come.

    Source:
        Wang et al. 2016, attention pictures, for `expected`; read here as: the weights are constants, as for a
        convex combination of the label nodes' own maps.

    Example:
        >>> logits, allowed = torch.tensor([1.0, 3.0, 0.0]), torch.tensor([True, True, False])
        >>> [round(float(step_target(logits, allowed, 1, target=name)), 3) for name in TARGETS]
        [-0.127, 3.0, 2.762]
    """
    check_target(target)
    if not allowed[outcome]:
        raise InputError(f"outcome {outcome} may not come at this step; only labels still in play can.")
    masked = logits.masked_fill(~allowed, -torch.inf)
    if target == "logit":
        return logits[outcome]
    if target == "log_prob":
        return masked.log_softmax(dim=0)[outcome]
    labels = allowed[:-1]
    if not labels.any():
        raise InputError("no label is in play at this step, so 'expected' has nothing to average.")
    weights = masked[:-1][labels].softmax(dim=0).detach()
    return (weights * logits[:-1][labels]).sum()


def path_targets(
    model: CNNRNN,
    features: Float[Tensor, "1 features"],
    path: tuple[int, ...],
    *,
    target: str,
    length: PathLength | None = None,
) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """Return the target of every step of a path, and the step's probability, given the labels before it.

    Args:
        model: the label model.
        features: of one image.
        path: label ids in path order; the outcome `num_labels` stands for END.
        target: one of `TARGETS`.
        length: fewest and most labels of a path, as of the search; None: any.

    Returns:
        Targets, which carry gradients to `features`, and p(step), which does not.

    Raises:
        InputError: a path that the model does not allow, or as `step_target`.
    """
    end = model.num_labels
    logits = model.logits(features, torch.tensor([path], device=features.device))[0]  # [steps outcomes]
    targets, probs = [], []
    for t, outcome in enumerate(path):
        mask = allowed_outcomes(
            np.array([path[:t]], dtype=np.int64).reshape(1, t),
            rule=model.options.allowed,  # type: ignore[arg-type]  # the options checked it
            num_labels=end,
            length=length or PathLength(),
        )
        allowed = torch.from_numpy(mask[0]).to(logits.device)
        targets.append(step_target(logits[t], allowed, outcome, target=target))
        probs.append(logits[t].detach().masked_fill(~allowed, -torch.inf).softmax(dim=0)[outcome])
    return torch.stack(targets), torch.stack(probs)


def label_targets(
    head: SigmoidHead, features: Float[Tensor, "1 features"], labels: tuple[int, ...], *, target: str
) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """Return the target of labels of a sigmoid head, which says each by itself, and their probabilities.

    Args:
        head: the head.
        features: of one image.
        labels: label ids.
        target: `logit` or `log_prob`; their maps differ by a factor only, since labels do not compete here.

    Raises:
        InputError: another target.
    """
    check_target(target)
    if target == "expected":
        raise InputError(
            "a sigmoid head has no steps: the target 'expected' would be one map for all labels. "
            "Ask for log_prob or logit."
        )
    logits = head.logits(features)[0, list(labels)]
    probs = torch.sigmoid(logits.detach())
    return (logits if target == "logit" else torch.nn.functional.logsigmoid(logits)), probs


def check_target(target: str) -> None:
    """Refuse an unknown target.

    Raises:
        InputError: it is not one of `TARGETS`; the nearest is proposed.
    """
    if target not in TARGETS:
        raise unknown_name("target", target, TARGETS)
