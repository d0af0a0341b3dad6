import numpy as np
import pytest

from labelbeam.metrics.intervals import shares_of


def test_the_ends_are_where_a_score_test_just_does_not_reject() -> None:
    # Wilson's interval holds the p with |share - p| <= z sqrt(p (1 - p) / n).
    hits, trials = np.array([3, 20, 45]), np.array([10, 20, 60])
    found = shares_of(hits, trials)
    for i in range(3):
        for end in (found.low[i], found.high[i]):
            if 0 < end < 1:
                error = np.sqrt(end * (1 - end) / trials[i])
                assert abs(found.value[i] - end) == pytest.approx(1.959964 * error, rel=1e-5)
    assert found.high[1] == 1.0


def test_nothing_tried_has_no_share_and_says_so() -> None:
    assert shares_of(np.array([0]), np.array([0])).to_dict(0) == {"value": None, "low": 0.0, "high": 1.0}
