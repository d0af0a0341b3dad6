import math

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.label_scores_torch import (
    AsymmetricHead,
    AsymmetricOptions,
    SigmoidHead,
    SigmoidOptions,
)

LABELS, FEATURES = 4, 3


def loss_of(logits: list[float], targets: list[int], **options: float) -> torch.Tensor:
    head = AsymmetricHead(len(logits), FEATURES, SigmoidOptions(), AsymmetricOptions(**options))
    head.last.bias.data = torch.tensor(logits)
    return head(torch.zeros(1, FEATURES), torch.tensor([targets], dtype=torch.int8))[0].detach()


def test_the_loss_by_hand() -> None:
    p, m = 1 / 4, 0.05
    at = math.log(p / (1 - p))
    found = loss_of([at, at, at], [1, 0, -1], gamma_positive=1.0, gamma_negative=4.0, margin=m)
    by_hand = -(1 - p) * math.log(p) - (p - m) ** 4 * math.log(1 - (p - m))
    assert float(found) == pytest.approx(by_hand, rel=1e-5)


def test_with_all_numbers_0_it_is_the_sigmoid_head_s_loss() -> None:
    torch.manual_seed(0)
    ours = AsymmetricHead(LABELS, FEATURES, SigmoidOptions(), AsymmetricOptions(0.0, 0.0, 0.0))
    torch.nn.init.normal_(ours.last.weight, std=20)
    theirs = SigmoidHead(LABELS, FEATURES, SigmoidOptions())
    theirs.last.load_state_dict(ours.last.state_dict())
    random = np.random.default_rng(0)
    features = torch.from_numpy(random.normal(size=(30, FEATURES)).astype(np.float32))
    targets = torch.from_numpy(random.choice([1, 0, -1], size=(30, LABELS)).astype(np.int8))
    torch.testing.assert_close(ours(features, targets), theirs(features, targets))


def test_absent_labels_below_the_margin_have_no_gradient_and_extremes_stay_finite() -> None:
    head = AsymmetricHead(3, FEATURES, SigmoidOptions(), AsymmetricOptions())
    head.last.bias.data = torch.tensor([-5.0, 100.0, -100.0])
    loss = head(torch.zeros(1, FEATURES), torch.tensor([[0, 0, 1]], dtype=torch.int8))
    loss.sum().backward()
    assert head.last.bias.grad is not None
    assert torch.isfinite(loss).all()
    assert torch.isfinite(head.last.bias.grad).all()
    assert head.last.bias.grad[0] == 0


def test_its_best_score_lies_above_the_share_of_present_labels() -> None:
    """Why its scores are no probabilities: 30 of 100 alike images have the label."""
    losses = []
    for p in (grid := np.linspace(0.01, 0.99, 99)):
        at = math.log(p / (1 - p))
        losses.append(0.3 * float(loss_of([at], [1])) + 0.7 * float(loss_of([at], [0])))
    assert grid[int(np.argmin(losses))] > 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gamma_negative": -1.0}, "gamma_negative is -1.0; it must not be negative"),
        ({"margin": 1.0}, "below 1"),
    ],
)
def test_impossible_numbers_are_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        AsymmetricOptions(**options)
