"""What to suggest next for one image, given the labels that a person accepted or rejected so far.

The one place that chooses the mechanism, by the run's head; `Tagger.suggest` and `labelbeam suggest` call it. The image
is there as features already, so a click costs a search, not an encoder's pass.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int8

from labelbeam.answers.answers import Answerer
from labelbeam.answers.of_label_model import LabelModelAnswerer
from labelbeam.answers.prediction import DIGITS, ScoredLabel
from labelbeam.decoding.evidence import conditional_marginals
from labelbeam.errors import InputError
from labelbeam.joints.run_directory import Run
from labelbeam.labels.known import known_labels
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN
from labelbeam.models.any_subset import AnySubsetHead

LIKELIHOOD_WEIGHTING = "likelihood weighting"
ANY_SUBSET = "any-subset"
SIGMOID = "sigmoid (evidence has no effect)"

EXPANSIONS, SAMPLES = 32, 100
"""Of one click: within 20 ms on one thread with 80 labels (`benchmarks/suggest.py`)."""


@dataclass(frozen=True)
class Suggestions:
    """Suggestions for one image, best first; iterating gives each `ScoredLabel`.

    Attributes:
        mechanism: "likelihood weighting" (a label model's search), "any-subset" (the head of that name), or
            "sigmoid (evidence has no effect)".
        labels: the suggestions; never one of the known or rejected labels.
        known: the accepted labels, in label order.
        rejected: the rejected labels, in label order.
        evidence: p(known, rejected | image) where the mechanism gives it, else None.
        effective_samples: how many equal samples the scores rest on; None where nothing was sampled.
        note: what a person should know before trusting the scores; empty: nothing.
    """

    mechanism: str
    labels: tuple[ScoredLabel, ...]
    known: tuple[str, ...] = ()
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
            '{"image": "a.jpg", "mechanism": "any-subset", "kn'
        """
        told: dict[str, object] = {
            "image": image,
            "mechanism": self.mechanism,
            "known": list(self.known),
            "rejected": list(self.rejected),
            "suggestions": [one.told() for one in self.labels],
        }
        for name in ("evidence", "effective_samples"):
            if (value := getattr(self, name)) is not None:
                told[name] = float(f"{value:.{DIGITS}g}")
        if self.note:
            told["note"] = self.note
        return json.dumps(told, ensure_ascii=False)


@dataclass(frozen=True)
class _Scores:
    """Columns of one image before names are put to them."""

    mechanism: str
    score: Float[np.ndarray, " labels"]
    low: Float[np.ndarray, " labels"]
    high: Float[np.ndarray, " labels"]
    stderr: Float[np.ndarray, " labels"]
    evidence: float | None = None
    effective_samples: float | None = None
    note: str = ""


def suggest(
    run: Run,
    answerer: Answerer,
    features: np.ndarray,
    *,
    known: Iterable[str] = (),
    rejected: Iterable[str] = (),
    count: int = 10,
) -> Suggestions:
    """Suggest labels for an image.

    Args:
        run: the trained model.
        answerer: what answers with its head; a label model's keeps the prefixes of earlier clicks.
        features: what the run's encoder says of the image, [features]; half or single precision.
        known: labels that the image has.
        rejected: labels that it has not.
        count: most suggestions.

    Raises:
        InputError: an unknown label, one both known and rejected, features of another number or not finite,
            a count below 1, or evidence that the model holds impossible.
    """
    if count < 1:
        raise InputError(f"count is {count}; ask for at least 1 suggestion.")
    check_features(run, features)
    evidence = known_labels(run.vocabulary, known, rejected)
    scores = _scores(run, answerer, features[None], evidence[None])
    open_ = np.flatnonzero(evidence == UNKNOWN)
    best = open_[np.argsort(-scores.score[open_], kind="stable")][:count]
    columns = zip(scores.score[best], scores.low[best], scores.high[best], scores.stderr[best], strict=True)
    names = run.vocabulary.names_of
    return Suggestions(
        scores.mechanism,
        tuple(
            ScoredLabel(name, *map(float, numbers))
            for name, numbers in zip(names(best.tolist()), columns, strict=True)
        ),
        tuple(names(np.flatnonzero(evidence == PRESENT).tolist())),
        tuple(names(np.flatnonzero(evidence == ABSENT).tolist())),
        scores.evidence,
        scores.effective_samples,
        scores.note,
    )


def check_features(run: Run, features: np.ndarray) -> None:
    """Refuse what is not one image's features of a run's encoder.

    Raises:
        InputError: another shape, no floating-point numbers, NaN or infinity.
    """
    size = run.encoder.num_features
    if features.shape != (size,) or features.dtype.kind != "f":
        raise InputError(
            f"an image's features must be {size} floating-point numbers, as many as this run's encoder gives; given "
            f"{features.dtype} {list(features.shape)}. Extract them with the encoder of the same run."
        )
    if not np.isfinite(features).all():
        raise InputError("the image's features hold NaN or infinity; all must be finite. Extract them again.")


def _scores(
    run: Run,
    answerer: Answerer,
    features: Float[np.ndarray, "1 features"],
    known: Int8[np.ndarray, "1 labels"],
) -> _Scores:
    if isinstance(answerer, LabelModelAnswerer):
        rows = answerer.step.image_rows(features)
        found = conditional_marginals(
            answerer.trie,
            rows,
            known,
            expansions=EXPANSIONS,
            samples=SAMPLES,
            seed=run.config.search.seed,
        )
        sampled = float(found.effective_samples[0])
        return _Scores(
            LIKELIHOOD_WEIGHTING,
            found.score[0],
            found.low[0],
            found.high[0],
            found.stderr[0],
            float(found.evidence[0]),
            sampled if sampled else None,
            found.statement(0),
        )
    if isinstance(run.head, AnySubsetHead):
        device = run.head.scaling.mean.device
        inputs = torch.from_numpy(features.astype(np.float32)).to(device)
        given = torch.from_numpy(known).to(device)
        with torch.inference_mode():
            probs = run.head.conditional(inputs, given == PRESENT, given == ABSENT)[0].double().cpu().numpy()
        return _Scores(ANY_SUBSET, probs, probs, probs, np.zeros_like(probs))
    probs = answerer.answer(features).scores[0].astype(np.float64)
    note = (
        f"the head of this run is {run.config.head!r}: it scores each label by itself, so what is known or rejected "
        "does not change the other labels' scores. Train with --head cnn-rnn or any-subset for that."
    )
    return _Scores(SIGMOID, probs, probs, probs, np.zeros_like(probs), note=note)
