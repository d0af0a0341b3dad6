"""Scores given evidence: p(label | image, accepted, rejected), with hard bounds and an estimate.

The condition is on the finished set: it holds every accepted label and no rejected one. That is neither masking
(leaving a label out of a softmax is not the same as learning that it is absent) nor feeding a prefix
(`benchmarks/prefix_feed.py` has that, for comparison). Bounds are those of a ratio of masses; between them the
estimate is the finished mass plus weighted samples of the open mass (both: `evidence_tree`). Knows the trie and
image rows; names of labels are elsewhere (`labels.vocabulary`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.decoding.best_first import WORK_BYTES, check_budget
from labelbeam.decoding.evidence_tree import EvidenceTree, draw_frontier, weighted_samples
from labelbeam.decoding.open_estimate import CLOSE_BOUNDS, LEAST_EFFECTIVE, ratio
from labelbeam.decoding.paths import checked_rows, in_halves, joined
from labelbeam.decoding.random_numbers import sample_keys
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import ABSENT, PRESENT

NEGLIGIBLE = 1e-7
"""Open mass below this share of the agreeing mass is not expanded any more."""


@dataclass(frozen=True)
class ConditionalMarginals:
    """Probability of every label of every image, given evidence about the image's other labels.

    Attributes:
        score: float64 [images labels], the estimate, within the bounds; 1 and 0 for accepted and rejected labels.
        low: float64 [images labels], hard lower bound, rounding of the model's numbers included.
        high: float64 [images labels], hard upper bound.
        stderr: float64 [images labels], standard error of the estimate before it is clipped to the bounds;
            half their distance where the samples are too few.
        evidence: float64 [images], estimate of p(evidence | image): how well image and evidence agree.
        evidence_low: float64 [images], its hard lower bound.
        evidence_high: float64 [images], its hard upper bound.
        effective_samples: float64 [images], (sum w)^2 / sum w^2 of the samples' weights; 0 where none was drawn.
        trusted: bool [images], whether the scores are more than a place between the bounds.
        samples: int64 [images], samples asked for.
    """

    score: Float[np.ndarray, "images labels"]
    low: Float[np.ndarray, "images labels"]
    high: Float[np.ndarray, "images labels"]
    stderr: Float[np.ndarray, "images labels"]
    evidence: Float[np.ndarray, " images"]
    evidence_low: Float[np.ndarray, " images"]
    evidence_high: Float[np.ndarray, " images"]
    effective_samples: Float[np.ndarray, " images"]
    trusted: Bool[np.ndarray, " images"]
    samples: Int[np.ndarray, " images"]

    def __len__(self) -> int:
        return len(self.score)

    def statement(self, image: int) -> str:
        """Return in words why an image's scores are not to be trusted; empty where they are."""
        if self.trusted[image]:
            return ""
        return (
            f"the scores are uncertain: {self.samples[image]} samples count as {self.effective_samples[image]:.1f} "
            f"(effective sample size; at least {LEAST_EFFECTIVE} are needed), and the model gives the evidence a "
            f"probability of {self.evidence[image]:.2g}. Trust the bounds only, or ask for more expansions and samples."
        )


def conditional_marginals(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    evidence: Int8[np.ndarray, "images labels"],
    *,
    expansions: int = 64,
    samples: int = 200,
    seed: int = 0,
) -> ConditionalMarginals:
    """Bound and estimate p(label | image, evidence) for every label.

    Args:
        evidence: 1 accepted, 0 rejected, -1 nothing known, columns in label order (`labels.vocabulary`).
        expansions: most prefixes to expand per image, in the order of the mass of those that may still agree with the
            evidence. More of them never widen a bound.
        samples: continuations sampled per image of what is left open, at least 2; 0: none, the score is then the
            middle of the bounds.
        seed: of the samples; the same seed gives the same scores, whatever the batch.

    Raises:
        InputError: evidence of probability zero, or of another shape or with other values; a budget below 1, a single
            sample; otherwise as `beam_search`.

    Source:
        Not in the paper. Likelihood weighting: Fung and Chang 1989, Shachter and Peot 1989.

    Example:
        >>> from labelbeam.decoding.step import TableStep
        >>> trie = PrefixTrie(TableStep({}, num_labels=2))  # sets {} {0} {1} {0,1}: 1/3 1/6 1/3 1/6
        >>> given = np.array([[-1, 1]], dtype=np.int8)
        >>> found = conditional_marginals(trie, np.zeros((1, 3), np.float32), given)
        >>> found.score.round(3).tolist(), found.evidence.round(3).tolist()
        ([[0.333, 1.0]], [0.5])
    """
    rows = checked_rows(trie, image_rows)
    check_evidence(trie, evidence, len(rows))
    check_budget(expansions)
    if samples < 0 or samples == 1:
        raise InputError(
            f"a standard error needs at least 2 samples (0: bounds only), given samples={samples}."
        )
    # Contents, masses and their copies: what a tree and its bounds take, in numbers of 8 bytes.
    size = max(1, WORK_BYTES // (8 * 6 * expansions * (trie.num_labels + 4)))
    parts = []
    for first in range(0, max(len(rows), 1), size):  # the trees of one batch at a time: they are large
        batch = rows[first : first + size], evidence[first : first + size]
        trees = in_halves(trie, lambda part, given: _expand(trie, part, given, expansions), *batch)
        parts += [_conditioned(tree, samples, seed) for tree in trees]
    found = joined(parts)
    impossible = np.flatnonzero(found.evidence_high <= 0)
    if len(impossible):
        raise _impossible(trie, evidence[impossible[0]], int(impossible[0]), len(rows))
    return found


def check_evidence(trie: PrefixTrie, evidence: Int8[np.ndarray, "rows columns"], images: int) -> None:
    """Refuse evidence of another shape or with other values.

    Raises:
        InputError: not one row per image, not one column per label, or values other than 1, 0, -1.
    """
    if evidence.shape != (images, trie.num_labels) or not np.isin(evidence, (-1, 0, 1)).all():
        raise InputError(
            f"evidence must be {(images, trie.num_labels)} of 1 (accepted), 0 (rejected) and -1 (not known), given "
            f"{evidence.shape}. `labels.vocabulary.evidence_row` makes a row from names."
        )


def _expand(
    trie: PrefixTrie,
    image_rows: Float[np.ndarray, "images width"],
    evidence: Int8[np.ndarray, "images labels"],
    budget: int,
) -> EvidenceTree:
    tree = EvidenceTree(trie, image_rows, evidence, budget)
    active = np.arange(len(image_rows))
    for _ in range(budget - 1):
        entries, labels, values = tree.top(active)
        agreeing = tree.ends[active].sum(axis=1)
        going = (values > -np.inf) & (tree.open_mass[active] > NEGLIGIBLE * agreeing)
        active, entries, labels, values = active[going], entries[going], labels[going], values[going]
        if not len(active):
            break
        tree.expand(active, entries, labels, values)
    return tree


def _conditioned(tree: EvidenceTree, samples: int, seed: int) -> ConditionalMarginals:
    low, high, evidence_low, evidence_high = tree.bounds()
    A, A_l, A_open, A_open_l, deviation, effective = _estimates(tree, samples, seed)
    evidence = A + A_open
    estimated = (evidence > 0) & (samples > 0)
    middle = (low + high) / 2
    share = np.divide(A_l + A_open_l, evidence[:, None], out=middle.copy(), where=estimated[:, None])
    error = np.divide(deviation, evidence[:, None], out=np.full_like(low, np.inf), where=estimated[:, None])
    widest = (high - low).max(axis=1)
    nothing_open = tree.open().sum(axis=(1, 2)) == 0
    trusted = (effective >= LEAST_EFFECTIVE) | (widest <= CLOSE_BOUNDS) | nothing_open
    stderr = np.where(trusted[:, None], np.minimum(error, (high - low) / 2), (high - low) / 2)
    evidence = np.clip(
        evidence if samples else (evidence_low + evidence_high) / 2, evidence_low, evidence_high
    )
    score, asked = np.clip(share, low, high), np.full(len(low), samples)
    return ConditionalMarginals(
        score, low, high, stderr, evidence, evidence_low, evidence_high, effective, trusted, asked
    )


def _estimates(
    tree: EvidenceTree, samples: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return finished and estimated open mass that agrees, each in all and by label; deviation; effective samples.

    The open masses are unbiased. The deviation is that of (open mass with l) - p_l (open mass): divided by the
    evidence's probability it is the standard error of the ratio (delta method).
    """
    A, A_l = tree.finished()
    open_, is_closed = tree.open(), tree.closed()
    closed = np.where(is_closed, open_, 0.0)  # END is certain, so these are finished too
    A, A_l = A + closed.sum(axis=(1, 2)), A_l + tree.with_label(closed)
    A_open, A_open_l = np.zeros_like(A), np.zeros_like(A_l)
    deviation, effective = np.zeros_like(A_l), np.zeros_like(A)
    sampled = np.flatnonzero((open_ * ~is_closed).any(axis=(1, 2)))
    if not samples or not len(sampled):
        return A, A_l, A_open, A_open_l, deviation, effective
    # Every image draws the same numbers: alone or in a batch it gets the same score.
    keys = sample_keys(seed, np.zeros(len(sampled), dtype=np.int64), samples)
    entries, labels, worth = draw_frontier(tree, sampled, keys)
    items = (np.repeat(sampled, samples), entries.ravel(), labels.ravel(), keys.ravel())
    blocks = in_halves(tree.trie, lambda *part: weighted_samples(tree, *part), *items)
    weights = worth * np.concatenate([block[0] for block in blocks]).reshape(worth.shape)
    has = np.concatenate([block[1] for block in blocks]).reshape(len(sampled), samples, -1)
    A_open[sampled] = weights.mean(axis=1)
    A_open_l[sampled] = np.einsum("is,isl->il", weights, has) / samples
    evidence = A[sampled] + A_open[sampled]
    share = ratio(A_l[sampled] + A_open_l[sampled], evidence[:, None])
    variance = (weights[:, :, None] * (has - share[:, None])).var(axis=1, ddof=1)
    # Samples that all agree show no variance by chance; one more is imagined to disagree with probability 1/2.
    variance += (weights.mean(axis=1) ** 2)[:, None] / 2 / (samples + 2)
    deviation[sampled] = np.sqrt(variance / samples)
    effective[sampled] = ratio(weights.sum(axis=1) ** 2, (weights**2).sum(axis=1))
    return A, A_l, A_open, A_open_l, deviation, effective


def _impossible(
    trie: PrefixTrie, evidence: Int8[np.ndarray, " labels"], image: int, images: int
) -> InputError:
    accepted, rejected = int((evidence == PRESENT).sum()), int((evidence == ABSENT).sum())
    where = f"image {image}: " if images > 1 else ""
    return InputError(
        f"{where}the evidence has probability zero, as far as double precision tells: under this model no set can "
        f"have the {accepted} accepted and not the {rejected} rejected labels (sets have at least "
        f"{trie.length.minimum} and at most {trie.longest} labels). Take some of the evidence back, or lift the limits "
        "of the path's length."
    )
