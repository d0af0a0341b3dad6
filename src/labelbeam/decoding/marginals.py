"""Per-label scores of a sequence model: marginals with hard bounds, an estimate and its standard error.

p(l | image) lies between the mass of all prefixes met that contain l, and that plus the mass of open prefixes
that may still gain it. Between the bounds the estimate is the certain mass plus the sampled share of the open
mass. The paper leaves open where per-label scores come from (C.1 row 15); this is our answer. Knows the trie
and image rows; `expansion` grows the tree, `OpenEstimate` samples what it leaves open.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.decoding.best_first import (
    NEGLIGIBLE,
    CertifiedPaths,
    batch_size,
    can_compile,
    certificates,
    check_budget,
    expanded,
    no_worse_than_beams,
)
from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.open_estimate import OpenEstimate, RuledEstimate, trusted
from labelbeam.decoding.paths import checked_rows, in_halves, joined
from labelbeam.decoding.random_numbers import check_streams
from labelbeam.decoding.search import choose_backend
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError


@dataclass(frozen=True)
class Marginals:
    """Marginal probability of every label of every image.

    Attributes:
        score: float64 [images labels], the estimate, within the bounds.
        low: float64 [images labels], hard lower bound, rounding of the model's numbers included.
        high: float64 [images labels], hard upper bound.
        stderr: float64 [images labels], standard error of the estimate before it is clipped to the bounds;
            0 where nothing was sampled because nothing is open.
        exact: bool [images], nothing but rounding is between the bounds of any label (NEGLIGIBLE).
        samples: int64 [images], how many were drawn.
        paths: the best path that the same search met, with its certificate and number of expansions.
        kept: float64 [images], estimate of the probability that the trie's rules are kept, which the marginals are
            conditioned on; 1 where there are none.
    """

    score: Float[np.ndarray, "images labels"]
    low: Float[np.ndarray, "images labels"]
    high: Float[np.ndarray, "images labels"]
    stderr: Float[np.ndarray, "images labels"]
    exact: Bool[np.ndarray, " images"]
    samples: Int[np.ndarray, " images"]
    paths: CertifiedPaths
    kept: Float[np.ndarray, " images"]

    def __len__(self) -> int:
        return len(self.score)


def label_marginals(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    *,
    expansions: int = 200,
    samples: int = 200,
    stderr: float | None = None,
    seed: int = 0,
    streams: Int[np.ndarray, " streams"] | None = None,
    backend: str | None = None,
) -> Marginals:
    """Bound and estimate p(label | image) for every label.

    Args:
        expansions: most prefixes to expand per image, best first. More of them widen a bound by rounding at most.
        samples: continuations sampled per image of what is left open, at least 2; 0: none, the score is
            then the middle of the bounds and the standard error half their distance.
        stderr: where every label of an image reaches it, no more samples are drawn for the image; where its
            bounds come so close and its path is certified, nothing more is expanded. None: the budget is spent.
            Stopping when it looks precise biases a score a little (`docs/decoding.md`).
        seed: of the samples; the same seed gives the same scores, whatever the batch.
        streams: a number per image that makes its samples independent of other images'. Default: all
            images share their random numbers, so that scores of one label compare well between images.
        backend: as in `beam_search`.

    Raises:
        InputError: a budget below 1, a single sample, streams of another number than the images;
            otherwise as `beam_search`.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({}, num_labels=2))  # every outcome equally probable
        >>> found = label_marginals(trie, np.zeros((1, 3), np.float32))
        >>> found.score.round(3).tolist(), bool(found.exact[0])
        ([[0.333, 0.5]], True)
    """
    rows = checked_rows(trie, image_rows)
    check_budget(expansions)
    if samples < 0 or samples == 1:
        raise InputError(
            f"a standard error needs at least 2 samples (0: bounds only), given samples={samples}."
        )
    if stderr is not None and not 0 < stderr < 1:
        raise InputError(
            f"the standard error to reach must lie between 0 and 1, given stderr={stderr}. "
            "Leave it out to spend the whole budget on every image."
        )
    chosen = choose_backend(backend, compiled=can_compile(trie))
    image_streams = check_streams(streams, len(rows))
    size = batch_size(trie, max(expansions, samples))
    answer = _marginals if trie.rules is None else _under_rules
    parts, first = [], 0
    for start in range(0, max(len(rows), 1), size):  # the trees of one batch at a time: they are large
        batch = rows[start : start + size]
        for tree in in_halves(trie, lambda part: expanded(trie, part, expansions, chosen, gap=stderr), batch):
            of_tree = image_streams[first : (first := first + len(tree.counts))]
            sampling = {"samples": samples, "stderr": stderr, "seed": seed, "streams": of_tree}
            parts.append(answer(tree, chosen, sampling))
    found = joined(parts)
    no_worse_than_beams(trie, rows, found.paths, chosen)
    return found


def _marginals(tree: Expansion, backend: str, sampling: dict[str, Any]) -> Marginals:
    estimate = OpenEstimate(tree, backend)
    masses, undecided = estimate.frontier.masses, estimate.frontier.undecided
    certain = np.clip(tree.mass, 0.0, 1.0)
    possible = np.clip(tree.mass + undecided, certain, 1.0)
    exact = (possible - certain).max(axis=1) <= NEGLIGIBLE
    score = (certain + possible) / 2
    stderr = (possible - certain) / 2
    off = np.exp(tree.most_rounding())[:, None]
    low, high = certain / off, np.minimum(possible * off, 1.0)
    images = np.flatnonzero(~exact & (masses > 0))
    if sampling["samples"]:
        estimate.run(images, **sampling)
        gained = masses[images, None] * estimate.gained[images]
        score[images] = np.clip(certain[images] + gained, certain[images], possible[images])
        stderr[images] = np.minimum(masses[images, None] * estimate.stderr[images], stderr[images])
        stderr[exact] = 0.0
    everything = np.ones(len(score))
    return Marginals(score, low, high, stderr, exact, estimate.samples, certificates(tree), everything)


def _under_rules(tree: Expansion, backend: str, sampling: dict[str, Any]) -> Marginals:
    """Return marginals of the distribution conditioned on the trie's rules."""
    estimate = RuledEstimate(tree, backend)
    masses = estimate.masses
    low, high = masses.bounds()
    exact = (high - low).max(axis=1, initial=0.0) <= NEGLIGIBLE
    score, stderr = (low + high) / 2, (high - low) / 2
    kept = masses.finished + masses.open[1] + masses.open[0] / 2
    images = np.flatnonzero(~exact & (estimate.frontier.masses > 0))
    if sampling["samples"]:
        estimate.run(images, **sampling)
        kept[images] = estimate.kept[images]
        score[images] = np.where(np.isnan(estimate.score[images]), score[images], estimate.score[images])
        error = estimate.frontier.masses[images, None] * estimate.stderr[images]
        enough = trusted(estimate.stderr[images], (high - low)[images])[:, None]
        stderr[images] = np.where(enough, np.minimum(error, stderr[images]), stderr[images])
        stderr[exact] = 0.0
    score = np.clip(score, low, high)
    off = np.exp(tree.most_rounding())[:, None] ** 2  # masses may be off by a factor, a ratio by its square
    low, high = low / off, np.minimum(high * off, 1.0)
    return Marginals(score, low, high, stderr, exact, estimate.samples, certificates(tree), kept)
