"""Charts of the analyses: well-formed, escaped, every point there, numbers at their places."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from labelbeam.charts.charts import picture
from labelbeam.charts.scatter import Axis, Spot, scatter
from labelbeam.decoding.step import TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.explain.search_tree import search_tree, tree_chart
from labelbeam.neighbors.label_space import QueryWay, label_map
from labelbeam.report import charts

WICKED = ["<script>", "a & b", "海の人", '"quoted"']


def parsed(chart: str) -> ElementTree.Element:
    assert "<script>" not in chart
    return ElementTree.fromstring(picture(chart, width=600, height=400))


@pytest.fixture
def search() -> dict:
    step = TableStep({}, num_labels=4, seed=0)
    tree = search_tree(PrefixTrie(step), np.zeros(5, np.float32), shown=[(0, 1)])
    names = WICKED
    return {
        "tree": tree.to_json(names),
        "exact": {"labels": []},
        "beam": {"labels": names[:2]},
        "scores": [{"label": name, "score": 0.5, "low": 0.25, "high": 0.75, "stderr": 0.1} for name in names],
    }


def test_the_tree_has_a_box_per_prefix_and_marks_both_paths(search) -> None:
    chart = charts.search_tree_chart(search)
    boxes = re.findall(r'class="box([ a-z]*)"', chart)
    assert len(boxes) == len(search["tree"]["nodes"])
    assert (boxes.count(" exact"), boxes.count(" beam")) == (1, 2)
    assert len(re.findall(r'class="end exact"', chart)) == len(re.findall(r'class="end beam"', chart)) == 1
    parsed(chart)


def test_nothing_of_a_tree_lies_on_something_else(search) -> None:
    chart = tree_chart(search["tree"], exact=[], beam=[], title="t")
    places = re.findall(r'<rect class="(?:box|end)[ a-z]*" x="([\d.]+)" y="([\d.]+)"', chart)
    assert len(places) == len(set(places))


def test_a_map_shows_every_label_and_the_way_by_its_numbers() -> None:
    plane = label_map(np.random.default_rng(0).standard_normal((4, 6)))
    way = QueryWay((2,), np.array([[0.0, 0.0], [0.01, 0.0]]), np.array([0.75, 0.5]))
    space = plane.to_json(WICKED) | {"way": way.to_json(WICKED)}
    for one in space["labels"]:
        one["training_images"] = 3
    chart = charts.label_map_chart(space)
    assert chart.count('class="dot"') == 4
    assert "1. says 海の人 (0.75)" in chart
    assert "2. says nothing more (0.50)" in chart
    assert re.search(r"drawn \d+ times as long", chart)
    parsed(chart)


def test_intervals_stand_where_their_numbers_are() -> None:
    change = charts.click_chart(
        {"label": "a", "changes": [{"label": WICKED[0], "before": 0.1, "after": 0.9}]}
    )
    assert 'x1="10.00%" x2="90.00%"' in change
    parsed(change)


def test_labels_without_a_number_leave_no_point() -> None:
    none, some = {"value": None, "low": 0.0, "high": 1.0}, {"value": 0.5, "low": 0.25, "high": 0.75}
    labels = [
        {
            "label": name,
            "present": 5,
            "decided": 2,
            "right": 1,
            "precision": none,
            "recall": some,
            "training_images": n,
        }
        for name, n in zip(WICKED, (10.0, 100.0, None, 1000.0), strict=True)
    ]
    chart = charts.label_results_chart(labels)
    assert chart.count("<circle") == 0
    assert chart.count('class="dot two"') == 4
    trait = charts.trait_chart(labels, "training_images")
    assert trait.count("<circle") == 3
    parsed(chart)
    parsed(trait)
    # Equal ratios are equal distances.
    at = sorted(float(x) for x in re.findall(r'<circle class="dot"[^>]*cx="([\d.]+)%"', trait))
    assert at[1] - at[0] == pytest.approx(at[2] - at[1], abs=0.02)
    assert charts.trait_chart(labels[:1], "training_images") == ""


def test_names_in_a_crowd_do_not_cover_one_another() -> None:
    rng = np.random.default_rng(0)
    spots = [Spot(f"label {i}", *map(float, rng.random(2)), weight=float(i)) for i in range(200)]
    chart = scatter(spots, title="crowd")
    assert chart.count("<circle") == 200
    on = {screen: len(re.findall(rf'class="halo(?: {screen})?"', chart)) for screen in ("wide", "narrow")}
    assert 20 < on["narrow"] < on["wide"] < 200  # some find no place, on a phone more of them
    assert "label 199</text>" in chart  # the weightiest does


def test_axes_are_drawn_and_reliability_has_a_disc_per_bin() -> None:
    axes = Axis("x", (0.0, 1.0)), Axis("y", (0.0, 1.0))
    parsed(scatter([Spot("a", 0.5, 0.5)], title="t", axes=axes))
    bins = [
        {"score": 0.2, "count": 10, "share": {"value": 0.3, "low": 0.1, "high": 0.5}},
        {"score": 0.8, "count": 40, "share": {"value": 0.7, "low": 0.6, "high": 0.9}},
    ]
    chart = charts.reliability(bins, title="t")
    assert chart.count("<circle") == 2
    parsed(chart)
