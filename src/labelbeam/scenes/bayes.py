"""What a perfect reader of the scenes' pictures could score: Bayes values, by the generator's distribution.

"Perfect perception" knows the cues of every picture, and so the exact distribution of its label set. From it
follow the true marginals, the likeliest set, the entropy, and the scores of the strongest predictor that
knows only the marginals. Anybody's decided sets and set probabilities can be scored against the same
distribution, which is less noisy than against the label sets that happened to be drawn.

Knows nothing of pixels, models or ranking metrics (`labelbeam.metrics` scores `marginals`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError
from labelbeam.scenes.world import Cues, cue_distribution, label_distribution, set_codes


@dataclass(frozen=True)
class TrueDistribution:
    """The exact distribution of the label set of each of several pictures; one row per (picture, set).

    Attributes:
        image: position of the picture that a row belongs to, ascending.
        sets: the rows' label sets over the scenes' vocabulary.
        probs: the rows' probabilities; those of one picture sum to 1.
        weights: weight of each picture in every mean, of sum 1.

    Raises:
        InputError: a picture without rows, or probabilities or weights that do not sum to 1.
    """

    image: Int[np.ndarray, " rows"]
    sets: Bool[np.ndarray, "rows labels"]
    probs: Float[np.ndarray, " rows"]
    weights: Float[np.ndarray, " images"]

    def __post_init__(self) -> None:
        totals = np.bincount(self.image, self.probs, minlength=len(self.weights))
        if len(totals) != len(self.weights) or not np.allclose([*totals, self.weights.sum()], 1):
            raise InputError(
                "the probabilities of each picture's sets, and the weights of the pictures, must sum to 1; "
                "build them with `true_distribution`."
            )

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def marginals(self) -> Float[np.ndarray, "images labels"]:
        """True probability of each label given the picture: the sum over the sets that contain it."""
        starts = np.flatnonzero(np.diff(self.image, prepend=-1))
        sums: np.ndarray = np.add.reduceat(self.sets * self.probs[:, None], starts, axis=0)
        return sums.clip(0, 1)  # a certain label sums to 1 up to rounding

    @property
    def map_sets(self) -> Bool[np.ndarray, "images labels"]:
        """The likeliest label set of each picture: no decision has a higher expected subset accuracy."""
        starts = np.flatnonzero(np.diff(self.image, prepend=-1))
        best = [int(part.argmax()) for part in np.split(self.probs, starts[1:])]
        rows: np.ndarray = self.sets[starts + np.array(best)]
        return rows

    @property
    def entropies(self) -> Float[np.ndarray, " images"]:
        """Entropy of each picture's label set in nats; no model's expected -log-likelihood is lower."""
        return np.bincount(self.image, -self.probs * np.log(self.probs), minlength=len(self))

    def set_probs(self, sets: Bool[np.ndarray, "images labels"]) -> Float[np.ndarray, " images"]:
        """Return the true probability of one label set per picture; 0 where it is impossible.

        Raises:
            InputError: not one set per picture, or another number of labels.
        """
        if len(sets) != len(self):
            raise InputError(
                f"{len(sets)} label sets were given for {len(self)} pictures; give one for each."
            )
        same = set_codes(self.sets) == set_codes(sets)[self.image]
        return np.bincount(self.image, self.probs * same, minlength=len(self))

    def set_log_probs(self, sets: Bool[np.ndarray, "images labels"]) -> Float[np.ndarray, " images"]:
        """Return the true log-probability in nats of one label set per picture; -inf where impossible.

        Raises:
            InputError: not one set per picture, or another number of labels.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.set_probs(sets))

    def expected_subset_accuracy(self, decided: Bool[np.ndarray, "images labels"]) -> float:
        """Return the expected share of pictures whose drawn label set equals the decided one.

        The mean true probability of the decided sets: the subset accuracy against drawn labels, averaged
        over all draws of the labels (Rao-Blackwell), hence with less noise.

        Args:
            decided: one label set per picture.

        Returns:
            A fraction in [0, 1].

        Raises:
            InputError: not one set per picture, or another number of labels.
        """
        return float(self.weights @ self.set_probs(decided))

    def expected_log_likelihood(self, log_probs: Float[np.ndarray, " rows"]) -> float:
        """Return a model's expected log-likelihood per picture in nats.

        Args:
            log_probs: what the model gives to each row's set, `log q(sets[row] | picture image[row])`.

        Returns:
            Mean over pictures of the sum over true sets of p log q; at most `-mean(entropies)`.

        Raises:
            InputError: not one log-probability per row.
        """
        if len(log_probs) != len(self.probs):
            raise InputError(
                f"{len(log_probs)} log-probabilities were given for {len(self.probs)} rows; give one "
                "for each row of `sets`."
            )
        return float((self.weights[self.image] * self.probs) @ log_probs)

    def expected_log_likelihood_of_marginals(self, probs: Float[np.ndarray, "images labels"]) -> float:
        """Return the expected log-likelihood in nats of independent labels with these probabilities.

        Exact without enumeration, as the log-likelihood is linear in the labels. A probability of 0 or 1
        for a label that is not certain gives -inf.

        Raises:
            InputError: another shape than [images labels].
        """
        truth = self.marginals
        if probs.shape != truth.shape:
            raise InputError(f"probabilities must have the shape {truth.shape}, given {probs.shape}.")
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(truth > 0, truth * np.log(probs), 0.0)
            gain += np.where(truth < 1, (1 - truth) * np.log1p(-probs), 0.0)
        return float(self.weights @ gain.sum(axis=1))


def true_distribution(
    cues: Sequence[Cues], weights: Float[np.ndarray, " images"] | None = None
) -> TrueDistribution:
    """Enumerate the label distribution of each picture.

    Args:
        cues: the pictures' cues, e.g. `files.scene_cues("test")`.
        weights: weight of each picture in every mean, of sum 1; equal where not given.

    Returns:
        The distribution.

    Raises:
        InputError: no cues, or weights that do not sum to 1.

    Example:
        >>> truth = true_distribution([Cues("sea", "dawn"), Cues("kitchen", "night")])
        >>> np.bincount(truth.image).tolist(), truth.expected_subset_accuracy(truth.map_sets) > 0.3
        ([15, 45], True)
    """
    if not cues:
        raise InputError("a true distribution needs at least one picture, none was given.")
    parts = [label_distribution(given) for given in cues]
    return TrueDistribution(
        image=np.repeat(np.arange(len(parts)), [len(probs) for _, probs in parts]),
        sets=np.concatenate([sets for sets, _ in parts]),
        probs=np.concatenate([probs for _, probs in parts]),
        weights=np.full(len(parts), 1 / len(parts)) if weights is None else weights,
    )


def population() -> TrueDistribution:
    """Return the whole world: every kind of picture, weighted by how often it is drawn.

    Example:
        >>> len(population())
        306
    """
    cues, probs = cue_distribution()
    return true_distribution(cues, probs)


@dataclass(frozen=True)
class BayesValues:
    """What perfect perception scores; log-likelihoods in nats per image, accuracies as fractions.

    Attributes:
        joint_subset_accuracy: of the likeliest set: no decision is better.
        joint_log_likelihood: of the true distribution: minus the mean entropy; no model is better.
        marginal_subset_accuracy: of the true marginals with the best threshold per label.
        marginal_subset_accuracy_at_half: of the true marginals with threshold 0.5 for every label.
        marginal_log_likelihood: of the product of the true marginals: the best independent labels.
    """

    joint_subset_accuracy: float
    joint_log_likelihood: float
    marginal_subset_accuracy: float
    marginal_subset_accuracy_at_half: float
    marginal_log_likelihood: float


def bayes_values(
    truth: TrueDistribution | None = None, *, thresholds: Float[np.ndarray, " labels"] | None = None
) -> BayesValues:
    """Compute the Bayes values of some pictures.

    Args:
        truth: the pictures' distribution; the whole world (`population`) where not given.
        thresholds: one per label; `best_thresholds(population())` where not given.

    Returns:
        The values; closing "the gap" is going from the marginal to the joint ones.

    Example:
        >>> values = bayes_values()
        >>> values.joint_subset_accuracy - values.marginal_subset_accuracy > 0.10
        True
        >>> values.joint_log_likelihood - values.marginal_log_likelihood > 0.5
        True
    """
    truth = population() if truth is None else truth
    thresholds = best_thresholds(population()) if thresholds is None else thresholds
    marginals = truth.marginals
    return BayesValues(
        joint_subset_accuracy=truth.expected_subset_accuracy(truth.map_sets),
        joint_log_likelihood=-float(truth.weights @ truth.entropies),
        marginal_subset_accuracy=truth.expected_subset_accuracy(marginals > thresholds),
        marginal_subset_accuracy_at_half=truth.expected_subset_accuracy(marginals > 0.5),
        marginal_log_likelihood=truth.expected_log_likelihood_of_marginals(marginals),
    )


def best_thresholds(
    truth: TrueDistribution, *, restarts: int = 60, seed: int = 0
) -> Float[np.ndarray, " labels"]:
    """Find the threshold per label with which true marginals reach the highest expected subset accuracy.

    Coordinate ascent from 0.5, then again and again from the best so far with two thresholds in five drawn
    anew; labels with the same marginals in every picture move together, as moving one of them alone only
    breaks their set. A local search: it could miss the optimum, and a test compares it with every combination
    of the groups that matter.

    Args:
        truth: the pictures to tune on; with `population()` nothing is left to chance.
        restarts: number of new starts.
        seed: of what is drawn.

    Returns:
        Thresholds; a label is decided where its marginal exceeds its threshold.

    Example:
        >>> best_thresholds(population(), restarts=1).shape
        (29,)
    """
    # `reshape`: NumPy 2.0, alone, gives the inverse a second axis.
    kinds, kind = np.unique(truth.marginals.round(9), axis=0, return_inverse=True)
    codes, weights = set_codes(truth.sets), truth.weights[truth.image] * truth.probs
    columns, group = np.unique(kinds, axis=1, return_inverse=True)
    group = group.reshape(-1)
    values = [np.unique(column) for column in columns.T]
    # Between two neighbouring marginals every threshold decides alike; -1 decides the label always, and 2
    # never. A label that is certain in every picture needs no search.
    choices = [
        np.array([-1.0, *(v[1:] + v[:-1]) / 2, 2.0]) if ((v > 0) & (v < 1)).any() else np.array([0.5])
        for v in values
    ]
    bits = np.bincount(group, 1 << np.arange(len(group))).astype(np.int64)
    row_kind = kind.reshape(-1)[truth.image]

    def score(chosen: list[float]) -> float:
        return float(weights @ (codes == ((columns > chosen) @ bits)[row_kind]))

    generator = np.random.default_rng(seed)
    found = _ascend([0.5] * len(choices), choices, score)
    for _ in range(restarts):
        drawn = generator.random(len(choices)) < 0.4
        start = [
            float(generator.choice(options)) if anew else kept
            for kept, options, anew in zip(found, choices, drawn, strict=True)
        ]
        found = max(found, _ascend(start, choices, score), key=score)
    return np.array(found)[group]


def _ascend(
    start: list[float], choices: list[np.ndarray], score: Callable[[list[float]], float]
) -> list[float]:
    """Improve one threshold after the other until none can be improved alone."""
    chosen, best, before = list(start), score(start), -1.0
    while best > before:
        before = best
        for j, options in enumerate(choices):
            for option in options:
                tried = [*chosen[:j], float(option), *chosen[j + 1 :]]
                if (value := score(tried)) > best:
                    chosen, best = tried, value
    return chosen
