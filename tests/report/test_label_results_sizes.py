import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.report.label_results import recall_by_size


def test_bins_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 2, (90, 4)).astype(np.int8)
    decided = rng.random((90, 4)) < 0.5
    areas = rng.choice([np.nan, 0.01, 0.1, 0.3, 0.7, 1.0], (90, 4))
    edges = (0.0, 0.1, 0.5, 1.0)
    found = recall_by_size(truth, decided, areas, edges=edges)
    for i in range(3):
        inside = [
            bool(decided[r, c])
            for r in range(90)
            for c in range(4)
            if truth[r, c] == 1 and edges[i] < areas[r, c] <= edges[i + 1]
        ]
        assert (found.present[i], found.found[i]) == (len(inside), sum(inside))
        assert found.to_json()[i]["area_at_most"] == edges[i + 1]
    first = areas[(truth[:, 0] == 1), 0]
    assert found.mean_area[0] == pytest.approx(np.nanmean(first))


def test_a_label_without_a_box_has_no_size() -> None:
    one = np.ones((2, 1), dtype=np.int8)
    assert np.isnan(recall_by_size(one, one == 1, np.full((2, 1), np.nan)).mean_area[0])


@pytest.mark.parametrize(
    ("areas", "edges", "words"),
    [(np.ones((1, 1)), (0.0, 1.0), "same shape"), (np.ones((2, 1)), (0.0, 0.5, 0.5), "must rise")],
)
def test_what_does_not_fit_is_refused(areas, edges, words) -> None:
    one = np.ones((2, 1), dtype=np.int8)
    with pytest.raises(InputError, match=words):
        recall_by_size(one, one == 1, areas, edges=edges)
