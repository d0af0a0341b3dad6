"""What each promise means, and the threshold that keeps it: losses of calibration images, threshold by threshold.

`precision`: of an image that gets labels, on average at least this share of them is right. `recall`: of an image that
has labels, on average at least this share is found. `label-precision`, `label-recall`: the same for every label by
itself, over images. Unknown labels are neither right, wrong nor missed. Knows no file.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, ByLabel, LabelSets, PerImage, PerLabel
from labelbeam.predict.conformal import (
    error_p_value,
    expected_risk,
    fewest_cases,
    last_passing,
    lowest_kept,
    mean_p_value,
    risk_p_value,
)
from labelbeam.predict.fitness import ALPHA

if TYPE_CHECKING:
    from labelbeam.predict.promises import Sample


KINDS = ("precision", "recall", "label-precision", "label-recall")

GRID: Float[np.ndarray, " thresholds"] = np.append(0.0, 1 / (1 + np.exp(-np.arange(-90, 91) / 10)))
"""Thresholds that are tried: 0, then log-odds from -9 to 9. Fixed, so that no image has a say in what is tested."""

NEVER = 2.0
"""A threshold that no score reaches."""

UNPROMISED = 0.5
"""Threshold of labels that `label-recall` cannot promise anything of."""


@dataclass(frozen=True)
class Kept:
    """Thresholds that keep a promise.

    Attributes:
        thresholds: a label is decided where its score is at least this.
        promised: labels of which something is promised.
        images: calibration images that had a say: those with labels (recall), or that get labels (precision).
    """

    thresholds: PerLabel
    promised: Bool[np.ndarray, " labels"]
    images: int


def keep(kind: str, target: float, confidence: float | None, sample: "Sample", guide: "Sample") -> Kept:
    """Return the lowest thresholds that keep precision, or the highest that keep recall.

    Raises:
        InputError: none does.
    """
    if kind == "precision":
        return _keep_precision(target, _confident(confidence), sample, guide)
    if kind == "recall":
        return _keep_recall(target, confidence, sample)
    if kind == "label-precision":
        return _keep_label_precision(target, _confident(confidence), sample, guide)
    return _keep_label_recall(target, confidence, sample)


def _confident(confidence: float | None) -> float:
    if confidence is None:
        raise InputError("precision is promised with confidence, not on average.")
    return confidence


def _keep_precision(target: float, confidence: float, sample: "Sample", guide: "Sample") -> Kept:
    (counts, risks), test = tag_risks(sample), _Test(1 - target, confidence, len(sample) / len(guide))
    found = test.lowest_passing(
        lambda k: mean_p_value(tag_losses(sample, GRID[k]), 1 - target), *tag_risks(guide)
    )
    if found is None:
        what = f"precision {target:g} with confidence {confidence:g}"
        raise test.refusal(what, "images that get labels", counts, risks)
    everyone = np.ones(sample.scores.shape[1], dtype=bool)
    return Kept(np.full(len(everyone), GRID[found]), everyone, int(counts[found]))


def _keep_recall(target: float, confidence: float | None, sample: "Sample") -> Kept:
    losses = [miss_losses(sample, threshold) for threshold in GRID]
    images = len(losses[0])
    if confidence is None:
        found = last_passing(range(len(GRID)), lambda k: expected_risk(losses[k]), 1 - target)
    else:
        found = last_passing(range(len(GRID)), lambda k: mean_p_value(losses[k], 1 - target), 1 - confidence)
    if found is None:
        needed = fewest_cases(1 - target, confidence)
        raise InputError(
            f"recall {target:g} needs at least {needed} calibration images that have labels; there are {images}. "
            "Calibrate with more, or promise less."
        )
    everyone = np.ones(sample.scores.shape[1], dtype=bool)
    return Kept(np.full(len(everyone), GRID[found]), everyone, images)


def _keep_label_precision(target: float, confidence: float, sample: "Sample", guide: "Sample") -> Kept:
    counts, errors = label_errors(sample)
    guide_counts, guide_errors = label_errors(guide)
    test = _Test(1 - target, confidence, len(sample) / len(guide))
    p_values = error_p_value(errors, counts, 1 - target)
    thresholds = np.full(counts.shape[1], NEVER)
    for label in range(counts.shape[1]):
        guide_risks = guide_errors[:, label] / np.maximum(guide_counts[:, label], 1)
        of_label = p_values[:, label].tolist()
        found = test.lowest_passing(of_label.__getitem__, guide_counts[:, label], guide_risks)
        if found is not None:
            thresholds[label] = GRID[found]
    promised = thresholds < NEVER
    if not promised.any():
        label = int(p_values.min(axis=0).argmin())
        what = f"precision {target:g} of any label with confidence {confidence:g}"
        risks = errors[:, label] / np.maximum(counts[:, label], 1)
        raise test.refusal(what, "images that get the label", counts[:, label], risks)
    return Kept(thresholds, promised, len(sample))


def _keep_label_recall(target: float, confidence: float | None, sample: "Sample") -> Kept:
    thresholds = np.full(sample.scores.shape[1], UNPROMISED)
    promised = np.zeros(len(thresholds), dtype=bool)
    most = 0
    for label, truth in enumerate(sample.truth.T):
        scores = np.sort(sample.scores[truth == PRESENT, label])
        most = max(most, len(scores))
        if lowest := lowest_kept(len(scores), 1 - target, confidence):
            thresholds[label], promised[label] = scores[lowest - 1], True
    if not promised.any():
        needed = fewest_cases(1 - target, confidence)
        raise InputError(
            f"recall {target:g} of a label needs at least {needed} calibration images that have it; no label has more "
            f"than {most}. Calibrate with more, or promise less."
        )
    return Kept(thresholds, promised, len(sample))


def keep_unseen(
    target: float,
    confidence: float,
    thresholds: PerLabel | None,
    sample: "Sample",
    guide: "Sample",
    *,
    rule: str,
) -> float:
    """Return the least probability of a decided set that nobody needs to look at; see `Promises.keep_unseen`.

    Raises:
        InputError: none is enough.
    """
    (counts, risks), test = (
        set_risks(sample, thresholds),
        _Test(1 - target, confidence, len(sample) / len(guide)),
    )
    p_values = error_p_value(np.rint(risks * counts), counts, 1 - target)
    found = test.lowest_passing(p_values.tolist().__getitem__, *set_risks(guide, thresholds))
    if found is None:
        what = f"no error in {target:g} of the images tagged unseen, decided by {rule}, with confidence {confidence:g}"
        raise test.refusal(what, "images that are sure enough", counts, risks)
    return float(GRID[found])


def set_probability(scores: ByLabel, sets: LabelSets, log_probs: PerImage | None) -> PerImage:
    """Return how probable the decided sets are: by the model's joint, or as if labels were independent.

    Args:
        log_probs: of these sets, nats, where the model has them; NaN where not. None: for no image.
    """
    p = np.clip(scores.astype(np.float64), 0.0, 1.0)
    with np.errstate(divide="ignore"):
        independent = np.exp(np.log(np.where(sets, p, 1 - p)).sum(axis=1))
    if log_probs is None:
        return independent
    return np.where(np.isnan(log_probs), independent, np.exp(np.minimum(log_probs, 0.0)))


def tag_losses(sample: "Sample", threshold: float) -> Float[np.ndarray, " tagged"]:
    """Return the share of each image's labels that is wrong, of images that get any."""
    sets = (sample.scores >= threshold) & (sample.truth != UNKNOWN)
    decided, wrong = sets.sum(axis=1), (sets & (sample.truth == ABSENT)).sum(axis=1)
    return wrong[decided > 0] / decided[decided > 0]


def tag_risks(sample: "Sample") -> tuple[Int[np.ndarray, " thresholds"], Float[np.ndarray, " thresholds"]]:
    """Return by threshold how many images get labels, and the mean share of an image's labels that is wrong."""
    losses = [tag_losses(sample, threshold) for threshold in GRID]
    return np.array([len(one) for one in losses]), np.array(
        [one.mean() if len(one) else 1.0 for one in losses]
    )


def miss_losses(sample: "Sample", threshold: float) -> Float[np.ndarray, " labelled"]:
    """Return the share of each image's true labels that is not found, of images that have any."""
    present = sample.truth == PRESENT
    missed, total = (present & (sample.scores < threshold)).sum(axis=1), present.sum(axis=1)
    return missed[total > 0] / total[total > 0]


def label_errors(
    sample: "Sample",
) -> tuple[Int[np.ndarray, "thresholds labels"], Int[np.ndarray, "thresholds labels"]]:
    """Return by threshold and label how many images get the label, and of how many it is wrong."""
    scores = np.where(sample.truth == UNKNOWN, -1.0, sample.scores)
    decided = [(scores >= threshold).sum(axis=0) for threshold in GRID]
    wrong = [((scores >= threshold) & (sample.truth == ABSENT)).sum(axis=0) for threshold in GRID]
    return np.array(decided), np.array(wrong)


def set_risks(
    sample: "Sample", thresholds: PerLabel | None
) -> tuple[Int[np.ndarray, " thresholds"], Float[np.ndarray, " thresholds"]]:
    """Return by least probability of a set how many images are not odd and so sure, and the share of wrong sets."""
    by_path = thresholds is None
    sets = sample.paths if thresholds is None else sample.scores >= thresholds
    sure = set_probability(sample.scores, sets, sample.log_probs if by_path else None)
    wrong = ((sets != (sample.truth == PRESENT)) & (sample.truth != UNKNOWN)).any(axis=1)
    usual = ~(sample.fits <= ALPHA)
    chosen = [usual & (sure >= least) for least in GRID]
    counts = np.array([one.sum() for one in chosen])
    return counts, np.array([wrong[one].mean() if one.any() else 1.0 for one in chosen])


@dataclass(frozen=True)
class _Test:
    """Tests of thresholds: that the risk is at most `most`, with confidence.

    Attributes:
        most: the risk that is promised.
        confidence: in (0, 1).
        scale: calibration images per image of the guide.
    """

    most: float
    confidence: float
    scale: float

    def lowest_passing(
        self,
        p_value: Callable[[int], float],
        guide_counts: Int[np.ndarray, " thresholds"],
        guide_risks: Float[np.ndarray, " thresholds"],
    ) -> int | None:
        """Return the lowest threshold of a chain that passes: down from the one that the guide thinks safest.

        Source:
            The order of tests from other data: Laufer-Goldshtein et al., Pareto testing, ICLR 2023.
        """
        expected = risk_p_value(
            _smoothed(guide_risks, guide_counts), np.rint(guide_counts * self.scale), self.most
        )
        return last_passing(range(int(expected.argmin()), -1, -1), p_value, 1 - self.confidence)

    def refusal(self, what: str, cases: str, counts: np.ndarray, risks: np.ndarray) -> InputError:
        """Return the error of a promise that cannot be kept, with the number of images that would do."""
        needed, most = fewest_cases(self.most, self.confidence), int(counts.max(initial=0))
        if most < needed:
            return InputError(
                f"{what}: this needs at least {needed} calibration {cases}; there are {most}. Calibrate with more, or "
                "promise less."
            )
        smoothed = _smoothed(risks, counts)
        for factor in 1.25 ** np.arange(1, 40):
            if (risk_p_value(smoothed, np.rint(counts * factor), self.most) <= 1 - self.confidence).any():
                return InputError(
                    f"{what}: this cannot be promised with {most} calibration {cases}; of images like these it takes "
                    f"about {int(most * factor):,}. Calibrate with more, or promise less."
                )
        best = float(smoothed[counts >= needed].min())
        return InputError(
            f"{what}: no number of images would do, for at the best threshold {best:.1%} are wrong. Promise less, or "
            "train a better model."
        )


def _smoothed(risks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return risks with half an error more, so that a threshold that few images reach does not look perfect."""
    return (risks * counts + 0.5) / (counts + 1)


# Which images of a whole batch nobody needs to look at: conformal selection, a statement on average.
#
# `Promises.keep_unseen` finds a cut that holds with confidence for images one at a time, and needs many calibration
# images for it. Over a batch that is there as a whole, the expected share of wrong sets among those selected can be
# kept with few: every image gets a p-value of "its set is wrong", and Benjamini-Hochberg selects. Source:
#     Jin and Candès, Selection by Prediction with Conformal p-values, JMLR 24 (244), 2023; the p-values with the wrong
#     calibration images alone are theirs with the "clip" score. Bates, Candès, Lei, Romano, Sesia, Annals of Statistics
#     2023, for the dependence of p-values that share calibration images.


def wrong_p_values(
    wrong: Float[np.ndarray, " errors"], images: int, sure: Float[np.ndarray, " batch"]
) -> Float[np.ndarray, " batch"]:
    """Return conformal p-values of "the decided set is wrong": small where it is surer than most that were.

    Args:
        wrong: how probable the decided set was, of calibration images whose set is wrong; -inf for odd ones.
        sure: how probable the decided set is, of the images of a batch; -inf for odd ones.

    Example:
        >>> wrong_p_values(np.array([0.2, 0.5]), 9, np.array([0.9, 0.5, 0.1])).tolist()
        [0.1, 0.2, 0.3]
    """
    above = len(wrong) - np.searchsorted(np.sort(wrong), sure, side="left")
    return np.asarray((above + 1) / (images + 1))


def selected_p_value(p_values: Float[np.ndarray, " batch"], level: float) -> float:
    """Return the greatest p-value that Benjamini-Hochberg selects; 0 where it selects none.

    Example:
        >>> selected_p_value(np.array([0.01, 0.02, 0.9]), 0.05), selected_p_value(np.array([0.04, 0.9]), 0.05)
        (0.02, 0.0)
    """
    rising = np.sort(p_values)
    passing = np.flatnonzero(rising <= level * np.arange(1, len(rising) + 1) / max(len(rising), 1) + 1e-12)
    return float(rising[passing[-1]]) if len(passing) else 0.0


def selection_cut(
    target: float, sample: "Sample", thresholds: PerLabel | None, sure: Float[np.ndarray, " batch"]
) -> float:
    """Return how probable a decided set of this batch must be, so that nobody needs to look at it.

    Of the images that are so sure and not odd, the share `target` at least has exactly its true labels, on average over
    calibrations and batches (a batch of which none is selected counts as without an error).

    Args:
        target: in (0, 1).
        thresholds: that decide sets; None: by path.
        sure: how probable the decided sets of the batch are (`set_probability`); -inf for odd images.

    Returns:
        The cut; infinite where none is selected.
    """
    sets = sample.paths if thresholds is None else sample.scores >= thresholds
    of_sample = set_probability(sample.scores, sets, sample.log_probs if thresholds is None else None)
    of_sample = np.where(sample.fits <= ALPHA, -np.inf, of_sample)
    wrong = ((sets != (sample.truth == PRESENT)) & (sample.truth != UNKNOWN)).any(axis=1)
    p_values = wrong_p_values(of_sample[wrong], len(sample), sure)
    chosen = (p_values <= selected_p_value(p_values, 1 - target)) & (sure > -np.inf)
    return float(sure[chosen].min()) if chosen.any() else math.inf
