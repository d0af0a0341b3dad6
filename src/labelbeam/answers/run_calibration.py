"""Everything that a run learns from its validation images after training: score maps, thresholds, fitness.

One object, one file (`calibration.json` of a run directory). Knows no file and no configuration.
In the data path: answers -> **calibration** -> decisions.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.answers.answers import Answers
from labelbeam.answers.calibration import ScoreCalibration, fit_score_calibration
from labelbeam.answers.fitness import Fitness, fit_fitness
from labelbeam.answers.stored import VERSION, stored_number, stored_part, stored_text
from labelbeam.answers.tuned_thresholds import TunedThresholds, fit_thresholds
from labelbeam.errors import InputError

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
            "version": VERSION,
            "images": self.images,
            "score": self.score,
            "scores": self.scores.to_json(),
            "thresholds": self.thresholds.to_json(),
            "fitness": self.fitness.to_json(),
        }

    @classmethod
    def from_json(cls, values: object, *, num_labels: int, num_features: int) -> "RunCalibration":
        """Read back what `to_json` gave.

        Args:
            values: plain values, from anybody.
            num_labels: of the run.
            num_features: of the run's encoder.

        Raises:
            InputError: damaged values, another version, or other numbers of labels or features than the run's.
        """
        version = values.get("version") if isinstance(values, dict) else None
        if version != VERSION:
            raise InputError(
                f"the calibration is of version {version!r:.20}, this labelbeam reads version {VERSION}. "
                "Train the run again, or use the labelbeam that trained it."
            )
        part = stored_part(values, part="calibration", keys=KEYS)
        fitness = Fitness.from_json(part["fitness"])
        if fitness.space is not None and len(fitness.space.center) != num_features:
            raise InputError(
                f"the feature space has {len(fitness.space.center)} features, the run {num_features}."
            )
        return cls(
            int(stored_number(part["images"], what="the number of images", least=1.0)),
            stored_text(part["score"], what="score"),
            ScoreCalibration.from_json(part["scores"], num_labels=num_labels),
            TunedThresholds.from_json(part["thresholds"], num_labels=num_labels),
            fitness,
        )


def fit_run_calibration(
    answers: Answers,
    targets: Int8[np.ndarray, "images labels"],
    *,
    score: str,
    features: Float[np.ndarray, "images features"],
    training_features: Float[np.ndarray, "training features"],
    seed: int = 0,
) -> RunCalibration:
    """Fit everything on validation images.

    Args:
        answers: of validation images, as the model gives them.
        targets: their truth, 1 present, 0 absent, -1 unknown; columns as the answers'.
        score: which number per label the answers' scores are.
        features: of the validation images, scaled as the head scales them.
        training_features: of training images, scaled alike; some thousand are enough.
        seed: of folds.

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
