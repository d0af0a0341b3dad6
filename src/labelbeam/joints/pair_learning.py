"""Which pairs of labels a run has learned, missed or invented, and which exclusive ones it emits together.

Between evaluations (a run's, and a rival's on the same images) and the analyses of pairs; names in, plain values out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Int8

from labelbeam.analysis.exclusive_pairs import TogetherRates, emitted_together, exclusive_pairs
from labelbeam.analysis.learned_pairs import PairComparison, compare_pairs
from labelbeam.analysis.look_alikes import LookAlikes, look_alikes
from labelbeam.answers.decision import Decision
from labelbeam.errors import InputError
from labelbeam.joints.evaluation import Evaluation
from labelbeam.joints.failures import truth_and_sets
from labelbeam.labels.targets import PRESENT


@dataclass(frozen=True, eq=False)
class PairLearning:
    """What a run makes of pairs of labels.

    Attributes:
        names: of the run's labels.
        compared: truth against predictions.
        rival: the same for the rival's predictions; None without one.
        together: images that get both labels of exclusive pairs: truth, the run, the rival.
        alike: those of the exclusive pairs that look alike, near-synonyms; None where nothing was given to see it by.
        alike_together: images that get both labels of near-synonyms; likewise.
    """

    names: tuple[str, ...]
    compared: PairComparison
    rival: PairComparison | None
    together: TogetherRates
    alike: LookAlikes | None = None
    alike_together: TogetherRates | None = None

    def to_json(self, *, most: int = 50) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "pairs": self.compared.to_json(self.names, most=most),
            "rival_pairs": None if self.rival is None else self.rival.to_json(self.names, most=most),
            "exclusive": self.together.to_json(self.names, most=most),
            "near_synonyms": self._near_synonyms(most),
        }

    def _near_synonyms(self, most: int) -> dict[str, Any] | None:
        if self.alike is None or self.alike_together is None:
            return None
        found, rates = self.alike, self.alike_together
        return rates.to_json(self.names, most=most) | {
            "least_by_vectors": _rounded(found.least_vectors),
            "least_by_images": _rounded(found.least_images),
            "alike": [
                {
                    "labels": [self.names[a] for a in pair],
                    "by_vectors": _rounded(float(vectors)),
                    "by_images": _rounded(float(images)),
                    "images": {name: int(rates.by_pair[i, j]) for i, name in enumerate(rates.sources)},
                }
                for j, (pair, vectors, images) in enumerate(
                    zip(found.pairs.tolist()[:most], found.by_vectors, found.by_images, strict=False)
                )
            ],
        }


def pair_learning(
    evaluation: Evaluation,
    decision: Decision,
    *,
    training_targets: Int8[np.ndarray, "training labels"],
    rival: Evaluation | None = None,
    rival_decision: Decision | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    features: Float[np.ndarray, "images features"] | None = None,
    points: Float[np.ndarray, "labels width"] | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> PairLearning:
    """Compare pairs of labels in the truth and in decided sets.

    Args:
        evaluation: of the run.
        decision: how its sets are decided.
        training_targets: training labels, columns in the run's order; they say which pairs exclude each other.
        rival: another run's evaluation on the same images, such as a sigmoid head's.
        rival_decision: how the rival's sets are decided; None: as the run's.
        pairs: further pairs by name that should not stand together, such as synonyms.
        features: of the evaluated images; they say which exclusive pairs look alike. None: nobody asks.
        points: the run's vector of each label (`embedding.label_points`); None: it has none.
        seed: of the resampling.
        resamples: of the images.

    Raises:
        InputError: a rival on other images or without the run's labels, an unknown label, or a pair of one label.
    """
    names = evaluation.vocabulary.names
    truth, decided = truth_and_sets(evaluation, decision)
    sources = {"truth": truth == PRESENT, "run": decided}
    compared = compare_pairs(truth, decided, rng=np.random.default_rng(seed), resamples=resamples)
    rival_compared = None
    if rival is not None:
        if rival.dataset.images != evaluation.dataset.images or set(rival.vocabulary) != set(names):
            raise InputError("the rival must be evaluated on the same images and have the same labels.")
        column = [rival.vocabulary.id_of(name) for name in names]
        sources["rival"] = truth_and_sets(rival, rival_decision or decision)[1][:, column]
        rival_compared = compare_pairs(
            truth, sources["rival"], rng=np.random.default_rng(seed), resamples=resamples
        )
    given = [tuple(sorted(evaluation.vocabulary.id_of(name) for name in pair)) for pair in pairs]
    if same := [pair for pair in given if len(set(pair)) < 2]:
        raise InputError(f"a pair needs two labels; given {names[same[0][0]]!r} twice.")
    apart = exclusive_pairs(training_targets)
    every = dict.fromkeys([*given, *map(tuple, apart.tolist())])

    def counted(those: Int[np.ndarray, "pairs 2"]) -> TogetherRates:
        against, rng = "rival" if rival is not None else "truth", np.random.default_rng(seed)
        return emitted_together(those, sources, against=against, rng=rng, resamples=resamples)

    together = counted(np.array([*every], dtype=np.int64).reshape(-1, 2))
    if features is None:
        return PairLearning(names, compared, rival_compared, together)
    alike = look_alikes(apart, points=points, features=features, targets=truth)
    return PairLearning(names, compared, rival_compared, together, alike, counted(alike.pairs))


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)
