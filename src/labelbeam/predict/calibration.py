"""What a run learns from its validation images after training: calibrated scores, thresholds, fitness."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from jaxtyping import Float

from labelbeam.data.stratified import folds
from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, ByLabel, Features, PerImage, Targets
from labelbeam.predict import score_maps
from labelbeam.predict.answers import Answers
from labelbeam.predict.fitness import Fitness, fit_fitness
from labelbeam.predict.thresholds import TunedThresholds, fit_thresholds

# One increasing map per label, drawn towards one map for all labels the more, the fewer positives a label has. Which
# family of maps, and how strongly it is drawn, is decided by cross-validated log-loss; changing nothing is among the
# candidates, so a model that is calibrated already stays as it is.

Fit = Callable[[np.ndarray, np.ndarray], score_maps.ScoreMaps]

CANDIDATES: Mapping[str, Fit] = {
    "none": score_maps.no_maps,
    "platt, one for all labels": partial(score_maps.platt_maps, strength=np.inf),
    **{f"platt, strength {k:g}": partial(score_maps.platt_maps, strength=k) for k in (64.0, 16.0, 4.0, 1.0)},
    "isotonic, one for all labels": partial(score_maps.isotonic_maps, strength=np.inf),
    **{
        f"isotonic, strength {k:g}": partial(score_maps.isotonic_maps, strength=k)
        for k in (160.0, 40.0, 10.0)
    },
}
"""What is tried, by name; the simpler first, which wins where two are equally good."""

MOST_CHOOSING = 4000
"""Images that the choice is made on, the first ones; the chosen maps are fitted on all."""

FEWEST = 20
"""Below this many images nothing is fitted."""


@dataclass(frozen=True)
class ScoreCalibration:
    """How a run's scores are mapped, and why so.

    Attributes:
        method: a name of `CANDIDATES`.
        maps: one per label.
        log_loss: of every candidate in cross-validation, nats per image (labels taken one by one); empty where
            there were too few images to choose.
    """

    method: str
    maps: score_maps.ScoreMaps
    log_loss: Mapping[str, float]

    @property
    def changes(self) -> bool:
        """Whether scores are changed at all."""
        return self.method != "none"

    def apply(self, answers: Answers) -> Answers:
        """Return answers with calibrated scores; their bounds went through the same map.

        The standard error becomes half the mapped width of score plus and minus one standard error.

        Raises:
            InputError: answers of another number of labels.
        """
        if answers.scores.shape[1] != self.maps.num_labels:
            raise InputError(
                f"the calibration has {self.maps.num_labels} labels, the answers {answers.scores.shape[1]}."
            )
        if not self.changes:
            return answers
        about = [np.clip(answers.scores + sign * answers.stderr, 0.0, 1.0) for sign in (-1, 1)]
        columns = (answers.scores, answers.low, answers.high, *about)
        scores, low, high, below, above = (self.maps.apply(one).astype(np.float32) for one in columns)
        return replace(
            answers, scores=scores, low=low, high=high, stderr=(above - below) / 2, calibrated=True
        )

    def to_json(self) -> dict[str, object]:
        """Return plain values for a file."""
        kept: dict[str, object]
        if isinstance(self.maps, score_maps.IsotonicMaps):
            kept = {"scores": list(map(list, self.maps.scores)), "values": list(map(list, self.maps.values))}
        else:
            kept = {"slopes": list(self.maps.slopes), "offsets": list(self.maps.offsets)}
        return {"method": self.method, "maps": kept, "log_loss": dict(self.log_loss)}

    @classmethod
    def from_json(cls, values: object, *, num_labels: int) -> "ScoreCalibration":
        """Read back what `to_json` gave.

        Raises:
            InputError: damaged values, an unknown method, or another number of labels.
        """
        part = score_maps.stored_part(values, part="score calibration", keys=("method", "maps", "log_loss"))
        method = score_maps.stored_text(part["method"], what="the method")
        if method not in CANDIDATES:
            raise unknown_name("calibration method", method, CANDIDATES)
        maps = _stored_maps(part["maps"], isotonic=method.startswith("isotonic"))
        if maps.num_labels != num_labels:
            raise InputError(f"the score calibration has {maps.num_labels} labels, the run {num_labels}.")
        losses = part["log_loss"]
        if not isinstance(losses, Mapping):
            raise InputError(f"log_loss must hold a number per method, given {losses!r:.60}.")
        return cls(
            method, maps, {str(k): score_maps.stored_number(v, what="a log_loss") for k, v in losses.items()}
        )


def _stored_maps(values: object, *, isotonic: bool) -> score_maps.ScoreMaps:
    if not isotonic:
        part = score_maps.stored_part(values, part="maps", keys=("slopes", "offsets"))
        return score_maps.PlattMaps(
            *(score_maps.stored_numbers(part[name], what=name) for name in ("slopes", "offsets"))
        )
    part = score_maps.stored_part(values, part="maps", keys=("scores", "values"))
    corners = []
    for name in ("scores", "values"):
        by_label = part[name]
        if not isinstance(by_label, list):
            raise InputError(f"maps: {name} must be a list per label, given {by_label!r:.60}.")
        corners.append(tuple(score_maps.stored_numbers(one, what=f"maps: {name}") for one in by_label))
    return score_maps.IsotonicMaps(*corners)


def fit_score_calibration(scores: ByLabel, targets: Targets, *, seed: int = 0) -> ScoreCalibration:
    """Choose and fit maps on validation images.

    Args:
        scores: p(label | image) as the model says, of images that it was not trained on.
        targets: 1 present, 0 absent, -1 unknown (left out).

    Returns:
        The maps of the candidate with the least log-loss in 5-fold cross-validation, fitted on all images;
        with fewer than FEWEST images those that change nothing.

    Raises:
        InputError: scores and targets of different shapes.
    """
    if scores.shape != targets.shape:
        raise InputError(f"scores {scores.shape} and targets {targets.shape} must describe the same images.")
    if len(scores) < FEWEST:
        return ScoreCalibration("none", score_maps.no_maps(scores, targets), {})
    some, true = scores[:MOST_CHOOSING], targets[:MOST_CHOOSING]
    losses = dict.fromkeys(CANDIDATES, 0.0)
    for fitted, held_out in folds(true, 5, seed=seed):
        for name, fit in CANDIDATES.items():
            mapped = fit(some[fitted], true[fitted]).apply(some[held_out])
            losses[name] += log_loss(mapped, true[held_out]).sum() / len(some)
    best = min(losses, key=lambda name: losses[name])  # the first of equals
    return ScoreCalibration(
        best, CANDIDATES[best](scores, targets), {name: float(loss) for name, loss in losses.items()}
    )


def log_loss(scores: ByLabel, targets: Targets) -> PerImage:
    """Return -log of the probability given to each known label's truth, summed per image, nats.

    Scores are kept 1e-6 away from 0 and 1: the estimate behind them is no sharper.
    """
    p = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    given = np.where(targets == PRESENT, p, 1 - p)
    return -np.where(targets == UNKNOWN, 0.0, np.log(given)).sum(axis=1)


KEYS = ("version", "images", "score", "scores", "thresholds", "fitness")


@dataclass(frozen=True)
class RunCalibration:
    """What validation images taught.

    Attributes:
        images: validation images it was fitted on.
        score: which number per label the scores were (`Search.score`); for others all of this is void.
        scores: maps of the scores.
        thresholds: tuned on the mapped scores.
        fitness: of the unmapped scores and the features.

    Raises:
        InputError: thresholds for another number of labels than the maps.
    """

    images: int
    score: str
    scores: ScoreCalibration
    thresholds: TunedThresholds
    fitness: Fitness

    def __post_init__(self) -> None:
        if len(self.thresholds.of1) != self.scores.maps.num_labels:
            raise InputError(
                f"the calibration has {len(self.thresholds.of1)} thresholds and "
                f"{self.scores.maps.num_labels} maps; they must be as many."
            )

    def to_json(self) -> dict[str, object]:
        """Return plain values for a file."""
        return {
            "version": score_maps.VERSION,
            "images": self.images,
            "score": self.score,
            "scores": self.scores.to_json(),
            "thresholds": self.thresholds.to_json(),
            "fitness": self.fitness.to_json(),
        }

    @classmethod
    def from_json(cls, values: object, *, num_labels: int, num_features: int) -> "RunCalibration":
        """Read back what `to_json` gave.

        Raises:
            InputError: damaged values, another version, or other numbers of labels or features than the run's.
        """
        version = values.get("version") if isinstance(values, dict) else None
        if version != score_maps.VERSION:
            raise InputError(
                f"the calibration is of version {version!r:.20}, this labelbeam reads version {score_maps.VERSION}. "
                "Train the run again, or use the labelbeam that trained it."
            )
        part = score_maps.stored_part(values, part="calibration", keys=KEYS)
        fitness = Fitness.from_json(part["fitness"])
        if fitness.space is not None and len(fitness.space.center) != num_features:
            raise InputError(
                f"the feature space has {len(fitness.space.center)} features, the run {num_features}."
            )
        return cls(
            int(score_maps.stored_number(part["images"], what="the number of images", least=1.0)),
            score_maps.stored_text(part["score"], what="score"),
            ScoreCalibration.from_json(part["scores"], num_labels=num_labels),
            TunedThresholds.from_json(part["thresholds"], num_labels=num_labels),
            fitness,
        )


def fit_run_calibration(
    answers: Answers,
    targets: Targets,
    *,
    score: str,
    features: Features,
    training_features: Float[np.ndarray, "training features"],
    seed: int = 0,
) -> RunCalibration:
    """Fit everything on validation images.

    Args:
        answers: of validation images, as the model gives them.
        score: which number per label the answers' scores are.
        features: of the validation images, scaled as the head scales them.
        training_features: of training images, scaled alike; some thousand are enough.

    Raises:
        InputError: no image, or arrays that do not fit.
    """
    if not len(targets):
        raise InputError("there is no validation image to calibrate on.")
    scores = fit_score_calibration(answers.scores, targets, seed=seed)
    return RunCalibration(
        len(targets),
        score,
        scores,
        fit_thresholds(scores.apply(answers).scores, targets, seed=seed),
        fit_fitness(training_features, answers, features),
    )
