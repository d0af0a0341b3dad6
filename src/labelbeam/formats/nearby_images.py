"""Image files near the file that names them: in its folder, in a folder of images in it or beside it.

Used by readers of formats that people copy around, whose paths come from another machine. Each folder is listed
once. Knows no layout and no labels.
"""

import os
from collections import defaultdict
from pathlib import Path, PurePosixPath

from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError
from labelbeam.formats.image_names import image_key

FOLDERS = (
    "images",
    "JPEGImages",
    "Images",
    "imgs",
    "img",
    "data",
    "img_align_celeba",
    "Img/img_align_celeba",
    "Img/img_celeba",
)
"""Names of folders that hold the images of label files beside or in them."""


class NearbyImages:
    """Looks names up around a folder, and gives image keys.

    Args:
        root: folder that keys are relative to; what lies elsewhere has an absolute key.
        spec: the data set, for messages.
    """

    def __init__(self, root: Path, spec: str) -> None:
        self._root = root
        self._spec = spec
        self._names: dict[Path, frozenset[str]] = {}
        self._stems: dict[Path, dict[str, list[str]]] = {}
        self.elsewhere = 0
        """How many names were found at another place than they say."""

    def key(self, home: Path, written: str, *, where: str, by_stem: bool = False) -> str:
        """Return the key of an image: where its file is, or where its name says if there is none.

        Looked for are the name as it is written, then with fewer and fewer of its folders, in `home`, then in
        folders of images in `home` and beside it.

        Args:
            home: folder of the file that names it.
            written: the name; a path, an address, perhaps of another machine.
            where: file and place in it, for messages.
            by_stem: whether any suffix will do.

        Raises:
            InputError: no file can have that name; several files have it, with different suffixes.
        """
        found = self.found(home, written, where=where, by_stem=by_stem)
        return found or self._relative(home / image_key(written, where))

    def found(self, home: Path, written: str, *, where: str, by_stem: bool = False) -> str | None:
        """Return what `key` does, but None where there is no such file.

        Raises:
            InputError: as `key`.
        """
        parts = PurePosixPath(image_key(written, where)).parts
        places = [home, *(base / folder for base in (home, home.parent) for folder in FOLDERS), home.parent]
        for start in range(len(parts)):
            for place in places:
                if file := self._lookup(place, parts[start:], where, by_stem=by_stem):
                    self.elsewhere += start > 0
                    return self._relative(file)
        return None

    def _lookup(self, place: Path, parts: tuple[str, ...], where: str, *, by_stem: bool) -> Path | None:
        folder = place.joinpath(*parts[:-1])
        if folder not in self._names:
            self._list(folder)
        if parts[-1] in self._names[folder]:
            return folder / parts[-1]
        same = self._stems[folder].get(stem_of(parts[-1]), []) if by_stem else []
        if len(same) > 1:
            raise InputError(
                f"{self._spec}: {where}: {parts[-1]!r} is ambiguous: there are {' and '.join(same[:5])} in {folder}. "
                "Keep one of them there."
            )
        return folder / same[0] if same else None

    def _list(self, folder: Path) -> None:
        try:
            with os.scandir(folder) as entries:
                files = sorted(entry.name for entry in entries if entry.is_file())
        except (OSError, ValueError):  # no such folder, or none can be
            files = []
        self._names[folder] = frozenset(files)
        self._stems[folder] = defaultdict(list)
        for name in files:
            if PurePosixPath(name).suffix.lower() in SUFFIXES:
                self._stems[folder][stem_of(name)].append(name)

    def _relative(self, path: Path) -> str:
        try:
            return path.relative_to(self._root).as_posix()
        except ValueError:
            return path.absolute().as_posix()


def stem_of(name: str) -> str:
    """Return a file's name without the suffix of an image; other dots are part of the name.

    Example:
        >>> stem_of("a.b.JPG"), stem_of("frame.0001")
        ('a.b', 'frame.0001')
    """
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SUFFIXES else name
