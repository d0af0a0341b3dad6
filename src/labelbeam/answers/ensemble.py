"""Several models that answer as one: the mixture of their distributions, each with the same weight.

Made for models of the same labels in different orders. Everything is the mixture's own: scores are the means of the
members' scores, p(set) the mean of theirs. The path is the best, under the mixture, of the members' own most probable
sets: a search among few, so nothing certifies it. Knows members and how their columns are to be sorted; knows no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.answers.answers import Answerer, Answers
from labelbeam.decoding.set_samples import SetSamples
from labelbeam.errors import InputError
from labelbeam.labels.targets import UNKNOWN


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Attributes:
        answerer: what answers with it.
        columns: for each label of the ensemble, the member's column of it.
    """

    answerer: Answerer
    columns: Int[np.ndarray, " labels"]


@dataclass(frozen=True)
class EnsembleAnswerer:
    """Answers from several models of the same labels and the same features.

    Attributes:
        members: the models.

    Raises:
        InputError: no member, or columns that are not the same labels sorted anew.

    Source:
        Read et al. 2011, Classifier chains for multi-label classification (ensembles of random orders, there by votes);
        "order ensembles" of Wang et al. 2016, Section 3.
    """

    members: Sequence[Member]

    def __post_init__(self) -> None:
        if not self.members:
            raise InputError("an ensemble needs at least one model.")
        num_labels = len(self.members[0].columns)
        for member in self.members:
            if sorted(member.columns.tolist()) != list(range(num_labels)):
                raise InputError(f"every member must have the same {num_labels} labels, each once.")

    def answer(self, features: Float[np.ndarray, "images features"]) -> Answers:
        """Return the mixture's scores and the best of the members' paths, by falling score.

        Raises:
            InputError: a member that has no probability of a set (it ranks labels, or sums over the orders of too many
                labels).
        """
        found = [member.answerer.answer(features) for member in self.members]
        columns = [member.columns for member in self.members]

        def mean(name: str) -> np.ndarray:
            parts = [getattr(one, name)[:, c] for one, c in zip(found, columns, strict=True)]
            return np.stack(parts).mean(axis=0, dtype=np.float64)

        scores = mean("scores").astype(np.float32)
        # Sampled parts of different members are drawn apart: their variances add.
        stderr = np.sqrt(
            np.mean([one.stderr[:, c] ** 2 for one, c in zip(found, columns, strict=True)], axis=0)
            / len(found)
        )
        sets = np.stack([one.path_sets()[:, c] for one, c in zip(found, columns, strict=True)])
        log_probs = np.stack([self.set_log_prob(features, one.astype(np.int8)) for one in sets])
        best = log_probs.argmax(axis=0)
        images = np.arange(len(scores))
        samplers = all(one.sample_sets is not None for one in found)
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(sets[best, images], np.argsort(-scores, axis=1, kind="stable"), strict=True)
        ]
        return Answers(
            scores,
            mean("low").astype(np.float32),
            mean("high").astype(np.float32),
            stderr.astype(np.float32),
            paths,
            log_probs[best, images],
            np.zeros(len(scores), dtype=bool),
            (lambda block: self._sets(found, block)) if samplers else None,
        )

    def set_log_prob(
        self, features: Float[np.ndarray, "images features"], targets: Int8[np.ndarray, "images labels"]
    ) -> Float[np.ndarray, " images"]:
        """Return log of the mean of p(true set | image), nats; what members do with unknown labels is theirs.

        Raises:
            InputError: a member that has no such probability.
        """
        log_probs = []
        for member in self.members:
            sorted_targets = np.full_like(targets, UNKNOWN)
            sorted_targets[:, member.columns] = targets
            log_probs.append(member.answerer.set_log_prob(features, sorted_targets))
        mixed: np.ndarray = np.logaddexp.reduce(log_probs, axis=0) - np.log(len(self.members))
        return mixed

    def _sets(self, found: Sequence[Answers], block: slice) -> SetSamples:
        """Return the members' weighted sets side by side."""
        parts = [one.sample_sets(block) for one in found if one.sample_sets is not None]
        sets = [part.sets[:, :, member.columns] for part, member in zip(parts, self.members, strict=True)]
        weights = np.concatenate([part.weights for part in parts], axis=1) / len(parts)
        return SetSamples(np.concatenate(sets, axis=1), weights)
