"""All that a run learns from validation images: fitted, stored, read back, refused where it does not fit."""

import json

import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.predict.answers import Answers
from labelbeam.predict.calibration import RunCalibration, fit_run_calibration
from labelbeam.predict.decision import Decision

LABELS, FEATURES = 4, 12


def material(images: int = 80, seed: int = 0) -> tuple[Answers, np.ndarray, np.ndarray]:
    """Answers that are too sure of themselves, with truth and features."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(images, FEATURES)).astype(np.float32)
    says = 3 * features[:, :LABELS] - 1
    scores = (1 / (1 + np.exp(-says))).astype(np.float32)
    targets = (random.random(scores.shape) < 1 / (1 + np.exp(-says / 3))).astype(np.int8)
    nothing = np.zeros_like(scores)
    answers = Answers(scores, scores, scores, nothing, [()] * images, np.zeros(images), np.ones(images, bool))
    return answers, targets, features


def fitted() -> RunCalibration:
    answers, targets, features = material()
    return fit_run_calibration(
        answers, targets, score="marginal", features=features, training_features=material(200, 1)[2]
    )


def read(values: object, num_labels: int = LABELS, num_features: int = FEATURES) -> RunCalibration:
    return RunCalibration.from_json(values, num_labels=num_labels, num_features=num_features)


def test_a_calibration_comes_back_from_json_and_says_the_same() -> None:
    one = fitted()
    back = read(json.loads(json.dumps(one.to_json(), allow_nan=False)))
    answers, _, features = material(20, 2)
    mapped = [run.scores.apply(answers) for run in (one, back)]
    assert mapped[0].scores.tolist() == mapped[1].scores.tolist()
    decision = Decision("threshold", tuned_for="label-f1")
    decided = [decision.decide(mapped[0], run.thresholds).tolist() for run in (one, back)]
    assert decided[0] == decided[1]
    assert one.fitness.fits(answers, features).tolist() == back.fitness.fits(answers, features).tolist()
    assert back.images == 80


def test_thresholds_are_tuned_on_the_calibrated_scores() -> None:
    answers, targets, _ = material()
    one = fitted()
    assert one.scores.changes
    decided = Decision("threshold", tuned_for="of1").decide(one.scores.apply(answers), one.thresholds)
    raw = Decision("threshold", tuned_for="of1").decide(answers, one.thresholds)
    truth = targets == 1

    def of1(sets: np.ndarray) -> float:
        return 2 * (sets & truth).sum() / (sets.sum() + truth.sum())

    assert of1(decided) >= of1(raw)


def test_a_calibration_without_images_is_refused() -> None:
    answers, targets, features = material(0)
    with pytest.raises(InputError, match="no validation image"):
        fit_run_calibration(
            answers, targets, score="marginal", features=features, training_features=material(9)[2]
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 2}, "of version 2, this labelbeam reads version 1"),
        ({"images": 0}, "number of images is 0, outside"),
        ({"images": "80"}, "number of images must be a number"),
        ({"score": None}, "score must be a text"),
        ({"more": 1}, "calibration must hold exactly version, images"),
        ({"scores": None}, "score calibration must hold exactly"),
        ({"thresholds": []}, "thresholds must hold exactly"),
        ({"fitness": {}}, "fitness must hold exactly"),
    ],
)
def test_a_damaged_file_is_refused_with_words(change: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(fitted().to_json() | change)


def test_the_calibration_of_another_run_is_refused() -> None:
    stored = fitted().to_json()
    with pytest.raises(InputError, match="has 4 labels, the run 5"):
        read(stored, num_labels=5)
    with pytest.raises(InputError, match="has 12 features, the run 13"):
        read(stored, num_features=13)
    for values in (None, [], "x", {}):
        with pytest.raises(InputError, match="version None"):
            read(values)
