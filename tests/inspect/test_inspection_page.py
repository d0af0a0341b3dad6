"""The page of an inspection: well-formed, self-contained, escaped, and every number of it in the JSON."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.charts.charts import Series, bar, columns, curve, interval, matrix
from labelbeam.data.dataset import Dataset
from labelbeam.inspect.inspection import inspect_data
from labelbeam.inspect.page import inspection_page
from labelbeam.labels.vocabulary import Vocabulary

WICKED = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "海 & 人", "กา", "\u202eevil", "🐈")
VOID = {"meta", "img", "br", "link", "input"}


class Parsed(HTMLParser):
    """Notes what a page holds and whether its tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


def picture(path: Path, seed: int) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC).save(path)


@pytest.fixture
def wicked(tmp_path):
    names = ("a<b>.png", "copy & co.png", "gone'.png", *(f"{i}.png" for i in range(40)))
    for seed, name in enumerate(names):
        if "gone" not in name:
            picture(tmp_path / name, 0 if seed < 2 else seed)
    rng = np.random.default_rng(0)
    targets = (rng.random((len(names), len(WICKED))) < 0.3).astype(np.int8)
    targets[:, 1] = targets[:, 0]
    targets[0, 2], targets[1, 2] = 1, 0
    targets[5, 3] = -1
    data = Dataset("csv:<b>#train", tmp_path, names, Vocabulary(WICKED), targets, notes=("<i>note</i>",))
    splits = {"train<b>": data, "test": data.subset([0, 3, 4])}
    found = inspect_data(splits)
    return found, inspection_page(found, splits)


def test_what_a_user_wrote_is_escaped_and_tags_nest(wicked):
    _, html = wicked
    parsed = Parsed(html)
    assert parsed.stack in ([], ["html"])
    tags = {tag for tag, _ in parsed.tags}
    assert tags.isdisjoint({"script", "iframe", "object", "link"})
    assert not any(name.startswith("on") for _, attributes in parsed.tags for name in attributes)
    assert "<b>.png" not in html
    assert "<i>note" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "กา" in html


def test_the_page_needs_no_network(wicked):
    _, html = wicked
    for tag, attributes in Parsed(html).tags:
        assert "href" not in attributes or attributes["href"].startswith("#"), (tag, attributes)
        assert "src" not in attributes or attributes["src"].startswith("data:image/jpeg;base64,")
    assert re.search(r"url\(|@import|https?://", html) is None


def test_findings_lead_to_sections_that_are_there(wicked):
    _, html = wicked
    parsed = Parsed(html)
    ids = {attributes["id"] for _, attributes in parsed.tags if "id" in attributes}
    leads = {attributes["href"][1:] for _, attributes in parsed.tags if "href" in attributes}
    assert leads
    assert leads <= ids


def test_copies_are_shown_with_pictures_and_a_lost_file_with_its_reason(wicked):
    found, html = wicked
    assert found["duplicates"]["groups"]
    assert html.count("data:image/jpeg;base64,") >= 2
    assert "different labels" in html
    assert "no such file" in html


def numbers(value) -> set[float]:
    if isinstance(value, dict):
        return set().union(*map(numbers, value.values()))
    if isinstance(value, list):
        return {float(len(value))}.union(*map(numbers, value))
    return {float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else set()


def test_the_counts_in_hints_and_tables_are_in_the_json(wicked):
    found, html = wicked
    known = numbers(found)
    told = re.findall(r"([\d,]+) (?:images with|have it|unknown|groups)|on ([\d,]+) images", html)
    assert len(told) > 20
    for groups in told:
        number = float("".join(groups).replace(",", ""))
        assert number in known, groups


def test_a_thousand_labels_and_long_names_make_a_small_page():
    names = tuple(f"label {i} " + "x" * (i % 90) + "!" for i in range(1000))
    targets = (np.random.default_rng(0).random((500, 1000)) < 0.01).astype(np.int8)
    data = Dataset("x", Path(), tuple(map(str, range(500))), Vocabulary(names), targets)
    found = inspect_data({"all": data}, images=False)
    html = inspection_page(found, {"all": data})
    assert len(html) < 500_000
    assert "The 20 rarest" in html
    assert Parsed(html).stack in ([], ["html"])


def test_one_image_with_one_label_has_a_page_too(tmp_path):
    picture(tmp_path / "a.png", 0)
    data = Dataset("x", tmp_path, ("a.png",), Vocabulary(("cat",)), np.ones((1, 1), dtype=np.int8))
    splits = {"all": data}
    html = inspection_page(inspect_data(splits), splits)
    assert "no pair of labels" in html
    assert "No copies were found" in html


# --- charts


def test_columns_are_as_high_as_their_shares():
    chart = columns(["0", "1"], [Series("a", (0.25, 0.5), ("x", "<y>"))], title="t")
    heights = [float(height) for height in re.findall(r'<rect class="s0"[^>]* height="([\d.]+)"', chart)]
    assert heights == [75.0, 150.0]
    assert "&lt;y&gt;" in chart
    assert "25 %" in chart


def test_a_bar_ends_where_its_share_ends_and_unknown_comes_behind_it():
    chart = bar(0.5, unknown=0.25, marks=[0.75, 7.0], hint="<b>")
    assert re.findall(r'class="(\w+)"[^>]*width="([\d.]+)%" height="8"', chart) == [
        ("rail", "100"),
        ("faint", "75.00"),
        ("s0", "50.00"),
    ]
    assert re.findall(r'class="(s[12])" x="([\d.]+)%"', chart) == [("s1", "75.00"), ("s2", "100.00")]
    assert "<b>" not in chart


def test_an_interval_lies_on_its_side_of_chance_and_is_cut_at_the_end_of_the_axis():
    chart = interval(-8.0, -2.0, -1.0, reach=4.0)
    assert 'x1="0.00%" x2="37.50%"' in chart
    assert 'cx="25.00%"' in chart
    assert "interval apart" in chart


def test_a_matrix_has_a_cell_for_every_pair_and_chance_is_empty():
    chart = matrix(["a", "b"], [[None, 2.0], [2.0, None]], [["a", "a + b"], ["b + a", "b"]], reach=4.0)
    assert re.findall(r'<rect class="(\w+)"', chart) == ["none", "together", "together", "none"]
    assert 'fill-opacity="0.57"' in chart  # 0.15 + 0.85 / 2


def test_a_curve_needs_two_labels_with_an_image():
    assert curve([5, 0], title="t") == ""
    assert 'points="0.0,0.0 1000.0,200.0"' in curve([10, 1, 0], title="t")
