"""What to add to an image, given what a person accepted and rejected; which image a person should look at first.

Three mechanisms give p(label | image, accepted, rejected): features and evidence in, columns of scores out.
`runs.suggestions` asks one for one image, `runs.run_directory` measures them against each other. `research/worth.py`
measures the order of images against random order (research/by_hand.md). Knows no label name, file or project.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from labelbeam.decoding.evidence import conditional_marginals
from labelbeam.heads.label_scores import TrainedAnySubset
from labelbeam.labels.vocabulary import ByLabel, Features, PerImage, Targets
from labelbeam.predict.answers import Answerer
from labelbeam.predict.label_model import LabelModelAnswerer

LIKELIHOOD_WEIGHTING = "likelihood-weighting"
ANY_SUBSET = "any-subset"
SIGMOID = "sigmoid"

EXPANSIONS, SAMPLES = 32, 100
"""Of one click: within 20 ms on one thread with 80 labels (`benchmarks/suggest.py`)."""


@dataclass(frozen=True)
class Conditionals:
    """Scores of every label of every image, given evidence about the others.

    Attributes:
        mechanism: what made them.
        score: p(label | image, evidence), float64 [images labels]; 1 and 0 for accepted and rejected labels.
        low: hard lower bounds.
        high: hard upper bounds.
        stderr: standard errors; 0 where nothing was sampled.
        evidence: p(evidence | image), where the mechanism gives it.
        effective_samples: how many equal samples the scores rest on, where any were drawn.
        notes: what to know before trusting an image's scores; empty: nothing.
    """

    mechanism: str
    score: ByLabel
    low: ByLabel
    high: ByLabel
    stderr: ByLabel
    evidence: PerImage | None = None
    effective_samples: PerImage | None = None
    notes: tuple[str, ...] = ()


def by_search(answerer: LabelModelAnswerer, features: Features, evidence: Targets) -> Conditionals:
    """Condition a label model's own distribution; see `decoding.evidence`.

    Raises:
        InputError: evidence that the model holds impossible.
    """
    found = conditional_marginals(
        answerer.trie,
        answerer.step.image_rows(features),
        evidence,
        expansions=EXPANSIONS,
        samples=SAMPLES,
        seed=answerer.search.seed,
    )
    return Conditionals(
        LIKELIHOOD_WEIGHTING,
        found.score,
        found.low,
        found.high,
        found.stderr,
        found.evidence,
        found.effective_samples,
        tuple(found.statement(image) for image in range(len(found))),
    )


def by_head(head: TrainedAnySubset, features: Features, evidence: Targets) -> Conditionals:
    """Ask a head that was trained with labels revealed at random; one pass, no sampling."""
    score = head.conditional(features, evidence)
    return Conditionals(ANY_SUBSET, score, score, score, np.zeros_like(score))


def without_evidence(answerer: Answerer, features: Features) -> Conditionals:
    """Return the scores of a head that knows each label by itself: evidence changes nothing."""
    score = answerer.answer(features).scores.astype(np.float64)
    return Conditionals(SIGMOID, score, score, score, np.zeros_like(score))


COMPARED = 1000
"""Photographs of the greatest worth that are spread; the rest follow by worth. It takes seconds, however many."""


def label_entropies(scores: ByLabel) -> ByLabel:
    """Return the entropy of each label by itself: the information of a yes or no, in nats.

    Args:
        scores: p(label | image), in [0, 1].

    Example:
        >>> label_entropies(np.array([[0.5, 0.0, 1.0]])).round(3).tolist()
        [[0.693, 0.0, 0.0]]
    """
    p = np.clip(scores.astype(np.float64), 1e-12, 1 - 1e-12)
    return -(p * np.log(p) + (1 - p) * np.log1p(-p))


def rare_positives(scores: ByLabel, counts: Int[np.ndarray, " labels"]) -> PerImage:
    """Return how much each image is expected to add to the labels' positives, on a logarithmic scale.

    As if a label's average precision grew with the logarithm of its number of positives: a further one adds
    log(n + 2) - log(n + 1) to a label that has n, much to a rare one, little to a frequent one.

    Args:
        scores: p(label | image), in [0, 1].
        counts: positives that each label has already.

    Example:
        >>> rare_positives(np.array([[0.5, 0.0], [0.0, 0.5]]), np.array([0, 98])).round(3).tolist()
        [0.347, 0.005]
    """
    return scores.astype(np.float64) @ np.log((counts + 2) / (counts + 1))


def order_by_worth(worth: PerImage) -> Int[np.ndarray, " images"]:
    """Return the images, most worth first, equals in the given order.

    Example:
        >>> order_by_worth(np.array([0.1, 0.5, 0.1])).tolist()
        [1, 0, 2]
    """
    return np.argsort(-worth, kind="stable").astype(np.int64)


def spread_order(
    worth: PerImage, features: Features, *, labelled: Iterable[int] = (), compared: int = COMPARED
) -> Int[np.ndarray, " images"]:
    """Return the images so that each next one is worth much and unlike all before it and all labelled ones.

    Each next one has the greatest worth times distance, the distance being 1 - max(0, cosine) to the nearest image that
    was taken already, features less their mean. So of near duplicates one comes early and the others late.

    Args:
        worth: at least 0.
        features: what the encoder says of the images; half or single precision.
        labelled: images that have their labels; they are in the order too, at the place that their worth gives them.
        compared: how many, of the greatest worth, are spread; the others follow by worth.

    Example:
        >>> burst = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [-1.0, -2.0]])
        >>> spread_order(np.array([0.9, 0.8, 0.7, 0.1]), burst).tolist()
        [0, 2, 3, 1]
    """
    by_worth = order_by_worth(worth)
    spread, rest = by_worth[:compared], by_worth[compared:]
    if not len(spread):
        return by_worth
    mean = features.mean(axis=0, dtype=np.float64)
    rows, taken = (_directions(features[which] - mean) for which in (spread, list(labelled)))
    nearest = (rows @ taken.T).max(axis=1, initial=0.0)
    open_, order = np.ones(len(spread), dtype=bool), []
    while open_.any():
        best = int(np.where(open_, worth[spread] * np.maximum(1 - nearest, 0), -1.0).argmax())
        order.append(best)
        open_[best] = False
        np.maximum(nearest, rows @ rows[best], out=nearest)
    return np.concatenate((spread[order], rest))


def _directions(rows: np.ndarray) -> np.ndarray:
    """Return rows of length 1, single precision; a row of zeros stays one."""
    rows = rows.astype(np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
