"""What the open part of a search still gains, estimated by samples: in one round, or until that is precise enough.

Between `sampling`, which draws and continues samples, and `marginals`, which adds the certain part. Each image decides
by its own samples how many it needs, so neither batch nor trie changes an estimate.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float, Int, UInt64

from labelbeam.decoding.expansion import Expansion
from labelbeam.decoding.paths import in_halves
from labelbeam.decoding.random_numbers import sample_keys
from labelbeam.decoding.sampling import Frontier, add_samples, continue_samples

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
        if backend == "numba" and tree.trie.step.additive:
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
