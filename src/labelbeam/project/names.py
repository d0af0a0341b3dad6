"""Names that a project can keep: of labels, as a person types them, and of photographs, as browsers tell them."""

from collections.abc import Iterable

from labelbeam.errors import InputError
from labelbeam.labels.hygiene import clean, refuse_reserved

LONGEST = 200
"""Characters of a label's name, and (times five) of a photograph's."""


def label_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of labels, cleaned.

    Raises:
        InputError: an empty name, one too long, a control character, or the name of a special token.

    Example:
        >>> label_names([" boat ", "海"])
        ('boat', '海')
    """
    cleaned = tuple(clean(name) for name in names)
    refuse_reserved(cleaned, "new label")
    for name in cleaned:
        if not name or len(name) > LONGEST or not _is_text(name):
            raise InputError(
                f"a label's name has 1 to {LONGEST} characters of Unicode text; given {name[:40]!r}."
            )
    return cleaned


def photograph_name(name: str) -> str:
    """Return a photograph's name as it can be stored and shown: text without control characters, not too long.

    Example:
        >>> photograph_name("2019/a" + chr(10) + ".jpg")
        '2019/a.jpg'
    """
    text = name.encode("utf-8", "replace").decode("utf-8")
    return "".join(char for char in text if char.isprintable())[-5 * LONGEST :].strip() or "photograph"


def _is_text(name: str) -> bool:
    """Return whether UTF-8, and so the file, can hold a name."""
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in name)
