"""The Chow-Liu tree: the best distribution over label sets in which each label depends on one other."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, ByLabel, PerImage, PerLabel, Targets


@dataclass(frozen=True)
class PairCounts:
    """Training images by what two labels are in them; an image counts where both are observed.

    Attributes:
        both: [labels labels], both present; the diagonal: the label is present.
        first: [labels labels], images with the row's label, whether or not they have the column's.
        images: [labels labels], images in which both are observed; a symmetric matrix.
    """

    both: Float[np.ndarray, "labels labels"]
    first: Float[np.ndarray, "labels labels"]
    images: Float[np.ndarray, "labels labels"]

    @property
    def frequencies(self) -> PerLabel:
        """(present + 1/2) / (observed + 1), strictly between 0 and 1."""
        smoothed: np.ndarray = (self.both.diagonal() + 0.5) / (self.images.diagonal() + 1)
        return smoothed


def pair_counts(targets: Targets) -> PairCounts:
    """Count pairs of labels.

    Raises:
        InputError: no image, no label, or other values.

    Example:
        >>> counts = pair_counts(np.array([[1, 1], [1, 0], [1, -1]], dtype=np.int8))
        >>> counts.both.tolist(), counts.first.tolist(), counts.images.tolist()
        ([[3.0, 1.0], [1.0, 1.0]], [[3.0, 2.0], [1.0, 1.0]], [[3.0, 2.0], [2.0, 2.0]])
    """
    if 0 in targets.shape or not np.isin(targets, (PRESENT, ABSENT, UNKNOWN)).all():
        raise InputError(
            "label statistics need targets of 1 (present), 0 (absent) and -1 (unknown) with at least one image and "
            f"one label, given shape {targets.shape}."
        )
    # Single precision counts exactly up to 2^24 images, and multiplies twice as fast.
    present, observed = (targets == PRESENT).astype(np.float32), (targets != UNKNOWN).astype(np.float32)
    return PairCounts(
        *(
            (a.T @ b).astype(np.float64)
            for a, b in ((present, present), (present, observed), (observed, observed))
        )
    )


def check_smoothing(smoothing: float) -> None:
    """Refuse a number of imagined images that is not above 0.

    Raises:
        InputError: it is not above 0, or not finite.
    """
    if not 0 < smoothing < np.inf:
        raise InputError(
            f"smoothing is {smoothing}; it is a number of imagined images and must be above 0, such as 1."
        )


def check_evidence(evidence: Int8[np.ndarray, "images columns"], num_labels: int) -> None:
    """Refuse evidence with other values, or over another number of labels.

    Raises:
        InputError: other columns than labels, or values other than 1, 0, -1.
    """
    if evidence.shape[1] != num_labels or not np.isin(evidence, (PRESENT, ABSENT, UNKNOWN)).all():
        raise InputError(
            f"evidence must be [images {num_labels}] of 1 (accepted), 0 (rejected) and -1 (neither), given "
            f"{evidence.shape}. `labels.vocabulary.evidence_row` makes a row from names."
        )


# Its conditionals are exact, given any evidence, in one pass up and one down the tree. What an image says enters as
# odds per label (`unary`).

NO_PARENT = -1


@dataclass(frozen=True)
class ChowLiuTree:
    """p(set) = product over labels of p(y_l | y_parent(l)).

    Attributes:
        parent: of each label; -1 for the root.
        order: labels, each after its parent.
        given: [labels 2 2], p(y_l = column | y_parent = row); the root's rows are equal.
        marginals: p(y_l = 1).
    """

    parent: Int[np.ndarray, " labels"]
    order: Int[np.ndarray, " labels"]
    given: Float[np.ndarray, "labels 2 2"]
    marginals: PerLabel

    @classmethod
    def fit(cls, targets: Targets, *, smoothing: float = 1.0) -> "ChowLiuTree":
        """Find the tree of largest total mutual information and its probabilities.

        Pair tables are (n_ab + s f_a f_b) / (n + s): s imagined images in which labels are independent and as frequent
        as in training, so that a pair that was hardly seen is not held certain.

        Args:
            targets: 1 present, 0 absent, -1 unknown; a pair counts where both labels are observed.
            smoothing: s, above 0.

        Raises:
            InputError: no image, or smoothing that is not above 0.

        Source:
            Chow and Liu 1968, Approximating discrete probability distributions with dependence trees: the tree of
            maximum likelihood is the maximum spanning tree by mutual information. Smoothing is ours.

        Example:
            >>> targets = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0], [0, 0, 1]], dtype=np.int8)
            >>> ChowLiuTree.fit(targets).parent.tolist()
            [-1, 0, 0]
        """
        check_smoothing(smoothing)
        tables = _pair_tables(pair_counts(targets), smoothing)
        parent, order = _spanning_tree(_mutual_information(tables))
        labels = np.arange(len(parent))
        own = tables[labels, labels]  # [labels 2 2], diagonal
        marginals = own[:, 1, 1]
        from_parent = tables[np.maximum(parent, 0), labels]  # [labels 2 2], rows are the parent's values
        given = from_parent / from_parent.sum(axis=2, keepdims=True)
        root = parent == NO_PARENT
        given[root] = np.stack((1 - marginals, marginals), axis=1)[root][:, None]
        return cls(parent, order, given, marginals)

    def conditional(
        self, evidence: Targets, unary: Float[np.ndarray, "rows columns"] | None = None
    ) -> ByLabel:
        """Return p(label | evidence), by belief propagation: exact on a tree.

        Args:
            evidence: 1 accepted, 0 rejected, -1 neither.
            unary: what an image says of each label, finite log-odds to be added: log p(image | l) / p(image | not l).
                A head's scores give it as log-odds of the score minus those of `marginals` (`unary_of_scores`).

        Returns:
            float64; 1 and 0 for accepted and rejected labels.

        Raises:
            InputError: evidence or log-odds that do not fit.

        Source:
            Pearl 1982, Reverend Bayes on inference engines.
        """
        beliefs, to_parent, _ = self._upward(evidence, unary)
        from_parent = np.empty_like(beliefs)
        from_parent[:, self.order[0]] = self.given[self.order[0], 0]
        for label in self.order[1:]:
            parent = self.parent[label]
            # All that the parent has heard, but for this label's own message.
            rest = beliefs[:, parent] * from_parent[:, parent] / to_parent[:, label]
            from_parent[:, label] = rest @ self.given[label]
            from_parent[:, label] /= from_parent[:, label].sum(axis=1, keepdims=True)
        beliefs = beliefs * from_parent
        probs: np.ndarray = beliefs[:, :, 1] / beliefs.sum(axis=2)
        return np.where(evidence == PRESENT, 1.0, np.where(evidence == ABSENT, 0.0, probs))

    def log_prob(self, evidence: Targets) -> PerImage:
        """Return log p(evidence) in nats: of a whole set where nothing is unknown, else summed over what is.

        Raises:
            InputError: evidence that does not fit.
        """
        return self._upward(evidence, None)[2]

    def unary_of_scores(
        self, scores: Float[np.ndarray, "images columns"], *, strength: float = 1.0
    ) -> Float[np.ndarray, "images columns"]:
        """Return a head's odds divided by the prior odds, as log-odds times `strength`.

        As if labels were independent given the image but for the tree. A head that already knows which labels go
        together counts it twice: a strength below 1, chosen on validation images, makes up for some of it.

        Raises:
            InputError: scores that are not [images labels].
        """
        self._require(scores, "scores")
        return strength * (_log_odds(scores) - _log_odds(self.marginals))

    def unary_matching(
        self, scores: Float[np.ndarray, "images columns"], *, rounds: int = 100, step: float = 0.4
    ) -> Float[np.ndarray, "images columns"]:
        """Return log-odds with which the tree's marginals without evidence are a head's scores.

        The distribution nearest to the tree's (in Kullback-Leibler divergence) of all that have these marginals:
        the tree says how labels go together, the head how probable each is.

        Args:
            scores: p(l | image).
            rounds: damped corrections of all labels at once.
            step: share of the missing log-odds that a round adds; labels that always go together correct each
                other, so 1 would overshoot.

        Returns:
            Log-odds for `conditional`. Where more than a few labels hang together closely, they may not have settled
            after so many rounds.

        Raises:
            InputError: scores that are not [images labels].

        Source:
            Csiszar 1975, I-divergence geometry; iterative proportional fitting, all labels at once and damped.
        """
        self._require(scores, "scores")
        wanted, nothing = _log_odds(scores), np.full(scores.shape, -1, dtype=np.int8)
        unary = self.unary_of_scores(scores)
        for _ in range(rounds):
            unary += step * (wanted - _log_odds(self.conditional(nothing, unary)))
        return unary

    def _upward(
        self, evidence: np.ndarray, unary: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return beliefs from below, messages to parents (each of sum 1), and the log of what they were divided by."""
        check_evidence(evidence, len(self.parent))
        beliefs = np.ones((*evidence.shape, 2))
        if unary is not None:
            self._require(unary, "log-odds")
            if unary.shape != evidence.shape or not np.isfinite(unary).all():
                raise InputError(f"log-odds must be finite and {evidence.shape}, given {unary.shape}.")
            beliefs = np.exp(-np.logaddexp(0.0, np.stack((unary, -unary), axis=2)))
        beliefs[:, :, 0][evidence == PRESENT] = 0.0
        beliefs[:, :, 1][evidence == ABSENT] = 0.0
        to_parent, log_total = np.ones_like(beliefs), np.zeros(len(evidence))
        for label in self.order[::-1]:
            message = beliefs[:, label] @ self.given[label].T  # [images 2], by the parent's value
            total = message.sum(axis=1, keepdims=True)
            if (parent := self.parent[label]) == NO_PARENT:
                log_total += np.log(message[:, 0])  # the root's rows are equal: a sum over its values
                continue
            to_parent[:, label] = message / total
            beliefs[:, parent] *= to_parent[:, label]
            log_total += np.log(total[:, 0])
        return beliefs, to_parent, log_total

    def _require(self, values: np.ndarray, what: str) -> None:
        if values.ndim != 2 or values.shape[1] != len(self.parent):
            raise InputError(f"{what} must be [images {len(self.parent)}], given {values.shape}.")


def _pair_tables(counts: PairCounts, smoothing: float) -> Float[np.ndarray, "labels labels 2 2"]:
    """Return p(y_a = row, y_b = column) of every pair [a b]; on the diagonal off-diagonal cells are 0."""
    f = counts.frequencies
    n, n_a, n_ab = counts.images + smoothing, counts.first, counts.both
    f_ab = f[:, None] * f
    np.fill_diagonal(f_ab, f)
    a, b, ab = (n_a + smoothing * f[:, None]) / n, (n_a.T + smoothing * f) / n, (n_ab + smoothing * f_ab) / n
    # Rounding may leave the difference of equal numbers below 0.
    return np.maximum(np.stack((1 - a - b + ab, b - ab, a - ab, ab), axis=2), 0.0).reshape(*ab.shape, 2, 2)


def _mutual_information(tables: Float[np.ndarray, "labels labels 2 2"]) -> Float[np.ndarray, "labels labels"]:
    """I(a; b) = sum p(a, b) log p(a, b) / p(a) p(b), nats."""
    expected = tables.sum(axis=3, keepdims=True) * tables.sum(axis=2, keepdims=True)
    ratio = np.divide(tables, expected, out=np.ones_like(tables), where=tables > 0)
    information: np.ndarray = (tables * np.log(ratio)).sum(axis=(2, 3))
    return information


def _spanning_tree(
    weights: Float[np.ndarray, "labels labels"],
) -> tuple[Int[np.ndarray, " labels"], Int[np.ndarray, " labels"]]:
    """Return parents and order of the maximum spanning tree from label 0, by Prim; equal weights: the lower id."""
    num_labels = len(weights)
    parent, order = np.full(num_labels, NO_PARENT), np.zeros(num_labels, dtype=np.int64)
    best, best_from = weights[0].copy(), np.zeros(num_labels, dtype=np.int64)
    outside = np.arange(num_labels) > 0
    for position in range(1, num_labels):
        label = int(np.where(outside, best, -np.inf).argmax())
        parent[label], order[position], outside[label] = best_from[label], label, False
        nearer = outside & (weights[label] > best)
        best[nearer], best_from[nearer] = weights[label][nearer], label
    return parent, order


def _log_odds(probs: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    p = np.clip(probs.astype(np.float64), 1e-7, 1 - 1e-7)
    odds: np.ndarray = np.log(p) - np.log1p(-p)
    return odds
