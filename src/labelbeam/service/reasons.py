"""Suggestions for a photograph of a project, each with the decision that moved it most.

The reason is measured, not guessed: without each decision in turn the photograph is asked again, and the difference
is what that decision did. Called in the thread that owns the tagger. Knows no request and no project file.
"""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import ABSENT, PRESENT
from labelbeam.predict.label_model import label_model_answerer
from labelbeam.runs.tagger import Tagger
from labelbeam.suggest.mechanisms import ANY_SUBSET, LIKELIHOOD_WEIGHTING

SECONDS = 0.05
"""Time for trying decisions as reasons: each that was not asked before costs as much as a suggestion."""

REMEMBERED = 2000
"""Questions whose answers are kept: some ten kilobytes each with a thousand labels."""

LEAST = 0.01
"""Smallest change of a score that is shown."""


@dataclass(frozen=True)
class Reason:
    """The decision that moved a score most.

    Attributes:
        label: what was decided.
        value: PRESENT (accepted) or ABSENT (rejected).
        change: the score less what it would be without that decision.
    """

    label: str
    value: int
    change: float


@dataclass(frozen=True)
class Reasoned:
    """A suggestion with its reason.

    Attributes:
        label: its name.
        score: p(label | image, what was decided).
        reason: None where no decision moved it by `LEAST`.
    """

    label: str
    score: float
    reason: Reason | None


@dataclass(frozen=True)
class ReasonedSuggestions:
    """What to show beside a photograph.

    Attributes:
        suggestions: best first; none of the decided labels.
        mechanism: what scored them.
        note: what to know before trusting them, empty: nothing.
    """

    suggestions: tuple[Reasoned, ...]
    mechanism: str
    note: str = ""


@dataclass(frozen=True)
class _Scores:
    scores: Mapping[str, float]
    mechanism: str
    note: str


class Reasons:
    """Suggests with reasons for one run, remembering what was asked: the state before a click was asked before it."""

    def __init__(self, tagger: Tagger, *, seconds: float = SECONDS) -> None:
        """Make it.

        Args:
            tagger: of the run.
            seconds: after which no further decision is tried as a reason.
        """
        self._tagger, self._seconds = tagger, seconds
        self._known = frozenset(tagger.labels)
        self._asked: OrderedDict[tuple[object, ...], _Scores] = OrderedDict()

    def suggest(
        self,
        features: Float[np.ndarray, " features"],
        decided: Mapping[str, int],
        *,
        count: int = 12,
        mechanism: str | None = None,
    ) -> ReasonedSuggestions:
        """Suggest labels for a photograph, with reasons.

        Args:
            features: of the photograph.
            decided: labels with PRESENT or ABSENT, the earliest decision first; labels that the model does not know
                are passed over.
            count: most suggestions.
            mechanism: as `runs.suggestions.suggest`.

        Raises:
            InputError: features that do not fit the run, or a mechanism that it does not have.
        """
        began = time.perf_counter()
        evidence = {name: value for name, value in decided.items() if name in self._known}
        found = self._scores(features, evidence, mechanism)
        left_out: dict[str, Mapping[str, float]] = {}
        for name in reversed(evidence):  # the latest first: what was so before it is remembered
            if left_out and time.perf_counter() - began > self._seconds:
                break
            without = {other: value for other, value in evidence.items() if other != name}
            left_out[name] = self._scores(features, without, mechanism).scores
        scores = found.scores
        best = sorted(scores, key=lambda name: (-scores[name], name))[:count]
        return ReasonedSuggestions(
            tuple(
                Reasoned(name, scores[name], _reason(name, scores[name], left_out, evidence)) for name in best
            ),
            found.mechanism,
            found.note,
        )

    def scores(
        self, features: Float[np.ndarray, " features"], decided: Mapping[str, int]
    ) -> Mapping[str, float]:
        """Return every undecided label's score, as `suggest` gives it; arguments and errors as there."""
        evidence = {name: value for name, value in decided.items() if name in self._known}
        return self._scores(features, evidence, None).scores

    def _scores(
        self, features: Float[np.ndarray, " features"], evidence: Mapping[str, int], mechanism: str | None
    ) -> _Scores:
        key = (features.tobytes(), frozenset(evidence.items()), mechanism)
        if (cached := self._asked.get(key)) is not None:
            self._asked.move_to_end(key)
            return cached
        found = self._asked[key] = _asked(self._tagger, features, evidence, mechanism)
        while len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        return found


def _asked(
    tagger: Tagger,
    features: Float[np.ndarray, " features"],
    evidence: Mapping[str, int],
    mechanism: str | None,
) -> _Scores:
    """Return every open label's score; of impossible evidence the scores without it, and a note that says so."""
    accepted = [name for name, value in evidence.items() if value == PRESENT]
    rejected = [name for name, value in evidence.items() if value == ABSENT]
    whole = len(tagger.labels)
    try:
        found = tagger.suggest(features, accepted, rejected, whole, mechanism)
        return _Scores({one.label: one.score for one in found}, found.mechanism, found.note)
    except InputError as error:
        if not evidence:
            raise
        found = tagger.suggest(features, (), (), whole, mechanism)
        scores = {one.label: one.score for one in found if one.label not in evidence}
        return _Scores(scores, found.mechanism, f"Suggestions do not follow your decisions here: {error}")


def _reason(
    name: str,
    score: float,
    left_out: Mapping[str, Mapping[str, float]],
    evidence: Mapping[str, int],
) -> Reason | None:
    changes = {decision: score - without.get(name, score) for decision, without in left_out.items()}
    if not changes:
        return None
    most = max(changes, key=lambda decision: abs(changes[decision]))
    return Reason(most, evidence[most], changes[most]) if abs(changes[most]) >= LEAST else None


def suggesting_mechanisms(tagger: Tagger) -> tuple[str, ...]:
    """Return the mechanisms that a run can suggest by; the first is what it does by itself."""
    if label_model_answerer(tagger.answerer) is None or tagger.run.suggester is None:
        return ()
    both = (LIKELIHOOD_WEIGHTING, ANY_SUBSET)
    return both if tagger.run.suggester.better == LIKELIHOOD_WEIGHTING else both[::-1]
