"""A tree head's loss against enumeration of all label sets."""

import itertools

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.label_scores_torch import SigmoidOptions, TreeHead

PARENTS = {"tree": [2, 2, -1, 1, 1], "chain": [-1, 0, 1, 2, 3], "forest": [-1, 0, -1, 2, -1]}
LABELS, FEATURES = 5, 3
SETS = torch.tensor(list(itertools.product([0, 1], repeat=LABELS)))


def head(shape: str = "tree") -> TreeHead:
    random = np.random.default_rng(3)
    made = TreeHead(LABELS, FEATURES, SigmoidOptions()).eval()
    given = random.uniform(0.1, 0.9, (LABELS, 2))
    for label, parent in enumerate(PARENTS[shape]):
        if parent < 0:
            given[label, 1] = given[label, 0]
    made.set_tree(
        torch.tensor(PARENTS[shape]), torch.from_numpy(np.stack((1 - given, given), axis=2)).float()
    )
    return made


def log_weights(model: TreeHead, unary: torch.Tensor) -> torch.Tensor:
    """Log T(y) + s.y of every set, [batch sets], one factor at a time."""
    total = SETS.double() @ unary.T
    for label, parent in enumerate(model.parent.tolist()):
        above = SETS[:, parent] if parent >= 0 else torch.zeros(len(SETS), dtype=torch.int64)
        total += model.log_given[label][above, SETS[:, label]].double()[:, None]
    return total.T


def unary(batch: int = 6) -> torch.Tensor:
    return torch.randn(batch, LABELS, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2


@pytest.mark.parametrize("shape", PARENTS)
def test_the_partition_is_that_of_enumeration(shape: str) -> None:
    model, s = head(shape), unary()
    torch.testing.assert_close(model.log_partition(s), log_weights(model, s).logsumexp(dim=1))


def test_unknown_labels_are_summed_out() -> None:
    model = head()
    torch.nn.init.normal_(model.last.weight)
    features = torch.randn(2, FEATURES)
    targets = torch.tensor([[1, -1, 0, -1, 1], [-1, -1, -1, -1, -1]], dtype=torch.int8)
    with torch.no_grad():
        log_probs = log_weights(model, model.logits(features).double()).log_softmax(dim=1)
        fits = ((targets[0] == SETS) | (targets[0] == -1)).all(dim=1)
        expected = torch.stack((-log_probs[0, fits].logsumexp(dim=0), torch.tensor(0.0).double())).float()
        torch.testing.assert_close(model(features, targets), expected, atol=1e-5, rtol=1e-5)


def test_before_training_it_is_the_tree_and_the_loss_has_the_gradient_of_a_likelihood() -> None:
    model = head()
    targets = SETS.to(torch.int8)
    nats = model(torch.zeros(len(SETS), FEATURES), targets)
    assert float((-nats).exp().sum()) == pytest.approx(1, abs=1e-5)
    nats.mean().backward()
    p = (log_weights(model, torch.zeros(1, LABELS).double()).softmax(dim=1) @ SETS.double())[0].float()
    assert model.last.bias.grad is not None
    torch.testing.assert_close(model.last.bias.grad, p - targets.float().mean(dim=0))


def test_impossible_trees_are_refused() -> None:
    given = torch.full((LABELS, 2, 2), 0.5)
    with pytest.raises(InputError, match="their own ancestors"):
        head().set_tree(torch.tensor([1, 0, -1, 2, 2]), given)
    given[1] = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    with pytest.raises(InputError, match="above 0"):
        head().set_tree(torch.tensor(PARENTS["tree"]), given)
