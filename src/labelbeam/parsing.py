"""The readers of JSON and YAML for every text of unknown origin: plain values, or an error that says where.

The standard library's parser ends in other errors than its own on numbers of thousands of digits, on deep nesting and
on bytes that are no text; here each is an `InputError`. Knows no layout.
"""

import json
import re
import stat
from pathlib import Path
from typing import Any

from labelbeam.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

DEEPEST = 100
"""Levels of lists and objects inside each other; files of labels have about five."""

LARGEST_JSON = 64_000_000
"""Bytes of a file beside a model: names, numbers, never millions of them."""

LONGEST_NUMBER = 20
"""Digits of a whole number; what is longer is no count, no place and no id."""

_FLAT = re.compile(rb'"(?:[^"\\]|\\.)*"?|[^\[\]{}"]+', re.DOTALL)
_DIGITS = re.compile(rb"[0-9]{%d}" % (LONGEST_NUMBER + 1))
_BLOCK = 1 << 20


def read_json(file: Path, spec: str = "", *, most_bytes: int | None = None) -> Any:
    """Return the value that a JSON file holds.

    Args:
        file: UTF-8, with or without a byte order mark (UTF-16 and UTF-32 are recognised too).
        spec: the data set that needs it, for the message.
        most_bytes: a larger file is refused before it is read; None: any size.

    Raises:
        InputError: the file cannot be opened, is a pipe or device, too large, or as `parse_json`.
    """
    where = f"{spec}: {file}" if spec else str(file)
    return parse_json(read_regular(file, where, most_bytes=most_bytes), where)


def read_regular(file: Path, where: str = "", *, most_bytes: int | None = None) -> bytes:
    """Return the bytes of a file; a pipe or a device, which may never end, is not opened.

    Raises:
        InputError: it cannot be read, is none, or is larger than `most_bytes`.
    """
    where = where or str(file)
    try:
        kind = file.stat()
        if not stat.S_ISREG(kind.st_mode):
            raise InputError(f"{where} is no file but a folder, pipe or device. Check the path.")
        if most_bytes is not None and kind.st_size > most_bytes:
            raise InputError(
                f"{where} has {kind.st_size:,} bytes; at most {most_bytes:,} are read. Is it the right file?"
            )
        return file.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        why = error.strerror if isinstance(error, OSError) and error.errno else error
        raise InputError(f"{where} cannot be read ({why}). Check the path.") from None


def parse_json(raw: bytes | str, where: str, *, repeats: bool = True, line: bool = False) -> Any:
    """Return the value of a JSON text.

    Args:
        raw: the text, or its bytes.
        where: what to call it in the message.
        repeats: whether an object may have a key twice; the last one counts.
        line: whether it is a line of JSON Lines, which `where` names.

    Raises:
        InputError: not JSON, not UTF-8, nested more than `DEEPEST` levels, a whole number of more than
            `LONGEST_NUMBER` digits, or a key that is there twice.

    Example:
        >>> parse_json(b'{"a": [1]}', "a.json")
        {'a': [1]}
        >>> parse_json("[" * 1000, "a.json")
        Traceback (most recent call last):
        labelbeam.errors.InputError: a.json: no JSON of labels looks like this (nested more than 100 levels deep).
    """
    data = raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw
    data = data.removeprefix(BYTE_ORDER_MARK)
    more: dict[str, Any] = {} if repeats else {"object_pairs_hook": _without_repeats}
    long_number, deep = _looks(data)
    if long_number:
        more["parse_int"] = _short_int
    try:
        if deep and _too_deep(data):
            raise ValueError(f"nested more than {DEEPEST} levels deep")
        text = raw.removeprefix("\ufeff") if isinstance(raw, str) else data.decode(json.detect_encoding(data))
        return json.loads(text, **more)
    except json.JSONDecodeError as error:
        if line:
            raise InputError(
                f"{where}: not JSON ({error.msg} at column {error.colno}). Each line must hold one JSON object."
            ) from None
        raise InputError(
            f"{where}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}). Was it copied in full?"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}, byte {error.start}: not UTF-8 ({error.reason}). Save the file as UTF-8."
        ) from None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except (RecursionError, ValueError, MemoryError) as error:
        raise InputError(f"{where}: no JSON of labels looks like this ({error}).") from None


def _looks(data: bytes) -> tuple[bool, bool]:
    """Return whether a text may hold a long number, and whether brackets may be open too deep.

    Strings are not distinguished from the rest here: a few vector operations, so that large files cost nothing.
    """
    if len(data) < _BLOCK // 16:
        return _DIGITS.search(data) is not None, data.count(b"[") + data.count(b"{") > DEEPEST
    import numpy as np

    text = np.frombuffer(data, np.uint8)
    long_number, deepest, depth = False, 0, 0
    for start in range(0, len(text), _BLOCK):
        block = text[start : start + _BLOCK + LONGEST_NUMBER]
        runs = (block >= ord("0")) & (block <= ord("9"))
        for step in (1, 2, 4, 8, LONGEST_NUMBER - 15):  # now each says: 2, 4, 8, 16, 21 digits from here on
            runs = runs[:-step] & runs[step:]
        long_number = long_number or bool(runs.any())
        either = np.bitwise_or(block[:_BLOCK], 32)  # brackets and braces differ in that bit
        change = (either == ord("{")).view(np.int8) - (either == ord("}")).view(np.int8)
        level = np.cumsum(change, dtype=np.int32)
        deepest, depth = max(deepest, depth + int(level.max())), depth + int(level[-1])
    return long_number, deepest > DEEPEST


def _too_deep(data: bytes) -> bool:
    depth = 0
    for bracket in _FLAT.sub(b"", data):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def _short_int(digits: str) -> int:
    if (count := len(digits.lstrip("-"))) > LONGEST_NUMBER:
        raise ValueError(f"a whole number of {count:,} digits")
    return int(digits)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(f"the key {twice!r} occurs twice in one object; keep one.")
    return content


LONGEST_YAML = 1_000_000
"""Bytes that are parsed, about ten seconds' worth; descriptions of runs and data sets have thousands."""


def read_yaml(file: Path, spec: str = "") -> Any:
    """Return the value that a YAML file holds; errors as those of `parse_yaml`, or where it cannot be read."""
    where = f"{spec}: {file}" if spec else str(file)
    return parse_yaml(read_regular(file, where, most_bytes=LONGEST_YAML), where)


def parse_yaml(raw: bytes | str, where: str) -> Any:
    """Return the value of a YAML text.

    Args:
        raw: the text, or its bytes.
        where: what to call it in the message.

    Raises:
        InputError: not YAML, too long, nested too deep, or with an alias, of which a few hundred bytes can become
            gigabytes.

    Example:
        >>> parse_yaml(b"names: {0: cat}", "data.yaml")
        {'names': {0: 'cat'}}
    """
    import yaml

    try:
        if len(raw) > LONGEST_YAML:
            raise ValueError(f"it is longer than {LONGEST_YAML:,} bytes")
        depth = 0
        for event in yaml.parse(raw, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:  # the scanner takes the square of it
                raise ValueError(f"nested more than {DEEPEST} levels deep")
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"it refers to another part of itself, an alias *{event.anchor}")
        return yaml.safe_load(raw)
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
        OverflowError,
        AttributeError,
        TypeError,
        KeyError,
    ) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"{where} is not YAML ({reason}). Repair it.") from None
