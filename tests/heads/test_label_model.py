"""The label model against enumeration, a naive twin, and the mistakes of public re-implementations."""

import itertools

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions, OfWords, allowed_outcomes
from labelbeam.heads.sequences_torch import PAD, sequences_of

LABELS, FEATURES = 5, 7
CELLS = ["lstm", "paper", "paper-gated", "none"]


def model(seed: int = 0, **options: object) -> CNNRNN:
    torch.manual_seed(seed)
    small = {"embedding_size": 8, "hidden_size": 6} | options
    return CNNRNN(LABELS, FEATURES, LabelModelOptions(**small)).eval()


def every_set() -> torch.Tensor:
    return torch.tensor(list(itertools.product([0, 1], repeat=LABELS)), dtype=torch.int8)


def an_image(copies: int = 1) -> torch.Tensor:
    return torch.linspace(-1, 2, FEATURES).expand(copies, -1)


@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("cell", CELLS)
def test_probabilities_of_all_label_sets_sum_to_one(cell: str, activation: str) -> None:
    sets = every_set()
    nats = model(cell=cell, activation=activation)(an_image(len(sets)), sets)
    assert float((-nats.detach()).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_under_no_repeat_probabilities_of_all_sequences_sum_to_one() -> None:
    net, total = model(allowed="no-repeat"), 0.0
    for size in range(LABELS + 1):
        for labels in itertools.permutations(range(LABELS), size):
            sequence = torch.tensor([[*labels, LABELS]])
            allowed = allowed_outcomes(sequence, LABELS, "no-repeat")
            logits = net.logits(an_image(), sequence).masked_fill(~allowed, -torch.inf)
            total += float(logits.detach().log_softmax(2).gather(2, sequence[:, :, None]).sum().exp())
    assert total == pytest.approx(1, abs=1e-4)


def naive_nats(net: CNNRNN, features: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One image, one step, one label at a time: the equations as the paper writes them."""
    nats = []
    for feature, target in zip(features, targets, strict=True):
        w, state, total, last = net.start, net.cell.start(1), torch.zeros(()), -1
        for label in [*[k for k in range(LABELS) if target[k] == 1], LABELS]:
            o, state = net.cell(w, state)
            s = net.h(net.U_o(o) + net.U_I(feature[None])) @ net.U_l.T
            for k in range(LABELS):
                if k <= last or target[k] == -1:
                    s[0, k] = -torch.inf
            total = total - s.log_softmax(1)[0, label]
            last, w = label, net.U_l[label : label + 1]
        nats.append(total)
    return torch.stack(nats)


@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("cell", CELLS)
def test_shared_prefixes_give_the_loss_and_gradients_of_a_naive_loop(cell: str, activation: str) -> None:
    net = model(cell=cell, activation=activation).double()
    random = np.random.default_rng(1)
    features = torch.from_numpy(random.normal(size=(20, FEATURES)))
    targets = torch.from_numpy(
        random.choice([1, 0, -1], p=[0.4, 0.5, 0.1], size=(20, LABELS)).astype(np.int8)
    )
    # Scaling works in single precision; the twin must see the same numbers.
    features = features.float().double()
    net.scaling.forward = lambda x: x  # type: ignore[method-assign]
    ours, naive = net(features, targets), naive_nats(net, features, targets)
    torch.testing.assert_close(ours, naive)
    parameters = [p for p in net.parameters() if p.requires_grad]
    for a, b in zip(
        torch.autograd.grad(ours.mean(), parameters, allow_unused=True),
        torch.autograd.grad(naive.mean(), parameters, allow_unused=True),
        strict=True,
    ):
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, atol=1e-10, rtol=1e-8)


def test_the_image_joins_after_the_recurrence_so_prefix_vectors_do_not_know_it() -> None:
    net = model()
    sequences = sequences_of(every_set()[5:6])
    apart = net.logits(2 * an_image(), sequences) - net.logits(an_image(), sequences)
    torch.testing.assert_close(apart, apart[:, :1].expand_as(apart))  # the same shift at every step


def test_the_label_matrix_is_tied_between_input_and_output() -> None:
    net = model()
    shapes = [tuple(p.shape) for p in net.parameters()]
    assert shapes.count((LABELS + 1, 8)) == 1
    net.U_l.grad = None
    net(an_image(), every_set()[-1:]).sum().backward()
    assert (net.U_l.grad.abs().sum(dim=1) > 0).all()


def test_the_paper_sized_model_has_the_parameters_that_the_paper_implies() -> None:
    net = CNNRNN(81, 4096, LabelModelOptions(cell_bias=False, start="zero"))
    assert (
        sum(p.numel() for p in net.parameters() if p.requires_grad) == 1_179_648 + 32_768 + 262_144 + 82 * 64
    )


@pytest.mark.parametrize("cell", CELLS)
def test_a_step_never_sees_the_label_it_has_to_predict(cell: str) -> None:
    net = model(cell=cell)
    one = net.logits(an_image(), torch.tensor([[0, 2, LABELS]]))
    other = net.logits(an_image(), torch.tensor([[0, 3, LABELS]]))
    torch.testing.assert_close(one[:, :2], other[:, :2])
    assert not torch.allclose(one[:, 2], other[:, 2])


def test_dropout_acts_in_training_only_and_differs_between_images_and_steps() -> None:
    net = model(projection_dropout=0.5)
    targets = every_set()[-1:].expand(2, -1)
    assert torch.equal(net(an_image(2), targets), net(an_image(2), targets))
    net.train()
    nats = net(an_image(2), targets)
    assert nats[0] != nats[1]
    kept = []

    def drop(ones: torch.Tensor) -> torch.Tensor:
        mask = torch.nn.functional.dropout(ones, 0.5)
        if ones.ndim == 3:  # of prefixes; images have two
            kept.append(mask)
        return mask

    net.projection_dropout.forward = drop
    net(an_image(2), targets)
    (mask,) = kept  # [batch steps outputs]
    assert mask.shape[:2] == (2, LABELS + 1)
    assert len({tuple(step) for image in mask.tolist() for step in image}) == 2 * (LABELS + 1)


def test_unknown_labels_leave_the_softmax_and_are_never_predicted() -> None:
    net = model()
    targets = torch.tensor([[1, -1, 0, 0, 1]], dtype=torch.int8)
    loss = net(an_image(), targets)
    net.U_l.data[1] += 100  # nothing about the unknown label may change the loss
    torch.testing.assert_close(net(an_image(), targets), loss)


def test_an_image_without_labels_is_taught_to_end_at_once() -> None:
    net = model()
    logits = net.logits(an_image(), torch.tensor([[LABELS]]))
    expected = -logits.log_softmax(2)[0, 0, LABELS]
    torch.testing.assert_close(net(an_image(), torch.zeros(1, LABELS, dtype=torch.int8))[0], expected)


def test_batched_losses_are_the_single_ones() -> None:
    net, targets = model(), every_set()
    features = torch.randn(len(targets), FEATURES, generator=torch.Generator().manual_seed(1))
    singles = torch.cat([net(f[None], t[None]) for f, t in zip(features, targets, strict=True)])
    torch.testing.assert_close(net(features, targets), singles)


def test_repeats_are_masked_unless_the_mask_is_the_papers() -> None:
    sequence = torch.tensor([[3, 1, LABELS, PAD]])
    allowed = {
        rule: allowed_outcomes(sequence, LABELS, rule)[0].int().tolist() for rule in ("no-repeat", "paper")
    }
    assert allowed["no-repeat"][2] == [1, 0, 1, 0, 1, 1]
    assert allowed["paper"][2] == [1] * 6


def test_a_shuffled_model_is_taught_other_orders() -> None:
    net = model(allowed="no-repeat")
    generator = torch.Generator().manual_seed(0)
    losses = {round(float(net(an_image(), every_set()[-1:], generator).detach()), 4) for _ in range(10)}
    assert len(losses) > 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"activation": "tanh"}, "unknown activation 'tanh'"),
        ({"allowed": "canonic"}, "Did you mean 'canonical'"),
        ({"projection_dropout": 1.0}, "projection_dropout is 1.0; it must be at least 0 and below 1"),
        ({"hidden_size": 0}, "must be at least 1"),
    ],
)
def test_impossible_options_are_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        LabelModelOptions(**options)


def words(rows: int, features: int, *, most: int = 3) -> torch.Tensor:
    """Return rows of which a few features are 1, the first row none."""
    drawn = torch.rand(rows, features, generator=torch.Generator().manual_seed(0)).argsort(dim=1) < most
    drawn[0] = False
    return drawn.float()


def test_reading_only_the_words_that_a_row_has_changes_neither_answers_nor_gradients() -> None:
    torch.manual_seed(0)
    layer, plain, dropout = OfWords(50, 4), torch.nn.Linear(50, 4), torch.nn.Dropout(0.5).eval()
    plain.load_state_dict(layer.state_dict())
    rows, few = words(6, 50), torch.linspace(1, 2, 24).view(6, 4)
    found = layer.of_few(rows, dropout)
    np.testing.assert_allclose(found.detach(), plain(rows).detach(), atol=1e-6)
    np.testing.assert_allclose(layer(rows).detach(), plain(rows).detach(), atol=1e-6)
    (found * few).sum().backward()
    (plain(rows) * few).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.T, plain.weight.grad, atol=1e-6)
    np.testing.assert_allclose(layer.bias.grad, plain.bias.grad, atol=1e-6)


def test_words_are_dropped_as_often_as_asked_and_scaled_up_for_it() -> None:
    layer, dropout = OfWords(400, 1), torch.nn.Dropout(0.25)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.zero_()
    torch.manual_seed(0)
    kept = layer.of_few(words(500, 400, most=20)[1:], dropout).detach()
    assert float(kept.mean()) == pytest.approx(20, rel=0.02)
    assert float(kept.max()) <= 20 / 0.75 + 1e-3


@pytest.mark.parametrize("hidden", [0, 6])
def test_a_label_model_of_words_is_stored_as_every_other_and_answers_alike(hidden: int) -> None:
    """Of few words only those are read, of many features all; the stored weights are those of a linear layer."""
    options = LabelModelOptions(embedding_size=8, hidden_size=6, image_hidden_size=hidden)
    torch.manual_seed(0)
    one = CNNRNN(LABELS, 50, options, scaling="none").eval()
    other = CNNRNN(LABELS, 50, options, scaling="l2").eval()  # which reads all of them
    state = one.state_dict()
    if hidden:
        assert state["before_U_I.1.weight"].shape == (6, 50)
    other.load_state_dict(state)
    for rows in (words(4, 50), torch.ones(4, 50)):
        rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12)
        sets = every_set()[[0, 3, 17, 31]]
        np.testing.assert_allclose(one(rows, sets).detach(), other(rows, sets).detach(), atol=1e-5)
