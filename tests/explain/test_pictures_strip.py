import shutil

import numpy as np
import pytest
from PIL import Image, ImageDraw

from labelbeam.charts.page import font_advice
from labelbeam.explain.explanation import Explanation, Region, StepMap
from labelbeam.explain.pictures import PANEL, explanations_page, font_for, overlaid, strip


def explanation(labels: list[str], *, joint: bool = True) -> Explanation:
    maps = np.random.default_rng(0).random((len(labels), 2, 16, 16)).astype(np.float32)
    steps = tuple(
        StepMap(label, tuple(labels[:t]) if joint else (), 0.5, -0.7, *maps[t])
        for t, label in enumerate(labels)
    )
    return Explanation(
        "a.jpg",
        np.full((16, 16, 3), 128, dtype=np.uint8),
        Region(0.0, 0.0, 16.0, 16.0),
        "deconvnet",
        "log_prob",
        steps,
        joint=joint,
        logits_depend_on_given=False,
    )


@pytest.mark.parametrize(
    ("count", "joint", "columns", "rows"),
    [(1, True, 2, 1), (2, True, 4, 1), (3, True, 4, 2), (3, False, 4, 1), (7, True, 6, 4)],
)
def test_a_strip_has_room_for_photo_maps_and_differences(count, joint, columns, rows) -> None:
    shown = strip(explanation([f"label {i}" for i in range(count)], joint=joint))
    assert columns * PANEL < shown.width < (columns + 1) * PANEL
    assert rows * PANEL < shown.height < (rows + 1) * PANEL + rows * 60


@pytest.mark.skipif(
    shutil.which("fc-list") is None or font_advice(["猫犬"]) != "", reason="no font for Japanese here"
)
def test_japanese_labels_are_drawn_and_not_boxes() -> None:
    def drawn(text: str) -> np.ndarray:
        image = Image.new("L", (40, 40))
        ImageDraw.Draw(image).text((2, 2), text, font=font_for(text, 24), fill=255)
        return np.asarray(image)

    assert drawn("猫").any()
    assert (drawn("猫") != drawn("犬")).any()  # boxes would be equal


def test_support_is_orange_opposition_blue_and_nothing_is_grey() -> None:
    picture = np.full((3, 3, 3), 120, dtype=np.uint8)
    signed = np.array([[1.0, 0.5, 0.0], [0.0, 0.0, 0.0], [-1.0, -0.5, 0.0]])
    shown = overlaid(picture, signed).astype(int)
    assert shown[0, 0, 0] > shown[0, 0, 2] + 50
    assert shown[2, 0, 2] > shown[2, 0, 0] + 50
    assert shown[1, 1].tolist() == [shown[1, 1, 0]] * 3
    # Stronger is brighter, for those who see no hue at all.
    assert shown[0, 0].sum() > shown[0, 1].sum() > shown[0, 2].sum()
    assert (overlaid(picture, np.zeros((3, 3))) == shown[1, 1]).all()


def test_the_page_shows_labels_as_text_and_no_differences_where_labels_stand_alone() -> None:
    page = explanations_page([explanation(["<b>猫", "犬"])])
    assert "&lt;b&gt;猫" in page
    assert "犬 − &lt;b&gt;猫" in page
    assert " − " not in explanations_page([explanation(["猫", "犬"], joint=False)])
