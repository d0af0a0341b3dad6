import numpy as np
import pytest

from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError
from labelbeam.explain.explanation import Explanation, Region, StepMap, seen_region


def step(label: str, row: int, column: int, *, against: float = 0.0, given: tuple[str, ...] = ()) -> StepMap:
    supporting, opposing = np.zeros((2, 8, 8), dtype=np.float32)
    supporting[row, column] = 2.0
    opposing[0, 0] = against
    return StepMap(label, given, 0.5, -0.7, supporting, opposing)


def explanation(*steps: StepMap, **changes) -> Explanation:
    values = {
        "image": "a.jpg",
        "picture": np.zeros((8, 8, 3), dtype=np.uint8),
        "region": Region(0.0, 0.0, 8.0, 8.0),
        "method": "deconvnet",
        "target": "log_prob",
        "joint": True,
        "logits_depend_on_given": False,
    }
    return Explanation(steps=steps, **(values | changes))


@pytest.mark.parametrize(
    "transform",
    [
        Preprocess(size=40, resize="center", resize_to=50),
        Preprocess(size=40, resize="center"),
        Preprocess(size=40, resize="squash"),
    ],
)
@pytest.mark.parametrize(("height", "width"), [(120, 200), (200, 120), (900, 100), (128, 128)])
def test_a_place_in_the_map_is_the_place_in_the_photograph(transform, height, width) -> None:
    """A bright spot is put into a photograph; where the encoder sees it must lead back to it."""
    rgb = np.zeros((height, width, 3), dtype=np.uint8)
    y, x = int(0.52 * height), int(0.45 * width)
    rgb[y - 3 : y + 4, x - 3 : x + 4] = 255
    seen = transform.resized(rgb).astype(np.float32).sum(axis=0)
    rows, columns = np.indices(seen.shape)
    row, column = (seen * rows).sum() / seen.sum(), (seen * columns).sum() / seen.sum()
    region = seen_region(transform, height=height, width=width)
    found_x, found_y = (
        region.left + (column + 0.5) / 40 * region.width,
        region.top + (row + 0.5) / 40 * region.height,
    )
    # The crop is cut at whole pixels of the small picture.
    assert found_x == pytest.approx(x + 0.5, abs=region.width / 40)
    assert found_y == pytest.approx(y + 0.5, abs=region.height / 40)


def test_signed_maps_sum_to_one_and_the_peak_is_the_strongest_support() -> None:
    one = step("cat", 3, 5, against=6.0)
    assert np.abs(one.signed).sum() == pytest.approx(1.0)
    assert one.signed[3, 5] == pytest.approx(0.25)
    assert one.signed[0, 0] == pytest.approx(-0.75)
    assert one.peak == (3, 5)


def test_a_map_of_nothing_is_nothing() -> None:
    nothing = StepMap("cat", (), 1.0, 0.0, *np.zeros((2, 8, 8), dtype=np.float32))
    assert not nothing.signed.any()


def test_what_moved_is_the_difference_of_the_scaled_maps() -> None:
    found = explanation(step("cat", 3, 5), step("dog", 6, 1, given=("cat",)))
    moved = found.moved(1)
    assert moved[6, 1] == pytest.approx(1.0)
    assert moved[3, 5] == pytest.approx(-1.0)
    assert moved.sum() == pytest.approx(0.0)


def test_captions_say_what_is_shown() -> None:
    one = step("cat", 3, 5)
    assert "against the labels that were still in play" in explanation(one).caption
    assert "the same whatever labels come before" in explanation(one, target="logit").caption
    through_relu = explanation(one, target="logit", logits_depend_on_given=True).caption
    assert "the same" not in through_relu
    assert "ReLU" in through_relu
    assert "weighted by their probabilities" in explanation(one, target="expected").caption
    assert "each by itself" in explanation(one, joint=False).caption


def test_an_explanation_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one step"):
        explanation()
    with pytest.raises(InputError, match="different sizes"):
        explanation(step("cat", 1, 1), picture=np.zeros((9, 9, 3), dtype=np.uint8))
