"""Label names as people type them on the command line: `a,b`, repeated or not."""

from collections.abc import Iterable, Sequence


def names_in(texts: Iterable[str] | None, labels: Sequence[str]) -> list[str]:
    """Split `a,b`; a text that is a label itself stays whole, its commas included."""
    names = []
    for text in texts or ():
        parts = [text] if text in labels else text.split(",")
        names += [part.strip() for part in parts if part.strip()]
    return names
