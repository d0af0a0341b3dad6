import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.report.mistakes import confusions


def test_counts_and_expectations_are_those_of_a_double_loop() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(-1, 2, (300, 4)).astype(np.int8)
    decided = rng.random((300, 4)) < 0.4
    swap = (truth[:, 0] == 1) & (truth[:, 1] == 0)
    decided[swap, 0], decided[swap, 1] = False, True
    found = {(one.missed, one.wrong): one for one in confusions(truth, decided)}
    assert (0, 1) in found
    for (x, y), one in found.items():
        missed = [bool(t[x] == 1 and not d[x]) for t, d in zip(truth, decided, strict=True)]
        wrong = [bool(t[y] == 0 and d[y]) for t, d in zip(truth, decided, strict=True)]
        assert one.images == sum(a and b for a, b in zip(missed, wrong, strict=True))
        assert one.expected == pytest.approx(sum(missed) * sum(wrong) / 300)
        assert one.images > one.expected


def test_mistakes_that_meet_by_chance_are_no_confusion() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, (400, 5)).astype(np.int8)
    assert confusions(truth, rng.random((400, 5)) < 0.5) == []


def test_no_mistake_is_no_confusion_and_other_shapes_are_refused() -> None:
    truth = np.eye(3, dtype=np.int8)
    assert confusions(truth, truth == 1) == []
    with pytest.raises(InputError, match="same shape"):
        confusions(truth, np.ones((2, 3), dtype=bool))
