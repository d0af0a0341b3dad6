"""File names for an export, made from what photographs are called: harmless on every system, each once.

What a request calls a photograph is text, not a path: only letters, digits and a few signs are taken from it, in
folders below the export. Opens nothing.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

LONGEST = 80
"""Characters of a part of a name: with four bytes each still a file name everywhere."""

DEEPEST = 6
"""Folders kept of a name; the innermost ones."""

_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)$")  # what Windows calls its devices


def export_names(named: Iterable[tuple[str, str]]) -> list[str]:
    """Return where in an export each photograph stands.

    Args:
        named: what a photograph is called, and the suffix that its content asks for.

    Returns:
        Relative paths with forward slashes that differ in more than case.

    Example:
        >>> export_names([("2019/Böot.JPG", ".jpg"), ("../../etc/passwd", ".png"), ("2019/böot.jpg", ".jpg")])
        ['2019/Böot.JPG', 'etc/passwd.png', '2019/böot (2).jpg']
    """
    found: list[str] = []
    taken: set[str] = set()
    for name, suffix in named:
        parts = [part for part in map(_plain, re.split(r"[/\\]", name)) if part]
        *folders, last = parts[-DEEPEST - 1 :] or ["photograph"]
        leaf = PurePosixPath(last)
        # A name that says another kind than the content is would not be read back.
        stem, ending = (leaf.stem, leaf.suffix) if _alike(leaf.suffix.lower(), suffix) else (last, suffix)
        candidate, number = "/".join([*folders, stem + ending]), 1
        while candidate.casefold() in taken:
            number += 1
            candidate = "/".join([*folders, f"{stem} ({number}){ending}"])
        taken.add(candidate.casefold())
        found.append(candidate)
    return found


def _plain(part: str) -> str:
    """Return a part of a path with letters, marks, digits and harmless signs only; empty where nothing is left."""
    kept = (
        char if unicodedata.category(char)[0] in "LMN" or char in " -_.,()+&'" else "_"
        for char in unicodedata.normalize("NFC", part)
    )
    text = "".join(kept)
    if len(text) > LONGEST:
        text = text[: LONGEST - 10] + text[-10:]
    text = text.strip(" .")
    return f"_{text}" if _RESERVED.match(text.partition(".")[0]) else text


def _alike(given: str, suffix: str) -> bool:
    same = ({".jpg", ".jpeg", ".jpe"}, {".tif", ".tiff"}, {".heic", ".heif"})
    return given == suffix or any(given in group and suffix in group for group in same)
