import math

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads import label_scores as heads
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_scores_torch import AnySubsetHead, SigmoidOptions

FEATURES, LABELS = 5, 4


def head(num_labels=LABELS, *, seed=0, **options) -> AnySubsetHead:
    torch.manual_seed(seed)
    made = AnySubsetHead(num_labels, FEATURES, SigmoidOptions(**{"hidden_size": 16} | options))
    torch.nn.init.normal_(made.last.weight)
    return made


def conditional(model: AnySubsetHead, features: torch.Tensor, known: torch.Tensor) -> np.ndarray:
    """What the trained head says, told what is known."""
    answers = trained(model)
    assert isinstance(answers, heads.TrainedAnySubset)
    return answers.conditional(features.numpy(), known.numpy())


def rows(*lines) -> torch.Tensor:
    return torch.tensor(lines, dtype=torch.int8)


def test_with_nothing_known_it_answers_as_a_sigmoid_head() -> None:
    model, features = head().eval(), torch.randn(3, FEATURES)
    nothing = torch.full((3, LABELS), -1, dtype=torch.int8)
    torch.testing.assert_close(model.logits(features, nothing), model.logits(features))
    alone = torch.sigmoid(model.logits(features)).detach()
    np.testing.assert_allclose(conditional(model, features, nothing), alone, atol=1e-6)


def test_both_kinds_of_evidence_move_the_other_labels_and_settle_their_own() -> None:
    model, features = head().eval(), torch.randn(1, FEATURES)
    accepted, rejected, nothing = (
        conditional(model, features, rows([-1, state, -1, -1]))[0] for state in (1, 0, -1)
    )
    assert (accepted[1], rejected[1]) == (1.0, 0.0)
    others = [0, 2, 3]
    assert (np.abs(accepted - nothing)[others] > 1e-4).all()
    assert (np.abs(rejected - nothing)[others] > 1e-4).all()
    assert (np.abs(accepted - rejected)[others] > 1e-4).all()


def test_out_of_training_the_loss_reveals_nothing_and_leaves_unknown_labels_out() -> None:
    model, features, targets = head().eval(), torch.randn(2, FEATURES), rows([1, 0, -1, 0], [0, 0, 1, 1])
    p = torch.sigmoid(model.logits(features)).double()
    by_hand = [
        -(p[0, 0].log() + (1 - p[0, 1]).log() + (1 - p[0, 3]).log()),
        -((1 - p[1, 0]).log() + (1 - p[1, 1]).log() + p[1, 2].log() + p[1, 3].log()),
    ]
    torch.testing.assert_close(model(features, targets).double(), torch.stack(by_hand))


def test_in_training_the_loss_keeps_the_magnitude_of_all_known_labels_whatever_is_revealed() -> None:
    model = head(12)
    torch.nn.init.zeros_(model.last.weight)  # every label at 1/2: log 2 each
    targets = torch.randint(0, 2, (500, 12)).to(torch.int8)
    targets[:, :3] = -1
    losses = model.train()(torch.randn(500, FEATURES), targets).detach()
    asked = losses > 0  # an image of which everything was revealed has nothing to learn
    assert asked.float().mean() > 0.8
    torch.testing.assert_close(losses[asked], torch.full_like(losses[asked], 9 * math.log(2)))


def test_labels_are_revealed_independently_of_the_truth_at_a_rate_of_each_image(monkeypatch) -> None:
    model, seen = head(40), []
    forward = model.logits
    monkeypatch.setattr(
        model, "logits", lambda features, evidence=None: seen.append(evidence) or forward(features, evidence)
    )
    targets = (torch.rand(3000, 40) < 0.2).to(torch.int8)
    targets[:, 0] = -1
    model.train()(torch.randn(3000, FEATURES), targets)
    revealed = (seen[0] != -1).float()
    assert (revealed[:, 0] == 0).all()
    assert (seen[0] == targets)[revealed.bool()].all()
    present, absent = revealed[targets == 1].mean(), revealed[targets == 0].mean()
    assert abs(present - 0.5) < 0.03
    assert abs(present - absent) < 0.02
    rates = revealed[:, 1:].mean(dim=1)  # uniform between 0 and 1: a third within each third
    assert abs((rates < 1 / 3).float().mean() - 1 / 3) < 0.05
    assert abs((rates > 2 / 3).float().mean() - 1 / 3) < 0.05


def test_the_random_numbers_are_those_of_torch_s_generator() -> None:
    model, features, targets = head().train(), torch.randn(8, FEATURES), rows(*[[1, 0, 1, 0]] * 8)
    losses = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        losses.append(model(features, targets))
    torch.testing.assert_close(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])


def test_it_learns_what_a_sigmoid_head_cannot_that_two_labels_come_together() -> None:
    model = head(3, hidden_size=32)
    random = np.random.default_rng(0)
    first = random.integers(0, 2, 4000)
    targets = torch.from_numpy(np.stack([first, first, random.integers(0, 2, 4000)], axis=1).astype(np.int8))
    features = torch.from_numpy(random.standard_normal((4000, FEATURES)).astype(np.float32))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(300):
        part = slice(step % 20 * 200, step % 20 * 200 + 200)
        optimiser.zero_grad()
        model(features[part], targets[part]).mean().backward()
        optimiser.step()
    model.eval()
    accepted, rejected, nothing = (
        conditional(model, torch.zeros(1, FEATURES), rows([state, -1, -1]))[0] for state in (1, 0, -1)
    )
    assert accepted[1] > 0.95
    assert rejected[1] < 0.05
    assert abs(nothing[1] - 0.5) < 0.15
    assert abs(accepted[2] - 0.5) < 0.15


def test_a_head_without_hidden_layer_is_refused() -> None:
    with pytest.raises(InputError, match="needs a hidden layer, given hidden_size 0"):
        head(hidden_size=0)
