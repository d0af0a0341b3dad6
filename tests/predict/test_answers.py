"""Answers of both heads against enumeration of every label set of a small vocabulary."""

import itertools

import numpy as np
import pytest
import torch

from labelbeam.decoding.search import Search
from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.heads.label_scores_torch import SigmoidHead, SigmoidOptions
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.predict.answers import SigmoidAnswerer
from labelbeam.predict.decision import Decision
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.predict.prediction import predictions_of
from labelbeam.predict.thresholds import tune_thresholds

LABELS, FEATURES, IMAGES = 5, 6, 7
SETS = np.array(list(itertools.product([0, 1], repeat=LABELS)), dtype=np.int8)


def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(IMAGES, FEATURES)).astype(np.float16)


def label_model(**options: object) -> CNNRNN:
    torch.manual_seed(1)
    small = LabelModelOptions(**({"embedding_size": 8, "hidden_size": 6} | options))
    model = CNNRNN(LABELS, FEATURES, small)
    model.U_l.data *= 4  # decided, but not certain
    return model


def trained_model(**options: object) -> TrainedLabelModel:
    return trained(label_model(**options))


def sigmoid_head() -> SigmoidHead:
    torch.manual_seed(1)
    head = SigmoidHead(LABELS, FEATURES, SigmoidOptions(hidden_size=8))
    torch.nn.init.normal_(head.last.weight)
    return head


def enumerated(answerer: LabelModelAnswerer | SigmoidAnswerer) -> np.ndarray:
    """p(set | image) of every set, [images sets]."""
    return np.stack(
        [np.exp(answerer.set_log_prob(row[None].repeat(len(SETS), 0), SETS)) for row in features()]
    )


ANSWERERS = {
    "lstm": lambda: LabelModelAnswerer(trained_model(), Search()),
    "relu": lambda: LabelModelAnswerer(trained_model(activation="relu"), Search()),
    "no-rnn": lambda: LabelModelAnswerer(trained_model(cell="none"), Search()),
    "no-repeat": lambda: LabelModelAnswerer(trained_model(allowed="no-repeat"), Search(expansions=400)),
    "sigmoid": lambda: SigmoidAnswerer(trained(sigmoid_head())),
}


@pytest.mark.parametrize("name", ANSWERERS)
def test_scores_are_the_marginals_of_the_enumerated_sets(name: str) -> None:
    answerer = ANSWERERS[name]()
    probs = enumerated(answerer)
    assert probs.sum(axis=1) == pytest.approx(1, abs=1e-4)
    answers = answerer.answer(features())
    truth = probs @ SETS
    assert (answers.low - 1e-4 <= truth).all()
    assert (truth <= answers.high + 1e-4).all()
    assert np.abs(answers.scores - truth).max() < 0.02


@pytest.mark.parametrize("name", [name for name in ANSWERERS if name != "no-repeat"])
def test_the_path_is_the_most_probable_set_with_its_probability(name: str) -> None:
    answerer = ANSWERERS[name]()
    probs = enumerated(answerer)
    answers = answerer.answer(features())
    assert answers.path_sets().astype(int).tolist() == SETS[probs.argmax(axis=1)].tolist()
    assert answers.log_probs == pytest.approx(np.log(probs.max(axis=1)), abs=1e-4)
    assert answers.exact.all()


@pytest.mark.parametrize("name", ANSWERERS)
def test_an_image_alone_gets_the_answer_it_gets_in_a_batch(name: str) -> None:
    answerer = ANSWERERS[name]()
    together = answerer.answer(features())
    for i in range(IMAGES):
        alone = answerer.answer(features()[i : i + 1])
        assert alone.paths[0] == together.paths[i]
        np.testing.assert_allclose(alone.scores[0], together.scores[i], atol=1e-5)


def test_in_any_order_unknown_labels_leave_the_softmax_beside_images_that_are_known() -> None:
    answerer = ANSWERERS["no-repeat"]()
    targets = np.zeros((2, LABELS), dtype=np.int8)
    targets[:, 0], targets[1, 1] = 1, -1
    both = answerer.set_log_prob(features()[:2], targets)
    alone = [answerer.set_log_prob(features()[i : i + 1], targets[i : i + 1])[0] for i in range(2)]
    np.testing.assert_allclose(both, alone, atol=1e-6)
    absent = np.where(targets == -1, 0, targets).astype(np.int8)
    assert both[1] > answerer.set_log_prob(features()[:2], absent)[1]  # the unknown one takes no probability
    every = np.array([one for one in SETS if one[1] == 0], dtype=np.int8)
    every[:, 1] = -1
    row = features()[:1].repeat(len(every), axis=0)
    assert np.exp(answerer.set_log_prob(row, every)).sum() == pytest.approx(1.0, abs=1e-4)


def test_beam_and_greedy_give_a_path_without_a_certificate() -> None:
    for method in ("beam", "greedy"):
        answers = LabelModelAnswerer(trained_model(), Search(method=method)).answer(features())
        assert not answers.exact.any()
        assert (answers.log_probs < 0).all()


@pytest.mark.parametrize("score", ["beam", "max-step", "first-step"])
@pytest.mark.parametrize("method", ["exact", "beam"])
def test_every_kind_of_score_lies_between_nought_and_one(method: str, score: str) -> None:
    answers = LabelModelAnswerer(trained_model(), Search(method=method, score=score)).answer(features())
    assert answers.scores.shape == (IMAGES, LABELS)
    assert (answers.scores >= 0).all()
    assert (answers.scores <= 1).all()


def test_first_step_scores_are_the_first_softmax_and_max_step_scores_are_no_less() -> None:
    model = label_model()
    first = LabelModelAnswerer(trained(model), Search(score="first-step")).answer(features()).scores
    with torch.inference_mode():
        ends = torch.full((IMAGES, 1), LABELS)
        expected = model.logits(torch.from_numpy(features()), ends).softmax(2)[:, 0, :LABELS].numpy()
    np.testing.assert_allclose(first, expected, atol=1e-5)
    most = LabelModelAnswerer(trained(model), Search(score="max-step")).answer(features()).scores
    assert (most >= first - 1e-6).all()


def test_a_path_forced_to_k_labels_has_k_labels() -> None:
    answers = LabelModelAnswerer(trained_model(), Search(min_labels=3, max_labels=3)).answer(features())
    assert {len(path) for path in answers.paths} == {3}


def test_a_prediction_holds_the_decided_set_best_first_and_is_one_line_of_json() -> None:
    answers = ANSWERERS["lstm"]().answer(features())
    names = Vocabulary(("猫", "犬", "空", "海", "<b>"))
    decision = Decision("threshold", 0.2)
    decided = decision.decide(answers)
    for i, one in enumerate(
        predictions_of(
            [str(i) for i in range(IMAGES)], answers, decision=decision, vocabulary=names, all_scores=True
        )
    ):
        assert {label.label for label in one.labels} == {names.names[j] for j in np.flatnonzero(decided[i])}
        scores = [label.score for label in one.labels]
        assert scores == sorted(scores, reverse=True)
        assert all(label.low <= label.score <= label.high for label in one.labels)
        assert set(one.scores) == set(names)
        assert "\n" not in one.to_json()
        assert "猫" in one.to_json()


def test_tuned_thresholds_reach_the_best_subset_accuracy_on_small_problems() -> None:
    random = np.random.default_rng(0)
    for _ in range(10):
        scores = random.random((12, 2))
        targets = (scores + 0.3 * random.normal(size=scores.shape) > 0.5).astype(np.int8)
        tuned = tune_thresholds(scores, targets)
        reached = ((scores >= tuned) == targets).all(axis=1).mean()
        grids = [np.concatenate((np.unique(column), [0.0, 1.1])) for column in scores.T]
        best = max(
            ((scores >= np.array(pair)) == targets).all(axis=1).mean() for pair in itertools.product(*grids)
        )
        assert reached == pytest.approx(best, abs=1 / 12 + 1e-9)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "beem"}, "Did you mean 'beam'"),
        ({"score": "marginals"}, "Did you mean 'marginal'"),
        ({"stderr": 1.5}, "stderr is 1.5, must lie between 0 and 1"),
        ({"beam_width": 0}, "beam_width is 0, must be at least 1"),
        ({"min_labels": 3, "max_labels": 2}, "max_labels is 2, below min_labels"),
    ],
)
def test_impossible_searches_are_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Search(**options)


def test_a_threshold_outside_the_scores_is_refused() -> None:
    with pytest.raises(InputError, match=r"threshold is 50.0; scores lie in \[0, 1\]"):
        Decision("threshold", 50.0)
