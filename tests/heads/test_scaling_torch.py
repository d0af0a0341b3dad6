"""What is done to features before a head reads them."""

import numpy as np
import pytest
import torch

from labelbeam.errors import InputError
from labelbeam.heads.scaling_torch import FeatureScaling, check_batch, check_sizes


def drawn(rows: int = 500) -> np.ndarray:
    """Features of deviations 0.01, 0.1 and 3, the last of them around 5, and numbers behind them that are a map's."""
    values = np.random.default_rng(0).standard_normal((rows, 5)) * [0.01, 0.1, 3, 50, 50] + [0, 0, 5, 9, 9]
    return values.astype(np.float32)


def scaled(name: str, features: np.ndarray) -> np.ndarray:
    scaling = FeatureScaling(name, 3)
    scaling.fit(features)
    return scaling(torch.from_numpy(features)).numpy()


def test_standardized_features_have_mean_0_and_deviation_1_however_little_they_vary() -> None:
    found = scaled("standardize", drawn()[:, [0, 1, 1, 3]])
    assert found.shape == (500, 3)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=1e-4)


def test_a_feature_that_hardly_varies_is_divided_by_a_hundredth_of_the_average_deviation() -> None:
    features = drawn()
    features[:, 0] = 1 + 1e-4 * (np.arange(500) % 2)
    found = scaled("standardize", features)
    floor = 0.01 * features[:, :3].astype(np.float64).std(axis=0).mean()
    np.testing.assert_allclose(found[:, 0], (features[:, 0] - 1.00005) / floor, atol=2e-4)
    assert scaled("standardize", np.ones((4, 3), np.float32)).tolist() == [[0.0] * 3] * 4


def test_a_common_deviation_keeps_which_features_vary_more() -> None:
    found, features = scaled("common", drawn()), drawn()[:, :3].astype(np.float64)
    together = np.sqrt(features.var(axis=0).mean())
    np.testing.assert_allclose(found, (features - features.mean(axis=0)) / together, atol=1e-4)


def test_unit_lengths_and_nothing_at_all_need_no_training_features() -> None:
    np.testing.assert_allclose(np.linalg.norm(scaled("l2", drawn()), axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(scaled("none", drawn()), drawn()[:, :3])


def test_half_precision_features_are_scaled_as_their_numbers_in_single_precision() -> None:
    half = drawn().astype(np.float16)
    np.testing.assert_array_equal(scaled("standardize", half), scaled("standardize", half.astype(np.float32)))


def test_a_scaling_sizes_and_batches_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="feature scaling"):
        FeatureScaling("standardise", 3)
    check_sizes(1, 1)
    for sizes in ((0, 3), (3, 0), (True, 3)):
        with pytest.raises(InputError, match="at least 1"):
            check_sizes(*sizes)

    class Head:
        num_labels, scaling = 2, FeatureScaling("none", 3)

    features = torch.zeros(4, 3)
    assert check_batch(Head, features, torch.tensor([[1.0, -1.0]] * 4)).dtype == torch.int8
    for wrong, words in (
        (torch.zeros(4, 3), "targets"),
        (torch.zeros(2), "targets"),
        (torch.full((4, 2), 0.5), "1 \\(present\\), 0"),
        (torch.zeros(3, 2), "4 images and targets of 3"),
    ):
        with pytest.raises(InputError, match=words):
            check_batch(Head, features, wrong)
