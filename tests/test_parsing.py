"""JSON of unknown origin: values, or one error in words."""

import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelbeam import parsing
from labelbeam.errors import InputError
from labelbeam.parsing import parse_json, parse_yaml, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans())
def test_whatever_is_json_comes_back(value, encoding, escaped):
    text = json.dumps(value, ensure_ascii=escaped)
    try:
        raw = text.encode(encoding)
    except UnicodeEncodeError:  # a lone surrogate, which only the escaped form can hold
        raw = json.dumps(value).encode(encoding)
    assert parse_json(raw, "a") == value


@given(st.binary(max_size=200))
def test_whatever_bytes_come_it_is_a_value_or_an_input_error(raw):
    try:
        parse_json(raw, "a.json")
    except InputError as error:
        assert str(error).startswith("a.json")  # noqa: PT017


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"[" * 101 + b"]" * 101, "nested more than 100 levels"),
        (b'{"a":' * 100_000, "nested more than 100 levels"),
        (b"[1" + b",[1" * 3000, "nested more than 100 levels"),
        (b"[" + b"7" * 5000 + b"]", "a whole number of 5,000 digits"),
        (b'{"a": -' + b"7" * 30 + b"}", "a whole number of 30 digits"),
        (b'{"a": 1,}', "line 1, column 9: not JSON"),
        (b"\xff\xff", "not UTF-8"),
        (b'{"a": 1, "a": 2}', "the key 'a' occurs twice"),
    ],
)
def test_what_the_library_chokes_on_is_explained(raw, words):
    with pytest.raises(InputError, match=words):
        parse_json(raw, "a.json", repeats=False)


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_brackets_and_digits_inside_strings_count_for_nothing(size):
    value = {"name": "[" * 300 + "9" * 300 + '\\"' + "{" * 300, "more": ["x" * size], "deep": [[[[1]]]]}
    assert parse_json(json.dumps(value).encode(), "a") == value


def test_large_files_are_looked_at_as_carefully_as_small_ones():
    filling = b'{"a": [' + b'"x", ' * 300_000
    with pytest.raises(InputError, match="digits"):
        parse_json(filling + b"7" * 21 + b"]}", "a")
    with pytest.raises(InputError, match="nested"):
        parse_json(filling + b"[" * 100 + b"]" * 100 + b"]}", "a")


def test_a_pipe_is_not_waited_for_and_a_large_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "labels.json")
    began = time.monotonic()
    with pytest.raises(InputError, match="pipe or device"):
        read_json(tmp_path / "labels.json")
    assert time.monotonic() - began < 5
    (tmp_path / "large.json").write_bytes(b" " * 2000)
    with pytest.raises(InputError, match="at most 1,000 are read"):
        read_json(tmp_path / "large.json", most_bytes=1000)
    assert parsing.LARGEST_JSON > 1_000_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested more than 100 levels"),
        ("a: &a [x, x]\nb: &b [*a, *a]\n", "an alias"),
        ("a: " + "7" * 5000, "not YAML"),
        ("a: 2020-99-99", "not YAML"),
        ("x: " + "y" * 1_100_000, "longer than 1,000,000 bytes"),
        ("!!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_yaml_that_hangs_grows_or_acts_is_refused_at_once(text, words):
    began = time.monotonic()
    with pytest.raises(InputError, match=words):
        parse_yaml(text, "a.yaml")
    assert time.monotonic() - began < 5
