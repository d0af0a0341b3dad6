"""NUS-WIDE's image files: found by name in any layout, and told from Flickr's "photo unavailable" picture.

One listing of the folder is compared with the names of the rows; no file is looked up by itself. Between the
rows and the data set. Knows no labels.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labelbeam.formats.nuswide_rows import FolderListing, photo_id

REPEATED = 10
"""So many photo ids with the same bytes are no coincidence, but the picture Flickr sends for lost photographs."""

_SAMPLE = 64


@dataclass(frozen=True)
class Located:
    """Where the images are.

    Attributes:
        root: folder that the keys are relative to.
        keys: for each row, in its order: the file's path relative to the root (absolute where it is elsewhere), or, for
            rows without a file, the name that it would have.
        found: for each row, whether a file was found.
    """

    root: Path
    keys: tuple[str, ...]
    found: tuple[bool, ...]


def locate(names: Sequence[str], listing: FolderListing) -> Located:
    """Find the images of rows.

    A file is a row's if folder and name are (`actor/0001_2124494179.jpg`, below whatever folder); else if it
    alone has the row's file name; else if it alone has the row's photo id. Files and rows that share a photo id are
    paired in the official order where they are equally many and the files are in folders, else left alone.

    Args:
        names: of the rows, `folder/0001_photoid.jpg` or a photo id.
        listing: of the data set's folder.

    Returns:
        The places.
    """
    by_pair: dict[str, str] = {}
    for file in listing.images:
        by_pair.setdefault("/".join(file.split("/")[-2:]), file)
    files: list[str | None] = [by_pair.get(name) for name in names]
    for key_of in (_file_name, photo_id):
        _match(names, files, listing.images, key_of)
    root = _root(names, files, listing)
    prefix = "" if root == "." else root + "/"
    keys = []
    for name, place in zip(names, files, strict=True):
        if place is None:
            keys.append(name if "/" in name else f"{name}.jpg")
        else:
            inside = place.startswith(prefix)
            keys.append(place[len(prefix) :] if inside else (listing.root / place).resolve().as_posix())
    return Located(listing.root / root, tuple(keys), tuple(file is not None for file in files))


def unavailable(root: Path, keys: Iterable[str]) -> frozenset[str]:
    """Return the images that are Flickr's "photo unavailable" picture: the same bytes under many photo ids.

    Flickr answers for a deleted photograph with a valid picture that says so, and has changed that picture over
    the years; so it is known by being there again and again.

    Args:
        root: folder that the keys are relative to.
        keys: of images whose files are there.

    Returns:
        The keys of files whose content occurs at least `REPEATED` times.
    """
    groups: dict[object, list[str]] = {(): list(keys)}
    for property_of in (_size, _middle, _digest):  # each step reads more of fewer files
        finer: dict[object, list[str]] = defaultdict(list)
        for members in groups.values():
            for key in members:
                finer[property_of(root / key)].append(key)
        groups = {value: members for value, members in finer.items() if len(members) >= REPEATED and value}
    return frozenset(key for members in groups.values() for key in members)


def _size(path: Path) -> object:
    try:
        return os.stat(path).st_size  # noqa: PTH116 (a quarter of a million of them)
    except OSError:
        return None


def _middle(path: Path) -> object:
    try:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(size // 2)
            return size, file.read(_SAMPLE)
    except OSError:
        return None


def _digest(path: Path) -> object:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None


def _file_name(name: str) -> str:
    return name.rpartition("/")[2]


def _match(
    names: Sequence[str], files: list[str | None], images: Iterable[str], key_of: Callable[[str], str]
) -> None:
    """Fill in files for the rows that have none, where a property of their names tells which."""
    used = {file for file in files if file}
    candidates: dict[str, list[str]] = defaultdict(list)
    for image in images:
        if image not in used:
            candidates[key_of(image)].append(image)
    waiting: dict[str, list[int]] = defaultdict(list)
    for i, file in enumerate(files):
        if file is None:
            waiting[key_of(names[i])].append(i)
    for key, rows in waiting.items():
        places = candidates.get(key, [])
        if len(places) != len(rows):
            continue
        if len(rows) > 1 and len({_parent(place) for place in places}) < len(rows):
            continue
        # The official lists are sorted by upper-case path, so this is the order of the rows.
        for i, place in zip(rows, sorted(places, key=_official_order), strict=True):
            files[i] = place


def _official_order(place: str) -> str:
    return "/".join(place.split("/")[-2:]).upper()


def _parent(place: str) -> str:
    return place.rpartition("/")[0]


def _root(names: Sequence[str], files: Iterable[str | None], listing: FolderListing) -> str:
    """Return the folder, relative to the listing's, that most images lie below as their names say."""
    below: Counter[str] = Counter()
    for name, file in zip(names, files, strict=True):
        if file is not None:
            as_named = "/" in name and f"/{file}".endswith(f"/{name}")
            below[file[: -len(name)].rstrip("/") if as_named else _parent(file)] += 1
    if not below:
        usual = (name for name in ("Flickr", "images", "Images", "image") if (listing.root / name).is_dir())
        return next(usual, ".")
    folder, count = below.most_common(1)[0]
    # Rows known by photo id alone do not say their folder: photographs in many folders lie below the one above.
    return (folder if 2 * count > below.total() else _parent(folder)) or "."
