"""JSON Lines of images: one object a line, each with an image key that occurs once.

Reads bytes line by line, so that memory does not grow with the file and every message names its line.
Knows nothing of what truth or predictions mean. In the data path:
file -> **lines** -> `truth_file`, `prediction_file`.
"""

import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelbeam.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Line:
    """One line of a file.

    Attributes:
        where: file and line number, for messages.
        image: its image key.
        content: the whole object.
    """

    where: str
    image: str
    content: dict[str, Any]

    def label_list(self, key: str) -> list[str]:
        """Return the label names under `key` in NFC; a list entry is a name or an object with a "label".

        Raises:
            InputError: not a list, an entry that is not a name, an empty name, or a name given twice.
        """
        entries = self.content[key]
        if not isinstance(entries, list):
            raise InputError(f"{self.where}: {key!r} must be a list of label names, given {shown(entries)}.")
        names = [
            self.label_name(entry.get("label") if isinstance(entry, dict) else entry) for entry in entries
        ]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(
                f"{self.where}: label {twice!r} is listed twice in {key!r}; list each label once."
            )
        return names

    def label_name(self, name: object) -> str:
        """Return one label name, trimmed and in NFC.

        Raises:
            InputError: not a text, or an empty one.
        """
        if not isinstance(name, str) or not name.strip():
            raise InputError(f"{self.where}: a label must be a non-empty text, given {shown(name)}.")
        return name if name.isascii() and name == name.strip() else unicodedata.normalize("NFC", name.strip())


def shown(value: object) -> str:
    """Return a value as the file wrote it, cut to a length that fits into a message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _object_without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"the key {twice!r} occurs twice in one object; keep one.")
    return content


def _parse(raw: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(raw.decode("utf-8"), object_pairs_hook=_object_without_repeats)
    except UnicodeDecodeError:
        raise InputError(f"{where}: not UTF-8. Save the file as UTF-8 (with or without BOM).") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where}: not JSON ({error.msg} at column {error.colno}). Each line must hold one JSON object."
        ) from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not isinstance(content, dict):
        raise InputError(
            f'{where}: each line must be a JSON object such as {{"image": "a.jpg", ...}}, '
            f"given {shown(content)}."
        )
    return content


def read_lines(path: Path) -> Iterator[Line]:
    """Yield the lines of a JSON Lines file; CRLF, a byte order mark and blank lines are fine.

    Raises:
        InputError: no such file, a line that is not UTF-8, not JSON or not an object, an image key that is
            missing or not a text, or an image that occurred before.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}. Give a JSON Lines file, one image a line.")
    first_seen: dict[str, int] = {}
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            stripped = (raw.removeprefix(BYTE_ORDER_MARK) if number == 1 else raw).strip()
            if not stripped:
                continue
            where = f"{path}, line {number}"
            content = _parse(stripped, where)
            if "image" not in content:
                raise InputError(
                    f"{where}: the key 'image' is missing; given keys: {', '.join(content) or 'none'}."
                )
            image = content["image"]
            if not isinstance(image, str) or not image:
                raise InputError(f"{where}: 'image' must be a non-empty text, given {shown(image)}.")
            if image in first_seen:
                raise InputError(
                    f"{where}: image {image!r} is repeated (first on line {first_seen[image]}); "
                    "each image may occur once."
                )
            first_seen[image] = number
            yield Line(where, image, content)
