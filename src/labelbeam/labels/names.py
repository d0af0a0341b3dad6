"""Label names: one Unicode form, files that list or rename them, other names for the same label.

Files have one entry a line, UTF-8; blank lines and lines that begin with `# ` are left out (`#sunset` is a label).
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import whitespace

from labelbeam.errors import InputError

_EDGES = "\ufeff\u200b\u200c\u200e\u200f\u2060\u00ad\u3000\u00a0"
"""Byte order mark, zero width and the like: at the ends of a name they say nothing."""

_UNSEEN = ("Cf", "Mn", "Me", "Zs", "Zl", "Zp")
_FILLERS = "\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5"
"""Letters and signs that are blank all the same: Hangul's and Khmer's fillers, Braille without a dot."""

RESERVED = frozenset({"<start>", "<end>", "<pad>", "<unk>"})
"""Names of a sequence model's own tokens."""


def clean(label: str) -> str:
    """Return a label's name: composed Unicode (NFC), without blanks around it, seen or unseen.

    Example:
        >>> clean(" \ufeffcafe\N{COMBINING ACUTE ACCENT}\u200b ")
        'café'
    """
    if label.isascii():
        return label.strip()
    name = unicodedata.normalize("NFC", label).strip()
    if name and (name[0] in _EDGES or name[-1] in _EDGES):
        return name.strip(_EDGES + whitespace) or name  # one of which nothing can be seen is refused later
    return name


def refuse_reserved(labels: Iterable[str], where: str) -> None:
    """Raise an error where a label has the name of a special token, a line break or the like in it, or nothing to see.

    Raises:
        InputError: such a label is there.
    """
    labels = {label for label in labels if not (label.isascii() and label.isprintable())} | {
        label for label in labels if label.startswith("<")
    }
    if unseen := sorted(
        name for name in labels if all(c in _FILLERS or unicodedata.category(c) in _UNSEEN for c in name)
    ):
        raise InputError(
            f"{where}: {', '.join(f'{name!r:.60}' for name in unseen[:5])} is a label of which nothing can be "
            "seen. Repair the name."
        )
    if odd := sorted(name for name in labels if any(unicodedata.category(c) in ("Cc", "Cs") for c in name)):
        raise InputError(
            f"{where}: {', '.join(f'{name!r:.60}' for name in odd[:5])} holds a line break or another control "
            "character. Repair the name."
        )
    if taken := sorted(label for label in set(labels) if label.casefold() in RESERVED):
        raise InputError(
            f"{where}: {', '.join(f'{name!r:.60}' for name in taken[:5])} is the name of a special token, not of a "
            f"label. Rename it; reserved are {', '.join(sorted(RESERVED))}."
        )


def variants_note(labels: Iterable[str]) -> tuple[str, ...]:
    """Return notes about labels that look alike, but for case or width, or like several others in one; or none.

    Example:
        >>> variants_note(["Dog", "dog", "cat"])
        ("labels that differ only in case, width or what cannot be seen are kept apart: 'Dog' and 'dog'.",)
    """
    groups, names = defaultdict(list), sorted(set(labels))
    for label in names:
        seen = "".join(char for char in label if label.isascii() or unicodedata.category(char) != "Cf")
        groups[unicodedata.normalize("NFKC", seen).casefold()].append(label)
    alike = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    notes = []
    if alike:
        notes.append(
            f"labels that differ only in case, width or what cannot be seen are kept apart: {'; '.join(alike[:5])}."
        )
    if marks := marks_between(set(names)):
        joined = [name for name in names if any(mark in name for mark in marks)]
        notes.append(
            f"{len(joined):,} labels hold others with a mark between and are one label each, such as {joined[0]!r}."
        )
    return tuple(notes)


_RUN = re.compile(r"[^\w\s.'’-]+|_{2,}|-{2,}|[.]{2,}|(?<=\s)(?:and|und|et|och|og)(?=\s)")
_LONGEST_MARK = 4
"""Characters of what separates labels; more are no separator."""


def marks_between(names: set[str]) -> set[str]:
    """Return marks of any kind that stand between other names, as `^`, `::` or a picture; no single - _ . or '.

    Example:
        >>> marks_between({"cat", "dog", "cat+dog", "wild-cat"})
        {'+'}
    """
    found = set()
    for name in names:
        for mark in (run for run in _RUN.findall(name) if len(run) <= _LONGEST_MARK):
            parts = [part.strip() for part in name.split(mark)]
            first = mark if name.startswith(mark) else ""  # #cat#dog beside #cat and #dog
            if len(parts) > 2 - (not first) and all(first + part in names for part in parts[bool(first) :]):
                found.add(mark)
    return found


ARROW = "->"


@dataclass(frozen=True)
class NamePair:
    """One line `left -> right`.

    Attributes:
        left: the name before the arrow.
        right: the name behind it.
        where: file and line, for messages.
    """

    left: str
    right: str
    where: str


def read_pairs(file: Path) -> list[NamePair]:
    r"""Read lines `left -> right`.

    Raises:
        InputError: no such file, not UTF-8, no pair in it, or a line that is not two names with one arrow
            between them (with its number).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "aliases.txt"
        ...     _ = file.write_text("# what we call it\nTV -> television\n", encoding="utf-8")
        ...     [(pair.left, pair.right) for pair in read_pairs(file)]
        [('TV', 'television')]
    """
    pairs = []
    for number, line in lines_of(file):
        names = [clean(part) for part in line.split(ARROW)]
        if len(names) != 2 or not all(names):
            raise InputError(
                f"{file}, line {number}: {line[:80]!r} is not two labels with one arrow between them. Write "
                "one pair a line, such as: puppy -> dog"
            )
        pairs.append(NamePair(names[0], names[1], f"{file}, line {number}"))
    if not pairs:
        raise InputError(f"{file} holds no pair of labels. Write one a line, such as: puppy -> dog")
    return pairs


def read_names(given: str) -> tuple[str, ...]:
    """Read a list of names: those in a file, one a line, or those written with commas between them.

    Args:
        given: the name of a file that exists, or names such as `cat,dog`. Names that hold a comma need a file.

    Returns:
        The names, cleaned, each once.

    Raises:
        InputError: no name, a file that is not UTF-8, or the name of a text file that is not there.

    Example:
        >>> read_names("cat, dog,cat")
        ('cat', 'dog')
    """
    file = Path(given)
    if _is_file(file):
        names = [clean(line) for _, line in lines_of(file)]
    elif file.suffix.casefold() in {".txt", ".csv", ".lst"}:
        raise InputError(
            f"the list of labels {given!r} is not there (looked from {Path.cwd()}). Check the path, or write the "
            "labels with commas between them."
        )
    else:
        names = [clean(name) for name in given.split(",")]
    found = tuple(dict.fromkeys(name for name in names if name))
    if not found:
        raise InputError(f"{given!r} names no label. Write them with commas between them, or name a file.")
    return found


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a list too long for a file name, or with a NUL in it
        return False


def lines_of(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file that say something, with their numbers.

    Raises:
        InputError: no such file, or not UTF-8.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 ({error}). Save it as UTF-8.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}). Check the path.") from error
    yield from lines_in(text)


def lines_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text that say something, with their numbers."""
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if content and content != "#" and not content.startswith("# "):
            yield number, content


def read_aliases(file: Path) -> Mapping[str, str]:
    """Read a file of aliases, `old -> new` on each line.

    Raises:
        InputError: whatever `read_pairs` and `resolve` find wrong.
    """
    return resolve(read_pairs(file))


def resolve(pairs: Iterable[NamePair]) -> Mapping[str, str]:
    """Follow chains of aliases to their ends.

    Raises:
        InputError: one old name with two new ones, or names that go round in a circle (with the line).

    Example:
        >>> dict(resolve([NamePair("pup", "puppy", "line 1"), NamePair("puppy", "dog", "line 2")]))
        {'pup': 'dog', 'puppy': 'dog'}
    """
    given: dict[str, NamePair] = {}
    for pair in pairs:
        first = given.setdefault(pair.left, pair)
        if first.right != pair.right:
            raise InputError(
                f"{pair.where}: {pair.left!r} -> {pair.right!r}, but {first.where} says {pair.left!r} -> "
                f"{first.right!r}. A label has one new name: remove one of the lines."
            )
    return {old: _end(old, given) for old in given}


def _end(old: str, given: Mapping[str, NamePair]) -> str:
    path = [old]
    while path[-1] in given:
        pair = given[path[-1]]
        path.append(pair.right)
        if pair.right in path[:-1]:
            circle = " -> ".join(map(repr, path[path.index(pair.right) :]))
            raise InputError(f"{pair.where}: {circle} goes round in a circle. Remove one of these lines.")
    return path[-1]
