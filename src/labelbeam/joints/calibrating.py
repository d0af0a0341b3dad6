"""Calibration of a run: fitted on validation images when training ends, applied to whatever it answers then.

Joins a run's head, its answers and `answers.run_calibration`. What a user changes after training may make the
calibration void: then it is left out, and said.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.answers.answers import Answers
from labelbeam.answers.run_calibration import RunCalibration, fit_run_calibration
from labelbeam.heads.label_model import LabelModelHead
from labelbeam.joints.build import Head, build_answerer
from labelbeam.joints.config import RunConfig
from labelbeam.joints.run_directory import Run

MOST_TRAINING_IMAGES = 2000
"""Training images whose features say where images like them lie; more change little."""


def calibrate(
    run: Run,
    features: Float[np.ndarray, "images features"],
    targets: Int8[np.ndarray, "images labels"],
    training_features: Float[np.ndarray, "training features"],
) -> RunCalibration:
    """Fit score maps, thresholds and fitness.

    Args:
        run: the trained model, not calibrated.
        features: of validation images.
        targets: their truth, columns in the run's label order.
        training_features: of some training images.

    Raises:
        InputError: no image.
    """
    answers = build_answerer(run.head, run.config).answer(features)
    return fit_run_calibration(
        answers,
        targets,
        score=score_name(run.head, run.config),
        features=run.head.scaling(features),
        training_features=run.head.scaling(training_features),
        seed=run.config.seed,
    )


def score_name(head: Head, config: RunConfig) -> str:
    """Return which number per label a run's scores are; heads that are not searched have but one."""
    return config.search.score if isinstance(head, LabelModelHead) else "marginal"


def valid_calibration(run: Run) -> tuple[RunCalibration | None, str]:
    """Return the calibration that fits how the run is asked now, and a sentence where it was left out."""
    if run.calibration is None:
        return None, ""
    search, score = run.config.search, score_name(run.head, run.config)
    if score != run.calibration.score:
        why = f"it was fitted on the score {run.calibration.score!r}, asked is {score!r}"
    elif isinstance(run.head, LabelModelHead) and (search.min_labels or search.max_labels is not None):
        why = "the number of labels is forced, which changes the scores"
    else:
        return run.calibration, ""
    return None, f"scores are not calibrated: {why}."


def calibrated(
    calibration: RunCalibration, answers: Answers, head: Head, features: Float[np.ndarray, "images features"]
) -> Answers:
    """Return answers with mapped scores, and how well each image fits."""
    fits = calibration.fitness.fits(answers, head.scaling(features))
    return replace(calibration.scores.apply(answers), fits=fits)
