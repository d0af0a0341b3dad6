"""One image's answer as people and files get it: label names, scores, path; one line of JSON."""

import importlib
import json
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from labelbeam.charts.page import render
from labelbeam.errors import InputError
from labelbeam.labels.implications import Implications, close_upwards
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.predict.answers import Answers
from labelbeam.predict.decision import Decision, odd
from labelbeam.predict.thresholds import TunedThresholds

DIGITS = 6  # of the numbers in a line: float32 has 7


@dataclass(frozen=True)
class ScoredLabel:
    """A label with its score.

    Attributes:
        score: p(label | image), for suggestions p(label | image, accepted, rejected); in [0, 1].
        low: hard lower bound of the score.
        high: hard upper bound of the score.
        stderr: standard error of the score; 0 where nothing was sampled.
    """

    label: str
    score: float
    low: float
    high: float
    stderr: float

    def to_dict(self) -> dict[str, str | float]:
        """Return it as JSON holds it."""
        numbers = {name: getattr(self, name) for name in ("score", "low", "high", "stderr")}
        return {"label": self.label, **{name: round(value, DIGITS) for name, value in numbers.items()}}


@dataclass(frozen=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        image: the image as it was named.
        labels: the decided set, best score first.
        decide: the rule that decided it.
        path: label names in the order in which the model predicted them.
        log_prob: log p(path | image), nats; None where the head ranks labels and has no such thing.
        exact: whether the path is certified to be the most probable one.
        calibrated: whether scores and bounds went through maps fitted on validation images.
        fits: share of validation images at least as odd as this one; None where nothing was measured.
        refused: whether nothing was decided because the image fits no better than the decision asks for.
        kept: p(the rules are kept | image) as the model sees it, where there are rules.
        nothing: share of the images taken to show none of the labels; None: the training's.
        promise: what is promised of the labels, in words; empty: nothing.
        void: whether the image is so odd that no promise holds of it.
        unseen: whether nobody needs to look at it; None where that was not asked, or is not settled yet.
        sure: where images for nobody to look at are chosen together, the decided set's probability that they are chosen
            by; 0 for odd images.
        sets: where asked for, label sets with their probabilities, falling, among which the true set is.
        scores: every label's score where asked for, by name.
        error: why there is no answer; everything else is then empty.
    """

    image: str
    labels: tuple[ScoredLabel, ...] = ()
    decide: str = ""
    path: tuple[str, ...] = ()
    log_prob: float | None = 0.0
    exact: bool = False
    calibrated: bool = False
    fits: float | None = None
    refused: bool = False
    kept: float | None = None
    nothing: float | None = None
    promise: str = ""
    void: bool = False
    unseen: bool | None = None
    sure: float | None = None
    sets: tuple[tuple[tuple[str, ...], float], ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    error: str = ""

    def to_json(self) -> str:
        """Return the prediction as one line of JSON, without its line end.

        Example:
            >>> Prediction("b.jpg", error="not an image").to_json()
            '{"image": "b.jpg", "error": "not an image"}'
        """
        if self.error:
            values: dict[str, object] = {"image": self.image, "error": self.error}
        else:
            values = {
                "image": self.image,
                "labels": [one.to_dict() for one in self.labels],
                "decide": self.decide,
                "path": list(self.path),
                "log_prob": None if self.log_prob is None else round(self.log_prob, DIGITS),
                "exact": self.exact,
                "calibrated": self.calibrated,
            }
            if self.fits is not None:
                values["fits"] = round(self.fits, DIGITS)
            if self.refused:
                values["refused"] = True
            if self.kept is not None:
                values["kept"] = round(self.kept, DIGITS)
            if self.nothing is not None:
                values["nothing"] = round(self.nothing, DIGITS)
            if self.promise:
                values["promise"] = self.promise
            if self.void:
                values["void"] = True
            if self.unseen is not None:
                values["unseen"] = self.unseen
            if self.sure is not None:
                values["sure"] = self.sure  # every digit: images are chosen by it
            if self.sets:
                values["sets"] = [{"labels": list(one), "prob": round(p, DIGITS)} for one, p in self.sets]
            if self.scores:
                values["scores"] = {name: round(score, DIGITS) for name, score in self.scores.items()}
        return json.dumps(values, ensure_ascii=False)


def predictions_of(
    images: Sequence[str],
    answers: Answers,
    *,
    decision: Decision,
    vocabulary: Vocabulary,
    thresholds: TunedThresholds | None = None,
    implications: Implications | None = None,
    all_scores: bool = False,
    nothing: float | None = None,
) -> Iterator[Prediction]:
    """Turn answers into predictions, in the order of the images.

    Args:
        decision: the rule that decides the sets.
        thresholds: those that the run's calibration holds; None: it has none.
        implications: what decided labels imply is decided too, whatever its score; None: nothing is added.
        all_scores: whether predictions hold the score of every label, decided or not.
        nothing: share of the images that the answers take to show none of the labels; None: the training's.

    Raises:
        InputError: as `Decision.decide`; a promise that implied labels, which no score decides, would break.
    """
    decided = decision.decide(answers, thresholds)
    promise = decision.promised()
    unseen = sure = None
    if decision.unseen is not None and decision.on_average:
        sure = np.maximum(decision.sure(answers, decided), 0.0)
    elif decision.unseen is not None:
        unseen = decision.needs_nobody(answers, decided, thresholds)
    listed = None if decision.sets_among is None else decision.listed(answers)
    void = odd(answers) & decision.promises_something
    if implications is not None:
        if decision.unseen is not None or (promise is not None and "precision" in promise.kind):
            raise InputError(
                "implied labels are added whatever their scores, so no precision can be promised of them. Leave "
                "--implications out, or the promise."
            )
        decided = close_upwards(decided, vocabulary, implications)
    for row, image in enumerate(images):
        columns = zip(
            answers.scores[row], answers.low[row], answers.high[row], answers.stderr[row], strict=True
        )
        every = [
            ScoredLabel(name, *map(float, numbers)) for name, numbers in zip(vocabulary, columns, strict=True)
        ]
        chosen = sorted(
            (every[i] for i in np.flatnonzero(decided[row])), key=lambda one: (-one.score, one.label)
        )
        yield Prediction(
            image,
            tuple(chosen),
            decide=decision.rule,
            path=tuple(vocabulary.names_of(answers.paths[row])),
            log_prob=None if np.isnan(answers.log_probs[row]) else float(answers.log_probs[row]),
            exact=bool(answers.exact[row]),
            calibrated=answers.calibrated,
            fits=None if answers.fits is None else float(answers.fits[row]),
            refused=bool(
                decision.abstain and answers.fits is not None and answers.fits[row] <= decision.abstain
            ),
            kept=None if answers.kept is None else float(answers.kept[row]),
            nothing=nothing,
            promise="" if promise is None else str(promise),
            void=bool(void[row]),
            unseen=None if unseen is None else bool(unseen[row]),
            sure=None if sure is None else float(sure[row]),
            sets=()
            if listed is None
            else tuple((tuple(vocabulary.names_of(one)), p) for one, p in listed[row]),
            scores={one.label: one.score for one in every} if all_scores else {},
        )


SHOWN = 20
"""Rows of a table in a notebook."""


class Predictions(Iterator[Prediction]):
    """Predictions, one after another; each is there once.

    Example:
        >>> found = Predictions([Prediction("a.jpg"), Prediction("b.jpg")])
        >>> found.to_dicts()[0]["image"], list(found)
        ('a.jpg', [])
    """

    def __init__(self, predictions: Iterable[Prediction]) -> None:
        self._coming, self._seen = iter(predictions), deque[Prediction]()

    def __next__(self) -> Prediction:
        return self._seen.popleft() if self._seen else next(self._coming)

    def close(self) -> None:
        """End before the last one: what makes them lets go of the files it reads ahead."""
        self._seen.clear()
        if isinstance(self._coming, Generator):
            self._coming.close()
        self._coming = iter(())

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return all that are left as plain rows: image, labels, path, log_prob, exact, error, and scores by label."""
        return [row_of(one) for one in self]

    def to_pandas(self) -> Any:
        """Return all that are left as a pandas frame, a row each.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ModuleNotFoundError as error:
            raise InputError("a frame needs pandas: pip install 'labelbeam[sklearn]'.") from error
        return pandas.DataFrame(self.to_dicts())

    def _repr_html_(self) -> str:
        """Return the next rows as a table; they are still there afterwards."""
        self._seen.extend(islice(self._coming, max(0, SHOWN + 1 - len(self._seen))))
        rows = list(self._seen)
        return render("predict/table.html.jinja", rows=rows[:SHOWN], more=len(rows) > SHOWN)


def row_of(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as a row of a table."""
    row: dict[str, Any] = {
        "image": prediction.image,
        "labels": [one.label for one in prediction.labels],
        "path": list(prediction.path or ()),
        "log_prob": prediction.log_prob,
        "exact": prediction.exact,
        "error": prediction.error,
    }
    scores = prediction.scores or {one.label: one.score for one in prediction.labels}
    return row | {f"score {name}": value for name, value in scores.items()}
