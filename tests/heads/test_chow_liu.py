from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.errors import InputError
from labelbeam.heads.chow_liu import ChowLiuTree

LABELS = 6
SETS = np.array(list(product((0, 1), repeat=LABELS)), dtype=np.int8)
NOTHING = np.full((1, LABELS), -1, dtype=np.int8)


def tied_targets(seed: int, images: int = 80) -> np.ndarray:
    """Random labels, each a noisy copy of an earlier one."""
    random = np.random.default_rng(seed)
    targets = (random.random((images, LABELS)) < random.random(LABELS)).astype(np.int8)
    for label in range(1, LABELS):
        copied = random.random(images) < random.random()
        targets[copied, label] = targets[copied, random.integers(label)]
    return targets


def enumerated(tree: ChowLiuTree, known: np.ndarray, unary: np.ndarray) -> np.ndarray:
    """The slow twin: sum over every set."""
    found = np.empty(known.shape)
    log_probs = tree.log_prob(SETS)
    for i, row in enumerate(known):
        weights = np.exp(log_probs + SETS @ unary[i]) * ((row == SETS) | (row == -1)).all(axis=1)
        found[i] = weights @ SETS / weights.sum()
    return found


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), smoothing=st.sampled_from([0.01, 1.0, 20.0]))
def test_conditionals_are_those_of_enumeration(seed: int, smoothing: float) -> None:
    random, tree = np.random.default_rng(seed), ChowLiuTree.fit(tied_targets(seed), smoothing=smoothing)
    known = random.integers(-1, 2, size=(5, LABELS)).astype(np.int8)
    known[0] = -1
    unary = 3 * random.standard_normal((5, LABELS))
    np.testing.assert_allclose(tree.conditional(known, unary), enumerated(tree, known, unary), atol=1e-9)
    np.testing.assert_allclose(tree.conditional(known), enumerated(tree, known, 0 * unary), atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_sets_sum_to_one_and_evidence_sums_over_what_is_unknown(seed: int) -> None:
    tree = ChowLiuTree.fit(tied_targets(seed))
    probs = np.exp(tree.log_prob(SETS))
    assert probs.sum() == pytest.approx(1)
    np.testing.assert_allclose(probs @ SETS, tree.marginals)
    np.testing.assert_allclose(tree.conditional(NOTHING)[0], tree.marginals)
    known = np.random.default_rng(seed).integers(-1, 2, size=LABELS).astype(np.int8)
    agrees = ((known == SETS) | (known == -1)).all(axis=1)
    assert tree.log_prob(known[None])[0] == pytest.approx(np.log(probs[agrees].sum()))


@pytest.mark.parametrize("seed", range(5))
def test_no_other_tree_makes_the_training_sets_likelier(seed: int) -> None:
    targets = tied_targets(seed)[:, :4]
    ours = ChowLiuTree.fit(targets, smoothing=1e-6).log_prob(targets).mean()
    joint = {
        (a, b): np.histogram2d(targets[:, a], targets[:, b], bins=2, range=[[0, 1]] * 2)[0] / len(targets)
        for a, b in product(range(4), repeat=2)
    }

    def likelihood(parents: tuple[int, ...]) -> float:  # label 0 is the root
        p = targets[:, 0].mean()
        total = np.log(np.where(targets[:, 0] == 1, p, 1 - p))
        for label, parent in zip((1, 2, 3), parents, strict=True):
            table = joint[parent, label]
            total += np.log(
                (table / np.maximum(table.sum(axis=1, keepdims=True), 1e-12))[
                    targets[:, parent], targets[:, label]
                ]
            )
        return float(total.mean())

    def is_tree(parents: tuple[int, ...]) -> bool:
        up = dict(zip((1, 2, 3), parents, strict=True))
        return all(0 in (up[i], up.get(up[i]), up.get(up.get(up[i], 0))) for i in (1, 2, 3))

    best = max(likelihood(parents) for parents in product(range(4), repeat=3) if is_tree(parents))
    assert ours == pytest.approx(best, abs=1e-4)


def test_mutual_information_hand_computed() -> None:
    # Labels 1 and 2 are independent of each other; label 0 always is label 2.
    targets = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]], dtype=np.int8)
    tree = ChowLiuTree.fit(targets, smoothing=1e-9)
    assert tree.parent.tolist() == [-1, 0, 0]
    assert tree.given[2].round(6).tolist() == [[1, 0], [0, 1]]
    assert tree.given[1].round(6).tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_smoothing_imagines_images_with_independent_labels() -> None:
    targets = np.array([[1, 1]] * 4 + [[0, 0]] * 4, dtype=np.int8)
    given_present = ChowLiuTree.fit(targets, smoothing=8.0).given[1, 1, 1]
    assert given_present == pytest.approx((4 + 8 / 4) / (4 + 8 / 2))


def test_a_batch_answers_as_one_image_after_the_other() -> None:
    random, tree = np.random.default_rng(3), ChowLiuTree.fit(tied_targets(3))
    known = random.integers(-1, 2, size=(7, LABELS)).astype(np.int8)
    unary = random.standard_normal((7, LABELS))
    alone = np.concatenate([tree.conditional(known[i : i + 1], unary[i : i + 1]) for i in range(7)])
    np.testing.assert_allclose(tree.conditional(known, unary), alone)


def test_labels_that_are_unknown_in_training_are_left_out_of_the_counts() -> None:
    targets = tied_targets(4)
    more = np.full((100, LABELS), -1, dtype=np.int8)
    tree, same = ChowLiuTree.fit(targets), ChowLiuTree.fit(np.vstack((targets, more)))
    np.testing.assert_allclose(tree.given, same.given)


def test_matching_gives_the_heads_scores_where_nothing_is_known() -> None:
    random, tree = np.random.default_rng(5), ChowLiuTree.fit(tied_targets(5))
    scores = random.random((20, LABELS))
    nothing = np.repeat(NOTHING, 20, axis=0)
    np.testing.assert_allclose(tree.conditional(nothing, tree.unary_matching(scores)), scores, atol=0.01)


def test_matching_keeps_ties_between_labels() -> None:
    targets = np.repeat(np.array([[1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1]], dtype=np.int8), 30, axis=0)
    tree = ChowLiuTree.fit(targets, smoothing=0.1)
    unary = tree.unary_matching(np.full((1, 4), 0.5))
    known = np.array([[1, -1, -1, -1]], dtype=np.int8)
    assert (tree.conditional(known, unary)[0, 1:3] > 0.95).all()
    np.testing.assert_allclose(tree.conditional(np.full_like(known, -1), unary), 0.5, atol=0.02)


def test_odds_of_the_prior_say_nothing() -> None:
    tree = ChowLiuTree.fit(tied_targets(6))
    np.testing.assert_allclose(tree.unary_of_scores(tree.marginals[None]), 0.0, atol=1e-12)


def test_one_label_is_a_tree() -> None:
    tree = ChowLiuTree.fit(np.array([[1], [0], [1]], dtype=np.int8))
    assert tree.conditional(np.array([[-1]], dtype=np.int8))[0, 0] == pytest.approx(tree.marginals[0])


@pytest.mark.parametrize(
    ("unary", "words"),
    [
        (np.zeros((1, 3)), ["log-odds must be [images 6]", "(1, 3)"]),
        (np.zeros((2, LABELS)), ["finite", "(1, 6)", "(2, 6)"]),
        (np.full((1, LABELS), np.inf), ["finite"]),
    ],
)
def test_odds_that_do_not_fit_are_refused_in_words(unary: np.ndarray, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        ChowLiuTree.fit(tied_targets(0)).conditional(NOTHING, unary)
    assert all(word in str(error.value) for word in words)


def test_scores_of_other_labels_are_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"scores must be \[images 6\], given \(1, 2\)"):
        ChowLiuTree.fit(tied_targets(0)).unary_of_scores(np.full((1, 2), 0.5))
