import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.neighbors import neighbors
from labelbeam.neighbors.neighbors import nearest, similarities


@pytest.mark.parametrize("measure", ["cosine", "dot"])
def test_the_nearest_images_are_those_of_a_plain_loop_in_whatever_blocks(measure, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    points, query = rng.standard_normal((50, 6)), rng.standard_normal(6)
    plain = [float(point @ query) for point in points]
    if measure == "cosine":
        plain = [
            dot / np.linalg.norm(point) / np.linalg.norm(query)
            for dot, point in zip(plain, points, strict=True)
        ]
    best = [i for i in sorted(range(50), key=lambda i: -plain[i]) if i != 7][:5]
    monkeypatch.setattr(neighbors, "AT_ONCE", 8)
    found = nearest(query, points, count=5, measure=measure, leave_out=7)
    assert [near.row for near in found] == best
    assert [near.similarity for near in found] == pytest.approx([plain[i] for i in best])


def test_half_precision_features_give_the_same_order_and_a_blank_one_is_like_nothing() -> None:
    rng = np.random.default_rng(1)
    points = rng.standard_normal((20, 30)).astype(np.float16)
    points[3] = 0
    query = points[5].astype(np.float32)
    found = similarities(query, points, measure="cosine")
    assert found.argmax() == 5
    assert found[3] == 0
    assert found == pytest.approx(similarities(query, points.astype(np.float64), measure="cosine"), abs=1e-5)


def test_no_more_images_are_given_than_there_are() -> None:
    assert len(nearest(np.ones(2), np.eye(2), count=9, leave_out=0)) == 1


def test_an_unknown_measure_is_reported() -> None:
    with pytest.raises(InputError, match="'cosine'"):
        nearest(np.ones(2), np.eye(2), count=1, measure="cosin")
