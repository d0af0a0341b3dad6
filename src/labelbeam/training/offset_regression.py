"""Logistic regression with offsets: what one new label costs when everything else of a model stays as it is.

With the old parameters fixed, the odds that a label model says a new label K at a step are exp(x_t . u_K - a_t), where
x_t is the joint embedding and a_t the log-sum-exp of the old allowed outcomes; its log-likelihood in u_K is that of
a logistic regression with offset -a_t, which is concave: one best row, found by Newton's method, nothing to tune but
the penalty, which cross-validation chooses. For a sigmoid head the offset is 0. Knows no model and no file.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError

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
        inputs: one row per decision.
        offsets: log-odds to which the fitted ones are added.
        present: what came.
        groups: rows of one image are kept in one fold.
        bias: whether there is a bias, which no penalty touches.
        seed: of the folds.

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
        while (then := loss(w - size * step)) > now and size > 1e-6:
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
