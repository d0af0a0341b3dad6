import numpy as np
import pytest
import torch

from labelbeam.decoding.step import PathLength
from labelbeam.errors import InputError
from labelbeam.explain.explained_run import TARGETS, label_targets, path_targets, step_target
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.heads.label_scores_torch import SigmoidHead, SigmoidOptions

LOGITS = torch.tensor([2.0, 1.0, 0.0, 3.0])
"""Three labels and END."""
REST = torch.tensor([False, True, True, True])


def model(**options) -> CNNRNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = CNNRNN(4, 6, LabelModelOptions(embedding_size=8, hidden_size=8, **options))
    return made.eval()


def features() -> torch.Tensor:
    return torch.randn(1, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()


def test_targets_by_hand() -> None:
    e = np.exp([1.0, 0.0, 3.0])
    assert step_target(LOGITS, REST, 1, target="logit") == 1.0
    assert float(step_target(LOGITS, REST, 1, target="log_prob")) == pytest.approx(np.log(e[0] / e.sum()))
    # END and the label that is not in play have no weight.
    expected = (e[0] * 1.0 + e[1] * 0.0) / (e[0] + e[1])
    assert float(step_target(LOGITS, REST, 1, target="expected")) == pytest.approx(expected)


def test_gradients_of_targets_by_hand() -> None:
    p = np.exp([1.0, 0.0, 3.0]) / np.exp([1.0, 0.0, 3.0]).sum()
    share = p[0] / (p[0] + p[1])
    by_hand = {
        "logit": [0, 1, 0, 0],
        "log_prob": [0, 1 - p[0], -p[1], -p[2]],
        "expected": [0, share, 1 - share, 0],  # the weights are constants
    }
    for target in TARGETS:
        logits = LOGITS.clone().requires_grad_()
        step_target(logits, REST, 1, target=target).backward()
        assert logits.grad is not None
        assert logits.grad.tolist() == pytest.approx(by_hand[target])


@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_a_path_has_the_probability_that_the_searches_give_it(activation) -> None:
    label_model, step = model(activation=activation), None
    values, probs = path_targets(label_model, features(), (0, 2, 4), target="log_prob")
    step = trained(label_model)
    state, row = step.start()
    image = step.image_rows(features().detach().numpy())
    expected = []
    for outcome, allowed in ((0, [0, 1, 2, 3, 4]), (2, [1, 2, 3, 4]), (4, [3, 4])):
        logits = step.combine(row, image)[0]
        expected.append(logits[outcome] - np.log(np.exp(logits[allowed]).sum()))
        if outcome < 4:
            state, row = step.step(state, np.array([outcome]))
    np.testing.assert_allclose(values.detach().numpy(), expected, rtol=1e-4)
    np.testing.assert_allclose(probs.numpy(), np.exp(expected), rtol=1e-4)


@pytest.mark.parametrize(("activation", "same"), [("identity", True), ("relu", False)])
def test_only_with_a_linear_h_is_the_logits_gradient_the_same_whatever_came_before(activation, same) -> None:
    label_model = model(activation=activation)

    def gradient(path: tuple[int, ...], target: str) -> torch.Tensor:
        image = features()
        values, _ = path_targets(label_model, image, path, target=target)
        return torch.autograd.grad(values[-1], image)[0]

    def alike(target: str) -> bool:
        return torch.allclose(gradient((3,), target), gradient((0, 1, 3), target), atol=1e-5)

    assert alike("logit") is same
    assert not alike("log_prob")
    assert not alike("expected")


def test_a_hidden_image_layer_passes_gradients() -> None:
    image = features()
    values, _ = path_targets(model(image_hidden_size=16), image, (0, 2), target="log_prob")
    assert torch.autograd.grad(values[1], image)[0].abs().sum() > 0


def test_rules_of_length_decide_who_is_in_play() -> None:
    _, free = path_targets(model(), features(), (3,), target="log_prob")
    _, forced = path_targets(model(), features(), (3,), target="log_prob", length=PathLength(1))
    assert float(forced[0]) > float(free[0])  # END is out


def test_labels_of_a_sigmoid_head_have_no_rivals() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = SigmoidHead(4, 6, SigmoidOptions())
        torch.nn.init.normal_(head.last.weight)
    logits, probs = label_targets(head, features(), (2, 0), target="logit")
    assert logits.tolist() == pytest.approx(head.logits(features())[0, [2, 0]].tolist())
    log_probs, _ = label_targets(head, features(), (2, 0), target="log_prob")
    assert torch.exp(log_probs).tolist() == pytest.approx(probs.tolist())


def test_what_cannot_be_explained_says_what_can() -> None:
    head = SigmoidHead(4, 6, SigmoidOptions())
    with pytest.raises(InputError, match=r"a sigmoid head has no steps.*log_prob or logit"):
        label_targets(head, features(), (0,), target="expected")
    with pytest.raises(InputError, match="Did you mean 'log_prob'"):
        step_target(LOGITS, REST, 1, target="logprob")
    with pytest.raises(InputError, match="may not come at this step"):
        path_targets(model(), features(), (2, 1), target="log_prob")
    with pytest.raises(InputError, match="nothing to average"):
        path_targets(model(), features(), (3, 4), target="expected")
