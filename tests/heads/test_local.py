"""Local evidence: what places of a map add to label scores, by hand and as both forms of a head compute it."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads import decode
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores_torch import SigmoidHead
from labelbeam.heads.local import PARTS, query_attention
from labelbeam.heads.local_torch import POOLED, LocalScores
from labelbeam.heads.options import LOCAL, LabelModelOptions, LocalOptions, SigmoidOptions
from labelbeam.runs.build import build_head
from labelbeam.runs.config import configure
from labelbeam.runs.recipe import DataSize, build_optimiser, recipe_for

LABELS, POOLED_SIZE, CHANNELS, PLACES, IMAGES = 3, 5, 4, 9, 7
NAMES = [name for name in LOCAL if name != "none"]


def rows() -> np.ndarray:
    size = POOLED_SIZE + PLACES * CHANNELS
    return np.random.default_rng(0).normal(1, 2, size=(IMAGES, size)).astype(np.float16)


def targets() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 2, size=(IMAGES, LABELS)).astype(np.int8))


def fitted(head: SigmoidHead | CNNRNN) -> SigmoidHead | CNNRNN:
    torch.manual_seed(3)
    head.scaling.fit(rows())
    head.local.fit(rows())
    for one in head.local.parameters():
        torch.nn.init.normal_(one)
    return head.eval()


def test_csra_is_the_average_and_a_weighted_attention_as_the_paper_prints_it() -> None:
    scores, options = np.array([[[0.0], [2.0], [1.0]]]), LocalOptions("csra", weight=0.5, temperature=2.0)
    attention = np.exp([0.0, 4.0, 2.0]) / np.exp([0.0, 4.0, 2.0]).sum()
    wanted = 1.0 + 0.5 * (attention @ [0.0, 2.0, 1.0])
    assert PARTS["csra"](scores, options).sum() == pytest.approx(wanted)


def test_log_sum_exp_lies_between_the_average_and_the_maximum() -> None:
    scores = np.array([[[0.0], [2.0], [1.0]]])
    small, large = (
        PARTS["log-sum-exp"](scores, LocalOptions("log-sum-exp", temperature=t)).sum() for t in (1e-3, 1e3)
    )
    assert small == pytest.approx(1.0, abs=1e-2)
    assert large == pytest.approx(2.0, abs=1e-2)
    one = LocalOptions("log-sum-exp", temperature=1.0)
    assert PARTS["log-sum-exp"](scores, one).sum() == pytest.approx(np.log(np.exp([0, 2, 1]).mean()))


def test_a_query_chooses_places_whatever_the_label_scores_there() -> None:
    scores, queried = np.array([[[8.0], [-2.0], [6.0]]]), np.log(np.array([[[1.0], [2.0], [1.0]]]))
    parts = query_attention(scores, queried)
    assert parts[0, :, 0].tolist() == pytest.approx([2.0, -1.0, 1.5])


def test_queries_that_have_learned_nothing_average_and_then_find_the_place() -> None:
    """Places say in one channel what is there, in the other where to look."""
    random = np.random.default_rng(5)
    present, places = random.random(400) < 0.5, random.normal(size=(400, PLACES, CHANNELS)).astype(np.float32)
    at = random.integers(PLACES, size=400)
    places[np.arange(400), at, 0], places[np.arange(400), at, 1] = np.where(present, 1, -1), 6
    rows = torch.from_numpy(places.reshape(400, -1))
    local = LocalScores(1, CHANNELS, LocalOptions("query-attention", dropout=0.0), after=0)
    local.fit(rows.numpy())
    torch.nn.init.ones_(local.weight)
    mean = LocalScores(1, CHANNELS, LocalOptions("csra", weight=0.0), after=0)
    mean.load_state_dict({name: value for name, value in local.state_dict().items() if name != "query"})
    torch.testing.assert_close(local.eval()(rows), mean.eval()(rows))
    optimiser = torch.optim.Adam(local.train().parameters(), lr=0.1)
    for _ in range(150):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            local(rows)[:, 0], torch.from_numpy(present.astype(np.float32))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.05
    assert local.query[0].argmax() == 1


@pytest.mark.parametrize("name", POOLED)
def test_what_places_add_sums_to_the_score_in_training(name: str) -> None:
    scores, options = np.random.default_rng(0).normal(0, 3, (4, PLACES, LABELS)), LocalOptions(name)
    pooled = POOLED[name](torch.from_numpy(scores), options)
    np.testing.assert_allclose(PARTS[name](scores, options).sum(axis=1), pooled.numpy(), rtol=1e-6)


def test_scaling_is_folded_into_the_weights_of_a_place() -> None:
    local = LocalScores(LABELS, CHANNELS, LocalOptions("csra", weight=0.0), after=POOLED_SIZE)
    local.fit(rows())
    torch.nn.init.normal_(local.weight)
    places = rows()[:, POOLED_SIZE:].astype(np.float32).reshape(IMAGES, PLACES, CHANNELS)
    flat = places.reshape(-1, CHANNELS)
    scaled = (places - flat.mean(axis=0)) / flat.std(axis=0)
    wanted = scaled.mean(axis=1) @ local.weight.detach().numpy().T
    found = local.eval()(torch.from_numpy(rows().astype(np.float32))).detach().numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hidden", [0, 6])
def test_a_sigmoid_head_as_arrays_agrees_with_its_torch_twin(name: str, hidden: int) -> None:
    head = fitted(
        SigmoidHead(
            *(LABELS, POOLED_SIZE, SigmoidOptions(hidden)),
            scaling="standardize",
            local=LocalOptions(name),
            channels=CHANNELS,
        )
    )
    logits = head.logits(torch.from_numpy(rows().astype(np.float32))).detach().numpy()
    arrays = trained(head)
    np.testing.assert_allclose(arrays.logits(rows()), logits, rtol=2e-4, atol=2e-4)
    without = logits - arrays.local.scores(rows())
    assert np.abs(without - logits).max() > 0.1  # places do say something
    given, asked = dict(arrays.arrays), {"local": asdict(LocalOptions(name)), "scaling": "standardize"}
    for row, own in zip(
        rows(), arrays.local.scores(rows()), strict=True
    ):  # the file beside an export says the same
        np.testing.assert_allclose(decode.local_scores(given, asked, row), own, rtol=1e-3, atol=1e-3)
    one_by_one = np.concatenate([arrays.logits(row[None]) for row in rows()])
    np.testing.assert_allclose(one_by_one, arrays.logits(rows()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("activation", ["identity", "relu"])
@pytest.mark.parametrize("nothing", ["taught", "independent"])
def test_a_label_model_as_arrays_gives_sets_the_probability_of_its_torch_twin(
    activation: str, nothing: str
) -> None:
    from labelbeam.decoding.search import Search
    from labelbeam.predict.label_model import LabelModelAnswerer

    torch.manual_seed(0)
    options = LabelModelOptions(
        embedding_size=8, hidden_size=7, activation=activation, nothing=nothing, per_label=1.0
    )
    model = fitted(
        CNNRNN(
            *(LABELS, POOLED_SIZE, options),
            scaling="standardize",
            local=LocalOptions("csra"),
            channels=CHANNELS,
        )
    )
    nats = model(torch.from_numpy(rows().astype(np.float32)), targets()).detach().numpy()
    answerer = LabelModelAnswerer(trained(model), Search())
    np.testing.assert_allclose(answerer.set_log_prob(rows(), targets().numpy()), -nats, rtol=1e-3, atol=1e-3)


def test_training_lowers_the_loss_by_places_alone() -> None:
    """The pooled vector says nothing here; one place in nine does."""
    random = np.random.default_rng(5)
    truth = random.integers(0, 2, size=(64, 1)).astype(np.int8)
    maps = random.normal(size=(64, PLACES, CHANNELS)).astype(np.float32)
    maps[np.arange(64), random.integers(0, PLACES, 64), 0] += 6 * truth[:, 0]
    data = np.concatenate((np.zeros((64, 1), np.float32), maps.reshape(64, -1)), axis=1)
    head = SigmoidHead(1, 1, local=LocalOptions("csra", weight=1.0, dropout=0.0), channels=CHANNELS)
    head.local.fit(data)
    features, wanted = torch.from_numpy(data), torch.from_numpy(truth)
    optimiser = torch.optim.Adam(head.parameters(), 0.1)
    first = head(features, wanted).mean()
    for _ in range(60):
        optimiser.zero_grad()
        head(features, wanted).mean().backward()
        optimiser.step()
    assert head(features, wanted).mean() < 0.5 * first


@pytest.mark.parametrize("head", ["sigmoid", "sigmoid-mlp", "cnn-rnn"])
def test_places_and_biases_learn_faster_than_what_reads_the_pooled_vector(head: str) -> None:
    by_data = recipe_for(DataSize(600, 1280, LABELS), head, local=True)
    config = configure(
        head=head, options={"local": {"name": "csra"}, "encoder": {"grid": 3}}, by_data=by_data
    )
    module = build_head(config, num_labels=LABELS, feature_size=POOLED_SIZE, channels=CHANNELS)
    shares = {
        id(one): group["share"]
        for group in build_optimiser(config.recipe, module).param_groups
        for one in group["params"]
    }
    assert len(shares) == len(list(module.parameters()))
    for name, one in module.named_parameters():
        fast = name.startswith("local.") or one.ndim <= 1
        assert shares[id(one)] == (config.recipe.local_rate if fast else 1.0), name
    assert config.recipe.local_rate > 1
    assert (
        config.recipe.epochs
        < configure(head=head, by_data=recipe_for(DataSize(600, 1280, LABELS), head)).recipe.epochs
    )


def test_names_and_numbers_outside_what_is_allowed_are_refused() -> None:
    for values, words in [
        ({"name": "csr"}, "'csra'"),
        ({"name": "csra", "dropout": 1.0}, "below 1"),
        ({"name": "csra", "temperature": 0.0}, "above 0"),
    ]:
        with pytest.raises(InputError, match=words):
            LocalOptions(**values)
    with pytest.raises(InputError, match="per_label above 0"):
        CNNRNN(LABELS, POOLED_SIZE, local=LocalOptions("csra"), channels=CHANNELS)
    head = SigmoidHead(LABELS, POOLED_SIZE, local=LocalOptions("csra"), channels=CHANNELS)
    with pytest.raises(InputError, match="takes features"):
        head(torch.zeros(2, POOLED_SIZE + 3), torch.zeros(2, LABELS, dtype=torch.int8))
