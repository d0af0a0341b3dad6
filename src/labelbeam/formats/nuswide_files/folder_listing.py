"""A data set's folder, listed once: its text files by name, its images by path.

For layouts whose outer folders have other names in every copy: files are found by their own names. Between
the disk and a reader. Knows no layout and opens no file.
"""

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labelbeam.data.listing import SUFFIXES

TEXT_SUFFIXES = frozenset({".txt", ".dat"})


@dataclass(frozen=True)
class FolderListing:
    """What is in a folder and its subfolders.

    Attributes:
        root: the folder.
        texts: file name in lower case -> its places relative to the root, the outermost first.
        images: paths of image files relative to the root, with forward slashes, sorted.
    """

    root: Path
    texts: Mapping[str, tuple[str, ...]]
    images: tuple[str, ...]

    def find(self, *names: str) -> Path | None:
        """Return the file of the first of these names that is there, the outermost of several, or None.

        Upper and lower case are one: mirrors disagree about `Imagelist.txt` and `ImageList.txt`.
        """
        for name in names:
            if places := self.texts.get(name.casefold()):
                return self.root / places[0]
        return None

    def repeated(self, names: set[str]) -> tuple[str, ...]:
        """Return those of these file names that are in several places, sorted."""
        return tuple(sorted(name for name in names if len(self.texts.get(name.casefold(), ())) > 1))


def list_folder(root: Path) -> FolderListing:
    """List a folder with its subfolders; hidden entries and macOS's copies of them are left out.

    Args:
        root: an existing folder; links to folders inside it are followed, circular ones once.

    Returns:
        The listing; one look at each folder, none at each file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("Concepts81.txt", "0001_5.jpg", ".hidden.txt"):
        ...         _ = Path(folder, name).write_bytes(b"")
        ...     listing = list_folder(Path(folder))
        >>> listing.images, dict(listing.texts)
        (('0001_5.jpg',), {'concepts81.txt': ('Concepts81.txt',)})
    """
    texts: dict[str, list[str]] = defaultdict(list)
    images: list[str] = []
    seen: set[str] = set()
    folders = [""]
    while folders:
        folder = folders.pop()
        here = os.path.realpath(root / folder)
        if here in seen:
            continue
        seen.add(here)
        for name, is_folder in _entries(root / folder):
            place = folder + name
            if is_folder:
                folders.append(place + "/")
            elif (suffix := os.path.splitext(name)[1].lower()) in SUFFIXES:  # noqa: PTH122 (a Path each is slow)
                images.append(place)
            elif suffix in TEXT_SUFFIXES:
                texts[name.casefold()].append(place)
    ordered = {
        name: tuple(sorted(places, key=lambda place: (place.count("/"), place)))
        for name, places in texts.items()
    }
    return FolderListing(root, ordered, tuple(sorted(images)))


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Return the names in a folder and whether each is a folder; nothing where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return [
                (entry.name, entry.is_dir())
                for entry in entries
                if not entry.name.startswith(".") and entry.name != "__MACOSX"
            ]
    except OSError:
        return []
