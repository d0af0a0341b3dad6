"""What to suggest next for one image, given the labels that a person accepted or rejected so far.

The one place that chooses the mechanism; `Tagger.suggest` and `labelbeam suggest` call it. The image
is there as features already, so a click costs a search, not an encoder's pass.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.errors import InputError
from labelbeam.heads.label_scores import TrainedAnySubset
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, evidence_row
from labelbeam.predict.answers import Answerer
from labelbeam.predict.label_model import label_model_answerer
from labelbeam.predict.prediction import DIGITS, ScoredLabel
from labelbeam.predict.under_rules import conditioned_scores
from labelbeam.runs.build import build_answerer
from labelbeam.runs.run_directory import Run
from labelbeam.suggest import (
    ANY_SUBSET,
    LIKELIHOOD_WEIGHTING,
    SIGMOID,
    Conditionals,
    by_head,
    by_search,
    without_evidence,
)


@dataclass(frozen=True)
class Suggestions:
    """Suggestions for one image, best first; iterating gives each `ScoredLabel`.

    Attributes:
        mechanism: "likelihood-weighting" (a label model's search), "any-subset" (the head of that name), or
            "sigmoid" (evidence has no effect).
        labels: the suggestions; never one of the accepted or rejected labels.
        accepted: the accepted labels, in label order.
        rejected: the rejected labels, in label order.
        evidence: p(accepted, rejected | image) where the mechanism gives it, else None.
        effective_samples: how many equal samples the scores rest on; None where nothing was sampled.
        note: what a person should know before trusting the scores; empty: nothing.
    """

    mechanism: str
    labels: tuple[ScoredLabel, ...]
    accepted: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    evidence: float | None = None
    effective_samples: float | None = None
    note: str = ""

    def __iter__(self) -> Iterator[ScoredLabel]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def to_json(self, image: str) -> str:
        """Return the answer as one JSON object.

        Example:
            >>> Suggestions(ANY_SUBSET, (ScoredLabel("dog", 0.5, 0.5, 0.5, 0.0),)).to_json("a.jpg")[:49]
            '{"image": "a.jpg", "mechanism": "any-subset", "ac'
        """
        values: dict[str, object] = {
            "image": image,
            "mechanism": self.mechanism,
            "accepted": list(self.accepted),
            "rejected": list(self.rejected),
            "suggestions": [one.to_dict() for one in self.labels],
        }
        for name in ("evidence", "effective_samples"):
            if (value := getattr(self, name)) is not None:
                values[name] = float(f"{value:.{DIGITS}g}")
        if self.note:
            values["note"] = self.note
        return json.dumps(values, ensure_ascii=False)


def suggest(
    run: Run,
    answerer: Answerer,
    features: np.ndarray,
    *,
    accepted: Iterable[str] = (),
    rejected: Iterable[str] = (),
    count: int = 10,
    mechanism: str | None = None,
) -> Suggestions:
    """Suggest labels for an image.

    Args:
        answerer: what answers with its head; a label model's keeps the prefixes of earlier clicks.
        features: of the image by the run's encoder, [features]; half or single precision.
        accepted: labels that the image has.
        rejected: labels that it has not.
        mechanism: "likelihood-weighting" or "any-subset"; None: the run's better one by held-out log-loss
            (`runs.run_directory`), or the only one it has.

    Raises:
        InputError: an unknown label, one both accepted and rejected, features of another number or not finite,
            a count below 1, a mechanism that the run does not have, or evidence that the model holds impossible or that
            contradicts the run's rules.
    """
    if count < 1:
        raise InputError(f"count is {count}; ask for at least 1 suggestion.")
    check_features(run, features)
    evidence = evidence_row(run.vocabulary, accepted, rejected)
    if run.rules is not None:
        run.rules.check_evidence(*(np.flatnonzero(evidence == state).tolist() for state in (PRESENT, ABSENT)))
    found = _conditionals(run, answerer, features[None], evidence[None], mechanism)
    score, low, high, stderr = (column[0] for column in (found.score, found.low, found.high, found.stderr))
    open_ = np.flatnonzero(evidence == UNKNOWN)
    best = open_[np.argsort(-score[open_], kind="stable")][:count]
    columns = zip(score[best], low[best], high[best], stderr[best], strict=True)
    names = run.vocabulary.names_of
    sampled = found.effective_samples is not None and found.effective_samples[0] > 0
    return Suggestions(
        found.mechanism,
        tuple(
            ScoredLabel(name, *map(float, numbers))
            for name, numbers in zip(names(best.tolist()), columns, strict=True)
        ),
        tuple(names(np.flatnonzero(evidence == PRESENT).tolist())),
        tuple(names(np.flatnonzero(evidence == ABSENT).tolist())),
        None if found.evidence is None else float(found.evidence[0]),
        float(found.effective_samples[0]) if found.effective_samples is not None and sampled else None,
        found.notes[0] if found.notes else "",
    )


def check_features(run: Run, features: np.ndarray) -> None:
    """Refuse what is not one image's features of a run's encoder.

    Raises:
        InputError: another shape, no floating-point numbers, NaN or infinity.
    """
    size = run.encoder.row_size
    if features.shape != (size,) or features.dtype.kind != "f":
        raise InputError(
            f"an image's features must be {size} floating-point numbers, as many as this run's encoder gives; given "
            f"{features.dtype} {list(features.shape)}. Extract them with the encoder of the same run."
        )
    if not np.isfinite(features).all():
        raise InputError("the image's features hold NaN or infinity; all must be finite. Extract them again.")


def _conditionals(
    run: Run,
    answerer: Answerer,
    features: Float[np.ndarray, "1 features"],
    evidence: Int8[np.ndarray, "1 labels"],
    mechanism: str | None,
) -> Conditionals:
    """Ask the mechanism that was named, else the one that was better on held-out images."""
    heads: dict[str, TrainedAnySubset] = {}
    searched = label_model_answerer(answerer)
    if HEADS[run.config.head].conditions:
        heads[ANY_SUBSET] = cast(TrainedAnySubset, run.head)
    elif run.suggester is not None:
        heads[ANY_SUBSET] = run.suggester.head
    there = [] if searched is None else [LIKELIHOOD_WEIGHTING]
    there += [*heads] or ([] if there else [SIGMOID])
    if mechanism is None:
        mechanism = run.suggester.better if run.suggester is not None else there[0]
    if mechanism not in there:
        raise InputError(
            f"this run cannot suggest by {mechanism!r}; its head is {run.config.head!r}, which gives "
            f"{' and '.join(there)}. Leave the mechanism out, or train with --head cnn-rnn, which gives both."
        )
    if mechanism == LIKELIHOOD_WEIGHTING and searched is not None:
        return by_search(searched, features, evidence)
    if mechanism == ANY_SUBSET:
        return _under_rules(run, by_head(heads[ANY_SUBSET], features, evidence), evidence)
    if run.rules is not None:
        plain = build_answerer(run.head, run.config)
        return _under_rules(run, without_evidence(plain, features), evidence)
    note = (
        f"the head of this run is {run.config.head!r}: it scores each label by itself, so what is accepted or rejected "
        "does not change the other labels' scores. Train with --head cnn-rnn or any-subset for that."
    )
    return replace(without_evidence(answerer, features), notes=(note,))


def _under_rules(run: Run, found: Conditionals, evidence: Int8[np.ndarray, "1 labels"]) -> Conditionals:
    """Condition scores of a head whose labels are independent, given evidence, on the run's rules."""
    if run.rules is None:
        return found
    score = conditioned_scores(found.score, evidence, run.rules.limits)
    return replace(found, score=score, low=score, high=score)
