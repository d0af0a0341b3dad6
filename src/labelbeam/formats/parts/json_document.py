"""A JSON file of unknown origin, as plain values, or an error that says where it is broken.

Used by the readers of `formats`. Knows no layout.
"""

import json
from pathlib import Path

from labelbeam.errors import InputError


def read_json(file: Path, spec: str) -> object:
    """Return the value that a JSON file holds.

    Args:
        file: UTF-8, with or without a byte order mark (UTF-16 and UTF-32 are recognised too).
        spec: the data set that needs it, for the message.

    Raises:
        InputError: the file cannot be opened, is not JSON, or is nested thousands of levels deep.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"{spec}: {file} cannot be read ({error.strerror}). Check the path.") from None
    return parse_json(raw, f"{spec}: {file}")


def parse_json(raw: bytes, where: str) -> object:
    """Return the value of a JSON text.

    Args:
        raw: the text's bytes.
        where: what to call it in the message.

    Raises:
        InputError: not JSON, or nested thousands of levels deep.

    Example:
        >>> parse_json(b'{"a": [1]}', "a.json")
        {'a': [1]}
    """
    try:
        return json.loads(raw.removeprefix(b"\xef\xbb\xbf"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where}, line {error.lineno}, column {error.colno}: not JSON ({error.msg}). Was it copied in full?"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}, byte {error.start}: not UTF-8 ({error.reason}). Save it as UTF-8."
        ) from None
    except (RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise InputError(f"{where}: no JSON file of labels looks like this ({error}).") from None
