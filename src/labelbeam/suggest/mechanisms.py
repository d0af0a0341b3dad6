"""The mechanisms behind suggestions: three ways to p(label | image, accepted, rejected), for a batch of images.

Features and evidence in, columns of scores out. `runs.suggestions` asks one for one image, `runs.run_directory`
measures them against each other. Knows no label name.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.decoding.evidence import conditional_marginals
from labelbeam.heads.label_scores import TrainedAnySubset
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
    score: Float[np.ndarray, "images labels"]
    low: Float[np.ndarray, "images labels"]
    high: Float[np.ndarray, "images labels"]
    stderr: Float[np.ndarray, "images labels"]
    evidence: Float[np.ndarray, " images"] | None = None
    effective_samples: Float[np.ndarray, " images"] | None = None
    notes: tuple[str, ...] = ()


def by_search(
    answerer: LabelModelAnswerer,
    features: Float[np.ndarray, "images features"],
    evidence: Int8[np.ndarray, "images labels"],
) -> Conditionals:
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


def by_head(
    head: TrainedAnySubset,
    features: Float[np.ndarray, "images features"],
    evidence: Int8[np.ndarray, "images labels"],
) -> Conditionals:
    """Ask a head that was trained with labels revealed at random; one pass, no sampling."""
    score = head.conditional(features, evidence)
    return Conditionals(ANY_SUBSET, score, score, score, np.zeros_like(score))


def without_evidence(answerer: Answerer, features: Float[np.ndarray, "images features"]) -> Conditionals:
    """Return the scores of a head that knows each label by itself: evidence changes nothing."""
    score = answerer.answer(features).scores.astype(np.float64)
    return Conditionals(SIGMOID, score, score, score, np.zeros_like(score))
