"""Answers of ranking heads, tree heads, nearest neighbours and ensembles: what their numbers mean."""

import itertools
import json

import numpy as np
import pytest
import torch

from labelbeam.decoding.search import Search
from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.chow_liu import ChowLiuTree
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.heads.label_scores_torch import (
    AsymmetricHead,
    AsymmetricOptions,
    LabelScores,
    SigmoidHead,
    SigmoidOptions,
    SoftmaxHead,
    TreeHead,
    WarpHead,
)
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours, NeighbourOptions
from labelbeam.labels.vocabulary import Vocabulary
from labelbeam.predict.answers import (
    Answerer,
    EnsembleAnswerer,
    Member,
    RankingAnswerer,
    SigmoidAnswerer,
    TreeAnswerer,
)
from labelbeam.predict.decision import Decision
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.predict.prediction import predictions_of

LABELS, FEATURES = 4, 3
SETS = np.array(list(itertools.product([0, 1], repeat=LABELS)), dtype=np.int8)
TAUGHT = np.array([[1, 1, 0, 0], [1, 1, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=np.int8)


def images(count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, FEATURES)).astype(np.float32)


def spread(head: LabelScores) -> LabelScores:
    torch.manual_seed(1)
    torch.nn.init.normal_(head.last.weight)
    head.start_from(torch.from_numpy(TAUGHT))
    return head.eval()


def tree_answerer(**search) -> TreeAnswerer:
    head = TreeHead(LABELS, FEATURES, SigmoidOptions())
    tree = ChowLiuTree.fit(TAUGHT)
    head.set_tree(torch.from_numpy(tree.parent), torch.from_numpy(tree.given).float())
    return TreeAnswerer(trained(spread(head)), Search(**search))  # type: ignore[arg-type]


def ranking_heads() -> list:
    options = SigmoidOptions()
    return [
        SoftmaxHead(LABELS, FEATURES, options),
        WarpHead(LABELS, FEATURES, options),
        AsymmetricHead(LABELS, FEATURES, options, AsymmetricOptions()),
    ]


@pytest.mark.parametrize("head", ranking_heads(), ids=lambda head: type(head).__name__)
def test_rankings_have_scores_and_sets_but_no_probability(head) -> None:
    answerer = RankingAnswerer(trained(spread(head)))
    answers = answerer.answer(images())
    assert isinstance(answerer, Answerer)
    assert ((answers.scores >= 0) & (answers.scores <= 1)).all()
    assert np.isnan(answers.log_probs).all()
    assert not answers.exact.any()
    for path, scores in zip(answers.paths, answers.scores, strict=True):
        assert list(path) == sorted(path, key=lambda label: -scores[label])
    with pytest.raises(InputError, match="ranks labels; its scores are not"):
        answerer.set_log_prob(images(), np.zeros((5, LABELS), dtype=np.int8))


def test_a_ranking_s_prediction_is_valid_json_without_a_probability() -> None:
    answers = RankingAnswerer(trained(spread(ranking_heads()[0]))).answer(images(1))
    (prediction,) = predictions_of(
        ["a.jpg"], answers, decision=Decision(), vocabulary=Vocabulary(tuple("abcd"))
    )
    line = json.loads(prediction.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert (line["log_prob"], line["exact"], len(line["labels"])) == (None, False, 1)


def test_a_tree_s_answers_are_the_sums_over_all_sets() -> None:
    answerer, features = tree_answerer(), images()
    answers = answerer.answer(features)
    every = np.stack([answerer.set_log_prob(features, np.tile(one, (5, 1))) for one in SETS], axis=1)
    np.testing.assert_allclose(np.exp(every).sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(answers.scores, np.exp(every) @ SETS, atol=1e-6)
    np.testing.assert_allclose(answers.log_probs, every.max(axis=1), atol=1e-9)
    assert (answers.path_sets() == SETS[every.argmax(axis=1)]).all()
    assert answers.exact.all()


def test_a_tree_that_nothing_is_added_to_is_the_chow_liu_tree_of_the_training_labels() -> None:
    answerer = tree_answerer()
    answerer.head.last[:] = 0
    expected = ChowLiuTree.fit(TAUGHT).log_prob(SETS)
    found = answerer.set_log_prob(np.zeros((len(SETS), FEATURES), dtype=np.float32), SETS)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_sets_sampled_from_a_tree_have_its_marginals_and_do_not_depend_on_the_batch() -> None:
    answerer = tree_answerer(samples=20_000)
    answers = answerer.answer(images())
    assert answers.sample_sets is not None
    found = answers.sample_sets(slice(1, 3))
    np.testing.assert_allclose(found.marginals(), answers.scores[1:3], atol=0.02)
    alone = answerer.answer(images()[1:2]).sample_sets
    assert alone is not None
    assert (alone(slice(0, 1)).sets[0] == found.sets[0]).all()


def test_nearest_neighbours_answer_as_a_sigmoid_head_does() -> None:
    head = NearestNeighbours(LABELS, FEATURES, NeighbourOptions(neighbours=2))
    head.remember(torch.from_numpy(images()), torch.from_numpy(TAUGHT))
    answerer = SigmoidAnswerer(trained(head))
    answers = answerer.answer(images())
    p = answers.scores.astype(np.float64)
    np.testing.assert_allclose(
        answerer.set_log_prob(images(), TAUGHT),
        np.log(np.where(TAUGHT == 1, p, 1 - p)).sum(axis=1),
        rtol=1e-4,
    )
    assert (answers.path_sets() == (answers.scores >= 0.5)).all()


def members() -> list[Member]:
    """A label model and a sigmoid head with their columns in different orders."""
    torch.manual_seed(3)
    model = CNNRNN(LABELS, FEATURES, LabelModelOptions(embedding_size=8, hidden_size=6))
    head = spread(SigmoidHead(LABELS, FEATURES, SigmoidOptions()))
    assert isinstance(head, SigmoidHead)
    return [
        Member(LabelModelAnswerer(trained(model), Search()), np.array([2, 0, 3, 1])),
        Member(SigmoidAnswerer(trained(head)), np.arange(LABELS)),
    ]


def test_an_ensemble_is_the_mixture_of_its_members() -> None:
    features, both = images(), members()
    mixture = EnsembleAnswerer(both)
    answers = mixture.answer(features)
    every = np.stack([mixture.set_log_prob(features, np.tile(one, (5, 1))) for one in SETS], axis=1)
    np.testing.assert_allclose(np.exp(every).sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(answers.scores, np.exp(every) @ SETS, atol=1e-5)
    assert ((answers.low <= answers.scores + 1e-6) & (answers.scores <= answers.high + 1e-6)).all()
    sets = answers.path_sets()
    np.testing.assert_allclose(answers.log_probs, mixture.set_log_prob(features, sets.astype(np.int8)))
    own = [one.answerer.answer(features).path_sets()[:, one.columns] for one in both]
    assert all(any((row == other[i]).all() for other in own) for i, row in enumerate(sets))
    assert answers.sample_sets is None  # of a sigmoid head the scores say all: no sets of the mixture


def test_unknown_labels_reach_the_members_under_their_own_columns() -> None:
    features, both = images(2), members()
    targets = np.array([[1, -1, 0, 1], [-1, -1, 0, 0]], dtype=np.int8)
    # The sigmoid head sums them out: so must an ensemble of it alone, its columns turned.
    turned = np.array([3, 2, 1, 0])
    found = EnsembleAnswerer([Member(both[1].answerer, turned)]).set_log_prob(features, targets)
    np.testing.assert_allclose(found, both[1].answerer.set_log_prob(features, targets[:, ::-1].copy()))


def test_sets_sampled_from_an_ensemble_are_its_members_side_by_side() -> None:
    mixture = EnsembleAnswerer([members()[0], Member(members()[0].answerer, np.array([1, 2, 0, 3]))])
    answers = mixture.answer(images())
    assert answers.sample_sets is not None
    found = answers.sample_sets(slice(0, 5))
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)
    np.testing.assert_allclose(found.marginals(), answers.scores, atol=1e-4)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ([], "at least one model"),
        ([[0, 1, 2, 3], [0, 1, 1, 3]], "the same 4 labels"),
        ([[0, 1], [0, 1, 2]], "2"),
    ],
)
def test_what_is_no_ensemble_is_refused(columns: list[list[int]], words: str) -> None:
    answerer = members()[1].answerer
    with pytest.raises(InputError, match=words):
        EnsembleAnswerer([Member(answerer, np.array(one)) for one in columns])
