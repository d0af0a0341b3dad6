"""Reading back what a calibration stored: plain JSON values, checked, with words for what is wrong.

Knows no file; whoever reads one says where the values came from.
"""

import math
from collections.abc import Mapping

from labelbeam.errors import InputError

VERSION = 1
"""Of the stored form; a file of another version is refused, not guessed at."""


def stored_part(values: object, *, part: str, keys: tuple[str, ...]) -> Mapping[str, object]:
    """Return a stored mapping that has the wanted keys, and only those.

    Raises:
        InputError: no mapping, or other keys.
    """
    if not isinstance(values, Mapping) or set(values) != set(keys):
        given = sorted(map(str, values)) if isinstance(values, Mapping) else type(values).__name__
        raise InputError(f"{part} must hold exactly {', '.join(keys)}; it holds {given!s:.200}.")
    return values


def stored_text(value: object, *, what: str) -> str:
    """Return a stored text.

    Raises:
        InputError: something else.
    """
    if not isinstance(value, str):
        raise InputError(f"{what} must be a text, given {value!r:.60}.")
    return value


def stored_number(value: object, *, what: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a stored finite number.

    Raises:
        InputError: something else, or a number out of range.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e300 < value < 1e300:
        raise InputError(f"{what} must be a number, given {value!r:.60}.")
    if not least <= value <= most:
        raise InputError(f"{what} is {value}, outside [{least:g}, {most:g}].")
    return float(value)


def stored_numbers(
    value: object, *, what: str, least: float = -math.inf, most: float = math.inf, count: int | None = None
) -> tuple[float, ...]:
    """Return a stored list of finite numbers.

    Raises:
        InputError: something else, a number out of range, or another count than asked for.
    """
    if not isinstance(value, list | tuple) or (count is not None and len(value) != count):
        wanted = "numbers" if count is None else f"{count} numbers"
        raise InputError(f"{what} must be a list of {wanted}, given {value!r:.60}.")
    return tuple(stored_number(one, what=what, least=least, most=most) for one in value)
