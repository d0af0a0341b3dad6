import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from labelbeam.errors import InputError
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours, NeighbourOptions

FEATURES, LABELS = 6, 3


def head(**options) -> NearestNeighbours:
    return NearestNeighbours(LABELS, FEATURES, NeighbourOptions(**options)).eval()


def images(count: int, seed: int = 0) -> torch.Tensor:
    # Exact in half precision, so that rounding cannot change who is near.
    return torch.from_numpy(np.random.default_rng(seed).integers(-8, 9, (count, FEATURES)).astype(np.float32))


def told(count: int, values=(1, 0, -1)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(9).choice(values, size=(count, LABELS)).astype(np.int8))


@pytest.mark.parametrize("weighting", ["equal", "cosine"])
def test_probabilities_are_those_of_a_slow_twin_on_scikit_learn_s_neighbours(weighting: str) -> None:
    train, targets, asked = images(60), told(60), images(20, seed=1)
    model = head(neighbours=7, weighting=weighting, smoothing=0.5)
    model.remember(train, targets)
    distances, indices = NearestNeighbors(n_neighbors=7, metric="cosine").fit(train).kneighbors(asked)
    f = ((targets == 1).sum(0) + 1).numpy() / ((targets != -1).sum(0) + 2).numpy()
    expected = np.zeros((20, LABELS))
    for image in range(20):
        for label in range(LABELS):
            votes, weight = 0.5 * f[label], 0.5
            for distance, neighbour in zip(distances[image], indices[image], strict=True):
                w = 1.0 if weighting == "equal" else max(0.0, 1 - distance)
                votes += w * (int(targets[neighbour, label]) == 1)
                weight += w * (int(targets[neighbour, label]) != -1)
            expected[image, label] = votes / weight
    np.testing.assert_allclose(torch.sigmoid(model.logits(asked)), expected, atol=2e-3)


def test_the_loss_is_the_nats_of_the_known_labels() -> None:
    model = head(neighbours=3)
    model.remember(images(10), told(10))
    asked, targets = images(2, seed=1), torch.tensor([[1, 0, -1], [0, -1, 1]], dtype=torch.int8)
    p = torch.sigmoid(model.logits(asked))
    by_hand = [-(p[0, 0].log() + (1 - p[0, 1]).log()), -((1 - p[1, 0]).log() + p[1, 2].log())]
    torch.testing.assert_close(model(asked, targets), torch.stack(by_hand))


def test_fewer_images_than_neighbours_are_all_neighbours_and_nothing_is_certain() -> None:
    model = head(neighbours=50)
    model.remember(images(4), told(4, values=(1,)))
    p = torch.sigmoid(model.logits(images(3, seed=2)))
    assert ((p > 0.5) & (p < 1)).all()


def test_what_it_remembers_travels_in_its_state() -> None:
    model, other = head(), head()
    model.remember(images(30), told(30))
    other.load_state_dict(model.state_dict())
    assert model.state_dict()["remembered"].dtype == torch.float16
    torch.testing.assert_close(other.logits(images(5, seed=3)), model.logits(images(5, seed=3)))


def test_blocks_do_not_change_answers() -> None:
    model, asked = head(), images(600, seed=4)
    model.remember(images(300), told(300))
    torch.testing.assert_close(model.logits(asked)[599:], model.logits(asked[599:]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbours": 0}, "neighbours is 0; it must be at least 1"),
        ({"weighting": "cosin"}, "Did you mean 'cosine'"),
        ({"smoothing": 0.0}, "smoothing is 0.0; it must be above 0"),
    ],
)
def test_impossible_options_are_refused(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        NeighbourOptions(**options)


def test_a_head_that_remembers_nothing_cannot_answer() -> None:
    with pytest.raises(InputError, match="remembers no image"):
        head().logits(images(1))
