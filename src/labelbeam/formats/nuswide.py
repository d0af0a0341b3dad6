"""NUS-WIDE: 269,648 Flickr photographs with 81 concepts that people checked, or with 1,000 tags that users gave.

The official files are found wherever they lie below a folder: labels by `nuswide_rows`, photographs
by their names in one listing, which no file is looked up in by itself. Flickr's "photo unavailable" picture is known.
"""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions, settle
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats import nuswide_rows
from labelbeam.labels.names import clean, refuse_reserved
from labelbeam.labels.vocabulary import PRESENT, Vocabulary

REPEATED = 10
"""So many photo ids with the same bytes are no coincidence, but the picture Flickr sends for lost photographs."""

_SAMPLE = 64


def locate(names: Sequence[str], listing: nuswide_rows.FolderListing) -> tuple[Path, list[str], list[bool]]:
    """Find the images of rows.

    A file is a row's if folder and name are (`actor/0001_2124494179.jpg`, below whatever folder); else if it
    alone has the row's file name; else if it alone has the row's photo id. Files and rows that share a photo id are
    paired in the official order where they are equally many and the files are in folders, else left alone.

    Returns:
        The folder that keys are relative to; for each row its file's path relative to that (absolute where it is
        elsewhere), or, without a file, the name that it would have; and whether a file was found.
    """
    by_pair: dict[str, str] = {}
    for file in listing.images:
        by_pair.setdefault("/".join(file.split("/")[-2:]), file)
    files: list[str | None] = [by_pair.get(name) for name in names]
    for key_of in (_file_name, nuswide_rows.photo_id):
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
    return listing.root / root, keys, [file is not None for file in files]


def unavailable(root: Path, keys: Iterable[str]) -> frozenset[str]:
    """Return the images that are Flickr's "photo unavailable" picture: the same bytes under many photo ids.

    Flickr answers for a deleted photograph with a valid picture that says so, and has changed that picture over
    the years; so it is known by being there again and again.
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


def _root(names: Sequence[str], files: Iterable[str | None], listing: nuswide_rows.FolderListing) -> str:
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


HASHING21 = (
    *("sky", "clouds", "person", "water", "animal", "grass", "buildings", "window", "plants"),
    *("lake", "ocean", "road", "flowers", "sunset", "reflection", "rocks", "vehicle", "snow"),
    *("tree", "beach", "mountain"),
)
"""The 21 most frequent concepts, which work on hashing uses; each has more than 5,000 images."""

PAPER_SIZES = (150_000, 59_347)
"""Training and test images of Gong et al. (2014), whose split the CNN-RNN paper appears to use."""

PAPER_SEED = 2016


@dataclass(frozen=True)
class Split:
    """A named split.

    Attributes:
        part: which rows are read: `all`, `train` or `test` of the official split.
        images: which of them stay: `all`, `labelled`, `paper-train`, `paper-test` or `hashing21`.
        convention: for the protocol.
        counts: format -> images of the complete data set, where known.
    """

    part: str
    images: str
    convention: str
    counts: dict[str, int]


def _counts(concepts: int, tags: int | None = None) -> dict[str, int]:
    return {"nuswide81": concepts} | ({} if tags is None else {"nuswide1000": tags})


SPLITS: dict[str, Split] = {
    "all": Split("all", "all", "official", _counts(269_648, 269_648)),
    "train": Split("train", "all", "official", _counts(161_789, 161_789)),
    "test": Split("test", "all", "official", _counts(107_859, 107_859)),
    "all-labelled": Split("all", "labelled", "official, labelled images only", _counts(209_347)),
    "train-labelled": Split("train", "labelled", "official, labelled images only", _counts(125_449)),
    "test-labelled": Split("test", "labelled", "official, labelled images only", _counts(83_898)),
    "paper-train": Split(
        "all", "paper-train", "the paper's sizes, other images", _counts(PAPER_SIZES[0], PAPER_SIZES[0])
    ),
    "paper-test": Split(
        "all", "paper-test", "the paper's sizes, other images", _counts(PAPER_SIZES[1], PAPER_SIZES[1])
    ),
    "hashing21": Split("all", "hashing21", "images with one of 21 concepts", _counts(195_834)),
}
"""Every split that can be made from the official files."""


def split_named(name: str, data_format: str, spec: str) -> Split:
    """Return a split by its name.

    Raises:
        InputError: there is none of that name, or it is of the 81 concepts only.
    """
    allowed = [one for one in SPLITS if data_format == "nuswide81" or one != "hashing21"]
    if name not in allowed:
        raise InputError(
            f"{spec}: {unknown_name('split', name, allowed)} Other splits of the literature (re-crawls, lists of "
            "one author) are not in the official files; read their own lists with csv:."
        )
    return SPLITS[name]


def paper_side(
    names: Iterable[str], labelled: Bool[np.ndarray, " images"], *, test: bool
) -> Int[np.ndarray, " picked"]:
    """Deal the images that have a concept out into parts of the paper's sizes; an approximation of its split.

    The paper's list of images is not public, only sizes that fit it. Here each image's place is a hash of its photo id,
    so the same photograph is on the same side in every copy of the data, and a photograph that is there twice is on
    one side.

    Returns:
        The rows of that side, in their order: 150,000 or 59,347 of the complete data set's 209,347, else in that
        proportion.

    Source:
        Sizes: Gong et al., Deep Convolutional Ranking for Multilabel Image Annotation (2014), as remembered by others;
        209,347 images have a concept, which is their sum.
    """
    rows = np.flatnonzero(labelled)
    listed = tuple(names)
    keys = [_place(nuswide_rows.photo_id(listed[i])) for i in rows]
    order = rows[np.argsort(np.array(keys, dtype=np.uint64), kind="stable")]
    cut = round(len(rows) * PAPER_SIZES[0] / sum(PAPER_SIZES))
    return np.sort(order[cut:] if test else order[:cut])


def _place(photo: str) -> int:
    digest = hashlib.blake2b(f"{PAPER_SEED}:{photo}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


CONCEPTS, TAGS = "Concepts81.txt", "TagList1k.txt"

_LONGEST_NAME = 100
"""Characters; longer ones are part of no file name either."""


def read_nuswide81(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read NUS-WIDE's 81 concepts.

    Labels are in the order of Concepts81.txt, images in that of the official lists. A key is `folder/0001_photoid.jpg`
    where the photographs are in their official folders. Flickr's "photo unavailable" picture counts as missing.

    Args:
        path: folder with the unpacked archives, in whatever subfolders.
        split: `train`, `test`, `all`: the official split; `train-labelled`, `test-labelled`, `all-labelled`: of it the
            images that have a concept; `paper-train`, `paper-test`: a seeded split of the paper's sizes;
            `hashing21`: images that have one of the 21 most frequent concepts, with these as labels.
        options: `keep_unlabelled`, `missing`. Flickr's "photo unavailable" picture counts as missing.

    Raises:
        InputError: no such split; official files that are missing or do not fit each other; a line that holds
            something else than numbers; image files that are missing.

    Source:
        Chua et al., NUS-WIDE: A Real-World Web Image Database from National University of Singapore (2009).
    """
    return _read("nuswide81", path, split, options)


def read_nuswide1000(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read the 1,000 most frequent tags that Flickr's users typed; what nobody typed counts as absent.

    As `read_nuswide81`, without `hashing21`; `-labelled` means images with one of the tags, while `paper-train` and
    `paper-test` are the same images as of the 81 concepts. Labels are in the order of TagList1k.txt.
    """
    return _read("nuswide1000", path, split, options)


def _read(data_format: str, path: Path, name: str, options: ReadOptions) -> Dataset:
    spec = f"{data_format}:{path}#{name}"
    split = split_named(name, data_format, spec)
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is not a folder. Give the folder that holds the unpacked archives.")
    listing = nuswide_rows.list_folder(path)
    files = _LABEL_FILES[data_format](listing, spec)
    rows = nuswide_rows.read_rows(listing, files, split.part, spec=spec)
    picked, labels = _pick(rows, files, split, listing, spec)
    root, keys, there = locate(rows.names, listing)
    notes = (*rows.notes, *_split_notes(split, data_format, len(picked)), *_listing_notes(listing, files))
    found = np.array(there)[picked]
    dataset = Dataset(
        spec=spec,
        root=root,
        images=tuple(keys[i] for i in picked),
        vocabulary=Vocabulary(tuple(files.labels[j] for j in labels)),
        targets=_targets(rows.flags, picked, labels),
        protocol={"split": f"{name} ({split.convention})"},
        notes=notes,
    )
    if options.missing != "keep":
        dataset = _without_unavailable(dataset, found, skip=options.missing == "skip")
    dataset = settle(dataset, options)
    if split.images != "all" and (dataset.targets == PRESENT).any(axis=1).all():
        return replace(dataset, protocol={**dataset.protocol, "unlabelled": "left out"})
    return dataset


def _pick(
    rows: nuswide_rows.Rows,
    files: nuswide_rows.LabelFiles,
    split: Split,
    listing: nuswide_rows.FolderListing,
    spec: str,
) -> tuple[np.ndarray, list[int]]:
    """Return the indices of the rows and of the labels that a split takes."""
    labels = list(range(len(files.labels)))
    if split.images == "all":
        picked = np.arange(len(rows.names))
    elif split.images == "labelled":
        picked = np.flatnonzero(rows.flags.any(axis=1))
    elif split.images == "hashing21":
        if lost := sorted(set(HASHING21) - set(files.labels)):
            raise InputError(
                f"{spec}: {CONCEPTS} has no {', '.join(lost)}, so there are no 21 concepts to take."
            )
        labels = [j for j, label in enumerate(files.labels) if label in HASHING21]
        picked = np.flatnonzero(rows.flags[:, labels].any(axis=1))
    else:
        concepts = rows
        if len(files.names["all"]) == 1:  # tags: the paper's images are those that have a concept
            concepts = nuswide_rows.read_rows(listing, _concept_files(listing, spec), "all", spec=spec)
        if concepts.names != rows.names:
            raise InputError(
                f"{spec}: the images of the concepts and those of the tags are not the same, because different files "
                f"list them. Fetch {nuswide_rows.IMAGE_LISTS['all']}."
            )
        labelled = np.asarray(concepts.flags.any(axis=1))
        picked = paper_side(rows.names, labelled, test=split.images == "paper-test")
    if not len(picked):
        raise InputError(f"{spec}: no image has a label. Check the label files.")
    return picked, labels


def _targets(flags: np.ndarray, picked: np.ndarray, labels: list[int]) -> np.ndarray:
    """Return the flags of these rows and labels; nothing is copied where all of them are taken."""
    if len(picked) < len(flags):
        flags = flags[picked]
    return flags if len(labels) == flags.shape[1] else flags[:, labels]


def _concept_files(listing: nuswide_rows.FolderListing, spec: str) -> nuswide_rows.LabelFiles:
    labels = _label_names(listing, CONCEPTS, 81, spec)
    ends = {"all": "", "train": "_Train", "test": "_Test"}
    names = {part: tuple((f"Labels_{label}{end}.txt",) for label in labels) for part, end in ends.items()}
    return nuswide_rows.LabelFiles(labels, names, columns=1)


def _tag_files(listing: nuswide_rows.FolderListing, spec: str) -> nuswide_rows.LabelFiles:
    labels = _label_names(listing, TAGS, 1000, spec)
    names = {
        "all": (("AllTags1k.txt", "All_Tags1k.txt", "AllTags1k.dat"),),
        "train": (("Train_Tags1k.dat", "Train_Tags1k.txt", "TrainTags1k.txt"),),
        "test": (("Test_Tags1k.dat", "Test_Tags1k.txt", "TestTags1k.txt"),),
    }
    return nuswide_rows.LabelFiles(labels, names, columns=len(labels))


_LABEL_FILES: Mapping[str, Callable[[nuswide_rows.FolderListing, str], nuswide_rows.LabelFiles]] = {
    "nuswide81": _concept_files,
    "nuswide1000": _tag_files,
}


def _label_names(listing: nuswide_rows.FolderListing, name: str, count: int, spec: str) -> tuple[str, ...]:
    """Return the label names of an official list."""
    file = listing.find(name)
    if file is None:
        raise InputError(
            f"{spec}: {name} is not below {listing.root}. It says the labels and their order, which are taken from "
            "nothing else (the order of file names is another). Check the folder, or fetch the file."
        )
    labels = tuple(clean(label) for label in nuswide_rows.read_label_names(file))
    refuse_reserved(labels, str(file))
    first: dict[str, int] = {}
    for number, label in enumerate(labels, 1):
        if not label or len(label) > _LONGEST_NAME or label in first or "/" in label or "\0" in label:
            before = f", as in line {first[label]}" if label in first else ""
            raise InputError(
                f"{file}, line {number}: {label[:60]!r}{before} is no label of its own. Fetch the file again."
            )
        first[label] = number
    if len(labels) != count:
        raise InputError(
            f"{file} has {len(labels)} lines, but there are {count} labels. Fetch the file again."
        )
    return labels


def _split_notes(split: Split, data_format: str, count: int) -> tuple[str, ...]:
    notes = []
    official = split.counts.get(data_format)
    if official is not None and official != count:
        notes.append(f"{count:,} images; the complete NUS-WIDE has {official:,} here ({split.convention}).")
    if split.images.startswith("paper"):
        notes.append(
            "the paper's own list of images is not public: this is a random split of the images that have a "
            f"concept, in the paper's proportion (150,000 to 59,347), by seed {PAPER_SEED}. Scores on it are "
            "comparable with the paper's as far as random splits are."
        )
    return tuple(notes)


def _listing_notes(listing: nuswide_rows.FolderListing, files: nuswide_rows.LabelFiles) -> tuple[str, ...]:
    names = {CONCEPTS, TAGS, nuswide_rows.PHOTO_IDS, *nuswide_rows.IMAGE_LISTS.values()}
    names |= {name for part in files.names.values() for options in part for name in options}
    repeated = listing.repeated(names)
    if not repeated:
        return ()
    shown = ", ".join(repeated[:3]) + (f", … ({len(repeated)} in all)" if len(repeated) > 3 else "")
    return (f"files of the same name are in several folders, of which the outermost were read: {shown}.",)


def _without_unavailable(dataset: Dataset, found: np.ndarray, *, skip: bool) -> Dataset:
    """Return the data set without the images that are Flickr's picture for lost photographs."""
    there = [image for image, is_there in zip(dataset.images, found, strict=True) if is_there]
    lost = unavailable(dataset.root, there)
    if not lost:
        return dataset
    example = next(image for image in dataset.images if image in lost)
    what = (
        f'{len(lost):,} of {len(dataset):,} image files are Flickr\'s "photo unavailable" picture (the same bytes '
        f"under {REPEATED} or more photo ids), such as {example}"
    )
    if not skip:
        raise InputError(
            f"{dataset.spec}: {what}. Leave them out with --missing skip; --missing keep looks at no file."
        )
    kept = [i for i, image in enumerate(dataset.images) if image not in lost]
    if not kept:
        raise InputError(f"{dataset.spec}: {what}. No image is left; fetch the photographs.")
    protocol = {**dataset.protocol, "unavailable": "skipped"}
    note = f"{what}; they were skipped."
    return replace(dataset.subset(kept), protocol=protocol, notes=(*dataset.notes, note))
