"""Odd names are found with the reason; ordinary vocabularies are left alone."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelbeam.inspect.suspicious_names import similar_names, suspicious_names

ODD = [
    (["<END>", "cat"], "reserved", ("<END>",), "token"),
    (["ca\u200bt", "dog"], "invisible", ("ca\u200bt",), "ZERO WIDTH SPACE"),
    (["black\u00a0cat"], "invisible", ("black\u00a0cat",), "NO-BREAK SPACE"),
    (["black  cat"], "invisible", ("black  cat",), "several blanks"),
    (["\u202etac"], "invisible", ("\u202etac",), "RIGHT-TO-LEFT OVERRIDE"),
    (["сat", "dog"], "mixed scripts", ("сat",), "CYRILLIC and LATIN"),
    (["None", "dog"], "says nothing", ("None",), "no label"),
    (["0", "1", "2"], "says nothing", ("0", "1", "2"), "list of names missing"),
    (["cat", "dog", "cat/dog"], "combination", ("cat/dog",), "'cat' and 'dog'"),
    (["cat", "dog", "Cat and Dog"], "combination", ("Cat and Dog",), "'cat' and 'dog'"),
    (["猫", "犬", "猫、犬"], "combination", ("猫、犬",), "'猫' and '犬'"),
    (["Dog", "dog"], "case or width", ("Dog", "dog"), "case"),
    (["TV", "ＴＶ"], "case or width", ("TV", "ＴＶ"), "width"),
    (["ｶﾒﾗ", "カメラ"], "case or width", ("ｶﾒﾗ", "カメラ"), "width"),
    (["dining table", "dining-table", "diningtable"], "blanks and hyphens", None, "blanks"),
    (["café", "cafe"], "accents", ("café", "cafe"), "accents"),
    (["traffic light", "light, traffic"], "word order", ("traffic light", "light, traffic"), "order"),
    (["city", "cities"], "plural", ("city", "cities"), "plural"),
    (["wine glass", "wine glasses"], "plural", ("wine glass", "wine glasses"), "plural"),
    (["person", "people"], "plural", ("person", "people"), "plural"),
    (["bicycle", "bycicle"], "spelling", ("bicycle", "bycicle"), "2 letters"),
    (["giraffe", "girafe"], "spelling", ("giraffe", "girafe"), "one letter"),
    (["Elephant", "elefphant"], "spelling", ("Elephant", "elefphant"), "one letter"),
    (["a" * 61, "cat"], "long", ("a" * 61,), "60 characters"),
]


@pytest.mark.parametrize(("names", "kind", "concerned", "words"), ODD, ids=lambda value: str(value)[:30])
def test_an_odd_name_is_found_once_with_the_reason(names, kind, concerned, words):
    found = suspicious_names(names)
    assert [one.kind for one in found] == [kind]
    assert found[0].names == (concerned or tuple(names))
    assert words in found[0].why


FINE = [
    ["cat", "car", "bat", "horse", "house", "mouse", "boat", "goat", "glass", "grass"],
    ["猫", "犬", "が", "か", "はし", "はじ"],
    ["route 66", "route 67", "class1", "class2"],
    ["salt and pepper", "black-and-white"],
    ["👩\u200d👧", "👩\u200d👦", "señal", "naïve"],
    ["bus", "bush", "news", "new york"],
]


@pytest.mark.parametrize("names", FINE)
def test_different_things_are_left_alone(names):
    assert suspicious_names(names) == []


def test_the_benchmarks_names_are_all_in_order(labelbeam_data):
    for file in ("coco80_labels.npz", "nuswide81_labels.npz"):
        with np.load(labelbeam_data / "labels" / file) as stored:
            assert suspicious_names(stored["names"].tolist()) == []


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=8))
def test_any_names_can_be_looked_at_and_findings_name_only_them(names):
    for one in suspicious_names(names):
        assert set(one.names) <= set(names)
        assert one.why


@cache
def recursive_distance(a: str, b: str) -> int:
    if not a or not b:
        return len(a) + len(b)
    best = min(
        recursive_distance(a[1:], b) + 1,
        recursive_distance(a, b[1:]) + 1,
        recursive_distance(a[1:], b[1:]) + (a[0] != b[0]),
    )
    if len(a) > 1 and len(b) > 1 and a[0] == b[1] and a[1] == b[0]:
        best = min(best, recursive_distance(a[2:], b[2:]) + 1)
    return best


@given(st.lists(st.text("abc", min_size=5, max_size=8), unique=True, max_size=12))
def test_pairs_are_those_of_all_pairs_by_the_recursive_distance(names):
    from labelbeam.inspect.suspicious_names import _allowed

    slow = []
    for i, a in enumerate(names):
        for j in range(i + 1, len(names)):
            distance = recursive_distance(a, names[j])
            if distance <= _allowed(a, names[j]):
                slow.append((i, j, distance))
    assert list(similar_names(names)) == slow
