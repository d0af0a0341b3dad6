"""Pairs of labels that look alike, against a slow obvious twin; what is not known is never alike."""

import numpy as np
import pytest

from labelbeam.report.mistakes import LEAST_IMAGES, look_alikes


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture
def drawn() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = (rng.random((200, 12)) < 0.3).astype(np.int8)
    points = rng.normal(size=(12, 5))
    points[1] = points[0] + 0.1 * rng.normal(size=5)
    return {"points": points, "targets": targets, "features": targets @ points + 0.1}


def test_similarities_are_those_of_a_loop_over_labels(drawn) -> None:
    pairs = np.array([[0, 1], [2, 3], [4, 5]])
    found = look_alikes(pairs, **drawn, share=1.0)
    assert sorted(map(tuple, found.pairs.tolist())) == [(0, 1), (2, 3), (4, 5)]
    centred = drawn["features"] - drawn["features"].mean(axis=0)
    for (a, b), vectors, images in zip(found.pairs, found.by_vectors, found.by_images, strict=True):
        means = [centred[drawn["targets"][:, label] == 1].mean(axis=0) for label in (a, b)]
        assert images == pytest.approx(cosine(*means), abs=1e-4)
        assert vectors == pytest.approx(cosine(drawn["points"][a], drawn["points"][b]), abs=1e-5)
    assert (np.diff(found.by_images) <= 0).all()


def test_only_what_is_most_alike_both_ways_is_found(drawn) -> None:
    pairs = np.array([[0, 1], [2, 3]])
    assert look_alikes(pairs, **drawn).pairs.tolist() == [[0, 1]]
    apart = drawn | {"points": np.where(np.arange(12)[:, None] == 1, -1, 1) * drawn["points"]}
    assert not len(look_alikes(pairs, **apart).pairs)


def test_a_label_with_few_images_is_like_nothing_and_without_vectors_images_decide(drawn) -> None:
    pairs = np.array([[0, 1]])
    rare = drawn["targets"].copy()
    rare[np.flatnonzero(rare[:, 0])[LEAST_IMAGES - 1 :], 0] = 0
    assert not len(look_alikes(pairs, **(drawn | {"targets": rare})).pairs)
    found = look_alikes(pairs, **(drawn | {"points": None}))
    assert found.pairs.tolist() == [[0, 1]]
    assert np.isnan(found.by_vectors).all()
