"""Valid files, damaged: what the tests of readers share to see that only InputError comes of it."""

from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError

_PIECES = [
    *(
        b"",
        b"\0",
        b"\n",
        b"\r\n",
        b"\xff",
        b"\xef\xbb\xbf",
        b" ",
        b"-1",
        b"0",
        b"1",
        b"9" * 5000,
        b"NaN",
        b"1e999",
    ),
    *(
        b"null",
        b"[" * 2000,
        b"{",
        b'"',
        b"\\ud800",
        b"\\u0000",
        b"/",
        b"..",
        b"\\",
        b"&a;",
        b"<a>" * 200,
        b"<",
        b"]]>",
    ),
    *(b"<!DOCTYPE a>", b'<?xml version="1.0" encoding="cp932"?>', b"\xe7\x8a\xac", b"x" * 300),
]


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Ways to damage bytes: up to three pieces are put in, with or without what was there; or the end is cut off."""
    places = draw(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from(_PIECES)), max_size=3)
    )
    end = draw(st.just(1.0) | st.floats(0, 1))

    def damage(raw: bytes) -> bytes:
        for where, length, piece in places:
            start = round(where * len(raw))
            raw = raw[:start] + piece + raw[start + length :]
        return raw[: round(end * len(raw))]

    return damage


def reads_or_refuses(file: Path, damage: Callable[[bytes], bytes], read: Callable[[], Dataset]) -> None:
    """Damage a file, read, and put the file back; anything but a data set or an InputError is raised on."""
    raw = file.read_bytes()
    file.write_bytes(damage(raw))
    message = ""
    try:
        assert len(read()) > 0
    except InputError as error:
        message = str(error)
    finally:
        file.write_bytes(raw)
    assert len(message) < 3000  # damage is not poured out over the user
