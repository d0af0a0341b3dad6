"""One more label for a trained head, everything else as it was: a logistic regression with offsets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError
from labelbeam.heads.label_model import TrainedLabelModel, per_label_row
from labelbeam.heads.label_scores import TrainedAnySubset, TrainedSigmoid
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, Features, Targets

# With the old parameters fixed, the odds that a label model says a new label K at a step are exp(x_t . u_K - a_t),
# where x_t is the joint embedding and a_t the log-sum-exp of the old allowed outcomes; its log-likelihood in u_K is
# that of a logistic regression with offset -a_t, which is concave: one best row, found by Newton's method, nothing to
# tune but the penalty, which cross-validation chooses. For a sigmoid head the offset is 0.

PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""Weights of half the squared length that are tried."""

FOLDS = 5

MOST_STEPS = 50


@dataclass(frozen=True)
class OffsetRegression:
    """A fitted row.

    Attributes:
        weights: [inputs].
        bias: 0 where none was asked for.
        penalty: the chosen one of `PENALTIES`.
        held_out: log-odds of every row by the fit that did not see its group, [rows].
        log_loss: of those, mean nats per row.
        base_log_loss: of the share of positive rows, whatever the inputs say, mean nats per row.
    """

    weights: Float[np.ndarray, " inputs"]
    bias: float
    penalty: float
    held_out: Float[np.ndarray, " rows"]
    log_loss: float
    base_log_loss: float


def fit_offset_regression(
    inputs: Float[np.ndarray, "rows inputs"],
    offsets: Float[np.ndarray, " rows"],
    present: Bool[np.ndarray, " rows"],
    *,
    groups: Int[np.ndarray, " rows"],
    bias: bool,
    seed: int = 0,
) -> OffsetRegression:
    """Fit p(present) = sigmoid(inputs . weights + bias + offsets), the penalty chosen by 5-fold cross-validation.

    Args:
        offsets: log-odds to which the fitted ones are added.
        groups: rows of one image are kept in one fold.
        bias: whether there is a bias, which no penalty touches.

    Raises:
        InputError: fewer than `FOLDS` groups with a positive row, or without one.

    Example:
        >>> x, rng = np.linspace(-2, 2, 200)[:, None], np.random.default_rng(0)
        >>> y = rng.random(200) < 1 / (1 + np.exp(-(2 * x[:, 0] + 1 - 0.5)))
        >>> found = fit_offset_regression(x, np.full(200, -0.5), y, groups=np.arange(200), bias=True)
        >>> bool(abs(found.weights[0] - 2) < 0.6 and found.log_loss < found.base_log_loss)
        True
    """
    positive = np.unique(groups[present])
    negative = np.setdiff1d(groups, positive)
    if min(len(positive), len(negative)) < FOLDS:
        raise InputError(
            f"a new label needs at least {FOLDS} images that have it and {FOLDS} that have not; given "
            f"{len(positive)} and {len(negative)}."
        )
    # The best row is a combination of the rows given, and its length is the same in the coordinates of an orthonormal
    # basis of them: with fewer rows than inputs everything is found there.
    basis = _basis(inputs.astype(np.float64))
    columns = inputs.astype(np.float64) @ basis
    if bias:
        columns = np.column_stack((columns, np.ones(len(inputs))))
    penalised = np.ones(columns.shape[1])
    if bias:
        penalised[-1] = 0.0
    fold = _folds(positive, negative, groups, seed)
    losses, held_out = [], []
    for penalty in PENALTIES:
        logits = np.empty(len(columns))
        for one in range(FOLDS):
            kept, out = fold != one, fold == one
            weights = _newton(columns[kept], offsets[kept], present[kept], penalty * penalised)
            logits[out] = columns[out] @ weights + offsets[out]
        held_out.append(logits)
        losses.append(float(_nats(logits, present).mean()))
    best = int(np.argmin(losses))
    weights = _newton(columns, offsets, present, PENALTIES[best] * penalised)
    share = present.mean()
    return OffsetRegression(
        basis @ weights[: basis.shape[1]],
        float(weights[-1]) if bias else 0.0,
        PENALTIES[best],
        held_out[best],
        losses[best],
        float(-(share * np.log(share) + (1 - share) * np.log1p(-share))),
    )


def _basis(rows: np.ndarray) -> np.ndarray:
    """Return orthonormal columns that span the rows; the identity where there are as many rows as inputs."""
    if len(rows) >= rows.shape[1]:
        return np.eye(rows.shape[1])
    return np.linalg.qr(rows.T)[0]


def _folds(positive: np.ndarray, negative: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Return each row's fold; groups with a positive row are spread evenly, and so are the others."""
    rng = np.random.default_rng(seed)
    fold_of = {}
    for names in (positive, negative):
        for place, group in enumerate(rng.permutation(names).tolist()):
            fold_of[group] = place % FOLDS
    return np.array([fold_of[group] for group in groups.tolist()])


def _newton(x: np.ndarray, offsets: np.ndarray, y: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Return the minimum of the penalised loss; a step that does not lower it is halved."""
    w = np.zeros(x.shape[1])

    def loss(w: np.ndarray) -> float:
        return float(_nats(x @ w + offsets, y).sum() + 0.5 * (penalty * w * w).sum())

    now = loss(w)
    for _ in range(MOST_STEPS):
        p = 0.5 * (1 + np.tanh(0.5 * (x @ w + offsets)))
        gradient = x.T @ (p - y) + penalty * w
        curvature = (x * (p * (1 - p))[:, None]).T @ x
        curvature[np.diag_indices_from(curvature)] += penalty + 1e-9
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (then := loss(w - size * step)) > now and size > 1e-12:
            size /= 2
        if then > now:
            break
        w, gained, now = w - size * step, now - then, then
        if gained < 1e-9 * (1 + now):
            break
    return w


def _nats(logits: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Return -log p of what came, row by row."""
    nats: np.ndarray = np.logaddexp(0.0, logits) - np.where(present, logits, 0.0)
    return nats


# The new label becomes the last in label order. Of a label model it needs a row of U_l, which the recurrence reads only
# after every other label, and a number of its own in the joint space, whose other numbers hold what the old labels need
# of an image. Of a sigmoid head it is a row of the last layer. The functions above find the numbers.


@dataclass(frozen=True)
class Decisions:
    """Where a head would have to say the new label or not.

    Attributes:
        inputs: what the new row is multiplied with.
        offsets: log-odds that are added.
        image: row of the image of each decision.
        last: whether the label, if the image has it, comes at this decision.
        judged: of each image the decision by which the label is judged.
    """

    inputs: Float[np.ndarray, "decisions inputs"]
    offsets: Float[np.ndarray, " decisions"]
    image: Int[np.ndarray, " decisions"]
    last: Bool[np.ndarray, " decisions"]
    judged: Int[np.ndarray, " images"]


@dataclass(frozen=True)
class NewLabel:
    """How a kind of head gets one more label.

    Attributes:
        decisions: from the head, features, the old labels as they are taken (1 present, 0 absent) and as evidence
            (also -1 unknown) to the decisions that the new row is fitted to.
        grown: from the head, the fitted row and its bias to the head's arrays with the label.
        bias: whether the new row has a bias.
        own_inputs: from the head and features to what the label's score by itself is fitted to; None: the head has no
            such scores beside its distribution.
    """

    decisions: Callable[[Any, np.ndarray, np.ndarray, np.ndarray], Decisions]
    grown: Callable[[Any, np.ndarray, float], dict[str, np.ndarray]]
    bias: bool
    own_inputs: Callable[[Any, np.ndarray], np.ndarray | None] = lambda head, features: None


def decisions_of_label_model(head: TrainedLabelModel, features: Features, targets: Targets) -> Decisions:
    """Return every step of every image's path: at each the new label might come, at the last one it should.

    At step t the odds of the new label K are exp(x_t . u_K + v . w) to the sum over the old allowed outcomes of
    exp(s(t)), with v what U_I reads of the image: the inputs are x_t and v, side by side.

    Args:
        targets: old labels, 1 present, 0 absent; in label order.
    """
    inputs, offsets, image, last = [], [], [], []
    ids, read = np.arange(head.num_labels + 1), head.before_projection(features)
    own = head.per_label_logits(features) if head.options.scores_labels else None
    for row in range(len(targets)):
        path = np.flatnonzero(targets[row] == PRESENT)
        points = head.joint_points(features[row : row + 1], path)  # [steps embedding]
        logits = (points @ head.U_l.T).astype(np.float64)
        z = None if own is None else own[row : row + 1]
        if z is not None and head.options.per_label:
            logits[:, :-1] += per_label_row(z, canonical=head.allowed == "canonical")
        if z is not None and head.nothing is not None:
            logits[:1, -1] = head.end_logit(head.nothing.log_odds(z), logits[:1, :-1])
        for step, one in enumerate(logits):
            allowed = np.ones(len(ids), dtype=bool)
            if head.allowed == "canonical" and step:
                allowed = ids > path[step - 1]
            elif head.allowed == "no-repeat":
                allowed[path[:step]] = False
            offsets.append(-np.logaddexp.reduce(one[allowed]))
        inputs.append(np.hstack((points, np.repeat(read[row : row + 1], len(points), axis=0))))
        image += [row] * len(points)
        last += [False] * len(path) + [True]
    at_end = np.array(last)
    return Decisions(
        np.concatenate(inputs), np.array(offsets), np.array(image), at_end, np.flatnonzero(at_end)
    )


def decisions_of_sigmoid(head: TrainedSigmoid, features: Features) -> Decisions:
    """Return one decision per image."""
    rows = np.arange(len(features))
    return Decisions(
        head.before_last(features), np.zeros(len(rows)), rows, np.ones(len(rows), dtype=bool), rows
    )


def decisions_of_any_subset(head: TrainedAnySubset, features: Features, targets: Targets) -> Decisions:
    """Return two decisions per image: without evidence about the old labels, and with all there is.

    Args:
        targets: old labels, 1 present, 0 absent, -1 unknown.
    """
    rows = np.arange(len(features))
    nothing = np.full_like(targets, UNKNOWN)
    inputs = np.concatenate([head.before_last_given(features, evidence) for evidence in (nothing, targets)])
    return Decisions(inputs, np.zeros(len(inputs)), np.tile(rows, 2), np.ones(len(inputs), dtype=bool), rows)


def label_model_with(head: TrainedLabelModel, weights: Float[np.ndarray, " inputs"]) -> dict[str, np.ndarray]:
    """Return a label model's arrays with one more label, the last before END.

    The joint space grows by one number, v . w, which only the new label's score reads; with h = ReLU by two, since
    max(a, 0) - max(-a, 0) = a. Scores of the old labels and END are the same at every step.

    Args:
        weights: of the inputs of `decisions_of_label_model`.
    """
    old, size = dict(head.arrays), head.options.embedding_size
    signs = np.array([1.0] if head.additive else [1.0, -1.0])
    more = len(signs)

    def widened(name: str, *, rows: int = 0, columns: int = 0) -> np.ndarray:
        return np.pad(old[name], ((0, rows), (0, columns)))

    grown = {
        "U_l": np.insert(
            widened("U_l", columns=more), head.num_labels, np.concatenate((weights[:size], signs)), axis=0
        ),
        "start": widened("start", columns=more),
        # Without recurrence the output is a sum of embeddings, as wide as they are.
        "U_o.weight": widened("U_o.weight", rows=more, columns=more if head.options.cell == "none" else 0),
        "U_I.weight": np.vstack((old["U_I.weight"], signs[:, None] * weights[size:])),
    }
    if "cell.from_label.weight" in old:
        grown["cell.from_label.weight"] = widened("cell.from_label.weight", columns=more)
    if head.options.scores_labels:  # z of the new label is none: it changes nothing of the old ones
        grown["per_label.weight"] = widened("per_label.weight", rows=1)
        grown["per_label.bias"] = np.append(old["per_label.bias"], -np.inf)
    if "added.weight" in old:  # another one before it
        grown["added.weight"] = widened("added.weight", rows=1)
        grown["added.bias"] = np.append(old["added.bias"], 0.0)
    if head.local is not None:
        grown["local.weight"] = widened("local.weight", rows=1)
    return {**old, **{name: array.astype(np.float32) for name, array in grown.items()}}


def with_own_score(
    arrays: dict[str, np.ndarray], row: Float[np.ndarray, " width"], bias: float
) -> dict[str, np.ndarray]:
    """Return a label model's arrays with the score by itself of the label that was added last."""
    labels, width = arrays["per_label.weight"].shape
    weights = np.array(arrays.get("added.weight", np.zeros((labels, width), np.float32)))
    biases = np.array(arrays.get("added.bias", np.zeros(labels, np.float32)))
    weights[-1], biases[-1] = row, bias
    return {**arrays, "added.weight": weights, "added.bias": biases}


def sigmoid_with(
    head: TrainedSigmoid, row: Float[np.ndarray, " width"], bias: float
) -> dict[str, np.ndarray]:
    """Return a sigmoid head's arrays with one more label."""
    arrays = dict(head.arrays)
    arrays["last.weight"] = np.vstack((arrays["last.weight"], row)).astype(np.float32)
    arrays["last.bias"] = np.append(arrays["last.bias"], bias).astype(np.float32)
    if "local.weight" in arrays:  # places of the picture say nothing of the new label
        arrays["local.weight"] = np.pad(arrays["local.weight"], ((0, 1), (0, 0)))
    return arrays


def any_subset_with(
    head: TrainedAnySubset, row: Float[np.ndarray, " width"], bias: float
) -> dict[str, np.ndarray]:
    """Return an any-subset head's arrays with one more label; knowing it does not change the others' scores."""
    arrays = sigmoid_with(head, row, bias)
    present_absent = [head.num_labels, 2 * head.num_labels]  # the new label's columns in each half
    arrays["from_known.weight"] = np.insert(arrays["from_known.weight"], present_absent, 0.0, axis=1)
    return arrays


OF_LABEL_MODEL = NewLabel(
    lambda head, features, taken, evidence: decisions_of_label_model(head, features, taken),
    lambda head, row, bias: label_model_with(head, row),
    bias=False,
    own_inputs=lambda head, features: head.before_projection(features) if head.options.per_label else None,
)
OF_SIGMOID = NewLabel(
    lambda head, features, taken, evidence: decisions_of_sigmoid(head, features), sigmoid_with, bias=True
)
OF_ANY_SUBSET = NewLabel(
    lambda head, features, taken, evidence: decisions_of_any_subset(head, features, evidence),
    any_subset_with,
    bias=True,
)
