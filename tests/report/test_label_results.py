import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.report.label_results import label_results, rank_association


def test_unknown_labels_count_neither_as_right_nor_as_wrong() -> None:
    truth = np.array([[1], [-1], [0]], dtype=np.int8)
    found = label_results(truth, np.ones((3, 1), dtype=bool))
    assert (found.right[0], found.decided[0], found.present[0]) == (1, 2, 1)


def test_rows_for_json_are_by_frequency_with_traits_and_null_for_nan() -> None:
    truth = np.array([[0, 1], [0, 1]], dtype=np.int8)
    rows = label_results(truth, truth == 1).to_json(["a", "b"], {"area": np.array([np.nan, 0.5])})
    assert [row["label"] for row in rows] == ["b", "a"]
    assert rows[0]["area"] == 0.5
    assert rows[1]["area"] is None
    assert rows[1]["recall"]["value"] is None


def test_the_rank_correlation_is_scipy_s_ties_included() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    trait, score = rng.integers(0, 6, 30).astype(float), rng.standard_normal(30)
    both = trait.copy(), score.copy()
    trait[3], score[4] = np.nan, np.nan
    kept = np.delete(np.arange(30), [3, 4])
    found = rank_association(trait, score, rng=rng, resamples=200)
    assert found.labels == 28
    assert found.rho == pytest.approx(spearmanr(both[0][kept], both[1][kept]).statistic)
    assert found.low < found.rho < found.high


def test_too_few_labels_or_a_constant_have_no_correlation() -> None:
    rng = np.random.default_rng(0)
    assert rank_association(np.arange(4.0), np.arange(4.0), rng=rng).rho is None
    assert rank_association(np.ones(9), np.arange(9.0), rng=rng).to_json()["rho"] is None


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="one of each per label"):
        rank_association(np.ones(2), np.ones(3), rng=np.random.default_rng(0))
