from itertools import product

import pytest
import torch
from nade import NADE
from torch import Tensor

from labelbeam.errors import InputError

SETS = torch.tensor(list(product((0, 1), repeat=6)), dtype=torch.int8)


def random_model(seed: int) -> NADE:
    torch.manual_seed(seed)
    model = NADE(6, 8)
    for parameter in model.parameters():
        parameter.data.normal_()
    return model.double()


def label_by_label(model: NADE, v: Tensor) -> Tensor:
    """The slow twin: the source's equations, one label at a time."""
    log_prob = torch.zeros(())
    for d in range(model.num_labels):
        h = torch.sigmoid(model.c + sum((model.W[i] for i in range(d) if v[i] == 1), torch.zeros(8)))
        p = torch.sigmoid(model.b[d] + model.V[d] @ h)
        log_prob = log_prob + torch.log(p if v[d] == 1 else 1 - p)
    return log_prob


@pytest.mark.parametrize("seed", range(3))
def test_the_probabilities_of_all_sets_sum_to_one(seed: int) -> None:
    assert (-random_model(seed)(SETS)).exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_a_pass_over_prefixes_is_the_equations_label_by_label(seed: int) -> None:
    model = random_model(seed)
    expected = torch.stack([label_by_label(model, row) for row in SETS])
    torch.testing.assert_close(-model(SETS), expected)


def test_gradients_are_those_of_the_equations() -> None:
    model = random_model(3)
    some = SETS[[0, 5, 21, 63]]
    ours = torch.autograd.grad(model(some).sum(), list(model.parameters()))
    slow = torch.autograd.grad(-sum(label_by_label(model, row) for row in some), list(model.parameters()))
    for one, other in zip(ours, slow, strict=True):
        torch.testing.assert_close(one, other)


def test_it_learns_which_labels_exclude_each_other() -> None:
    torch.manual_seed(0)
    model, sets = NADE(2, 8), torch.tensor([[0, 1], [1, 0]], dtype=torch.int8)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        model(sets).mean().backward()
        optimiser.step()
    assert model(sets).mean().item() == pytest.approx(torch.log(torch.tensor(2.0)).item(), abs=0.05)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (torch.zeros(2, 5, dtype=torch.int8), ["[images 6]", "(2, 5)"]),
        (-torch.ones(2, 6, dtype=torch.int8), ["unknown labels", "leave them out"]),
    ],
)
def test_targets_that_are_no_whole_sets_are_refused_in_words(targets: Tensor, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        NADE(6, 8)(targets)
    assert all(word in str(error.value) for word in words)


def test_no_hidden_unit_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="hidden units, given 6 and 0"):
        NADE(6, 0)
