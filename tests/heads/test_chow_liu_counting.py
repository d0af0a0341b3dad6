import numpy as np
import pytest

from labelbeam.errors import InputError
from labelbeam.heads.chow_liu import check_evidence, check_smoothing, pair_counts


def test_pair_counts_are_those_of_a_double_loop() -> None:
    targets = np.random.default_rng(0).integers(-1, 2, size=(40, 6)).astype(np.int8)
    counts = pair_counts(targets)
    for a in range(6):
        for b in range(6):
            rows = [(x, y) for x, y in zip(targets[:, a], targets[:, b], strict=True) if x != -1 and y != -1]
            assert counts.images[a, b] == len(rows)
            assert counts.both[a, b] == sum(x == 1 and y == 1 for x, y in rows)
            assert counts.first[a, b] == sum(x == 1 for x, _ in rows)


def test_frequencies_are_never_certain() -> None:
    targets = np.array([[1, 0, -1]] * 3, dtype=np.int8)
    assert pair_counts(targets).frequencies.tolist() == [0.875, 0.125, 0.5]


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (np.zeros((0, 3), dtype=np.int8), ["at least one image", "(0, 3)"]),
        (np.zeros((3, 0), dtype=np.int8), ["one label", "(3, 0)"]),
        (np.full((2, 2), 2, dtype=np.int8), ["1 (present), 0 (absent) and -1 (unknown)"]),
    ],
)
def test_what_cannot_be_counted_is_refused_in_words(targets: np.ndarray, words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        pair_counts(targets)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize("smoothing", [0.0, -1.0, float("nan"), float("inf")])
def test_smoothing_must_be_a_number_above_zero(smoothing: float) -> None:
    with pytest.raises(InputError, match=f"smoothing is {smoothing}; .* must be above 0"):
        check_smoothing(smoothing)


def test_evidence_of_other_labels_or_values_is_refused_in_words() -> None:
    with pytest.raises(InputError, match=r"\[images 3\] of 1 \(accepted\)"):
        check_evidence(np.zeros((2, 2), dtype=np.int8), 3)
    with pytest.raises(InputError, match="evidence_row"):
        check_evidence(np.full((2, 3), 2, dtype=np.int8), 3)
