"""Which pairs of labels a run has learned, missed or invented, and which exclusive ones it emits together.

Between evaluations (a run's, and a rival's on the same images) and the analyses of pairs; names in, plain values out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int8

from labelbeam.analysis.exclusive_pairs import TogetherRates, emitted_together, exclusive_pairs
from labelbeam.analysis.learned_pairs import PairComparison, compare_pairs
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
    """

    names: tuple[str, ...]
    compared: PairComparison
    rival: PairComparison | None
    together: TogetherRates

    def to_json(self, *, most: int = 50) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "pairs": self.compared.to_json(self.names, most=most),
            "rival_pairs": None if self.rival is None else self.rival.to_json(self.names, most=most),
            "exclusive": self.together.to_json(self.names, most=most),
        }


def pair_learning(
    evaluation: Evaluation,
    decision: Decision,
    *,
    training_targets: Int8[np.ndarray, "training labels"],
    rival: Evaluation | None = None,
    rival_decision: Decision | None = None,
    pairs: Sequence[tuple[str, str]] = (),
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
    together = emitted_together(
        np.array([*every], dtype=np.int64).reshape(-1, 2),
        sources,
        against="rival" if rival is not None else "truth",
        rng=np.random.default_rng(seed),
        resamples=resamples,
    )
    return PairLearning(names, compared, rival_compared, together)
