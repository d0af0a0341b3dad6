import numpy as np
import pytest
import torch

from labelbeam.heads.label_scores_torch import SigmoidOptions, WarpHead

LABELS, FEATURES = 6, 3


def head(num_labels: int = LABELS) -> WarpHead:
    return WarpHead(num_labels, FEATURES, SigmoidOptions())


def slow(scores: np.ndarray, targets: np.ndarray) -> float:
    """The definition, pair by pair."""
    total = 0.0
    for label in np.flatnonzero(targets == 1):
        hinges = [max(0.0, 1 - scores[label] + scores[n]) for n in np.flatnonzero(targets == 0)]
        rank = sum(hinge > 0 for hinge in hinges)
        if rank:
            total += sum(1 / j for j in range(1, rank + 1)) / rank * sum(hinges)
    return total


def test_the_loss_is_that_of_a_slow_loop_over_pairs() -> None:
    model, random = head(), np.random.default_rng(0)
    scores = random.normal(size=(50, LABELS), scale=2).astype(np.float32)
    targets = random.choice([1, 0, -1], p=[0.3, 0.5, 0.2], size=scores.shape).astype(np.int8)
    model.logits = lambda features: torch.from_numpy(scores)  # type: ignore[method-assign]
    losses = model(torch.zeros(50, FEATURES), torch.from_numpy(targets))
    np.testing.assert_allclose(losses, [slow(*pair) for pair in zip(scores, targets, strict=True)], rtol=1e-5)


def test_it_is_the_expected_loss_of_drawing_one_violator_with_the_rank_known() -> None:
    """As WSABIE draws them: any violator alike, its hinge weighted by w(rank)."""
    scores, random = np.array([0.0, 0.5, -3.0, 0.2]), np.random.default_rng(0)
    violators = [1, 3]  # of the present label 0; label 2 is a margin below it
    drawn = random.choice(violators, size=40_000)
    sampled = (1 + 1 / 2) * np.mean(1 - scores[0] + scores[drawn])
    assert slow(scores, np.array([1, 0, 0, 0])) == pytest.approx(sampled, rel=0.01)


def test_the_weight_has_no_gradient_and_satisfied_pairs_have_none() -> None:
    model, scores = head(3), torch.tensor([[5.0, 0.0, 4.5]], requires_grad=True)
    model.logits = lambda features: scores  # type: ignore[method-assign]
    model(torch.zeros(1, FEATURES), torch.tensor([[1, 0, 0]], dtype=torch.int8)).sum().backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == [[-1.0, 0.0, 1.0]]


def test_images_without_a_pair_teach_nothing() -> None:
    targets = torch.tensor([[0] * LABELS, [1] * LABELS, [-1] * LABELS, [1, *[-1] * 5]], dtype=torch.int8)
    assert head()(torch.zeros(4, FEATURES), targets).tolist() == [0.0] * 4
