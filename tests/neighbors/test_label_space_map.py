import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.neighbors.label_space import QueryWay, label_map

POINTS = np.random.default_rng(0).standard_normal((12, 8))


@pytest.mark.parametrize("measure", ["dot", "cosine"])
def test_the_plane_is_that_of_scikit_learn_up_to_signs(measure) -> None:
    from sklearn.decomposition import PCA

    vectors = POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True) if measure == "cosine" else POINTS
    theirs = PCA(2).fit(vectors)
    ours = label_map(POINTS, measure=measure)
    assert np.abs(ours.points) == pytest.approx(np.abs(theirs.transform(vectors)))
    assert ours.explained == pytest.approx(tuple(theirs.explained_variance_ratio_))


def test_signs_do_not_depend_on_the_signs_of_the_decomposition() -> None:
    plain = label_map(POINTS, measure="dot")
    turned = label_map(-POINTS, measure="dot")
    # Turned about its centre, the label farthest out must still lie on the positive side.
    for found in (plain, turned):
        farthest = np.abs(found.points).argmax(axis=0)
        assert (found.points[farthest, [0, 1]] > 0).all()


def test_labels_placed_as_further_points_lie_where_they_are() -> None:
    for measure in ("dot", "cosine"):
        found = label_map(POINTS, measure=measure)
        assert found.place(POINTS) == pytest.approx(found.points)
    assert label_map(POINTS).place(5 * POINTS[:3]) == pytest.approx(label_map(POINTS).points[:3])


def test_values_for_json_have_names_and_end_as_null() -> None:
    found = label_map(POINTS[:2])
    assert [one["label"] for one in found.to_json(["a", "b"])["labels"]] == ["a", "b"]
    way = QueryWay((1,), np.zeros((2, 2)), np.array([0.5, 0.25]))
    assert [step["says"] for step in way.to_json(["a", "b"])] == ["b", None]


@pytest.mark.parametrize(
    ("points", "measure", "words"),
    [
        (POINTS[:1], "dot", "at least 2 labels"),
        (POINTS[:, :1], "dot", "at least 2"),
        (POINTS, "dto", "'dot'"),
    ],
)
def test_what_cannot_be_laid_out_is_reported(points, measure, words) -> None:
    with pytest.raises(InputError, match=words):
        label_map(points, measure=measure)


def test_a_way_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(InputError, match="one probability more"):
        QueryWay((1,), np.zeros((1, 2)), np.array([0.5]))
