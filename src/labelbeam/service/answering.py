"""Features to predictions, and every other question to the model, in the one thread that may touch the searches.

A label model's searches share a trie that is made for one thread; images of several clients that are decided alike
are searched together, which costs a fraction of one by one. Called in that thread by `service.batches`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labelbeam.answers.decision import Decision
from labelbeam.answers.prediction import Prediction, predictions_of
from labelbeam.joints.tagger import Tagger


@dataclass(frozen=True)
class Encoded:
    """An image to be answered.

    Attributes:
        name: of the image.
        features: float16 [features].
        decision: how its set is decided.
        all_scores: whether the prediction holds every label's score.
    """

    name: str
    features: np.ndarray
    decision: Decision
    all_scores: bool


Question = Encoded | Callable[[], object]
"""An image, or anything else that asks the model."""


class QuestionAnswerer:
    """Answers some questions at a time."""

    def __init__(self, tagger: Tagger) -> None:
        self._tagger = tagger

    def __call__(self, questions: Sequence[Question]) -> list[object]:
        """Return for each question its answer (a `Prediction` for an image), or the exception it raised."""
        answers: list[object] = [None] * len(questions)
        alike: dict[tuple[Decision, bool], list[int]] = {}
        for i, question in enumerate(questions):
            if isinstance(question, Encoded):
                alike.setdefault((question.decision, question.all_scores), []).append(i)
            else:
                answers[i] = _answer_or_error(question)
        for rows in alike.values():
            images = [question for i in rows if isinstance(question := questions[i], Encoded)]
            found = _answer_or_error(lambda images=images: self._predictions(images))  # type: ignore[misc]
            for i, prediction in zip(
                rows, found if isinstance(found, list) else [found] * len(rows), strict=True
            ):
                answers[i] = prediction
        return answers

    def _predictions(self, images: Sequence[Encoded]) -> list[Prediction]:
        """Answer for images that are decided alike."""
        tagger = self._tagger
        return list(
            predictions_of(
                [image.name for image in images],
                tagger.answer(np.stack([image.features for image in images])),
                decision=images[0].decision,
                vocabulary=tagger.run.vocabulary,
                thresholds=tagger.calibration.thresholds if tagger.calibration else None,
                all_scores=images[0].all_scores,
            )
        )


def _answer_or_error(question: Callable[[], object]) -> object:
    try:
        return question()
    except Exception as error:
        # It belongs to the one who asked, where it is told and logged; the others' questions must be answered.
        return error
