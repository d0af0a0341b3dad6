import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.report.pairs import KINDS, compare_pairs


def images(*groups: tuple[int, tuple[int, int]]) -> np.ndarray:
    return np.array([row for count, row in groups for _ in range(count)], dtype=np.int8)


TOGETHER = images((100, (1, 1)), (20, (1, 0)), (20, (0, 1)), (160, (0, 0)))
CHANCE = images((56, (1, 1)), (64, (1, 0)), (64, (0, 1)), (116, (0, 0)))


def kinds(truth: np.ndarray, predicted: np.ndarray) -> list[str]:
    found = compare_pairs(truth, predicted == 1, rng=np.random.default_rng(0), resamples=400)
    return [pair.kind for pair in found.pairs]


def test_a_pair_is_learned_missed_exaggerated_or_invented() -> None:
    assert kinds(TOGETHER, TOGETHER) == ["learned"]
    assert kinds(TOGETHER, CHANCE) == ["missed"]
    assert kinds(CHANCE, TOGETHER) == ["invented"]
    always = images((120, (1, 1)), (180, (0, 0)))
    assert kinds(TOGETHER, always) == ["exaggerated"]
    assert kinds(CHANCE, CHANCE) == []


def test_a_pair_that_never_stands_together_on_either_side_is_not_missed() -> None:
    # The margins differ, and so would log odds whose zero were taken for certain.
    truth = images((0, (1, 1)), (130, (1, 0)), (20, (0, 1)), (150, (0, 0)))
    predicted = images((0, (1, 1)), (110, (1, 0)), (15, (0, 1)), (175, (0, 0)))
    assert "missed" not in kinds(truth, predicted)


def test_counts_are_those_of_the_images_where_both_are_known() -> None:
    truth, decided = TOGETHER.copy(), TOGETHER == 1
    truth[:10, 0] = -1
    (pair,) = compare_pairs(truth, decided, rng=np.random.default_rng(0)).pairs
    assert (pair.known, pair.true, pair.predicted) == (290, 90, 90)
    cells = np.array([90, 20, 20, 160]) + 0.5
    assert pair.log_odds_true == pytest.approx(np.log(cells[0] * cells[3] / cells[1] / cells[2]))


def test_the_interval_is_close_to_that_of_a_plain_bootstrap_over_images() -> None:
    rng = np.random.default_rng(0)
    truth = TOGETHER[rng.permutation(300)]
    flips = rng.random(truth.shape) < 0.1
    predicted = np.where(flips, 1 - truth, truth).astype(np.int8)

    def log_odds(rows: np.ndarray) -> float:
        a, b = rows[:, 0] == 1, rows[:, 1] == 1
        cells = [(a & b).sum(), (a & ~b).sum(), (~a & b).sum(), (~a & ~b).sum()]
        n11, n10, n01, n00 = (cell + 0.5 for cell in cells)
        return float(np.log(n11 * n00 / n10 / n01))

    drawn = []
    for _ in range(2000):
        rows = rng.integers(0, 300, 300)
        drawn.append(log_odds(predicted[rows]) - log_odds(truth[rows]))
    (pair,) = compare_pairs(truth, predicted == 1, rng=rng, resamples=2000).pairs
    assert [pair.low, pair.high] == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.12)


def test_the_same_seed_gives_the_same_answer_and_json_has_every_kind() -> None:
    first, second = (
        compare_pairs(TOGETHER, CHANCE == 1, rng=np.random.default_rng(3)).to_json(["x", "y"]) for _ in "ab"
    )
    assert first == second
    assert set(KINDS) <= set(first)
    assert first["missed"][0]["labels"] == ["x", "y"]


def test_more_labels_than_are_compared_leave_the_rarest_out(monkeypatch) -> None:
    monkeypatch.setattr("labelbeam.report.pairs.MOST_LABELS", 2)
    rare = np.zeros((300, 1), dtype=np.int8)
    rare[0] = 1
    truth = np.hstack((rare, TOGETHER))
    found = compare_pairs(truth, truth == 1, rng=np.random.default_rng(0))
    assert [(pair.a, pair.b) for pair in found.pairs] == [(1, 2)]


def test_sets_of_another_shape_and_too_few_resamples_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="same shape"):
        compare_pairs(TOGETHER, np.ones((3, 2), dtype=bool), rng=rng)
    with pytest.raises(InputError, match="at least 2 resamples"):
        compare_pairs(TOGETHER, TOGETHER == 1, rng=rng, resamples=1)


def test_a_label_that_is_never_decided_has_neither_learned_nor_exaggerated_a_pair() -> None:
    truth = np.array([[1, 1]] * 20 + [[0, 0]] * 400 + [[1, 0]] * 5, dtype=np.int8)
    decided = truth == 1
    decided[:, 1] = False
    (pair,) = compare_pairs(truth, decided, rng=np.random.default_rng(0)).pairs
    assert (pair.true, pair.predicted, pair.kind) == (20, 0, "")
