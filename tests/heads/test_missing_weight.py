"""A missing tag counts as absent with a small weight, in the loss and in where a head starts."""

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.label_scores_torch import SigmoidHead
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


@pytest.mark.parametrize("name", ["cnn-rnn", "any-subset", "warp", "knn"])
def test_a_head_without_such_weights_is_refused_with_those_that_have(name) -> None:
    with pytest.raises(InputError, match=r"--missing-tags unlikely: .* --head sigmoid or sigmoid-mlp"):
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
