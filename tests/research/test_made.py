from itertools import product

import pytest
import torch
from made import MADE
from torch import Tensor

from labelbeam.errors import InputError

SETS = torch.tensor(list(product((0, 1), repeat=6)), dtype=torch.int8)


def random_model(seed: int, hidden_sizes: tuple[int, ...] = (16, 16)) -> MADE:
    torch.manual_seed(seed)
    model = MADE(6, hidden_sizes, generator=torch.Generator().manual_seed(seed))
    for parameter in model.parameters():
        parameter.data.normal_()
    return model


@pytest.mark.parametrize("hidden_sizes", [(16,), (16, 16), (5, 9, 7)])
def test_the_probabilities_of_all_sets_sum_to_one(hidden_sizes: tuple[int, ...]) -> None:
    assert (-random_model(0, hidden_sizes)(SETS)).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_no_label_sees_itself_or_a_later_one() -> None:
    model, x = random_model(1), torch.rand(1, 6, requires_grad=True)
    h = x
    for layer in model.hidden:
        h = torch.nn.functional.softplus(layer(h))  # no unit is dead, as ReLUs may be
    logits = (model.V(h) + model.A(x))[0]
    for d in range(6):
        (gradient,) = torch.autograd.grad(logits[d], x, retain_graph=True)
        assert (gradient[0, d:] == 0).all()
        assert (gradient[0, :d] != 0).all()


def test_masks_hand_computed() -> None:
    model = MADE(3, (2,), generator=torch.Generator().manual_seed(0))
    m = model.hidden[0].mask.sum(dim=1)  # a unit sees the first m labels
    assert model.hidden[0].mask.int().tolist() == [[int(d < one) for d in range(3)] for one in m.tolist()]
    assert model.V.mask.int().tolist() == [[int(d > one) for one in m.tolist()] for d in (1, 2, 3)]
    assert model.A.mask.int().tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]


def test_it_learns_which_labels_exclude_each_other() -> None:
    torch.manual_seed(0)
    model, sets = MADE(2, (8,)), torch.tensor([[0, 1], [1, 0]], dtype=torch.int8)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        model(sets).mean().backward()
        optimiser.step()
    assert model(sets).mean().item() == pytest.approx(torch.log(torch.tensor(2.0)).item(), abs=0.05)


def test_units_are_dropped_in_training_only() -> None:
    model = MADE(6, (16,), dropout=0.5)
    assert not torch.equal(model(SETS), model(SETS))
    model.eval()
    assert torch.equal(model(SETS), model(SETS))


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (torch.zeros(2, 5, dtype=torch.int8), ["[images 6]", "(2, 5)"]),
        (-torch.ones(2, 6, dtype=torch.int8), ["unknown labels", "leave them out"]),
    ],
)
def test_targets_that_are_no_whole_sets_are_refused_in_words(targets: Tensor, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        MADE(6, (4,))(targets)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("shape", [(1, (4,)), (6, ()), (6, (4, 0))])
def test_a_network_without_labels_or_units_is_refused_in_words(shape: tuple[int, tuple[int, ...]]) -> None:
    with pytest.raises(InputError, match="at least two labels and a hidden layer of at least one unit"):
        MADE(*shape)
