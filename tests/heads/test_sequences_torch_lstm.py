"""The LSTM over a tree of prefixes: outputs and gradients of a plain loop, of finite differences, of torch.nn.LSTM."""

import numpy as np
import pytest
import torch
from torch import nn

from labelbeam.heads.label_model_torch import CNNRNN, LSTM, allowed_outcomes
from labelbeam.heads.options import LabelModelOptions
from labelbeam.heads.sequences_torch import PAD, distinct_prefixes, lstm_over_prefixes, sequences_of

LABELS, FEATURES, HIDDEN = 6, 5, 7


def label_sets(images: int, seed: int = 0, chance: float = 0.4) -> torch.Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy((random.random((images, LABELS)) < chance).astype(np.int8))


def tree(images: int = 30) -> list[torch.Tensor]:
    prefixes = distinct_prefixes(sequences_of(label_sets(images)), LABELS)
    return [parent for parent, _ in prefixes.levels]


def gates_of(parents: list[torch.Tensor], hidden: int = HIDDEN) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    count = 1 + sum(len(parent) for parent in parents)
    gates = torch.randn(count, 4 * hidden, dtype=torch.float64, requires_grad=True)
    recurrent = torch.randn(4 * hidden, hidden, dtype=torch.float64, requires_grad=True)
    return gates, recurrent


def plain_loop(gates: torch.Tensor, recurrent: torch.Tensor, parents: list[torch.Tensor]) -> torch.Tensor:
    """One prefix at a time, from the equations."""
    outputs, states, first = [], [], 0
    levels = [torch.tensor([-1]), *parents]
    for level, parent in enumerate(levels):
        for row, before in enumerate(parent.tolist()):
            a = gates[first + row]
            r = torch.zeros(recurrent.shape[1], dtype=gates.dtype)
            if level:
                at = first - len(levels[level - 1]) + before
                a, r = a + recurrent @ outputs[at], states[at]
            i, f, x, o = a.chunk(4)
            states.append(f.sigmoid() * r + i.sigmoid() * x.tanh())
            outputs.append(o.sigmoid() * states[-1].tanh())
        first += len(parent)
    return torch.stack(outputs)


def test_outputs_and_gradients_are_those_of_a_plain_loop() -> None:
    parents = tree()
    gates, recurrent = gates_of(parents)
    ours, plain = lstm_over_prefixes(gates, recurrent, parents), plain_loop(gates, recurrent, parents)
    torch.testing.assert_close(ours, plain)
    weights = torch.randn_like(plain)
    for a, b in zip(
        torch.autograd.grad((ours * weights).sum(), (gates, recurrent)),
        torch.autograd.grad((plain * weights).sum(), (gates, recurrent)),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-9)


def test_gradients_are_those_of_finite_differences() -> None:
    parents = [torch.tensor([0, 0, 0]), torch.tensor([0, 2, 2]), torch.tensor([1])]
    gates, recurrent = gates_of(parents, hidden=2)
    assert torch.autograd.gradcheck(
        lambda gates, recurrent: lstm_over_prefixes(gates, recurrent, parents), (gates, recurrent)
    )


def test_bfloat16_products_stay_near_single_precision_and_states_keep_it() -> None:
    parents = tree()
    gates, recurrent = (tensor.detach().float().requires_grad_() for tensor in gates_of(parents))
    exact = lstm_over_prefixes(gates, recurrent, parents)
    with torch.autocast("cpu", torch.bfloat16):
        rough = lstm_over_prefixes(gates, recurrent, parents)
    assert rough.dtype == torch.float32
    assert 0 < float((rough - exact).detach().abs().max()) < 0.02
    rough.sum().backward()
    assert gates.grad is not None
    assert gates.grad.dtype == torch.float32


def model(dtype: torch.dtype = torch.float32, **options: object) -> CNNRNN:
    torch.manual_seed(0)
    small = {"embedding_size": 8, "hidden_size": HIDDEN} | options
    net = CNNRNN(LABELS, FEATURES, LabelModelOptions(**small)).to(dtype)
    net.scaling.forward = lambda x: x  # type: ignore[method-assign]  # it works in single precision
    return net


def packed_nats(net: CNNRNN, features: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, nn.LSTM]:
    """The same loss with torch.nn.LSTM over every sequence, packed by length."""
    assert isinstance(net.cell, LSTM)
    lstm = nn.LSTM(8, HIDDEN, batch_first=True).to(features.dtype)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(net.cell.from_label.weight)
        lstm.weight_hh_l0.copy_(net.cell.from_state.weight)
        lstm.bias_ih_l0.copy_(net.cell.from_label.bias)
        lstm.bias_hh_l0.zero_()
    sequences = sequences_of(targets)
    w = torch.cat((net.start.expand(len(targets), 1, -1), net.U_l[sequences[:, :-1].clamp(min=0)]), dim=1)
    lengths = (sequences != PAD).sum(dim=1)
    packed = nn.utils.rnn.pack_padded_sequence(w, lengths, batch_first=True, enforce_sorted=False)
    output, _ = nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], batch_first=True)
    logits = (net.U_o(output) + net.U_I(features)[:, None]) @ net.U_l.T
    logits = logits.masked_fill(~allowed_outcomes(sequences, LABELS, "canonical"), -torch.inf)
    chosen = logits.log_softmax(2).gather(2, sequences.clamp(min=0)[:, :, None])[:, :, 0]
    return -chosen.masked_fill(sequences == PAD, 0).sum(dim=1), lstm


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_those_of_a_packed_lstm_over_every_sequence(dtype: torch.dtype) -> None:
    net, targets = model(dtype), label_sets(200)
    features = torch.randn(200, FEATURES, dtype=dtype)
    nats, lstm = packed_nats(net, features, targets)
    nats.mean().backward()
    rivals = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    rivals["cell.from_label.weight"] = lstm.weight_ih_l0.grad
    rivals["cell.from_state.weight"] = lstm.weight_hh_l0.grad
    rivals["cell.from_label.bias"] = lstm.bias_ih_l0.grad
    net.zero_grad()
    ours = net(features, targets)
    ours.mean().backward()
    torch.testing.assert_close(ours, nats, atol=1e-5, rtol=0)
    for name, parameter in net.named_parameters():
        torch.testing.assert_close(
            parameter.grad, rivals[name], atol=1e-6, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_the_loss_with_dropout_is_that_of_the_logits_of_every_step_with_the_same_draws(
    activation: str,
) -> None:
    net, targets = model(projection_dropout=0.4, activation=activation).train(), label_sets(20)
    features, sequences = torch.randn(20, FEATURES), sequences_of(targets)
    torch.manual_seed(3)
    nats = net(features, targets)
    torch.manual_seed(3)
    logits = net.logits(features, sequences)
    logits = logits.masked_fill(~allowed_outcomes(sequences, LABELS, "canonical"), -torch.inf)
    chosen = logits.log_softmax(2).gather(2, sequences.clamp(min=0)[:, :, None])[:, :, 0]
    torch.testing.assert_close(nats, -chosen.masked_fill(sequences == PAD, 0).sum(dim=1))


def test_a_batch_without_any_label_trains_the_end_alone() -> None:
    net = model()
    net(torch.randn(3, FEATURES), torch.zeros(3, LABELS, dtype=torch.int8)).mean().backward()
    assert net.U_o.weight.grad is not None
    assert net.U_o.weight.grad.abs().sum() > 0
