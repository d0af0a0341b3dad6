import math

import numpy as np
import torch

from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_scores import TrainedRanking
from labelbeam.heads.label_scores_torch import SigmoidOptions, SoftmaxHead

LABELS, FEATURES = 4, 3


def head(bias=(0.0, 0.0, 0.0, 0.0)) -> SoftmaxHead:
    made = SoftmaxHead(LABELS, FEATURES, SigmoidOptions()).eval()
    made.last.bias.data = torch.tensor(bias)
    return made


def rows(*lines) -> torch.Tensor:
    return torch.tensor(lines, dtype=torch.int8)


def test_the_loss_by_hand_is_the_mean_over_present_labels() -> None:
    model = head((0.0, math.log(2), 0.0, 0.0))  # shares 1/5, 2/5, 1/5, 1/5
    losses = model(torch.zeros(2, FEATURES), rows([1, 1, 0, 0], [0, 0, 0, 1]))
    by_hand = [-(math.log(1 / 5) + math.log(2 / 5)) / 2, -math.log(1 / 5)]
    torch.testing.assert_close(losses, torch.tensor(by_hand))


def test_unknown_labels_leave_the_softmax_and_images_without_labels_teach_nothing() -> None:
    losses = head()(torch.zeros(3, FEATURES), rows([1, -1, -1, 0], [0, 0, 0, 0], [-1, -1, -1, -1]))
    torch.testing.assert_close(losses, torch.tensor([math.log(2), 0.0, 0.0]))
    losses.sum().backward()


def test_scores_are_shares_and_as_many_are_decided_as_training_images_have() -> None:
    model = head()
    model.start_from(rows([1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 1, 0]))
    answers = trained(model)
    assert isinstance(answers, TrainedRanking)
    scores = answers.scores(np.zeros((1, FEATURES), dtype=np.float32))
    np.testing.assert_allclose(scores[0], np.array([4, 3, 2, 2]) / 11, rtol=1e-6)
    assert answers.labels_per_image == 2
    assert answers.decided(scores).tolist() == [[True, True, False, False]]


def test_what_is_decided_of_equal_scores_comes_first_in_the_order() -> None:
    model = head()
    model.labels_per_image.fill_(3)
    answers = trained(model)
    assert isinstance(answers, TrainedRanking)
    assert answers.decided(np.full((1, LABELS), 0.25, dtype=np.float32)).tolist() == [
        [True, True, True, False]
    ]


def test_the_number_of_labels_per_image_is_never_0_and_is_stored() -> None:
    model = head()
    model.start_from(rows([0, 0, 0, 0], [0, 0, -1, 0]))
    assert int(model.state_dict()["labels_per_image"]) == 1
