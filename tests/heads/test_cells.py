import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.label_model_torch import LSTM, PaperLSTM, build_cell


def test_the_textbook_cell_is_pytorchs_lstm_cell() -> None:
    torch.manual_seed(0)
    ours, theirs = LSTM(3, 4), torch.nn.LSTMCell(3, 4)
    i, f, x, o = ours.from_label.weight.chunk(4)  # torch orders its gates input, forget, candidate, output
    theirs.weight_ih.data = torch.cat((i, f, x, o))
    theirs.weight_hh.data = ours.from_state.weight.data
    theirs.bias_ih.data = ours.from_label.bias.data
    theirs.bias_hh.data.zero_()
    state, (h, c) = ours.start(2), (torch.zeros(2, 4), torch.zeros(2, 4))
    for w in torch.randn(5, 2, 3):
        output, state = ours(w, state)
        h, c = theirs(w, (h, c))
        torch.testing.assert_close(output, h)
        torch.testing.assert_close(state, torch.cat((h, c), dim=1))


def one_unit_cell(*, literal: bool) -> PaperLSTM:
    cell = PaperLSTM(1, 1, bias=False, literal=literal)
    cell.from_label.weight.data = torch.tensor([[2.0], [0.5], [3.0], [-1.0]])  # i, f, x, o
    cell.from_state.weight.data = torch.tensor([[0.0], [1.0], [0.0], [2.0]])
    return cell


def test_the_literal_cell_is_the_printed_equation_computed_by_hand() -> None:
    output, state = one_unit_cell(literal=True)(torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    # i = relu(2) = 2, f = relu(0.5 + 1) = 1.5, x = relu(3) = 3, o = relu(-1 + 2) = 1
    assert state.item() == pytest.approx(1.5 * 1 + 2 * 3)  # r = f r + i x
    assert output.item() == pytest.approx(1 * 7.5)  # o(t) = gate r(t), no squashing


def test_the_gated_cell_squashes_its_gates_and_nothing_else() -> None:
    output, state = one_unit_cell(literal=False)(torch.tensor([[1.0]]), torch.tensor([[1.0]]))
    i, f, o = (torch.sigmoid(torch.tensor(value)).item() for value in (2.0, 1.5, 1.0))
    assert state.item() == pytest.approx(f * 1 + i * 3)
    assert output.item() == pytest.approx(o * (f + i * 3))


def test_without_recurrence_the_output_is_the_sum_of_the_embeddings() -> None:
    cell = build_cell("none", 2, 512)
    w = torch.tensor([[1.0, 2.0]])
    _, state = cell(w, cell.start(1))
    output, _ = cell(10 * w, state)
    assert output.tolist() == [[11.0, 22.0]]


@pytest.mark.parametrize("name", ["lstm", "paper", "paper-gated"])
def test_the_forget_bias_starts_at_one(name: str) -> None:
    bias = build_cell(name, 3, 4).from_label.bias
    assert bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8


def test_an_unknown_cell_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"unknown cell 'papers'.*Did you mean 'paper'"):
        build_cell("papers", 1, 1)
