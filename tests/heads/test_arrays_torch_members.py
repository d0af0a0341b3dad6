import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.arrays_torch import Members, trained
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores_torch import SigmoidHead
from labelbeam.heads.options import LabelModelOptions, SigmoidOptions
from labelbeam.runs.build import build_head, stored_config, stored_head
from labelbeam.runs.config import configure

FEATURES = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor(
    [[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 0, -1], [0, 0, 1, 0]], dtype=torch.int8
)
SEQUENCES = torch.tensor([[0, 2, 4], [4, -1, -1], [1, 3, 4], [1, 4, -1], [2, 4, -1]])


@pytest.mark.parametrize("cell", ["lstm", "paper-gated", "none"])
@pytest.mark.parametrize("activation", ["relu", "identity"])
@pytest.mark.parametrize("hidden", [0, 7])
def test_the_merged_label_model_has_the_mean_of_the_logits(cell, activation, hidden):
    torch.manual_seed(1)
    options = LabelModelOptions(
        embedding_size=3, hidden_size=5, cell=cell, activation=activation, image_hidden_size=hidden
    )
    heads = [CNNRNN(4, 6, options).eval() for _ in range(3)]
    merged = Members(heads).merged()
    mean = torch.stack([head.logits(FEATURES, SEQUENCES.clamp(min=0)) for head in heads]).mean(dim=0)
    np.testing.assert_allclose(
        merged.logits(FEATURES, SEQUENCES.clamp(min=0)).detach(), mean.detach(), atol=1e-5
    )
    answers = trained(Members(heads))  # as arrays, after the empty prefix
    start, rows = answers.start()[1], answers.image_rows(FEATURES.numpy())
    np.testing.assert_allclose(
        answers.combine(np.repeat(start, 5, axis=0), rows), mean[:, 0].detach(), atol=1e-5
    )


@pytest.mark.parametrize("hidden", [0, 7])
def test_the_merged_sigmoid_head_has_the_mean_of_the_logits(hidden):
    torch.manual_seed(1)
    heads = [SigmoidHead(4, 6, SigmoidOptions(hidden_size=hidden)) for _ in range(3)]
    for head in heads:
        torch.nn.init.normal_(head.last.weight)
    mean = torch.stack([head.logits(FEATURES) for head in heads]).mean(dim=0)
    np.testing.assert_allclose(Members(heads).merged().logits(FEATURES).detach(), mean.detach(), atol=1e-5)


def test_labels_with_logits_of_their_own_are_merged_too():
    torch.manual_seed(1)
    options = LabelModelOptions(
        embedding_size=3,
        hidden_size=5,
        image_hidden_size=7,
        nothing="independent",
        activation="relu",
        per_label=1.0,
    )
    heads = [CNNRNN(4, 6, options) for _ in range(2)]
    for head in heads:
        head.start_from(TARGETS)
        head.eval()
    merged = Members(heads).merged()
    z = [head.per_label(head.before_U_I(head.scaling(FEATURES))).detach() for head in (*heads, merged)]
    np.testing.assert_allclose(z[2], 0.5 * (z[0] + z[1]), atol=1e-5)


def test_members_learn_apart_and_are_judged_together():
    config = configure(head="cnn-rnn", options={"members": 2, "label_model": {"hidden_size": 8}})
    members = build_head(config, num_labels=4, feature_size=6)
    members.scaling.fit(FEATURES.numpy())
    first, second = members.heads
    assert (first.U_l != second.U_l).any()
    assert (first.scaling.mean == second.scaling.mean).all()
    members.train()
    assert members(FEATURES, TARGETS).shape == (5,)
    members.eval()
    alone = [head.eval()(FEATURES, TARGETS).mean() for head in (first, second)]
    assert (
        members(FEATURES, TARGETS).mean() < sum(alone) / 2
    )  # the mean of logits is never worse than the mean
    stored = stored_config(config)
    assert (stored.members, stored.label_model.hidden_size) == (1, 16)
    read = stored_head(trained(members).arrays, stored, num_labels=4, num_features=6)
    assert read.num_labels == 4


def test_what_cannot_be_merged_is_refused():
    for options in ({"head": "knn"}, {"head": "cnn-rnn", "train_encoder": True}):
        head = options.pop("head")
        with pytest.raises(InputError, match="members 2: only cnn-rnn"):
            configure(head=head, options={"members": 2, **options})
