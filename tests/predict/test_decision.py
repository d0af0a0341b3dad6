"""Every decision rule: what it decides, what it is called, what it asks for."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from labelbeam.decoding.search import Search
from labelbeam.decoding.set_samples import SetSamples
from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.predict.answers import Answers
from labelbeam.predict.decision import (
    DECIDED_TOGETHER,
    Decision,
    best_f1_sets,
    expected_f1_sets,
    sized_marginals_of_samples,
)
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.predict.thresholds import TunedThresholds

SETS = np.array(list(itertools.product([False, True], repeat=3)), dtype=bool)


def answers(images: int = 4, *, sampled: bool = False) -> Answers:
    """Images with a random distribution over sets, dependent if sampled."""
    random = np.random.default_rng(0)
    weights = random.dirichlet(np.full(len(SETS), 0.3), size=images)
    scores = (weights @ SETS).astype(np.float32)
    paths = [tuple(np.flatnonzero(SETS[i]).tolist()) for i in weights.argmax(axis=1)]

    def sample_sets(block: slice) -> SetSamples:
        chosen = weights[block]
        return SetSamples(np.broadcast_to(SETS, (len(chosen), *SETS.shape)).copy(), chosen)

    return Answers(
        scores,
        scores,
        scores,
        np.zeros_like(scores),
        paths,
        np.log(weights.max(axis=1)),
        np.ones(images, dtype=bool),
        sample_sets if sampled else None,
    )


TUNED = TunedThresholds((0.1,) * 3, (0.2,) * 3, (0.3, 0.4, 0.5), (0.6, 0.7, 1.1))


def test_the_path_decides_its_labels_and_a_threshold_all_that_reach_it() -> None:
    found = answers()
    assert Decision().decide(found).tolist() == found.path_sets().tolist()
    assert Decision("threshold", 0.3).decide(found).tolist() == (found.scores >= 0.3).tolist()


@pytest.mark.parametrize(
    ("objective", "expected"), [("of1", [0.1] * 3), ("label-f1", [0.3, 0.4, 0.5])], ids=["of1", "label-f1"]
)
def test_tuned_thresholds_come_from_the_run(objective: str, expected: list[float]) -> None:
    found = answers()
    decided = Decision("threshold", tuned_for=objective).decide(found, TUNED)
    assert decided.tolist() == (found.scores >= np.array(expected)).tolist()


def test_a_threshold_above_one_decides_its_label_never() -> None:
    found = answers()
    found.scores[:] = 1.0
    decided = Decision("threshold", tuned_for="subset-accuracy").decide(found, TUNED)
    assert decided.tolist() == [[True, True, False]] * 4


@pytest.mark.parametrize("sampled", [True, False])
def test_expected_f1_decides_by_the_sets_or_by_independent_labels(sampled: bool) -> None:
    found = answers(DECIDED_TOGETHER + 50, sampled=sampled)
    if sampled:
        assert found.sample_sets is not None
        every = found.sample_sets(slice(None))
        sets, weights = every.sets, every.weights
    else:
        p = found.scores.astype(np.float64)[:, None]
        sets = np.broadcast_to(SETS, (len(p), *SETS.shape)).copy()
        weights = np.where(SETS, p, 1 - p).prod(axis=2)
    expected = best_f1_sets(sized_marginals_of_samples(sets, weights)).sets
    assert expected_f1_sets(found).tolist() == expected.tolist()
    assert Decision("expected-f1").decide(found).tolist() == expected.tolist()


@pytest.mark.parametrize("allowed", ["canonical", "no-repeat"])
def test_a_label_models_sets_have_the_greatest_expected_f1_of_its_enumerated_distribution(
    allowed: str,
) -> None:
    torch.manual_seed(1)
    options = LabelModelOptions(embedding_size=8, hidden_size=6, allowed=allowed)
    model = CNNRNN(4, 6, options)
    model.U_l.data *= 4  # decided, but not certain
    answerer = LabelModelAnswerer(trained(model), Search(expansions=400))
    features = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float16)
    sets = np.array(list(itertools.product([0, 1], repeat=4)), dtype=np.int8)
    probs = np.exp(
        np.stack([answerer.set_log_prob(row[None].repeat(len(sets), 0), sets) for row in features])
    )
    enumerated = np.broadcast_to(sets.astype(bool), (6, *sets.shape)).copy()
    best = best_f1_sets(sized_marginals_of_samples(enumerated, probs))
    decided = Decision("expected-f1").decide(answerer.answer(features))
    reached = [
        sum(p * f1(own, true) for p, true in zip(row, sets.astype(bool), strict=True))
        for own, row in zip(decided, probs, strict=True)
    ]
    assert np.array(reached) == pytest.approx(best.values, abs=1e-3)


def f1(decided: np.ndarray, true: np.ndarray) -> float:
    total = decided.sum() + true.sum()
    return 1.0 if total == 0 else 2 * float((decided & true).sum()) / float(total)


def test_rules_are_named_with_what_decides() -> None:
    names = [
        Decision().name,
        Decision("threshold", 0.25).name,
        Decision("threshold", tuned_for="of1").name,
        Decision("expected-f1").name,
    ]
    assert names == ["path", "threshold 0.25", "threshold tuned for of1", "expected-f1"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rule": "treshold"}, "Did you mean 'threshold'"),
        ({"rule": "threshold", "threshold": 50.0}, r"threshold is 50.0; scores lie in \[0, 1\]"),
        ({"tuned_for": "label_f1"}, "Did you mean 'label-f1'"),
    ],
)
def test_impossible_decisions_are_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Decision(**options)


def test_tuned_thresholds_that_are_not_there_or_do_not_fit_are_refused() -> None:
    asked = Decision("threshold", tuned_for="of1")
    with pytest.raises(InputError, match="the run has none: they are tuned on validation images"):
        asked.decide(answers())
    with pytest.raises(InputError, match="1 thresholds for 3 labels"):
        asked.decide(answers(), TunedThresholds((0.1,), (0.1,), (0.1,), (0.1,)))


def test_expected_f1_is_refused_where_scores_only_rank() -> None:
    found = replace(answers(), log_probs=np.full(4, np.nan))
    with pytest.raises(InputError, match="only rank labels"):
        Decision("expected-f1").decide(found)
    Decision("expected-f1").decide(replace(found, calibrated=True))
