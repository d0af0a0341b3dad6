"""Multipart bodies into memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.service.admission import Refusal
from labelbeam.service.uploads import LONGEST_FIELD, Form, read_form

HEAD = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
TYPE = "multipart/form-data; boundary=b"


def read(content_type: str, body: bytes, *, most_files: int = 10, pieces: int = 1_000_000) -> Form:
    async def chunks() -> AsyncIterator[bytes]:
        for first in range(0, len(body), pieces):
            yield body[first : first + pieces]

    return asyncio.run(read_form(content_type, chunks(), most_files=most_files))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(1, 40))
def test_files_come_back_whole_however_the_body_is_cut(contents: list[bytes], pieces: int) -> None:
    files = [("images", (f"{i}.jpg", content)) for i, content in enumerate(contents)]
    request = httpx.Request("POST", "http://a/", files=files, data={"known": ["dog", "né"]})
    form = read(request.headers["content-type"], request.read(), pieces=pieces)
    assert [upload.content for upload in form.files["images"]] == contents
    assert [upload.name for upload in form.files["images"]] == [f"{i}.jpg" for i in range(len(contents))]
    assert form.fields == {"known": ["dog", "né"]}


@pytest.mark.parametrize(
    ("content_type", "body", "status", "words"),
    [
        ("", b"", 415, "multipart/form-data"),
        ("image/jpeg", b"\xff\xd8", 415, "image/jpeg"),
        ("multipart/form-data", b"", 422, "no boundary"),
        ("multipart/form-data; boundary=" + "b" * 1000, b"", 422, "oundary"),
        (TYPE, b"", 422, "ends before"),
        (TYPE, b"hello", 422, "not the multipart form"),
        (TYPE, HEAD + b"abc", 422, "ends before"),
        (TYPE, b"--b\r\nContent-Type: a\r\n\r\nx\r\n--b--\r\n", 422, "no name"),
        (TYPE, 4 * (HEAD + b"abc\r\n") + b"--b--\r\n", 413, "too many files"),
        (
            TYPE,
            b'--b\r\nContent-Disposition: form-data; name="known"\r\n\r\n' + b"a" * (LONGEST_FIELD + 1),
            413,
            "longer than",
        ),
        (TYPE, 1001 * b'--b\r\nContent-Disposition: form-data; name="known"\r\n\r\na\r\n', 413, "fields"),
        (TYPE, b"--b\r\n" + b"A: b\r\n" * 100, 422, "not the multipart form"),
        (TYPE, b"--b\r\nA: " + b"b" * 100_000, 422, "not the multipart form"),
    ],
)
def test_a_body_that_is_no_such_form_is_refused(
    content_type: str, body: bytes, status: int, words: str
) -> None:
    with pytest.raises(Refusal) as refused:
        read(content_type, body, most_files=3)
    assert refused.value.status == status
    assert words in refused.value.reason


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=400))
def test_no_body_breaks_the_reader(body: bytes) -> None:
    with suppress(Refusal):  # anything else fails the test
        read(TYPE, b"--b\r\n" + body)


def test_a_name_stays_a_text_without_control_characters() -> None:
    body = HEAD.replace(b"a.jpg", "../../etc/\u202egpj.\u0007".encode()) + b"abc\r\n--b--\r\n"
    assert read(TYPE, body).files["images"][0].name == "../../etc/\ufffdgpj.\ufffd"
