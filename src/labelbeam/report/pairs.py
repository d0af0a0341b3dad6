"""Which pairs of labels a run has learned, missed or invented, and which exclusive ones it emits together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from labelbeam.errors import InputError
from labelbeam.inspect.cooccurrence import ROWS, examined_pairs, pair_counts, significant
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, Features, LabelSets, Targets
from labelbeam.metrics.intervals import Shares, shares_of
from labelbeam.predict.decision import Decision
from labelbeam.report.mistakes import ALPHA, LookAlikes, look_alikes, truth_and_sets
from labelbeam.runs.evaluation import Evaluation

# Labels that (almost) never occur together, and how often each source emits them together all the same: near-synonyms
# of which annotators choose one, and things that exclude each other.


def exclusive_pairs(targets: Targets) -> Int[np.ndarray, "pairs 2"]:
    """Return the pairs that exclude each other.

    A pair counts if its labels occur together on at most a tenth of the images that chance would give them, and
    less than chance beyond doubt (Fisher's test, Holm's correction for all pairs).

    Args:
        targets: 1 present, 0 absent, -1 unknown; best those of training, which the judged images had no part in.

    Returns:
        Ids, the pair first that chance would have brought together most often.

    Example:
        >>> apart = np.array([[1, 0]] * 30 + [[0, 1]] * 30, dtype=np.int8)
        >>> exclusive_pairs(apart).tolist()
        [[0, 1]]
    """
    pairs = examined_pairs(pair_counts(targets))
    chosen = np.flatnonzero(
        significant(pairs, together=False, alpha=ALPHA) & (pairs.both <= 0.1 * pairs.expected)
    )
    chosen = chosen[np.argsort(-pairs.expected[chosen], kind="stable")]
    return np.stack((pairs.a[chosen], pairs.b[chosen]), axis=1)


@dataclass(frozen=True, eq=False)
class TogetherRates:
    """How many images get both labels of such a pair.

    Attributes:
        pairs: int64 [pairs 2], label ids.
        sources: names: the truth, a model, its rivals.
        images: how many there are.
        with_any: int64 [sources], images with at least one such pair.
        by_pair: int64 [sources pairs], images with each pair.
        share: `with_any / images`, with intervals.
        difference: for each source but the first named `against`, share minus that of `against`: (value, low, high).
        against: what the differences are taken against.
    """

    pairs: Int[np.ndarray, "pairs 2"]
    sources: tuple[str, ...]
    images: int
    with_any: Int[np.ndarray, " sources"]
    by_pair: Int[np.ndarray, "sources pairs"]
    share: Shares
    difference: Mapping[str, tuple[float, float, float]]
    against: str

    def to_json(self, names: Sequence[str], *, most: int = 50) -> dict[str, Any]:
        """Return rates, paired differences and the pairs emitted most often as plain values."""
        order = np.argsort(-self.by_pair.max(axis=0, initial=0), kind="stable")
        order = order[self.by_pair.max(axis=0, initial=0)[order] > 0][:most]
        return {
            "pairs": len(self.pairs),
            "images": self.images,
            "against": self.against,
            "rates": {
                name: {"images": int(self.with_any[i]), "share": self.share.to_dict(i)}
                for i, name in enumerate(self.sources)
            },
            "differences": {
                name: {"value": round(value, 6), "low": round(low, 6), "high": round(high, 6)}
                for name, (value, low, high) in self.difference.items()
            },
            "emitted": [
                {
                    "labels": [names[a] for a in self.pairs[j]],
                    "images": {name: int(self.by_pair[i, j]) for i, name in enumerate(self.sources)},
                }
                for j in order
            ],
        }


def emitted_together(
    pairs: Int[np.ndarray, "pairs 2"],
    sets: Mapping[str, LabelSets],
    *,
    against: str,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> TogetherRates:
    """Count the images that get both labels of exclusive pairs, by source.

    Args:
        sets: source -> its sets of the same images.
        against: the source that the others are compared with.
        resamples: of the images, for the intervals of paired differences.

    Raises:
        InputError: no such source, or sets of different shapes.

    Example:
        >>> clash = np.array([[True, True], [True, False]])
        >>> clean = np.array([[True, False], [True, False]])
        >>> rng = np.random.default_rng(0)
        >>> found = emitted_together(np.array([[0, 1]]), {"a": clash, "b": clean}, against="b", rng=rng)
        >>> found.with_any.tolist(), found.difference["a"][0]
        ([1, 0], 0.5)
    """
    if against not in sets:
        raise InputError(f"nothing is called {against!r}; given: {', '.join(sets)}.")
    shapes = {one.shape for one in sets.values()}
    if len(shapes) > 1:
        raise InputError(f"the sets must be of the same images and labels; given shapes {sorted(shapes)}.")
    images, labels = next(iter(shapes))
    any_of = {name: _with_any(pairs, one, labels) for name, one in sets.items()}
    by_pair = np.stack(
        [pair_counts(one.astype(np.int8)).both[pairs[:, 0], pairs[:, 1]] for one in sets.values()]
    )
    with_any = np.array([one.sum() for one in any_of.values()], dtype=np.int64)
    rival, difference = any_of[against], {}
    for name, ours in any_of.items():
        if name != against and images:
            # Resampling images changes a paired difference of shares through these counts alone.
            cells = np.array([(ours & ~rival).sum(), (~ours & rival).sum(), (ours == rival).sum()])
            drawn = rng.multinomial(images, cells / images, size=resamples)
            low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / images, [2.5, 97.5])
            difference[name] = (float(cells[0] - cells[1]) / images, float(low), float(high))
    share = shares_of(with_any, np.full(len(sets), images))
    return TogetherRates(pairs, tuple(sets), images, with_any, by_pair, share, difference, against)


def _with_any(
    pairs: Int[np.ndarray, "pairs 2"], sets: LabelSets, num_labels: int
) -> Bool[np.ndarray, " images"]:
    apart = np.zeros((num_labels, num_labels), dtype=np.float32)
    apart[pairs[:, 0], pairs[:, 1]] = 1.0
    found = np.zeros(len(sets), dtype=bool)
    for start in range(0, len(sets), ROWS):
        block = sets[start : start + ROWS].astype(np.float32)
        found[start : start + ROWS] = ((block @ apart) * block).sum(axis=1) > 0
    return found


# A pair's association is its log odds ratio with 1/2 added to each cell; what is compared is the one of the decided
# sets with the one of the truth, on the same images.

KINDS = ("learned", "missed", "exaggerated", "invented")

MOST_PAIRS = 2000
"""Pairs whose intervals are computed, those with the least p first."""

IMAGINED = 1 / 8
"""Images added to each of the 16 counts; 1/2 to each cell of a table of two by two, as the point estimates have."""

TINY = 1e-280
"""Keeps sums of gamma numbers, which may be too small for a double, above 0."""

MOST_LABELS = 1000
"""Of more labels the most frequent ones are compared."""


@dataclass(frozen=True)
class LearnedPair:
    """A pair of labels, in the truth and in the predictions.

    Attributes:
        known: images where both are known.
        predicted: images for which both are decided.
        log_odds_true: association in the truth; 0 is chance.
        log_odds_predicted: association in the predictions.
        low: lower end of the 95 % interval of predicted minus true, for this pair by itself.
        kind: `learned`: associated in both, the difference is not beyond doubt. `missed`: associated in the truth, in
            the predictions less, beyond doubt. `exaggerated`: more, beyond doubt. `invented`: associated in the
            predictions only, and differing from the truth beyond doubt. Empty: the images cannot tell, or one of the
            labels is never decided.
    """

    a: int
    b: int
    known: int
    true: int
    predicted: int
    log_odds_true: float
    log_odds_predicted: float
    low: float
    high: float
    kind: str

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the pair as plain values."""
        return {
            "labels": [names[self.a], names[self.b]],
            "kind": self.kind or None,
            "images": {"known": self.known, "true": self.true, "predicted": self.predicted},
            "log_odds_true": round(self.log_odds_true, 4),
            "log_odds_predicted": round(self.log_odds_predicted, 4),
            "difference": round(self.log_odds_predicted - self.log_odds_true, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
        }


@dataclass(frozen=True)
class PairComparison:
    """Every pair that is associated in the truth or in the predictions.

    Attributes:
        labels: how many labels were compared.
        tested: pairs of labels that could occur together.
        left_out: associated pairs beyond `MOST_PAIRS`, without an interval.
        pairs: by falling difference from the truth, in standard errors.
    """

    labels: int
    tested: int
    left_out: int
    pairs: tuple[LearnedPair, ...]

    def of_kind(self, kind: str) -> tuple[LearnedPair, ...]:
        """Return the pairs of one kind; learned ones by the strength of their association in the truth."""
        pairs = [pair for pair in self.pairs if pair.kind == kind]
        if kind == "learned":
            pairs.sort(key=lambda pair: -abs(pair.log_odds_true))
        return tuple(pairs)

    def to_json(self, names: Sequence[str], *, most: int = 50) -> dict[str, Any]:
        """Return counts of every kind, and the first pairs of each, as plain values."""
        counts = {kind: len(self.of_kind(kind)) for kind in KINDS}
        return {
            "labels": self.labels,
            "tested": self.tested,
            "left_out": self.left_out,
            "undecided": sum(not pair.kind for pair in self.pairs),
            "counts": counts,
            **{kind: [pair.to_json(names) for pair in self.of_kind(kind)[:most]] for kind in KINDS},
        }


def compare_pairs(
    truth: Targets,
    decided: Bool[np.ndarray, "rows columns"],
    *,
    rng: np.random.Generator,
    resamples: int = 1000,
) -> PairComparison:
    """Compare which labels go together in the truth and in decided sets.

    Weighting images at random changes a pair through 16 sums alone (its four cells in the truth by its four in the
    predictions), so the paired bootstrap over images is a draw of these. The Bayesian one is taken, with 1/2 imagined
    image per cell: the plain one holds a pair that was never seen together to be impossible, without a doubt.

    Args:
        truth: 1 present, 0 absent, -1 unknown; a pair counts over the images where both are known.

    Raises:
        InputError: decided sets of another shape, or fewer than 2 resamples.

    Source:
        Rubin 1981, The Bayesian bootstrap: weights of the images are Dirichlet, so their sums by cell are gamma
        numbers up to scale. `cooccurrence.examined_pairs` for the tests.

    Example:
        >>> truth = np.array([[1, 1]] * 30 + [[0, 0]] * 30, dtype=np.int8)
        >>> alone = truth == 1
        >>> compare_pairs(truth, alone, rng=np.random.default_rng(0)).pairs[0].kind
        'learned'
    """
    if decided.shape != truth.shape:
        raise InputError(f"truth {truth.shape} and decided sets {decided.shape} must be of the same shape.")
    if resamples < 2:
        raise InputError(f"an interval needs at least 2 resamples, given {resamples}.")
    frequent = np.sort(np.argsort(-(truth == PRESENT).sum(axis=0), kind="stable")[:MOST_LABELS])
    truth, decided = truth[:, frequent], decided[:, frequent]
    predicted = np.where(truth == UNKNOWN, np.int8(UNKNOWN), decided.astype(np.int8))
    sides, tested = [], 0
    for targets in (truth, predicted):
        pairs = examined_pairs(pair_counts(targets))
        certain = pairs.log_p_adjusted < np.log(ALPHA)
        sides.append(
            {
                (a, b): (log_p, np.sign(log_odds))
                for a, b, log_p, log_odds in zip(
                    pairs.a[certain].tolist(),
                    pairs.b[certain].tolist(),
                    pairs.log_p[certain].tolist(),
                    pairs.log_odds[certain].tolist(),
                    strict=True,
                )
            }
        )
        tested = max(tested, len(pairs))

    def least_p(pair: tuple[int, int]) -> float:
        return min(side[pair][0] for side in sides if pair in side)

    associated = sorted({*sides[0], *sides[1]}, key=lambda pair: (least_p(pair), pair))
    found = []
    for a, b in associated[:MOST_PAIRS]:
        cells = _joint_cells(truth[:, [a, b]], predicted[:, [a, b]])
        in_truth, in_predicted = (float(side.get((a, b), (0.0, 0.0))[1]) for side in sides)
        pair, errors = _compared(cells, in_truth, in_predicted, rng=rng, resamples=resamples)
        found.append((errors, LearnedPair(int(frequent[a]), int(frequent[b]), *pair)))
    found.sort(key=lambda one: -one[0])
    return PairComparison(
        len(frequent), tested, max(0, len(associated) - MOST_PAIRS), tuple(pair for _, pair in found)
    )


def _joint_cells(
    truth: Int8[np.ndarray, "images 2"], predicted: Int8[np.ndarray, "images 2"]
) -> Int[np.ndarray, "4 4"]:
    """Count images by their cell in the truth (row) and in the predictions: neither, second, first, both."""
    known = (truth != UNKNOWN).all(axis=1)
    place = np.array([2, 1])
    rows, columns = (truth[known] == PRESENT) @ place, (predicted[known] == PRESENT) @ place
    return np.bincount(4 * rows + columns, minlength=16).reshape(4, 4)


def _compared(
    cells: Int[np.ndarray, "4 4"],
    in_truth: float,
    in_predicted: float,
    *,
    rng: np.random.Generator,
    resamples: int,
) -> tuple[tuple[int, int, int, float, float, float, float, str], float]:
    """Return what a pair's counts say, and its difference in standard errors."""
    known = int(cells.sum())
    drawn = rng.standard_gamma(cells + IMAGINED, size=(resamples, 4, 4)) + TINY
    true, predicted = (_log_odds(cells.sum(axis=axis) + 4 * IMAGINED) for axis in (1, 0))
    differences = _log_odds(drawn.sum(axis=1)) - _log_odds(drawn.sum(axis=2))
    low, high = np.percentile(differences, [2.5, 97.5])
    kind = ""
    _, second, first, together = cells.sum(axis=0)  # of the predictions
    if not (first + together and second + together):
        pass  # a label that is never decided goes with nothing: its log odds ratio is the 1/2 added to each cell
    elif in_truth:
        toward = sorted((in_truth * low, in_truth * high))
        if toward[1] < 0:
            kind = "missed"
        elif toward[0] > 0:
            kind = "exaggerated"
        elif in_predicted == in_truth:
            kind = "learned"
    elif min(in_predicted * low, in_predicted * high) > 0:
        kind = "invented"
    errors = abs(predicted - true) / max(float(differences.std()), 1e-9)
    both = int(cells[3].sum()), int(cells[:, 3].sum())
    values = (known, *both, float(true), float(predicted), float(low), float(high), kind)
    return values, float(errors)


def _log_odds(cells: Float[np.ndarray, "*resamples 4"]) -> Any:
    """Return log odds ratios of cells in the order neither, second, first, both."""
    logs = np.log(cells)
    return logs[..., 0] - logs[..., 1] - logs[..., 2] + logs[..., 3]


@dataclass(frozen=True, eq=False)
class PairLearning:
    """What a run makes of pairs of labels.

    Attributes:
        names: of the run's labels.
        compared: truth against predictions.
        rival: the same for the rival's predictions; None without one.
        together: images that get both labels of exclusive pairs: truth, the run, the rival.
        alike: those of the exclusive pairs that look alike, near-synonyms; None where nothing was given to see it by.
        alike_together: images that get both labels of near-synonyms; likewise.
    """

    names: tuple[str, ...]
    compared: PairComparison
    rival: PairComparison | None
    together: TogetherRates
    alike: LookAlikes | None = None
    alike_together: TogetherRates | None = None

    def to_json(self, *, most: int = 50) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "pairs": self.compared.to_json(self.names, most=most),
            "rival_pairs": None if self.rival is None else self.rival.to_json(self.names, most=most),
            "exclusive": self.together.to_json(self.names, most=most),
            "near_synonyms": self._near_synonyms(most),
        }

    def _near_synonyms(self, most: int) -> dict[str, Any] | None:
        if self.alike is None or self.alike_together is None:
            return None
        found, rates = self.alike, self.alike_together
        return rates.to_json(self.names, most=most) | {
            "least_by_vectors": _rounded(found.least_vectors),
            "least_by_images": _rounded(found.least_images),
            "alike": [
                {
                    "labels": [self.names[a] for a in pair],
                    "by_vectors": _rounded(float(vectors)),
                    "by_images": _rounded(float(images)),
                    "images": {name: int(rates.by_pair[i, j]) for i, name in enumerate(rates.sources)},
                }
                for j, (pair, vectors, images) in enumerate(
                    zip(found.pairs.tolist()[:most], found.by_vectors, found.by_images, strict=False)
                )
            ],
        }


def pair_learning(
    evaluation: Evaluation,
    decision: Decision,
    *,
    training_targets: Int8[np.ndarray, "training labels"],
    rival: Evaluation | None = None,
    rival_decision: Decision | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    features: Features | None = None,
    points: Float[np.ndarray, "labels width"] | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> PairLearning:
    """Compare pairs of labels in the truth and in decided sets.

    Args:
        training_targets: training labels, columns in the run's order; they say which pairs exclude each other.
        rival: another run's evaluation on the same images, such as a sigmoid head's.
        rival_decision: how the rival's sets are decided; None: as the run's.
        pairs: further pairs by name that should not stand together, such as synonyms.
        features: of the evaluated images; they say which exclusive pairs look alike. None: nobody asks.
        points: the run's vector of each label (`neighbors.neighbors.label_points`); None: it has none.

    Raises:
        InputError: a rival on other images or without the run's labels, an unknown label, or a pair of one label.
    """
    names = evaluation.vocabulary.names
    truth, decided = truth_and_sets(evaluation, decision)
    sources = {"truth": truth == PRESENT, "run": decided}
    compared = compare_pairs(truth, decided, rng=np.random.default_rng(seed), resamples=resamples)
    rival_compared = None
    if rival is not None:
        if rival.dataset.images != evaluation.dataset.images or set(rival.vocabulary) != set(names):
            raise InputError("the rival must be evaluated on the same images and have the same labels.")
        column = [rival.vocabulary.id_of(name) for name in names]
        sources["rival"] = truth_and_sets(rival, rival_decision or decision)[1][:, column]
        rival_compared = compare_pairs(
            truth, sources["rival"], rng=np.random.default_rng(seed), resamples=resamples
        )
    given = [tuple(sorted(evaluation.vocabulary.id_of(name) for name in pair)) for pair in pairs]
    if same := [pair for pair in given if len(set(pair)) < 2]:
        raise InputError(f"a pair needs two labels; given {names[same[0][0]]!r} twice.")
    apart = exclusive_pairs(training_targets)
    every = dict.fromkeys([*given, *map(tuple, apart.tolist())])

    def counted(those: Int[np.ndarray, "pairs 2"]) -> TogetherRates:
        against, rng = "rival" if rival is not None else "truth", np.random.default_rng(seed)
        return emitted_together(those, sources, against=against, rng=rng, resamples=resamples)

    together = counted(np.array([*every], dtype=np.int64).reshape(-1, 2))
    if features is None:
        return PairLearning(names, compared, rival_compared, together)
    alike = look_alikes(apart, points=points, features=features, targets=truth)
    return PairLearning(names, compared, rival_compared, together, alike, counted(alike.pairs))


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
