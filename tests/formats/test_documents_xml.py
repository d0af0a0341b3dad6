"""XML of unknown origin: elements with their line, or without where nobody asks; nothing that could expand."""

import pytest

from labelbeam.errors import InputError
from labelbeam.formats.documents import DEEPEST, LinedElement, parse_xml

TEXT = "<a>\n <b c='1'>犬 &amp; x</b>\n\n <b/>\n</a>".encode()


def test_both_ways_give_the_same_elements_and_one_their_lines():
    lined, plain = (parse_xml(TEXT, "a.xml", lines=lines) for lines in (True, False))
    shown = [[(e.tag, e.text, e.attrib) for e in root.iter()] for root in (lined, plain)]
    assert shown[0] == shown[1] == [("a", "\n ", {}), ("b", "犬 & x", {"c": "1"}), ("b", None, {})]
    assert [e.line for e in lined.iter() if isinstance(e, LinedElement)] == [1, 2, 4]


@pytest.mark.parametrize("lines", [True, False])
@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"<a>\n<b></a>", "a.xml, line 2: not readable XML"),
        (b"", "a.xml, line 1: not readable XML"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "declares a DOCTYPE, 'a'"),
        (b'<?xml version="1.0" encoding="cp932"?><a/>', "a.xml, line 1: not readable XML"),
    ],
)
def test_what_is_broken_or_could_expand_is_refused(raw, words, lines):
    with pytest.raises(InputError, match=words):
        parse_xml(raw, "a.xml", lines=lines)


def test_deep_nesting_is_refused_or_harmless():
    deep = b"<a>" * 100_000 + b"</a>" * 100_000
    with pytest.raises(InputError, match=f"more than {DEEPEST} levels"):
        parse_xml(deep, "a.xml")
    assert parse_xml(deep, "a.xml", lines=False).findtext("object") is None
