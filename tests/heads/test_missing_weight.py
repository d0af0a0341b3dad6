"""A missing tag counts as absent with a small weight, in the loss and in where a head starts."""

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores_torch import SigmoidHead
from labelbeam.heads.options import LabelModelOptions
from labelbeam.runs.build import build_head
from labelbeam.runs.config import configure

FEATURES = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([[1, -1, 0], [-1, 1, -1], [1, 0, -1], [-1, -1, -1]], dtype=torch.int8)


def head(weight: float) -> SigmoidHead:
    built = SigmoidHead(3, 6)
    torch.nn.init.normal_(built.last.weight, generator=torch.Generator().manual_seed(1))
    built.unknown_weight = weight
    return built


def test_the_loss_lies_between_unknown_and_absent_by_the_weight() -> None:
    unknown, absent = head(0.0)(FEATURES, TARGETS), head(0.0)(FEATURES, TARGETS.clamp(min=0))
    torch.testing.assert_close(head(0.25)(FEATURES, TARGETS), unknown + 0.25 * (absent - unknown))
    torch.testing.assert_close(head(1.0)(FEATURES, TARGETS), absent)


def test_a_head_starts_from_frequencies_in_which_missing_tags_weigh_as_much() -> None:
    built = head(0.5)
    built.start_from(TARGETS)
    # label 0: present in 2, unknown in 2; an image is added to each side
    assert torch.sigmoid(built.last.bias)[0].item() == pytest.approx(3 / (2 + 0.5 * 2 + 2))


def test_the_weight_is_one_by_the_other_labels_unless_another_is_set() -> None:
    def weight(labels: int, *settings: str, meaning: str = "unlikely") -> float:
        config = configure(head="sigmoid", settings=settings, options={"read": {"missing_tags": meaning}})
        return build_head(config, num_labels=labels, feature_size=6).unknown_weight

    assert weight(21) == pytest.approx(0.05)
    assert weight(1) == 1
    assert weight(21, "missing_weight=0.3") == 0.3
    assert weight(21, meaning="unknown") == 0


@pytest.mark.parametrize("name", ["any-subset", "warp", "knn"])
def test_a_head_without_such_weights_is_refused_with_those_that_have(name) -> None:
    with pytest.raises(InputError, match=r"--missing-tags unlikely: .* --head cnn-rnn, no-rnn, sigmoid or"):
        configure(head=name, options={"read": {"missing_tags": "unlikely"}})
    with pytest.raises(InputError, match="above 0 and at most 1"):
        configure(head="sigmoid", settings=["missing_weight=0"])


def test_tags_alone_teach_what_weights_say() -> None:
    """Half of the tags are missing at random: the weight 1/3 brings a certain label back above one half."""
    random = np.random.default_rng(0)
    there = random.random(4000) < 0.5
    tagged = there & (random.random(4000) < 0.5)
    features = torch.from_numpy(there[:, None].astype(np.float32) * 2 - 1)
    targets = torch.from_numpy(np.where(tagged, 1, -1).astype(np.int8)[:, None])
    scores = {}
    for weight in (1.0, 1 / 3):
        built = SigmoidHead(1, 1)
        built.unknown_weight = weight
        built.start_from(targets)
        optimiser = torch.optim.LBFGS(built.parameters(), max_iter=50)

        def nats(built=built, optimiser=optimiser) -> torch.Tensor:
            optimiser.zero_grad()
            loss = built(features, targets).mean()
            loss.backward()
            return loss

        optimiser.step(nats)
        scores[weight] = torch.sigmoid(built.logits(torch.ones(1, 1))).item()
    assert scores[1.0] == pytest.approx(0.5, abs=0.03)
    assert scores[1 / 3] == pytest.approx(0.75, abs=0.03)


def label_model(weight: float, **options) -> CNNRNN:
    torch.manual_seed(2)
    built = CNNRNN(3, 6, LabelModelOptions(embedding_size=4, hidden_size=5, **options)).eval()
    built.unknown_weight = weight
    return built


def test_a_label_model_takes_missing_tags_for_unknown_with_weight_0_and_for_absent_with_weight_1() -> None:
    absent, unknown = label_model(0.0)(FEATURES, TARGETS.clamp(min=0)), label_model(0.0)(FEATURES, TARGETS)
    torch.testing.assert_close(label_model(1.0)(FEATURES, TARGETS), absent)
    torch.testing.assert_close(label_model(1e-9)(FEATURES, TARGETS), unknown)
    between = label_model(0.3)(FEATURES, TARGETS)
    assert ((unknown <= between) & (between <= absent)).all()


def test_in_a_label_models_softmax_a_missing_tag_counts_its_weight() -> None:
    """One step by hand: END where everything is unknown."""
    built, weight = label_model(0.25), 0.25
    s = built.logits(FEATURES[:1], torch.tensor([[3]]))[0, 0]
    expected = torch.logsumexp(torch.cat((s[:3] + np.log(weight), s[3:])), dim=0) - s[3]
    found = built(FEATURES[:1], torch.full((1, 3), -1, dtype=torch.int8))
    torch.testing.assert_close(found[0], expected)


def test_labels_by_themselves_weigh_missing_tags_too() -> None:
    one, more = label_model(0.0, per_label=1.0).train(), label_model(0.5, per_label=1.0).train()
    one.start_from(TARGETS)
    more.start_from(TARGETS)
    assert (more.per_label.bias < one.per_label.bias).all()


def test_losses_that_take_unknown_labels_out_are_refused() -> None:
    with pytest.raises(InputError, match="needs the loss 'sequence'"):
        configure(
            head="cnn-rnn",
            settings=["label_model.allowed=no-repeat", "label_model.loss=pla"],
            options={"read": {"missing_tags": "unlikely"}},
        )
