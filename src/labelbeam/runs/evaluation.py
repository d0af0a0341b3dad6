"""Evaluation of a run on labelled images: answers beside truth, as the metrics want them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import PRESENT, Vocabulary
from labelbeam.metrics.calibration import CalibrationReport, calibration_report
from labelbeam.metrics.comparison import Comparison, Protocol, compare
from labelbeam.predict.answers import Answers
from labelbeam.predict.decision import Decision, odd
from labelbeam.predict.fitness import ALPHA
from labelbeam.predict.promises import check_listed, check_promise, check_unseen
from labelbeam.predict.set_lists import mass_before
from labelbeam.predict.thresholds import TunedThresholds
from labelbeam.runs.tagger import Tagger


@dataclass(frozen=True)
class Evaluation:
    """A run's answers for labelled images.

    Attributes:
        dataset: images and truth, columns as the reader gave them.
        vocabulary: the run's labels, the columns of `answers`.
        answers: one row per image.
        log_likelihood: log p(true set | image) per image, nats; None where it cannot be computed.
        notes: sentences for the user.
        thresholds: those that the run's calibration holds.
    """

    dataset: Dataset
    vocabulary: Vocabulary
    answers: Answers
    log_likelihood: Float[np.ndarray, " images"] | None
    notes: tuple[str, ...] = ()
    thresholds: TunedThresholds | None = None

    def comparison(self, decision: Decision, *, k: int | None = None) -> Comparison:
        """Put the answers beside the truth under one decision protocol.

        Args:
            decision: how sets are decided, where `k` is None.
            k: decide exactly the k best-ranked labels instead.
        """
        truth, names = self.dataset.targets, self.dataset.vocabulary.names
        column = {name: j for j, name in enumerate(self.vocabulary)}
        shared = [j for j, name in enumerate(names) if name in column]
        source = [column[names[j]] for j in shared]
        scores = np.full(truth.shape, -np.inf)
        scores[:, shared] = self.answers.scores[:, source]
        likelihood = None if self._unsayable() else self.log_likelihood
        if k is not None:
            protocol = Protocol("exact-k", k=k)
            return compare(
                truth, names, protocol=protocol, scores=scores, log_likelihood=likelihood, notes=self.notes
            )
        sets = decision.decide(self.answers, self.thresholds)
        decisions = np.zeros(truth.shape, dtype=np.bool_)
        decisions[:, shared] = sets[:, source]
        return compare(
            truth,
            names,
            protocol=Protocol("sets", decided_by=decision.name),
            scores=scores,
            decisions=decisions,
            outside=sets.sum(axis=1) - decisions.sum(axis=1),
            log_likelihood=likelihood,
            notes=self.notes,
        )

    def promise_checks(self, decision: Decision, comparison: Comparison) -> dict[str, Any]:
        """Return whether what a decision promises holds on these images, by what is promised; empty: nothing is.

        Args:
            decision: which decided `comparison`.
            comparison: as `comparison` returned it.
        """
        if not decision.promises_something or comparison.protocol.k is not None:
            return {}
        checks: dict[str, Any] = {}
        if (promise := decision.promised()) is not None:
            checks["labels"] = check_promise(promise, comparison)
        if decision.unseen is not None:
            sets = decision.decide(self.answers, self.thresholds)
            nobody = decision.needs_nobody(self.answers, sets, self.thresholds)
            checks["unseen"] = check_unseen(
                decision.unseen, nobody, comparison, on_average=decision.on_average
            )
        if decision.sets_among is not None:
            truth = self.dataset.with_vocabulary(self.vocabulary.names).targets
            listed = decision.listed(self.answers)
            found = np.isfinite(mass_before(listed, truth))
            checks["sets"] = check_listed(decision.sets_among, found, np.array([len(one) for one in listed]))
        if (share := float(odd(self.answers).mean())) > 2 * ALPHA:
            for one in checks.values():
                one["void"] = (
                    f"{share:.0%} of the images are odd, where {ALPHA:.0%} would be: they are not like the calibration "
                    "images, and no promise holds of them"
                )
        return checks

    def reliability(self) -> CalibrationReport:
        """Measure how far the scores are probabilities, over the labels that both the run and the data have."""
        names = [name for name in self.dataset.vocabulary if name in self.vocabulary.names]
        truth = [self.dataset.vocabulary.id_of(name) for name in names]
        columns = [self.vocabulary.id_of(name) for name in names]
        return calibration_report(self.dataset.targets[:, truth], self.answers.scores[:, columns], names)

    def _unsayable(self) -> bool:
        """Tell whether the truth has labels that the run does not have; its likelihood is then no number."""
        strange = [j for j, name in enumerate(self.dataset.vocabulary) if name not in self.vocabulary.names]
        return bool((self.dataset.targets[:, strange] == PRESENT).any())


def evaluate_features(
    tagger: Tagger,
    dataset: Dataset,
    features: Float[np.ndarray, "images features"],
    *,
    notes: Sequence[str] = (),
) -> Evaluation:
    """Answer for labelled images from their features.

    Args:
        dataset: images and truth; labels that only one side knows are noted.

    Raises:
        InputError: the data has none of the run's labels.
    """
    refuse_strangers(dataset, tagger.run.vocabulary, of="the run")
    vocabulary, remarks = tagger.run.vocabulary, [*notes]
    if unknown := sorted(set(dataset.vocabulary) - set(vocabulary)):
        remarks.append(f"labels of the data that the run does not know, never predicted: {some(unknown)}")
    if foreign := sorted(set(vocabulary) - set(dataset.vocabulary)):
        remarks.append(f"labels of the run that the data does not have, wrong where decided: {some(foreign)}")
    targets = dataset.with_vocabulary(vocabulary.names).targets
    try:
        log_likelihood = tagger.answerer.set_log_prob(features, targets)
    except InputError as error:  # sets too large to sum their orders; every other score can be had
        log_likelihood = None
        remarks.append(f"no log-likelihood: {error}")
    if log_likelihood is not None and (broken := np.isneginf(log_likelihood)).any() and tagger.run.rules:
        log_likelihood = np.where(broken, np.nan, log_likelihood)
        remarks.append(
            f"{broken.sum()} of {len(broken)} true sets break the rules: their log-likelihood is minus infinity, and "
            "its mean leaves them out."
        )
    if tagger.note:
        remarks.append(tagger.note)
    thresholds = tagger.thresholds
    return Evaluation(
        dataset, vocabulary, tagger.answer(features), log_likelihood, tuple(remarks), thresholds
    )


def refuse_strangers(dataset: Dataset, vocabulary: Vocabulary, *, of: str) -> None:
    """Refuse labelled images that share no label with a vocabulary: every score would be of nothing.

    Raises:
        InputError: no label is in both.
    """
    if set(dataset.vocabulary).isdisjoint(vocabulary):
        raise InputError(
            f"{dataset.spec} has none of the labels of {of}: it has {some(sorted(dataset.vocabulary))}; wanted "
            f"are {some(sorted(vocabulary))}. Check that both use the same names."
        )


def some(names: list[str]) -> str:
    """Return the first of many names, and how many there are."""
    return ", ".join(names[:20]) + (f", … ({len(names)} in all)" if len(names) > 20 else "")
