"""Names of points: each has a place, none covers another, on a wide screen and on a phone."""

import re

import pytest

from labelbeam.charts.scatter import HEIGHT, LETTER, WIDTHS, Spot, even_ticks, scatter

CROWD = [Spot(f"label{i:02d}", i % 4 / 40, i // 4 / 40, weight=20.0 - i) for i in range(14)]
FAR = [Spot("left", -1.0, -1.0), Spot("right", 1.0, 1.0)]
TEXT = re.compile(
    r'<text class="halo ?(wide|narrow)?" x="([\d.]+)%" dx="([-\d.]+)" y="([-\d.]+)" text-anchor="(\w+)">([^<]+)<'
)


def _boxes(drawn: str, screen: str) -> dict[str, tuple[float, float, float, float]]:
    """Return where names are on a screen, by name."""
    found = {}
    for shown, x, dx, y, anchor, name in TEXT.findall(drawn):
        if shown in ("", screen):
            wide = LETTER * len(name)
            left = float(x) * WIDTHS[screen] / 100 + float(dx)
            left -= {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
            found[name] = (left, float(y) - 11, left + wide, float(y) + 3)
    return found


@pytest.mark.parametrize("screen", sorted(WIDTHS))
def test_every_point_of_a_crowd_has_its_name_and_no_name_covers_another(screen: str) -> None:
    boxes = _boxes(scatter([*CROWD, *FAR], title="labels"), screen)
    assert set(boxes) == {spot.name for spot in (*CROWD, *FAR)}
    places = list(boxes.values())
    for i, one in enumerate(places):
        assert one[0] >= -0.1
        assert one[2] <= WIDTHS[screen] + 0.1
        assert one[3] <= HEIGHT + 14
        for other in places[:i]:
            apart = one[2] <= other[0] + 0.2 or other[2] <= one[0] + 0.2
            assert apart or one[3] <= other[1] + 0.2 or other[3] <= one[1] + 0.2


def test_a_name_that_stands_apart_is_joined_to_its_point() -> None:
    drawn = scatter([*CROWD, *FAR], title="labels")
    assert 'class="leader' in drawn
    assert 'class="leader' not in scatter(FAR, title="labels")


def test_ticks_are_round_numbers_around_the_values() -> None:
    assert even_ticks(0.0, 4.95) == (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
    assert even_ticks(-0.03, 0.31) == (-0.1, 0.0, 0.1, 0.2, 0.3, 0.4)
