"""How well a sum over the labels said so far can do in this world, however it is trained: the optimum, with its proof.

No RNN's logits are a row for every label said so far, added up, plus a row of the image. The best rows are a convex
programme, small enough to be solved for the whole world. Knows nothing of pixels, of training or of models.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from labelbeam.scenes.bayes import TrueDistribution, population


@dataclass(frozen=True)
class BestSum:
    """The best expected log-likelihood of a sum, in nats per picture.

    Attributes:
        reached: that of the rows that were found.
        bound: no sum has more; at the optimum it is what was reached.
    """

    reached: float
    bound: float


def best_sum(truth: TrueDistribution | None = None, *, tolerance: float = 1e-6) -> BestSum:
    """Find how well the best sum predicts the label sets of some pictures, labels said most frequent first.

    Generous on purpose: the image's row may be any function of the picture's cues, and what cannot come next in this
    picture after these labels is taken away for nothing. A real model is below.

    Newton's method on the log-likelihood; its last step is also the proof. Let p be the truth and p_θ what rows θ
    say. A distribution q of what comes next that agrees with p in the mean of all that rows are added up for has
    E_p log p_θ = E_q log p_θ <= E_q log q, for every θ (maximum entropy is the dual of maximum likelihood); and
    q = p_θ (1 + what the step adds to the logits, centred) agrees, because that is the step's own equation.

    Args:
        truth: the pictures; the whole world (`bayes.population`) where not given.
        tolerance: nats by which the bound may exceed what was reached.

    Returns:
        What was reached and the bound, which holds up to rounding.

    Raises:
        ArithmeticError: no proof after 100 steps.

    Example:
        >>> world = population()
        >>> best_sum(world).bound < -0.3 - float(world.weights @ world.entropies)
        True
    """
    from scipy.sparse import csr_matrix, diags_array
    from scipy.sparse.linalg import lsmr

    mass, node, rows, columns = _outcomes(population() if truth is None else truth)
    if not len(mass):
        return BestSum(0.0, 0.0)  # nothing is left open
    added = csr_matrix(
        (np.ones(len(rows)), (rows, columns))
    )  # [outcomes parameters]: what rows are added up for
    starts, here = np.flatnonzero(np.diff(node, prepend=-1)), np.bincount(node, mass)
    within = csr_matrix((np.ones(len(node)), (node, np.arange(len(node)))))  # [nodes outcomes]
    theta = np.zeros(added.shape[1])
    for _ in range(100):
        logits = added @ theta
        logits -= np.maximum.reduceat(logits, starts)[node]
        log_said = logits - np.log(within @ np.exp(logits))[node]
        said = here[node] * np.exp(log_said)
        means = diags_array(1 / here) @ within @ diags_array(said) @ added
        centred = (added - means[node]).tocsr()
        weights = np.sqrt(said)
        step = lsmr(
            diags_array(weights) @ centred, (mass - said) / weights, atol=1e-15, btol=1e-15, maxiter=20_000
        )[0]
        change = centred @ step
        agreeing = said * (1 + change)
        if change.min() > -1 and np.abs(added.T @ (mass - agreeing)).max() < 1e-10:
            found = BestSum(float(mass @ log_said), float(agreeing @ np.log(agreeing / here[node])))
            if found.bound - found.reached <= tolerance:
                return found
        theta += step / max(1.0, np.abs(change).max())
    raise ArithmeticError("the best sum was not found in 100 steps of Newton's method.")


def _outcomes(
    truth: TrueDistribution,
) -> tuple[
    Float[np.ndarray, " outcomes"],
    Int[np.ndarray, " outcomes"],
    Int[np.ndarray, " entries"],
    Int[np.ndarray, " entries"],
]:
    """All that may come next where more than one thing may: probability, node, and the parameters that speak for it.

    A node is a picture and the labels said so far. The parameters come as (outcome, parameter) pairs.
    """
    order = np.argsort(-(truth.weights @ truth.marginals).round(12), kind="stable")
    end = len(order)
    nodes: dict[tuple[int, tuple[int, ...]], dict[int, float]] = {}
    for image, present, chance in zip(truth.image.tolist(), truth.sets[:, order], truth.probs, strict=True):
        path = (*np.flatnonzero(present).tolist(), end)
        for i, outcome in enumerate(path):
            after = nodes.setdefault((image, path[:i]), {})
            after[outcome] = after.get(outcome, 0.0) + float(truth.weights[image] * chance)
    mass: list[float] = []
    node: list[int] = []
    pairs: list[tuple[int, tuple[int, int]]] = []
    for (image, said), after in nodes.items():
        if len(after) == 1:
            continue  # certain, whatever the rows say
        number = node[-1] + 1 if node else 0
        for outcome, chance in after.items():
            pairs += [(len(mass), (speaker, outcome)) for speaker in (*said, end + image)]
            mass.append(chance)
            node.append(number)
    names = {name: i for i, name in enumerate(dict.fromkeys(name for _, name in pairs))}
    entries = np.array([(outcome, names[name]) for outcome, name in pairs], dtype=np.int64).reshape(-1, 2)
    return np.array(mass), np.array(node, dtype=np.int64), entries[:, 0], entries[:, 1]
