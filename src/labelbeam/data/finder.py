"""Where the image files of a data set lie: names as a file says them, to keys below a folder.

The one place that looks: every reader ends in `data.dataset.settle`, which asks here, and a reader whose names
lack a suffix or repeat in several subsets asks itself. A name is tried as it is written; then in the folders that
data sets keep images in (`images/`, `data/`, a subset's own, beside the file's folder), without the first of its
own folders (addresses, paths of another computer), without or in another case of its suffix, in another Unicode
form; and at last anywhere below the folder. A folder that holds some of the names that were written alike is
believed to hold them all. Nothing is taken that two files could be. Opens no file.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

from labelbeam.data.image_bytes import image_exists, within_archive
from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError

HOMES = ("images", "image", "data", "img", "imgs", "jpegimages", "photos", "pictures")
"""What folders of images are called beside files of labels, in any case."""

LABEL_HOMES = (
    *("annotations", "annotation", "labels", "label", "csv", "meta", "metadata", "lists"),
    *("splits", "imagesets"),
)
"""What folders of labels are called, whose images lie beside them."""

MOST_FILES = 500_000
"""Files that are looked through below a folder, at most, where a name says no folder."""

_SUBSETS = {"valid": "val", "validation": "val", "dev": "val", "training": "train", "testing": "test"}
"""Other words for subsets."""

_DEEPEST = 16
_TRIED = 2_000
"""Names of a group by which its folder is found."""

_WORDS = {
    "form": "file names are in another Unicode form on disk, which is used",
    "code": "names of addresses were found without their %-escapes",
    "case": "file names are written in another case, or with other blanks, on disk, which is used",
    "suffix": "images are named without a suffix, and were found with one",
    "number": "images are named by a number, and were found by it",
}


@dataclass(frozen=True)
class FoundImages:
    """Where images are.

    Attributes:
        root: folder that the keys are relative to: the one asked for, or the one that holds every image.
        keys: per name, its key below `root` (absolute where it lies elsewhere); None: not there.
        notes: what was read otherwise than written, in sentences.
        looked: folders that were looked into.
        several: names that two files could be, with those.
    """

    root: Path
    keys: tuple[str | None, ...]
    notes: tuple[str, ...] = ()
    looked: tuple[Path, ...] = ()
    several: dict[str, tuple[str, str]] = field(default_factory=dict)

    def refuse_several(self, spec: str) -> None:
        """Raise an error where a name could be two files."""
        for name, (one, other) in self.several.items():
            raise InputError(
                f"{spec}: {name!r} is ambiguous: there are {one} and {other} in {self.root}. Move one of them away, "
                "or name the folder of the images with --root."
            )


def find_images(root: Path, names: Sequence[str], *, subsets: Sequence[str] = ()) -> FoundImages:
    """Find the files of images.

    Args:
        root: folder that the names are relative to, as far as their file says.
        names: image keys with forward slashes; an absolute path is one too, and one into a tar archive.
        subsets: the subset of each name, such as `train`; empty: none has one. The same name in two subsets is
            two images where each subset has a folder with such a file.

    Returns:
        Where they are; images keep their names where one folder holds them all.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (Path(folder) / "images").mkdir()
        ...     _ = (Path(folder) / "images" / "a.jpg").write_bytes(b"")
        ...     found = find_images(Path(folder), ["a", "b"])
        >>> found.root.name, found.keys
        ('images', ('a.jpg', None))
    """
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        groups[name.rpartition("/")[0], subsets[i] if subsets else ""].append(i)
    repeated = subsets and len(set(names)) < len(set(zip(names, subsets, strict=True)))
    if repeated and any(_same_subset(root.name, subset) for subset in set(subsets)):
        root = root.parent  # the folder of one subset: the others lie beside it
    search = _Search(root, own_first=bool(repeated))
    for (folder, subset), members in groups.items():
        search.find(folder, subset, members, names)
    return search.result(names)


def keys_of_subsets(names: Sequence[str], subsets: Sequence[str], found: FoundImages) -> list[str]:
    """Return each image's key; a name that was not found and is in several subsets gets its subset in front.

    Example:
        >>> keys_of_subsets(["a", "a", "b"], ["x", "y", "x"], FoundImages(Path(), (None, "z/a", None)))
        ['x/a', 'z/a', 'b']
    """
    distinct = Counter(name for name, _ in set(zip(names, subsets, strict=True)))
    return [
        key or (f"{subset}/{name}" if subset and distinct[name] > 1 else name)
        for name, subset, key in zip(names, subsets, found.keys, strict=True)
    ]


def lost_images(root: Path, keys: Sequence[str]) -> list[str]:
    """Return the keys of which there is no file of exactly that name."""
    listings: dict[str, set[str] | None] = {}
    lost = []
    for key in keys:
        folder, slash, name = key.rpartition("/")
        place = folder + slash
        if place not in listings:
            path = root / (place or ".")
            reachable = os.path.isdir(path) or within_archive(path / "x") is not None  # noqa: PTH112  never raises
            listings[place] = _Listing.of(path).names if reachable else None
        there = listings[place]
        if there is None or (name not in there and not image_exists(root / key)):
            lost.append(key)
    return lost


class _Listing:
    """The files of a folder, or of everything below one, by the names that they may be asked by."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self._by: dict[str, dict[str, list[str]]] = {}

    @staticmethod
    def of(folder: Path) -> "_Listing":
        # One listing per folder, not one look-up per file: a hundred thousand look-ups take minutes on a
        # network drive.
        try:
            with os.scandir(folder) as entries:
                return _Listing({entry.name for entry in entries if entry.is_file()})
        except (OSError, ValueError):  # no such folder, or none can be: too long a name, or a NUL in it
            return _Listing(set())

    def match(self, name: str) -> tuple[str, list[str]]:
        """Return how a name was found ("" as it is), and the files that it could be."""
        if name in self.names:
            return "", [name]
        if not self.names or not name:
            return "", []
        composed = normalize("NFC", name)
        for way, wanted in (("form", composed), ("code", unquote(composed)), ("case", _folded(composed))):
            if found := self._index(way).get(wanted):
                return ("" if found[0].endswith("/" + name) else way), found
        if PurePosixPath(name).suffix.lower() in SUFFIXES:
            return "", []
        found = self._index("suffix").get(_folded(composed))
        if (
            not found and (number := name.removesuffix(".0")).isdecimal()
        ):  # as pandas writes numbers beside blanks
            return "number", self._index("number").get(number.lstrip("0"), [])
        return "suffix", found or []

    def _index(self, way: str) -> dict[str, list[str]]:
        if way not in self._by:
            index = self._by[way] = defaultdict(list)
            for name in sorted(self.names):
                if key := _name_by(way, name):
                    index[key].append(name)
        return self._by[way]


def _name_by(way: str, name: str) -> str:
    """Return by what a file's name is found in that way, whatever its folder; empty where it is not."""
    composed = normalize("NFC", name.rpartition("/")[2])
    if way == "case":
        return _folded(composed)
    if way not in ("suffix", "number"):
        return composed
    stem, dot, suffix = composed.rpartition(".")
    if "." + suffix.lower() not in SUFFIXES or not dot:
        return ""
    return _folded(stem) if way == "suffix" else stem.lstrip("0") if stem.isdecimal() else ""


def _folded(name: str) -> str:
    """Return a name without its case, and with plain blanks for others: macOS puts narrow ones before AM and PM."""
    return re.sub(r"\s", " ", name).strip().casefold()


class _Search:
    """One search: what was found of each name, and where was looked."""

    def __init__(self, root: Path, *, own_first: bool) -> None:
        self.root = root
        self.own_first = own_first
        self.found: dict[int, tuple[Path, str]] = {}
        self.ways: Counter[str] = Counter()
        self.examples: dict[str, tuple[str, str]] = {}
        self.several: dict[str, tuple[str, str]] = {}
        self.looked: dict[Path, None] = {root: None}
        self._below: _Listing | None = None
        self._listing = lru_cache(maxsize=None)(_Listing.of)
        self._folders = lru_cache(maxsize=None)(_folders)

    def find(self, folder: str, subset: str, members: Sequence[int], names: Sequence[str]) -> None:
        """Find the names of a group: those that were written with the same folder and are of one subset."""
        start = len(folder) + 1 if folder or names[members[0]].startswith("/") else 0
        short = {i: names[i][start:] for i in members}
        if self.own_first and subset:
            for place, inner in self._places(folder, subset, own_only=True):
                if self._take(place, f"{inner}/" if inner else "", short):
                    return
        if self._take(self.root, folder + "/" if start else "", short):
            return
        best, most = None, 0
        tried = dict(list(short.items())[:_TRIED])
        for place, inner in self._places(folder, subset):
            listing = self._listing(place / inner)
            if listing.names:
                self.looked[place / inner] = None
            hits = sum(bool(listing.match(name)[1]) for name in tried.values()) if listing.names else 0
            if hits > most:
                best, most = (place, inner), hits
        if best is not None:
            self._take(best[0], f"{best[1]}/" if best[1] else "", short)
            return
        for i, name in short.items():
            self._take_below(i, name, names[i], subset)

    def _take(self, place: Path, inner: str, short: dict[int, str]) -> bool:
        """Take what a folder has of a group; return whether it has any."""
        listing = self._listing(place / (inner or "."))
        any_there = False
        for i, name in short.items():
            way, files = listing.match(name)
            if not files and place == self.root and image_exists(place / f"{inner}{name}"):
                files = [name]  # inside an archive, or on a file system that compares names more freely
            if len(files) == 1:
                self._keep(i, place, inner + files[0], way, inner + name)
            elif files:
                self.several.setdefault(name, (inner + files[0], inner + files[1]))
            any_there |= bool(files)
        return any_there

    def _keep(self, i: int, place: Path, key: str, way: str, name: str) -> None:
        self.found[i] = (place, key)
        if way:
            self.ways[way] += 1
            self.examples.setdefault(way, (name, key))

    def _places(self, folder: str, subset: str, *, own_only: bool = False) -> Iterator[tuple[Path, str]]:
        """Yield folders that may hold a group, in the order of preference, as place and the folder inside it."""
        parts = [part for part in folder.split("/") if part not in {"", ".", ".."}]
        tails = ["/".join(parts[n:]) for n in range(max(0, len(parts) - _DEEPEST), len(parts) + 1)]
        above = self.root.absolute().parent
        beside = self.root.absolute().name.casefold() in LABEL_HOMES
        # Outside the folder that was named, only what names a folder is looked for, or what is meant to lie there.
        for own, places in (
            (True, self._homes(self.root, subset, own_only=own_only)),
            (beside, self._homes(above, subset, own_only=own_only)),
            (False, iter([Path()][own_only:])),
        ):
            for place in places:
                for tail in tails if own else tails[:-1]:
                    if (place, tail) != (self.root, folder):
                        yield place, tail

    def _homes(self, base: Path, subset: str, *, own_only: bool) -> Iterator[Path]:
        homes = [base / name for name in self._folders(base) if name.casefold() in HOMES]
        for home in (base, *homes) if subset else ():
            for own in (home / name for name in self._folders(home) if _same_subset(name, subset)):
                yield own
                yield from (own / name for name in self._folders(own) if name.casefold() in HOMES)
        yield from () if own_only else (base, *homes)

    def _take_below(self, i: int, name: str, written: str, subset: str) -> None:
        """Take the one file below the root that has a name, whatever its folder."""
        if self._below is None:
            self._below = _Listing(_files_below(self.root))
        way, found = self._below.match(name)
        if subset and len(found) > 1:
            own = [key for key in found if any(_same_subset(part, subset) for part in key.split("/")[:-1])]
            found = own or found
        if len(found) > 1:
            folders = set(written.casefold().split("/")[:-1])
            shared = [len(folders & set(key.casefold().split("/")[:-1])) for key in found]
            found = [key for key, count in zip(found, shared, strict=True) if count == max(shared)]
        if len(found) == 1:
            self._keep(i, self.root, found[0], way, name)
        elif found:
            self.several.setdefault(written, (found[0], found[1]))

    def result(self, names: Sequence[str]) -> FoundImages:
        """Return what was found, relative to one folder."""
        self._refuse_shared(names)
        places = {place for place, _ in self.found.values()}
        root = _common(places, self.root)
        keys: list[str | None] = [None] * len(names)
        for i, (place, key) in self.found.items():
            keys[i] = key if place == root else _key_below(root, place / key)
        notes = []
        moved = [i for i, key in enumerate(keys) if key is not None and root / key != self.root / names[i]]
        moved = [i for i in moved if (root / str(keys[i])).parent != (self.root / names[i]).parent]
        if moved:
            shown = _shown(self.root, root / str(keys[moved[0]]))
            notes.append(
                f"{len(moved):,} images lie elsewhere than written, such as {names[moved[0]]}: {shown}."
            )
        for way, count in self.ways.items():
            name, key = self.examples[way]
            notes.append(f"{count:,} {_WORDS[way]}: {name} is {key}.")
        return FoundImages(root, tuple(keys), tuple(notes), tuple(self.looked), self.several)

    def _refuse_shared(self, names: Sequence[str]) -> None:
        """Take back files that two different names led to."""
        owner: dict[tuple[Path, str], int] = {}
        for i, at in list(self.found.items()):
            first = owner.setdefault(at, i)
            if names[first] != names[i] and first in self.found:
                exact = [j for j in (first, i) if self.root / names[j] == at[0] / at[1]]
                for j in {first, i} - set(exact[:1]):
                    self.found.pop(j, None)
                if not exact:
                    self.several.setdefault(names[i], (at[1], f"the same for {names[first]!r}"))


def _files_below(root: Path) -> set[str]:
    """Return the images below a folder, as paths from there."""
    files: set[str] = set()
    count = 0
    for folder, inner, names in os.walk(root):
        place = Path(folder).relative_to(root).as_posix()
        place = "" if place == "." else place + "/"
        inner[:] = [] if place.count("/") >= _DEEPEST else sorted(n for n in inner if not n.startswith("."))
        files.update(place + name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES)
        count += len(names)
        if count > MOST_FILES:
            break
    return files


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except (OSError, ValueError):
        return []


def _same_subset(folder: str, subset: str) -> bool:
    return _SUBSETS.get(folder.casefold(), folder.casefold()) == _SUBSETS.get(
        subset.casefold(), subset.casefold()
    )


def _common(places: set[Path], root: Path) -> Path:
    """Return the folder that all places are in; the root where there is none."""
    if len(places) == 1:
        return next(iter(places))
    try:
        common = Path(os.path.commonpath(places))
    except ValueError:  # none; or some relative, some not
        return root
    return common if common.is_relative_to(root) or common.parent == root.absolute().parent else root


def _key_below(root: Path, path: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def _shown(root: Path, path: Path) -> str:
    key = _key_below(root, path)
    return key if not key.startswith("/") else os.path.relpath(path, root)
