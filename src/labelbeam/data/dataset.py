"""The labelled data set, as every reader returns it and everything downstream receives it.

Columnar: one tuple of image keys and one int8 matrix, so that a quarter of a million images with a
thousand labels stay well below 1 GiB. Knows nothing of formats, pixels or models.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.data.finder import FoundImages, find_images
from labelbeam.data.image_bytes import image_exists
from labelbeam.data.listing import SUFFIXES
from labelbeam.data.raw_preview import SUFFIXES as RAW
from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary

_CHUNK = 16_384
"""Images looked at together."""


@dataclass(frozen=True)
class Example:
    """One image and the states of its labels.

    Attributes:
        image: key of the image, a path relative to the data set's root with forward slashes.
        path: where the file is.
        present: names of the labels it has, in the data set's label order.
        unknown: names of the labels of which nobody knows.
    """

    image: str
    path: Path
    present: tuple[str, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with present, absent and unknown labels.

    Attributes:
        spec: the argument that named it, `FORMAT:PATH#SPLIT`.
        root: folder that the image keys are relative to.
        images: distinct keys, in the reader's stated order.
        vocabulary: label names; a name's position is its column in `targets`.
        targets: int8 [images labels] of PRESENT (1), ABSENT (0), UNKNOWN (-1); read-only.
        protocol: choices that change what is measured (e.g. {"difficult": "unknown"}).
        notes: sentences for the user: what was understood, what looked odd.
        features: numbers in place of pictures, a row for each key; None: the keys are image files.

    Raises:
        InputError: no image, repeated keys, a matrix of another shape or other values, or features of another number.

    Example:
        >>> data = Dataset("csv:a.csv", Path("."), ("a.jpg",), Vocabulary(("cat", "dog")),
        ...                np.array([[1, -1]], dtype=np.int8))
        >>> data.example(0)
        Example(image='a.jpg', path=PosixPath('a.jpg'), present=('cat',), unknown=('dog',))
    """

    spec: str
    root: Path
    images: tuple[str, ...]
    vocabulary: Vocabulary
    targets: np.ndarray
    protocol: Mapping[str, str | int | float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    features: FeatureRows | None = None

    def __post_init__(self) -> None:
        if not self.images:
            raise InputError(f"{self.spec}: the data set has no images.")
        if len(set(self.images)) < len(self.images):
            twice = [image for image, count in Counter(self.images).items() if count > 1]
            raise InputError(f"{self.spec}: each image may occur once; given more than once: {twice[:5]!r}.")
        shape = (len(self.images), len(self.vocabulary))
        if self.targets.shape != shape or self.targets.dtype != np.int8:
            given = f"{self.targets.dtype} {self.targets.shape}"
            raise InputError(f"{self.spec}: targets must be int8 {shape}, given {given}.")
        if self.targets.min(initial=0) < UNKNOWN or self.targets.max(initial=0) > PRESENT:
            raise InputError(f"{self.spec}: targets must be 1 (present), 0 (absent) or -1 (unknown).")
        if self.features is not None and len(self.features) != len(self.images):
            raise InputError(
                f"{self.spec}: {len(self.features):,} rows of features and {len(self.images):,} of labels; they must "
                "be as many."
            )
        # A view, so that the caller's array stays writable.
        targets = self.targets.view()
        targets.flags.writeable = False
        object.__setattr__(self, "targets", targets)

    def __len__(self) -> int:
        return len(self.images)

    def path(self, i: int) -> Path:
        """Return where the file of image `i` is."""
        return self.root / self.images[i]

    @property
    def paths(self) -> list[Path]:
        """Where the files are, in the order of `images`."""
        return [self.root / image for image in self.images]

    def labels_by_image(self, value: int) -> Iterator[tuple[str, ...]]:
        """Yield the names of each image's labels that have a value: PRESENT, ABSENT or UNKNOWN.

        Example:
            >>> data = Dataset("", Path(), ("a", "b"), Vocabulary(("cat", "dog")), np.array([[1, 1], [0, 1]], np.int8))
            >>> list(data.labels_by_image(1))
            [('cat', 'dog'), ('dog',)]
        """
        names = self.vocabulary.names
        for start in range(0, len(self), _CHUNK):  # by many rows: one look-up a row takes four times as long
            rows, columns = np.nonzero(self.targets[start : start + _CHUNK] == value)
            ends = np.searchsorted(rows, np.arange(min(_CHUNK, len(self) - start) + 1)).tolist()
            found = [names[j] for j in columns.tolist()]
            for first, last in pairwise(ends):
                yield tuple(found[first:last])

    def example(self, i: int) -> Example:
        """Return image `i` with its labels by name."""
        row = self.targets[i]
        names = self.vocabulary.names
        present = tuple(names[j] for j in np.flatnonzero(row == PRESENT))
        unknown = tuple(names[j] for j in np.flatnonzero(row == UNKNOWN))
        return Example(self.images[i], self.path(i), present, unknown)

    def subset(self, indices: Iterable[int] | Int[np.ndarray, " picked"]) -> "Dataset":
        """Return the data set of the images at `indices`, in that order."""
        rows = np.fromiter(indices, dtype=np.int64)
        features = None if self.features is None else self.features.take(rows)
        images = tuple(self.images[i] for i in rows)
        return replace(self, images=images, targets=self.targets[rows], features=features)

    def refuse_without_pictures(self, what: str) -> None:
        """Refuse what needs pixels where there are only features.

        Args:
            what: what was asked for, as the subject of a sentence.

        Raises:
            InputError: the data set has features in place of pictures.
        """
        if self.features is not None:
            raise InputError(
                f"{what} needs pictures; {self.spec} holds {self.features.num_features} numbers an example and none."
            )

    def with_vocabulary(self, names: Sequence[str]) -> "Dataset":
        """Return the data set with columns for `names`, in that order; labels it does not have are UNKNOWN.

        Labels of this data set that are not among `names` are dropped: a caller for whom they matter
        (evaluation counts them) compares the vocabularies first.
        """
        column = {name: j for j, name in enumerate(self.vocabulary.names)}
        targets = np.full((len(self), len(names)), UNKNOWN, dtype=np.int8)
        for j, name in enumerate(names):
            if name in column:
                targets[:, j] = self.targets[:, column[name]]
        return replace(self, vocabulary=Vocabulary(tuple(names)), targets=targets)


CHOICES = {
    "difficult": ("unknown", "absent", "present"),
    "missing": ("error", "skip", "report", "keep"),
    "missing_tags": ("absent", "unknown", "unlikely"),
    "layout": ("tags", "one-hot", "long", "ragged", "numbers"),
    "combinations": ("error", "keep"),
    "keyword_level": ("leaf", "top", "path", "all"),
    "machine_tags": ("present", "unknown"),
    "odd_folders": ("error", "skip", "keep"),
}


_ABSENT = {"-1", "blank", "none"}


@dataclass(frozen=True)
class ReadOptions:
    """Switches of the readers.

    Attributes:
        difficult: VOC; what a label is that an image shows only in objects marked difficult: `unknown`
            (official: not counted), `absent` or `present`.
        keep_unlabelled: keep images that have no label; the paper's protocol for COCO keeps them.
        missing: image files that are not there: `error` (all are listed), `skip` (left out, and noted), `report` (they
            stay, and are noted) or `keep` (labels only: nothing looks whether the files exist).
        delimiter: text formats; what separates labels inside a cell or file; None: recognised, or an error.
        encoding: text formats; the file's encoding, such as `cp932`; None: UTF-8, with or without a byte order mark.
        root: formats of one file; folder that relative image paths start from; None: the file's folder.
        image_column: CSV, Label Studio; the column or field of image paths; None: recognised by its name.
        tags_column: tables, shards, Label Studio; the column, member, field or control that holds the labels;
            None: recognised by its name.
        features_column: vectors in Parquet or Arrow; the column of number lists; None: the only one there.
        layout: CSV, lists, Parquet; `tags`, `one-hot`, `long` (one row per image and label), `ragged` (labels in as
            many cells as it takes) or `numbers` (class numbers); None: recognised.
        drop_columns: CSV; columns that are no labels, with commas between them; `none`: every column is one. None:
            those that keep a table's books are left out (`index`, `fold`, `width`, `is_valid`, …), and noted.
        absent: CSV with a column per label, PaddleClas; what says that a label is absent besides 0: `-1`, `blank`,
            both with a comma, or `none`; None: where no cell is 0, the one of the two that is there, and noted.
        combinations: CSV; what to do when the labels look like combinations of labels: `error` or `keep`.
        odd_folders: folders whose names are no labels, such as `Unsorted`, `New` or `2023-08`: `error` (they are
            listed), `skip` (nobody labelled their images) or `keep`.
        keyword_level: keywords; of a hierarchy, which level is the label: `leaf`, `top`, `path` or `all`.
        machine_tags: keywords; what a run wrote and no person touched: `present` or `unknown`; None: present, and
            unknown where something is learnt or judged.
        tag_root: keywords; the root of machine tags in hierarchies; empty: the record of what runs wrote says which.
        missing_tags: every format; what a label is that an image is not tagged with: `absent`, `unknown` (it leaves
            loss and metrics), or `unlikely`: unknown too, but a training counts it as absent with a small weight. What
            the data write as absent stays so; where they write nothing else, a 0 is no more than a missing tag.
        aliases: every format; file of lines `old -> new`: labels under another name, merged where both are there.
        deny: every format; labels to leave out, a file with one a line or names with commas between them.
        keep_only: every format; the only labels to keep, given as for `deny`; None: all.
        implications: every format; file of lines `dog -> animal`: what is present implies what is present.
        min_images: every format; labels with fewer images are left out.

    Raises:
        InputError: a value that is not among the choices, an empty delimiter, or a negative number.

    Example:
        >>> ReadOptions(difficult="present").changed()
        ('difficult',)
    """

    difficult: str = "unknown"
    keep_unlabelled: bool = True
    missing: str = "error"
    delimiter: str | None = None
    encoding: str | None = None
    root: Path | None = None
    image_column: str | None = None
    tags_column: str | None = None
    features_column: str | None = None
    layout: str | None = None
    drop_columns: str | None = None
    absent: str | None = None
    combinations: str = "error"
    odd_folders: str = "error"
    keyword_level: str = "leaf"
    machine_tags: str | None = None
    tag_root: str = ""
    missing_tags: str = "absent"
    aliases: Path | None = None
    deny: str | None = None
    keep_only: str | None = None
    implications: Path | None = None
    min_images: int = 0

    def __post_init__(self) -> None:
        for option, allowed in CHOICES.items():
            value = getattr(self, option)
            if value is not None and value not in allowed:
                raise unknown_name(f"value of --{option.replace('_', '-')}", value, allowed)
        if self.absent is not None and not {part.strip() for part in self.absent.split(",")} <= _ABSENT:
            raise unknown_name("value of --absent", self.absent, (*_ABSENT, "-1,blank"))
        if self.delimiter == "":
            raise InputError(
                "--delimiter is empty; give the text that separates labels in a cell, such as ';'."
            )

        if self.min_images < 0:
            raise InputError(f"--min-images must be 0 or more, given {self.min_images}.")

    @property
    def unsaid(self) -> int:
        """What a label is of which the data say nothing, as a value of targets."""
        return ABSENT if self.missing_tags == "absent" else UNKNOWN

    def changed(self) -> tuple[str, ...]:
        """Return the names of the options that differ from their defaults."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) != field.default)


DEFAULTS = ReadOptions()

OF_LABELS = ("missing_tags", "aliases", "deny", "keep_only", "implications", "min_images")
"""Switches that every format has, because they apply to what any reader gives (`data.tidy`)."""


def settle(dataset: Dataset, options: ReadOptions, *, subsets: Sequence[str] = ()) -> Dataset:
    """Find the images, apply `missing` and `keep_unlabelled`, and record them where they change what is measured.

    Args:
        dataset: as read, every image listed.
        subsets: the subset of each image, whose folder may be named after it; empty: none has one.

    Returns:
        The data set of the images that stay, under the keys that their files have, with notes about those that went.

    Raises:
        InputError: files are missing and `missing` is `error`, or no image stays.
    """
    if options.missing != "keep":
        dataset = _with_files(dataset, options.missing, subsets)
    if options.keep_unlabelled:
        return replace(dataset, protocol={**dataset.protocol, "unlabelled": "kept"})
    labelled = np.flatnonzero((dataset.targets == PRESENT).any(axis=1))
    if not len(labelled):
        raise InputError(
            f"{dataset.spec}: no image has a label. Leave --keep-unlabelled on, or check the labels."
        )
    note = f"{len(dataset) - len(labelled)} images without a label were left out."
    protocol = {**dataset.protocol, "unlabelled": "left out"}
    return replace(dataset.subset(labelled), notes=(*dataset.notes, note), protocol=protocol)


def _with_files(dataset: Dataset, missing: str, subsets: Sequence[str]) -> Dataset:
    """Return the data set with its images where they are; those that are lost listed in an error, left out or kept."""
    found = find_images(dataset.root, dataset.images, subsets=subsets)
    keys = [key or name for key, name in zip(found.keys, dataset.images, strict=True)]
    lost = [i for i, key in enumerate(found.keys) if key is None]
    notes, protocol = [*dataset.notes, *found.notes], dict(dataset.protocol)
    if lost:
        shown = ", ".join(dataset.images[i] for i in lost[:5]) + (", …" if len(lost) > 5 else "")
        count = f"{len(lost)} of {len(dataset)} image files are missing"
        if missing == "error":
            found.refuse_several(dataset.spec)
            raise InputError(
                f"{dataset.spec}: {count} ({_looked(found)}): {shown}.{_other_suffix(dataset, lost, found)} Check the "
                "folder, or leave them out with --missing skip (--missing keep reads labels only)."
            )
        if missing == "skip":
            if len(lost) == len(dataset):
                raise InputError(
                    f"{dataset.spec}: {count} ({_looked(found)}): {shown}. No image is left; check the folder."
                )
            notes.append(f"{count} and were skipped: {shown}.")
            protocol["missing"] = "skipped"
        else:
            notes.append(f"{count} ({_looked(found)}): {shown}.")
    root = dataset.root if len(lost) == len(dataset) else found.root
    moved = replace(dataset, root=root, images=tuple(keys), notes=tuple(notes), protocol=protocol)
    if missing == "skip" and lost:
        return moved.subset(np.flatnonzero([key is not None for key in found.keys]))
    return moved


def _other_suffix(dataset: Dataset, lost: Sequence[int], found: FoundImages) -> str:
    """Return a sentence about a file that is called like a lost image but for its suffix; empty where none is."""
    for i in lost[:20]:
        name = PurePosixPath(dataset.images[i])
        if name.suffix.lower() not in SUFFIXES | RAW:
            continue
        for folder in (*found.looked[:4], *(folder / name.parent for folder in found.looked[:4])):
            for suffix in SUFFIXES:
                if image_exists(folder / name.with_suffix(suffix).name):
                    return (
                        f" {name.with_suffix(suffix).name} is there, another file by its name: put the names right, or "
                        "write them without a suffix."
                    )
    return ""


def _looked(found: FoundImages) -> str:
    """Return where was looked, in words."""
    folders = [str(folder.resolve()) for folder in found.looked[:4]]
    more = f" and {len(found.looked) - 4} more folders" if len(found.looked) > 4 else ""
    return f"looked in {', '.join(folders)}{more}"
