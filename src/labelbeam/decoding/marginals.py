"""Per-label scores of a sequence model: marginals with hard bounds, an estimate and its standard error."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

from labelbeam.decoding.backend import choose_backend
from labelbeam.decoding.best_first import (
    NEGLIGIBLE,
    CertifiedPaths,
    batch_size,
    best_paths,
    certificates,
    check_budget,
    expanded,
    no_worse_than_beams,
)
from labelbeam.decoding.evidence import conditional_marginals
from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.paths import check_image_rows, in_halves
from labelbeam.decoding.random_numbers import check_streams, sample_keys
from labelbeam.decoding.sampling import Frontier, add_samples, continue_samples
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import UNKNOWN

# What the open part of a search still gains, estimated by samples: in one round, or until that is precise
# enough.
#
# Between `sampling`, which draws and continues samples, and `marginals`, which adds the certain part. Each
# image decides by its own samples how many it needs, so neither batch nor trie changes an estimate.

PILOT = 16
"""Samples of the first round; they tell how many are needed."""

MOST_TIMES = 4
"""A round has at most so many times the samples of the one before, because few samples judge the need badly."""

LEAST_MORE = 8
"""Fewest samples more than in the round before, lest a precision just missed costs many rounds."""

IMAGINED = 0.25
"""Variance of a sample that says yes or no by the throw of a coin."""

LEAST_INFORMATIVE = 8
"""Labels of which at least so many samples are expected to be informative are estimated from those alone, times
the share of the open mass that may gain the label, which is known exactly; others from all samples."""


class OpenEstimate:
    """Sampled estimate, per image and label, of the share of the open mass that gains the label.

    Attributes:
        frontier: what the search left open.
        gained: float64 [images labels]; 0 where none was drawn.
        stderr: float64 [images labels], standard error of `gained`; infinite where none was drawn.
        samples: int64 [images], on which the estimate rests.

    Args:
        tree: the search.
        backend: `numpy` or `numba`.
    """

    def __init__(self, tree: Expansion, backend: str) -> None:
        self.tree = tree
        if backend == "numba":
            from labelbeam.decoding import sampling_kernel as kernel

            self.frontier: Frontier = kernel.CompiledFrontier(tree)  # type: ignore[arg-type]
            self._walk: Callable[..., np.ndarray] = kernel.continue_samples_compiled
            self._add: Callable[..., None] = kernel.add_samples_compiled
        else:
            self.frontier, self._walk, self._add = Frontier(tree), continue_samples, add_samples
        shape = self.frontier.undecided.shape
        self.samples = np.zeros(shape[0], dtype=np.int64)
        self.gained = np.zeros(shape)
        self.stderr = np.full(shape, np.inf)

    def run(
        self,
        images: Int[np.ndarray, " active"],
        *,
        samples: int,
        stderr: float | None,
        seed: int,
        streams: Int[np.ndarray, " images"],
    ) -> None:
        """Sample images with open mass.

        Args:
            images: which.
            samples: most samples of each, at least 2.
            stderr: stop where no label's standard error, as a probability, is above it; None: draw all.
            seed: of the samples.
            streams: of the random numbers of all images of the tree.

        Raises:
            InputError: the trie cannot hold what a single sample needs.
        """
        keys = sample_keys(seed, streams, 1)[:, 0]
        wanted = np.full(len(images), samples if stderr is None else min(PILOT, samples))
        while len(images):
            self._sample(images, wanted, keys)
            if stderr is None:
                break
            widest = self.stderr[images].max(axis=1)
            aim = stderr / self.frontier.masses[images]
            n = self.samples[images]
            wanted = np.clip(_needed(widest, n, aim), n + LEAST_MORE, MOST_TIMES * n)
            wanted = np.minimum(wanted, samples)
            going = (widest > aim) & (n < samples)
            images, wanted = images[going], wanted[going]

    def _sample(
        self,
        images: Int[np.ndarray, " active"],
        counts: Int[np.ndarray, " active"],
        keys: UInt64[np.ndarray, " images"],
    ) -> None:
        """Estimate anew from so many samples; most of their prefixes are those of fewer samples."""
        of, entries, labels, item_keys = self.frontier.draw(images, counts, keys[images])
        walk = partial(self._walk, self.tree)
        gained = np.concatenate(in_halves(self.tree.trie, walk, of, entries, labels, item_keys))
        if self.tree.trie.step.allowed == "canonical":  # only greater labels are still to be gained
            informative = np.arange(gained.shape[1]) > labels[:, None]
        else:
            informative = ~self.tree.sets(of, entries, labels)
        totals = np.zeros((3, len(images), gained.shape[1]))
        self._add(gained, informative, np.repeat(np.arange(len(images)), counts), totals)
        self._conclude(images, counts, totals)

    def _conclude(
        self,
        images: Int[np.ndarray, " active"],
        counts: Int[np.ndarray, " active"],
        totals: Float[np.ndarray, "3 active labels"],
    ) -> None:
        sums, squares, informative = totals
        self.samples[images] = counts
        n = counts[:, None]
        share = np.minimum(self.frontier.undecided[images] / self.frontier.masses[images, None], 1.0)
        mean = sums / np.maximum(informative, 1)
        spread = np.maximum(squares - informative * mean * mean, 0.0)
        # Few samples may agree by chance. As in an Agresti-Coull interval p is pulled towards 1/2, and one more
        # sample is imagined that says yes or no by the throw of a coin.
        p = (informative * mean + 0.5) / (informative + 1)
        variance = spread / np.maximum(informative - 1, 1) + IMAGINED / (informative + 1)
        # Decided by what is expected, not by what was drawn, lest the estimate be biased.
        enough = n * share >= LEAST_INFORMATIVE
        self.gained[images] = np.where(enough, share * mean, sums / n)
        among_informative = share * share * variance / np.maximum(informative, 1)
        among_all = share * (variance + (1 - share) * p * p) / n
        self.stderr[images] = np.sqrt(np.where(enough, among_informative, among_all))


def _needed(
    widest: Float[np.ndarray, " active"], n: Int[np.ndarray, " active"], aim: Float[np.ndarray, " active"]
) -> Int[np.ndarray, " active"]:
    """Return how many samples should bring the greatest standard error of n samples down to the aim.

    The number N solves variance / N + IMAGINED / N^2 = aim^2, with the variance that n samples showed.
    """
    variance = np.maximum(widest**2 * n - IMAGINED / (n + 1), 0.0)
    return np.ceil((variance + np.sqrt(variance**2 + 4 * IMAGINED * aim**2)) / (2 * aim**2)).astype(np.int64)


# Per-label scores of a sequence model: marginals with hard bounds, an estimate and its standard error.
#
# p(l | image) lies between the mass of all prefixes met that contain l, and that plus the mass of open
# prefixes that may still gain it. Between the bounds the estimate is the certain mass plus the sampled share
# of the open mass. The paper leaves open where per-label scores come from (C.1 row 15); this is our answer.
# Knows the trie and image rows; `expansion` grows the tree, `OpenEstimate` samples what it leaves open.

NEARLY_NOTHING = 1e-5
"""Bounds of ratios closer than this, rounding included, are called exact."""


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
        trie: prefixes of the label model.
        image_rows: float32, one row per image.
        expansions: most prefixes to expand per image, best first. More of them widen a bound by rounding at most.
        samples: continuations sampled per image of what is left open, at least 2; 0: none, the score is
            then the middle of the bounds and the standard error half their distance.
        stderr: where every label of an image reaches it, no more samples are drawn for the image; where its
            bounds come so close and its path is certified, nothing more is expanded. None: the budget is spent.
            Stopping when it looks precise biases a score a little (`docs/decoding.md`).
        seed: of the samples; the same seed gives the same scores, whatever the batch.
        streams: a number per image that makes its samples independent of other images'. Default: all
            images share their random numbers, so that scores of one label compare well between images.
        backend: `numpy` or `numba`; None: the fastest that is installed and can do it.

    Returns:
        Scores, bounds, standard errors, and the best path of each image.

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
    rows = np.ascontiguousarray(image_rows, dtype=np.float32)
    check_image_rows(trie, rows)
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
    if trie.rules is not None:
        return _under_rules(trie, rows, expansions=expansions, samples=samples, seed=seed, backend=backend)
    sampled = _Sampling(samples, stderr, seed)
    chosen = choose_backend(backend, additive=trie.step.additive)
    image_streams = check_streams(streams, len(rows))
    size = batch_size(trie, max(expansions, samples))
    parts: list[Marginals] = []
    for first in range(0, len(rows), size):
        batch, of_batch = rows[first : first + size], image_streams[first : first + size]
        trees = in_halves(trie, lambda part: expanded(trie, part, expansions, chosen, gap=stderr), batch)
        for tree in trees:
            parts.append(_marginals(tree, sampled, of_batch[: len(tree.counts)], chosen))
            of_batch = of_batch[len(tree.counts) :]
    found = _joined(parts, trie)
    no_worse_than_beams(trie, rows, found.paths, chosen)
    return found


@dataclass(frozen=True)
class _Sampling:
    """How the open part is sampled; see `label_marginals`."""

    samples: int
    stderr: float | None
    seed: int


def _marginals(
    tree: Expansion, sampling: _Sampling, streams: Int[np.ndarray, " images"], backend: str
) -> Marginals:
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
    if sampling.samples:
        estimate.run(
            images, samples=sampling.samples, stderr=sampling.stderr, seed=sampling.seed, streams=streams
        )
        gained = masses[images, None] * estimate.gained[images]
        score[images] = np.clip(certain[images] + gained, certain[images], possible[images])
        stderr[images] = np.minimum(masses[images, None] * estimate.stderr[images], stderr[images])
        stderr[exact] = 0.0
    everyone = np.arange(len(low))
    entries, labels, values = tree.top(everyone)
    certified = tree.certified(everyone, entries, labels, values)
    paths = certificates(tree, certified, values)
    return Marginals(score, low, high, stderr, exact, estimate.samples, paths, np.ones(len(score)))


def _joined(parts: list[Marginals], trie: PrefixTrie) -> Marginals:
    """Return the answers of consecutive batches as one."""
    if not parts:
        none, nobody = np.zeros((0, trie.num_labels)), np.zeros(0, dtype=np.int32)
        path = CertifiedPaths(
            np.zeros((0, trie.longest), np.int32),
            nobody,
            np.zeros(0),
            nobody.astype(bool),
            np.zeros(0),
            nobody,
        )
        return Marginals(none, none, none, none, nobody.astype(bool), nobody, path, np.zeros(0))
    paths = CertifiedPaths(
        np.concatenate([part.paths.labels for part in parts]),
        np.concatenate([part.paths.lengths for part in parts]),
        np.concatenate([part.paths.log_probs for part in parts]),
        np.concatenate([part.paths.exact for part in parts]),
        np.concatenate([part.paths.upper for part in parts]),
        np.concatenate([part.paths.expansions for part in parts]),
    )
    return Marginals(
        np.concatenate([part.score for part in parts]),
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.high for part in parts]),
        np.concatenate([part.stderr for part in parts]),
        np.concatenate([part.exact for part in parts]),
        np.concatenate([part.samples for part in parts]),
        paths,
        np.concatenate([part.kept for part in parts]),
    )


def _under_rules(
    trie: PrefixTrie, rows: np.ndarray, *, expansions: int, samples: int, seed: int, backend: str | None
) -> Marginals:
    """Return marginals of the distribution conditioned on the trie's rules: ratios of masses, as under evidence."""
    nothing = np.full((len(rows), trie.num_labels), UNKNOWN, dtype=np.int8)
    found = conditional_marginals(trie, rows, nothing, expansions=expansions, samples=samples, seed=seed)
    return Marginals(
        found.score,
        found.low,
        found.high,
        found.stderr,
        (found.high - found.low).max(axis=1, initial=0.0) <= NEARLY_NOTHING,
        np.full(len(rows), samples),
        best_paths(trie, rows, budget=expansions, backend=backend),
        found.evidence,
    )
