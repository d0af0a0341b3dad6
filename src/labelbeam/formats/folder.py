"""A folder per label: `DIR/cat/a.jpg`; an image of several labels is in several folders.

The same file by name and content (or by hard link) is one image. Writes that layout too. Knows nothing of pixels.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.listing import SUFFIXES, images_in
from labelbeam.errors import InputError
from labelbeam.formats import placing
from labelbeam.formats.documents import LONGEST
from labelbeam.formats.labelled_images import Labels, labelled_dataset
from labelbeam.labels.names import clean, read_names
from labelbeam.labels.vocabulary import PRESENT

UNLABELLED = "_unlabelled"
"""The folder of images that have no label."""


def read_folder(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder that holds a folder per label.

    Files of the same name (below their label's folder) and content in several folders are one image with several
    labels; of another content, they are other images. Images in the folder `_unlabelled` have no label; of those
    that lie in no folder nothing is known, so every label is unknown. An empty folder is a label without images.

    Where the folder is divided, `path` holds a folder per split, and `all` means every one. Image keys are paths in the
    first label folder that has the image; labels are sorted.

    Raises:
        InputError: no folder of that split; a folder divided into splits though none is named, or of no folder at
            all; no image; whatever `settle` finds.
    """
    spec = f"folder:{path}" + (f"#{split}" if split else "")
    homes = _homes(path, split, spec)
    labels: set[str] = set()
    labelled: list[tuple[str, Labels | None]] = []
    notes: list[str] = []
    for home in homes:
        members, loose, nested, left_out = _members(home)
        members, without_label = _labels_only(members, spec, options)
        loose += without_label
        empty, other = _without_images(home, members)
        labels |= {clean(name) for name in (*members, *empty)} - {UNLABELLED}
        images, unlike = _images(members, home, path)
        labelled += images
        labelled += [(file.relative_to(path).as_posix(), None) for file in loose]
        notes += left_out
        notes += _notes(home, loose=loose, nested=nested, empty=empty, other=other, unlike=unlike)
    several = sum(len(names or ()) > 1 for _, names in labelled)
    if not several and len(labels) > 1:
        notes.append(
            "every photograph lies in one folder, so it has one label: a joint model learns that labels exclude each "
            "other, and proposes one a photograph. Where photographs have keywords, use both: "
            f"'folder:{path} + keywords:{path}'."
        )
    return labelled_dataset(
        labelled,
        spec=spec,
        root=path,
        names=sorted(labels),
        layout=f"a folder per label, {several:,} images in several",
        options=options,
        notes=notes,
    )


def write_folder(dataset: Dataset, path: Path, *, split: str = "", images: str = "link") -> tuple[str, ...]:
    """Write a folder per label; an image with n labels is placed n times.

    A file keeps its name, or, where two images have one name, gets its folders' names in front (`x/a.jpg` becomes
    `x_a.jpg`).

    With a split, `path` gets a folder of that name.
    """
    spec = f"folder:{path}" + (f"#{split}" if split else "")
    placing.check_way(images, keep=False, spec=spec)
    _check_folder_names(dataset.vocabulary.names, spec)
    names = _file_names(dataset.images, spec)
    if split and path.is_dir() and any(path.iterdir()) and not _is_divided(path):
        raise InputError(f"{path} is a folder of labels already, without splits. Give another place.")
    unlabelled = 0
    with placing.new_split_folder(path, split, spec) as home:
        for name in dataset.vocabulary:
            (home / name).mkdir()
        for i, row in enumerate(dataset.targets):
            labels = [dataset.vocabulary.names[j] for j in np.flatnonzero(row == PRESENT)]
            unlabelled += not labels
            for label in labels or [UNLABELLED]:
                placing.place_image(
                    dataset.path(i), home / label / names[i], images=images, within=dataset.root
                )
    notes = placing.unknown_note(dataset.targets)
    if unlabelled:
        notes += (f"{unlabelled:,} images have no label; they are in the folder {UNLABELLED}.",)
    return notes


def _homes(path: Path, split: str, spec: str) -> list[Path]:
    """Return the folders that hold label folders."""
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is not a folder. Give the folder that holds a folder per label.")
    if split not in {"", "all"}:
        return [placing.split_folder(path, split, spec)]
    folders = placing.folders_in(path)
    if not folders:
        raise InputError(
            f"{spec}: there is no folder in {path}. Each label is a folder of images, {path}/cat/a.jpg."
        )
    if not _is_divided(path):
        return [path]
    if split == "all":
        return list(folders.values())
    raise InputError(
        f"{spec}: the folders in {path} ({', '.join(list(folders)[:5])}) hold folders and no image. Are they splits? "
        f"Say which, such as folder:{path}#{next(iter(folders))}, or folder:{path}#all for all of them."
    )


def _is_divided(path: Path) -> bool:
    """Return whether every folder in a folder holds folders and, itself, no image."""
    folders = placing.folders_in(path).values()
    return bool(folders) and all(placing.folders_in(folder) and not _own_images(folder) for folder in folders)


def _own_images(folder: Path) -> bool:
    return any(entry.suffix.lower() in SUFFIXES for entry in folder.iterdir() if entry.is_file())


def _members(home: Path) -> tuple[dict[str, list[Path]], list[Path], int, list[str]]:
    """Return the images of each label folder, those in none, how many lie deeper, and what was left out."""
    members: dict[str, list[Path]] = defaultdict(list)
    loose, nested = [], 0
    images, left_out = images_in(home)
    for file in images:
        parts = file.relative_to(home).parts
        if parts[0] == "__MACOSX":
            continue
        if len(parts) == 1:
            loose.append(file)
        else:
            members[parts[0]].append(file)
            nested += len(parts) > 2
    return dict(members), loose, nested, left_out


def _labels_only(
    members: dict[str, list[Path]], spec: str, options: ReadOptions
) -> tuple[dict[str, list[Path]], list[Path]]:
    """Return the label folders, and the images of folders whose names say nothing of what is on them."""
    splits = [name for name in members if is_split(name)]
    if len(splits) > 1 or (splits and len(members) == 1):
        raise InputError(
            f"{spec}: the folders {', '.join(splits)} are splits of a data set, not labels, and nothing in them is a "
            "folder per label. Give the file of the labels, or the folder of a format that labelbeam reads."
        )
    odd = {name: len(files) for name, files in members.items() if is_odd(name)}
    denied = set(read_names(options.deny)) if options.deny is not None else set()
    kept = set(read_names(options.keep_only)) if options.keep_only is not None else set()
    open_ = {name: count for name, count in odd.items() if clean(name) not in denied | kept}
    if open_ and options.odd_folders == "error" and not kept:
        shown = ", ".join(f"{name} ({count:,} images)" for name, count in sorted(open_.items())[:8])
        more = f" and {len(open_) - 8} more" if len(open_) > 8 else ""
        raise InputError(
            f"{spec}: folders whose names say nothing of what is on a photograph would become labels: {shown}{more}. "
            "Add --odd-folders skip (their photographs have no known label), or --odd-folders keep (they are labels)."
        )
    if options.odd_folders == "keep":
        open_ = {}
    out = {name for name in odd if name in open_ or clean(name) in denied}
    loose = [file for name in sorted(out) for file in members[name]]
    return {name: files for name, files in members.items() if name not in out}, loose


_SPLIT = re.compile(
    r"(?i)(train|training|val|valid|validation|dev|test|testing|trainval|unlabell?ed)"
    r"([ _-]?(images?|imgs?|photos|data|set|\d{4}))?"
)


def is_split(name: str) -> bool:
    """Return whether a folder is called as a split of a data set.

    Example:
        >>> [name for name in ("train", "Val2017", "test_images", "training-set", "trains", "bus") if is_split(name)]
        ['train', 'Val2017', 'test_images', 'training-set']
    """
    return _SPLIT.fullmatch(name.strip()) is not None


_ODD = re.compile(
    r"""(?ix) (?: (?:un|not[ _-]?)(?:sorted|filed|tagged|titled|known|labell?ed) (?:[ _-]?(?:images|photos|pictures))?
    | (?:new|neu|neue[rs]?|nouveau|nuev[oa]) (?:[ _-](?:folder|album|ordner|dossier|carpeta))?
    | (?:to|yet)[ _-]?(?:be[ _-])?(?:do|sort|sorted|tag) | inbox | incoming | imports? | uploads? | misc(?:ellaneous)?
    | various | temp | tmp | backup | downloads? | camera[ _-]?roll | dcim | sonstiges | divers
    | photos | pictures | images | album | \d{3}[_a-z0-9]{5} ) (?:[ _-]?\(?\d+\)?)?
    | (?:19|20)\d\d (?:[ _.-]?(?:0[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)?
      (?:[ _.-]?(?:[0-3]\d))? | (?:0[1-9]|1[0-2]|[0-3]\d)[_.-](?:[01]\d[_.-])?(?:19|20)\d\d
    """
)
"""Names of folders that people give for want of another: heaps, dates, what cameras call theirs."""


def is_odd(name: str) -> bool:
    """Return whether a folder's name says nothing of what is on its photographs.

    Example:
        >>> [name for name in ("Unsorted", "New", "2023-08", "100CANON", "dog", "New York", "7") if not is_odd(name)]
        ['dog', 'New York', '7']
    """
    return _ODD.fullmatch(name.strip()) is not None


def _without_images(home: Path, members: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the folders that are empty, and those that hold other files only."""
    empty: list[str] = []
    other: list[str] = []
    for name in sorted(set(placing.folders_in(home)) - set(members)):
        (other if any(home.joinpath(name).iterdir()) else empty).append(name)
    return empty, other


def _images(
    members: dict[str, list[Path]], home: Path, root: Path
) -> tuple[list[tuple[str, dict[str, int]]], int]:
    """Return each image with its labels, and how many names stand for several images."""
    places: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for label, files in members.items():
        for file in files:
            places[file.relative_to(home / label).as_posix()].append((clean(label), file))
    images, unlike = [], 0
    for named_alike in places.values():
        groups: dict[object, list[tuple[str, Path]]] = defaultdict(list)
        one_file = len(named_alike) == 1 or len({_inode(file) for _, file in named_alike}) == 1
        for label, file in named_alike:
            groups[None if one_file else _content(file)].append((label, file))
        unlike += len(groups) > 1
        for group in groups.values():
            labels = dict.fromkeys((label for label, _ in group if label != UNLABELLED), PRESENT)
            images.append((group[0][1].relative_to(root).as_posix(), labels))
    return images, unlike


def _inode(file: Path) -> tuple[int, int] | Path:
    try:
        found = file.stat()
    except OSError:  # a link that leads nowhere
        return file
    return found.st_dev, found.st_ino


def _content(file: Path) -> bytes | Path:
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").digest()
    except OSError:
        return file


def _notes(
    home: Path, *, loose: list[Path], nested: int, empty: list[str], other: list[str], unlike: int
) -> list[str]:
    notes = []
    if loose:
        notes.append(
            f"{len(loose)} images lie in no label's folder of {home}: every label of theirs is unknown."
        )
    if nested:
        notes.append(f"{nested} images lie deeper; their label is the outermost folder's name.")
    if empty:
        notes.append(f"labels without images, because their folders are empty: {', '.join(empty[:5])}.")
    if other:
        notes.append(f"folders without an image are no labels: {', '.join(other[:5])}.")
    if unlike:
        notes.append(
            f"{unlike} file names occur in several folders with different content: they are several images."
        )
    return notes


def _check_folder_names(names: tuple[str, ...], spec: str) -> None:
    placing.refuse_unwritable(names, spec, without="/\\\0", control=False)
    for name in names:
        if name.startswith(".") or name in {UNLABELLED, "__MACOSX"} or len(name.encode()) > LONGEST:
            raise InputError(
                f"{spec}: the label {name[:60]!r} cannot be the name of a label's folder: hidden, reserved or longer "
                f"than {LONGEST} bytes. Rename it."
            )


def _file_names(images: tuple[str, ...], spec: str) -> list[str]:
    """Return a file name for each image."""
    placing.refuse_unlisted(images, spec)
    bare = [PurePosixPath(image).name for image in images]
    if len({name.casefold() for name in bare}) < len(bare):
        bare = [key.replace("/", "_") for key in placing.placed_keys(images)]
    return bare
