"""Pages: what a user wrote is escaped, pictures are small and the right way up, missing fonts are named."""

import base64
import shutil
import tomllib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.charts import page as fonts
from labelbeam.charts.page import embedded_thumbnail, render
from labelbeam.predict.prediction import Prediction, ScoredLabel
from labelbeam.tagging.outputs import TaggedPicture, shown_cards


def opened(address: str) -> Image.Image:
    kind, _, content = address.partition("base64,")
    assert kind == "data:image/jpeg;"
    return Image.open(BytesIO(base64.b64decode(content)))


def test_a_thumbnail_is_small_and_keeps_the_proportions(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 3000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    address = embedded_thumbnail(tmp_path / "a.png")
    assert opened(address).size == (320, 160)
    assert len(address) < 60_000


def test_a_thumbnail_is_turned_as_its_mark_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored row 0 is the right side
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, :40] = (255, 0, 0)  # stored left becomes the top
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    small = opened(embedded_thumbnail(tmp_path / "a.png"))
    assert small.size == (40, 80)
    assert small.getpixel((20, 5))[0] > 200
    assert small.getpixel((20, 75))[0] < 50


def cards(pictures: list[TaggedPicture], *, pixelated: bool = False) -> str:
    shown = shown_cards(pictures, pixelated=pixelated)
    values = {
        "headings": ["<b>"],
        "cells": [["<b>"]],
        "ours": 0,
        "closed": "<b>",
        "why": "",
        "decided_by": {},
    }
    whole = render("demo.html.jinja", pictures=shown, versions={}, **values)
    return (
        whole if pixelated else render("tagging/page.html.jinja", pictures=shown, count=1, asked=0, advice="")
    )


def predicted(label: str, **more: object) -> Prediction:
    return Prediction("a.png", (ScoredLabel(label, 0.5, 0.5, 0.5, 0.0),), path=(label,), **more)


def test_labels_and_names_are_escaped_wherever_they_stand(tmp_path):
    wicked = "<img src=x onerror=alert(1)>"
    path = tmp_path / '"><script>.png'
    Image.new("RGB", (8, 8)).save(path)
    rivals = ((wicked, (wicked,), False),)
    for pixelated in (False, True):
        html = cards([TaggedPicture(path, predicted(wicked), (wicked, "b<c"), rivals)], pixelated=pixelated)
        assert "<img src=x" not in html
        assert "<script" not in html
        assert "b<c" not in html
        assert html.count("<img ") == 1


def test_a_picture_that_is_gone_is_a_card_with_words(tmp_path):
    html = cards([TaggedPicture(tmp_path / "gone.png", predicted("cat"))])
    assert "no such file" in html
    assert "cat" in html
    assert "<img" not in html


def test_an_error_is_shown_in_place_of_labels(tmp_path):
    html = cards([TaggedPicture(tmp_path / "a.png", Prediction("a.png", error="damaged <b>"))])
    assert "damaged &lt;b&gt;" in html
    assert "END" not in html


def test_nothing_decided_is_predicted(tmp_path):
    assert "no label decided" in cards([TaggedPicture(tmp_path / "a.png", Prediction("a.png"))])


@pytest.fixture
def machine(monkeypatch):
    """A machine whose fonts have some letters."""

    def with_fonts_for(letters: str) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/fc-list")
        monkeypatch.setattr(fonts, "_has_font", lambda lister, letter: letter in letters)

    return with_fonts_for


def test_missing_fonts_are_named_with_the_package(machine):
    machine("é")
    advice = fonts.font_advice(["猫", "ネコ", "cat", "é"])
    assert "CJK, KATAKANA" in advice
    assert advice.endswith("apt-get install fonts-noto-cjk.")
    assert "fonts-noto-core" in fonts.font_advice(["กา"])


def test_fonts_that_are_there_give_no_advice(machine):
    machine("猫")
    assert fonts.font_advice(["猫", "dog"]) == ""


def test_without_fontconfig_nothing_is_predicted(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert fonts.font_advice(["猫"]) == ""


@pytest.mark.skipif(not shutil.which("fc-list"), reason="needs fontconfig")
def test_fontconfig_itself_knows_letters_and_what_is_no_letter(tmp_path: Path):
    lister = str(shutil.which("fc-list"))
    assert not fonts._has_font(lister, "\U0003fffe")


def test_every_template_is_in_the_wheel_and_escapes_what_it_shows() -> None:
    root = Path(fonts.__file__).parents[1]
    patterns = tomllib.loads((root.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = patterns["tool"]["setuptools"]["package-data"]["labelbeam"]
    templates = sorted(root.rglob("*.jinja"))
    assert templates == sorted(
        file for pattern in shipped for file in root.glob(pattern) if file.suffix == ".jinja"
    )
    assert cards([], pixelated=True).count("&lt;b&gt;") == 3
