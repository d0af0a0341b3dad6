"""Small text files about label names: lists of names, and pairs `old -> new`.

One entry a line, UTF-8. Blank lines and lines that begin with `# ` are left out (`#sunset` is a label). Read here
for `aliases`, `implications`, and lists of labels to deny or to keep. Knows nothing of images.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from labelbeam.errors import InputError
from labelbeam.labels.hygiene import clean

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

    Args:
        file: a text file in UTF-8, with or without a byte order mark.

    Returns:
        The pairs in the file's order, their names cleaned.

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
    for number, line in _lines(file):
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
        names = [clean(line) for _, line in _lines(file)]
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


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with their numbers."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 ({error}). Save it as UTF-8.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}). Check the path.") from error
    for number, line in enumerate(text.splitlines(), start=1):
        said = line.strip()
        if said and said != "#" and not said.startswith("# "):
            yield number, said
