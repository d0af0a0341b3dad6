"""Multipart bodies into memory: files and fields, counted as they come, nothing ever written to disk.

The web framework's own reader puts large parts into temporary files and counts only at the end. A file's name
is taken as a text to show, never as a path. Knows nothing of images.
"""

import unicodedata
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from labelbeam.service.admission import Refusal

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

LONGEST_NAME = 255
LONGEST_FIELD = 4096
MOST_FIELDS = 1000
"""Fields of a form, labels among them."""


@dataclass(frozen=True)
class Upload:
    """A file of a request.

    Attributes:
        name: as the client calls it; to be shown, never opened.
        content: its bytes.
    """

    name: str
    content: bytes


@dataclass
class Form:
    """The parts of a multipart body.

    Attributes:
        files: by name of their field, in the order in which they came.
        fields: values by name of their field, likewise.
    """

    files: dict[str, list[Upload]] = field(default_factory=dict)
    fields: dict[str, list[str]] = field(default_factory=dict)


async def read_form(content_type: str, chunks: AsyncIterator[bytes], *, most_files: int) -> Form:
    """Read a multipart body.

    Args:
        content_type: the request's header of that name.
        chunks: the body; its size is limited by whoever gives it (`service.admission`).

    Raises:
        Refusal: 415 for another content type, 413 for too many parts, 422 for a body that is not multipart.
    """
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise Refusal(415, f"the content type is {content_type[:80]!r}; send multipart/form-data with files.")
    reader = _PartReader(most_files)
    try:
        if not options.get(b"boundary"):
            raise FormParserError("no boundary")
        parser = MultipartParser(options[b"boundary"], cast("MultipartCallbacks", reader.callbacks()))
        async for chunk in chunks:
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise Refusal(422, f"the body is not the multipart form that its header says ({error}).") from None
    if not reader.ended:
        raise Refusal(422, "the multipart body ends before its last boundary. Send all of it.")
    return reader.form


class _PartReader:
    """Collects the parts while the parser finds them."""

    def __init__(self, most_files: int) -> None:
        self.form = Form()
        self.ended = False
        self._most_files = most_files
        self._files = self._fields = 0
        self._header_name = self._header_value = b""
        self._disposition = b""
        self._name = ""
        self._file_name: str | None = None
        self._content = bytearray()

    def callbacks(self) -> dict[str, Callable[..., None]]:
        """Return what the parser calls."""
        return {
            "on_part_begin": self.part_begin,
            "on_part_data": self.part_data,
            "on_part_end": self.part_end,
            "on_header_field": self.header_field,
            "on_header_value": self.header_value,
            "on_header_end": self.header_end,
            "on_headers_finished": self.headers_finished,
            "on_end": self.end,
        }

    def part_begin(self) -> None:
        self._disposition = b""
        self._content = bytearray()

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise Refusal(
                422, 'a part of the form has no name: send Content-Disposition: form-data; name="…".'
            )
        self._name = shown(options[b"name"])
        self._file_name = shown(options[b"filename"]) if b"filename" in options else None
        self._files += self._file_name is not None
        self._fields += self._file_name is None
        if self._files > self._most_files:
            raise Refusal(
                413, f"too many files; a request may hold {self._most_files}. Send several requests."
            )
        if self._fields > MOST_FIELDS:
            raise Refusal(413, f"too many fields; a form may hold {MOST_FIELDS}.")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]
        if self._file_name is None and len(self._content) > LONGEST_FIELD:
            raise Refusal(413, f"the field {self._name!r} is longer than {LONGEST_FIELD} bytes.")

    def part_end(self) -> None:
        if self._file_name is not None:
            upload = Upload(self._file_name or "(no name)", bytes(self._content))
            self.form.files.setdefault(self._name, []).append(upload)
        else:
            value = self._content.decode("utf-8", errors="replace")
            self.form.fields.setdefault(self._name, []).append(value)

    def end(self) -> None:
        self.ended = True


def shown(name: bytes) -> str:
    """Return a client's name for something as text that is safe to show and to log.

    Example:
        >>> shown(b"../a" + bytes([0, 10]) + b".jpg") == "../a" + 2 * chr(0xFFFD) + ".jpg"
        True
    """
    text = name.decode("utf-8", errors="replace")[:LONGEST_NAME]
    return "".join("\ufffd" if unicodedata.category(one) in ("Cc", "Cs", "Cf") else one for one in text)
