"""The one error that means "the user's input is wrong", and the words that repair it.

Every message says what is wrong, what was given, what is allowed and what to do. The command line prints
it without a traceback and exits with status 2; any other exception is a defect of labelbeam (status 1).
"""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from unicodedata import category


def printable(text: str, *, lines: bool = True) -> str:
    r"""Return a text that a terminal only shows: names of files may hold escape codes that it would obey.

    Args:
        text: what is to be printed.
        lines: whether line ends and tabs may stay.

    Example:
        >>> printable("a" + chr(27) + "[2J.jpg")
        'a\\x1b[2J.jpg'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if _is_shown(one) or (lines and one in "\n\t") else ascii(one)[1:-1] for one in text)


def printable_json(text: str) -> str:
    r"""Return a JSON text whose characters a terminal only shows; what it holds stays the same.

    Example:
        >>> printable_json('["a' + chr(0x9B) + '2J"]')
        '["a\\u009b2J"]'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if _is_shown(one) or one in "\n\t" else json.dumps(one)[1:-1] for one in text)


def _is_shown(one: str) -> bool:
    # Marks that turn the direction of what follows hide the end of a name; joiners inside of words do not.
    return one.isprintable() or one == " " or (one in "\u200c\u200d\u00ad") or category(one) == "Zs"


class InputError(ValueError):
    """Something the user gave (a file, an option, a value) cannot be used; the message says how to repair it."""


def unknown_name(kind: str, given: str, allowed: Iterable[str]) -> InputError:
    """Build the error for a name that is not among the allowed ones, with the nearest one proposed.

    Args:
        kind: what the name names, e.g. "label" or "encoder".
        given: the name as the user wrote it.
        allowed: every valid name; at most 24 are listed in the message.

    Returns:
        The error, to be raised by the caller.

    Example:
        >>> print(unknown_name("label", "hrose", ["dog", "horse"]))
        unknown label 'hrose'. Did you mean 'horse'? Allowed: dog, horse.
    """
    names = sorted(allowed)
    folded = {name.casefold(): name for name in names}
    close = get_close_matches(given.casefold(), folded, n=1, cutoff=0.5)
    hint = f" Did you mean {folded[close[0]]!r}?" if close else ""
    shown = ", ".join(names[:24]) + (f", … ({len(names)} in all)" if len(names) > 24 else "")
    return InputError(f"unknown {kind} {given!r}.{hint} Allowed: {shown}.")
