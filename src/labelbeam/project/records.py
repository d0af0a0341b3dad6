"""What a project keeps: photographs, changes and steps; names it can keep; the photographs' bytes."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import UnidentifiedImageError

from labelbeam.data.image_container import opened
from labelbeam.data.images import DAMAGE
from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.labels.names import clean, refuse_reserved
from labelbeam.labels.vocabulary import ABSENT, PRESENT

# What a project tells: a photograph, a change of what is decided of it, and a step. Knows no database.


@dataclass(frozen=True)
class Photograph:
    """A photograph of a project.

    Attributes:
        id: its number in the project, from 1 on, in the order of adding.
        name: what its owner calls it: a file name, with folders where a folder was added. For showing only.
        path: where the file is.
        hash: SHA-256 of its bytes when it was added, hexadecimal.
        added: whether the project holds the bytes; False: it refers to a file of the user's.
        complete: whether somebody said that nothing else is on it: labels that nobody decided are absent.
    """

    id: int
    name: str
    path: Path
    hash: str
    added: bool
    complete: bool


@dataclass(frozen=True)
class Change:
    """What is decided of one label of one photograph from now on.

    Attributes:
        image: number of the photograph.
        label: its name.
        value: PRESENT (1, accepted), ABSENT (0, rejected) or None (nobody decided).

    Raises:
        InputError: another value.
    """

    image: int
    label: str
    value: int | None

    def __post_init__(self) -> None:
        if self.value not in (PRESENT, ABSENT, None):
            raise InputError(
                f"a label is accepted (1), rejected (0) or undecided (null); given {self.value!r}."
            )


@dataclass(frozen=True)
class Step:
    """What one click or one bulk action, or taking it back, changed; as it is now.

    Attributes:
        changes: of decisions.
        others: whether photographs or labels themselves changed: marked as complete, removed, renamed.
    """

    changes: tuple[Change, ...] = ()
    others: bool = False


# Names that a project can keep: of labels, as a person types them, and of photographs, as browsers tell them.

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


# The photographs' bytes: a folder beside the project file, each file named after its content by us.
#
# Files, not rows: readers, exports and other programs open them where they are, a training run streams
# them, and the database stays small enough to be copied after every session. A file is on the disk before
# the row that names it, so a crash leaves at most a file without a row, which the same photograph finds
# again. Knows no database.

SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "GIF": ".gif", "WEBP": ".webp", "AVIF": ".avif"} | {
    "TIFF": ".tif",
    "BMP": ".bmp",
}
"""Of what Pillow says a file is; anything else that could be decoded is HEIC."""


def content_hash(content: bytes) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def images_folder(project: Path) -> Path:
    """Return the folder of a project's photographs.

    Example:
        >>> images_folder(Path("holiday.lbp")).name
        'holiday.lbp.images'
    """
    return project.with_name(project.name + ".images")


def store(folder: Path, content: bytes) -> str:
    """Write a photograph's bytes, to the disk itself, and return the name of its file in the folder.

    Args:
        folder: made where it is missing.
        content: what was decoded without an error before.
    """
    name = content_hash(content)[:32] + _suffix(content)
    target = folder / name
    if target.is_file() and target.stat().st_size == len(content):
        return name
    folder.mkdir(exist_ok=True)
    with written_whole(target) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(folder)
    return name


def _suffix(content: bytes) -> str:
    try:
        with opened(content) as image:
            return SUFFIXES.get(image.format or "", ".heic")
    except (UnidentifiedImageError, *DAMAGE):
        return ".heic"


def _sync_folder(folder: Path) -> None:
    """Bring a new name to the disk; a system that cannot open folders (Windows) does so by itself."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
