"""Order-free losses against enumeration of all alignments, and the runs that they are computed on."""

import itertools
import math

import numpy as np
import pytest
import torch

from labelbeam.decoding.trie import PrefixTrie
from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.heads.order_free_torch import aligned_nats, remaining_set_nats, taught_labels

LABELS, FEATURES = 5, 7
LOSSES = ("mla", "pla", "remaining-set")


def model(loss: str, **options) -> CNNRNN:
    torch.manual_seed(0)
    small = {"embedding_size": 8, "hidden_size": 6, "allowed": "no-repeat", "loss": loss} | options
    return CNNRNN(LABELS, FEATURES, LabelModelOptions(**small)).eval()


def some_images() -> tuple[torch.Tensor, torch.Tensor]:
    random = np.random.default_rng(0)
    features = torch.from_numpy(random.normal(size=(40, FEATURES), scale=3).astype(np.float32))
    targets = random.choice([1, 0, -1], p=[0.5, 0.35, 0.15], size=(40, LABELS)).astype(np.int8)
    targets[0], targets[1], targets[2] = 0, 1, -1
    return features, torch.from_numpy(targets)


def run_of(net: CNNRNN, features: torch.Tensor, targets: torch.Tensor, truth: bool):
    known, present = targets != -1, targets == 1
    steps = int(present.sum(dim=1).max()) + 1
    return net.own_run(features, known, sayable=present if truth else known, steps=steps)[:2]


@pytest.mark.parametrize("keep_hits", [False, True])
def test_no_alignment_that_the_rule_allows_is_cheaper(keep_hits: bool) -> None:
    features, targets = some_images()
    log_probs, said = run_of(model("mla"), features, targets, truth=False)
    found = aligned_nats(log_probs, said, targets, keep_hits=keep_hits)
    for image in range(len(targets)):
        present = torch.nonzero(targets[image] == 1)[:, 0].tolist()
        end = -float(log_probs[image, len(present), LABELS].detach())
        costs = []
        for order in itertools.permutations(present):
            path = said[image, : len(present)].tolist()
            if keep_hits and any(label in present and order[t] != label for t, label in enumerate(path)):
                continue
            costs.append(-sum(float(log_probs[image, t, label].detach()) for t, label in enumerate(order)))
        assert float(found[image].detach()) == pytest.approx(min(costs) + end, rel=1e-5)


def test_mla_costs_no_more_than_pla_and_both_are_finite() -> None:
    features, targets = some_images()
    mla, pla = (model(loss)(features, targets).detach() for loss in ("mla", "pla"))
    assert torch.isfinite(pla).all()
    assert (mla <= pla + 1e-5).all()
    assert (mla < pla - 1e-3).any()


def test_what_steps_are_taught_by_hand() -> None:
    log_probs = torch.log(torch.tensor([[[0.6, 0.1, 0.2, 0.1], [0.3, 0.3, 0.3, 0.1], [0.1, 0.1, 0.2, 0.6]]]))
    said, targets = torch.tensor([[1, 2]]), torch.tensor([[1, 1, 0]], dtype=torch.int8)
    assert taught_labels(log_probs, said, targets, keep_hits=False).tolist() == [[0, 1, 3]]
    # PLA: label 1 was said first and is right, so it stays there, dear as it is.
    assert taught_labels(log_probs, said, targets, keep_hits=True).tolist() == [[1, 0, 3]]


def test_the_remaining_set_by_hand() -> None:
    log_probs = torch.log(torch.tensor([[[0.4, 0.3, 0.2, 0.1], [0.5, 0.2, 0.2, 0.1], [0.1, 0.1, 0.2, 0.6]]]))
    said, targets = torch.tensor([[1, 0]]), torch.tensor([[1, 1, 0]], dtype=torch.int8)
    by_hand = -(math.log(0.4) + math.log(0.3)) / 2 - math.log(0.5) - math.log(0.6)
    assert float(remaining_set_nats(log_probs, said, targets)) == pytest.approx(by_hand)


def test_along_one_path_the_remaining_set_is_the_mean_over_the_next_labels_of_random_orders() -> None:
    features, targets = some_images()
    net = model("remaining-set")
    log_probs, said = (x.detach() for x in run_of(net, features, targets, truth=True))
    losses = net(features, targets)
    for image in range(3, 15):
        present = set(torch.nonzero(targets[image] == 1)[:, 0].tolist())
        total = 0.0
        for step in range(len(present)):
            left = present - set(said[image, :step].tolist())
            total -= np.mean([float(log_probs[image, step, label]) for label in left])
        total -= float(log_probs[image, len(present), LABELS])
        assert float(losses[image].detach()) == pytest.approx(total, rel=1e-5)


def test_a_run_is_the_model_s_own_greedy_path_and_its_probabilities_are_those_of_teacher_forcing() -> None:
    net = model("mla")
    features, targets = some_images()
    log_probs, said = run_of(
        net, features, torch.zeros_like(targets).index_fill(1, torch.arange(3), 1), False
    )
    sequences = torch.cat((said, torch.full((40, 1), LABELS)), dim=1)
    logits = net.logits(features, sequences)
    masked = logits.clone()
    for image, step in itertools.product(range(40), range(sequences.shape[1])):
        masked[image, step, said[image, :step]] = -torch.inf
    torch.testing.assert_close(log_probs, masked.log_softmax(dim=2))
    assert torch.equal(said, masked[:, :-1, :-1].argmax(dim=2))


@pytest.mark.parametrize("loss", LOSSES)
def test_unknown_labels_play_no_part(loss: str) -> None:
    net, features = model(loss), torch.randn(1, FEATURES)
    targets = torch.tensor([[1, -1, 0, 0, 1]], dtype=torch.int8)
    before = net(features, targets)
    net.U_l.data[1] += 100
    torch.testing.assert_close(net(features, targets), before)


@pytest.mark.parametrize("loss", LOSSES)
def test_batched_losses_are_the_single_ones_and_order_of_columns_does_not_matter(loss: str) -> None:
    net = model(loss)
    features, targets = some_images()
    batched = net(features, targets)
    singles = torch.cat([net(f[None], t[None]) for f, t in zip(features, targets, strict=True)])
    torch.testing.assert_close(batched, singles)
    order = torch.tensor([3, 1, 4, 0, 2])
    net.U_l.data = net.U_l.data[torch.cat((order, torch.tensor([LABELS])))]
    torch.testing.assert_close(net(features, targets[:, order]), batched)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_few_steps_of_training_teach_two_labels_that_always_come_together(loss: str) -> None:
    net = model(loss).train()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    features = torch.ones(16, FEATURES)
    targets = torch.tensor([[1, 0, 0, 1, 0]] * 16, dtype=torch.int8)
    for _ in range(60):
        optimiser.zero_grad()
        net(features, targets).mean().backward()
        optimiser.step()
    _, said, _ = net.eval().own_run(
        features[:1],
        torch.ones(1, LABELS, dtype=torch.bool),
        sayable=torch.ones(1, LABELS, dtype=torch.bool),
        steps=3,
    )
    assert sorted(said[0].tolist()) == [0, 3]


def test_a_model_made_to_shuffle_draws_orders_in_training_and_the_same_ones_out_of_it() -> None:
    torch.manual_seed(0)
    options = LabelModelOptions(embedding_size=8, hidden_size=6, allowed="no-repeat")
    net = CNNRNN(LABELS, FEATURES, options, shuffle=True)
    features, targets = torch.ones(1, FEATURES), torch.ones(1, LABELS, dtype=torch.int8)
    taught = {round(float(net.train()(features, targets)), 4) for _ in range(10)}
    assert len(taught) > 3
    judged = {round(float(net.eval()(features, targets)), 4) for _ in range(10)}
    assert len(judged) == 1


def test_an_order_free_loss_under_canonical_is_refused_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"--set label_model\.allowed=no-repeat, before"):
        LabelModelOptions(loss="mla")
    with pytest.raises(InputError, match="Did you mean"):
        LabelModelOptions(loss="remaining")


@pytest.mark.parametrize("per_label", [0.0, 1.0])
def test_the_models_own_run_has_the_probabilities_that_a_search_finds_along_it(per_label: float) -> None:
    net = model("pla", per_label=per_label)
    if per_label:
        torch.nn.init.normal_(net.per_label.weight)
    features = some_images()[0]
    everything = torch.ones(len(features), LABELS, dtype=torch.bool)
    log_probs, said, _ = net.own_run(features, everything, sayable=everything, steps=3)
    head = trained(net)
    trie, rows = PrefixTrie(head), head.image_rows(features.numpy())
    for step in range(3):
        trie.start_batch()
        nodes = trie.find(said.numpy()[:, :step].astype(np.int32), np.full(len(rows), step))
        found = log_probs[:, step].detach().numpy()
        np.testing.assert_allclose(np.exp(found), np.exp(trie.log_probs(nodes, rows)), atol=1e-5)


def test_a_shuffled_order_needs_a_model_that_allows_any_order() -> None:
    with pytest.raises(InputError, match="allowed='no-repeat'"):
        CNNRNN(LABELS, FEATURES, LabelModelOptions(allowed="canonical"), shuffle=True)
