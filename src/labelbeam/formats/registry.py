"""The data set argument: `FORMAT:PATH#SPLIT` to a data set, and a data set to files of a format.

The one table of formats is here: a new format is a file in `formats/` and a row of `FORMATS`. Readers and writers are
imported when their format is asked for. Several data sets become one here, `folder:photos + keywords:photos`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, OF_LABELS, Dataset, ReadOptions
from labelbeam.data.tidy import tidy
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import exists
from labelbeam.formats.labelled_images import with_labels_of_all
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary


@dataclass(frozen=True)
class DatasetSpec:
    """A data set argument in its parts.

    Attributes:
        format: a name of `FORMATS`.
        path: file or folder; None for a format that needs none.
        split: name of the split; empty where the argument has none.
        why: what the format was recognised by; empty where the argument names it.
    """

    format: str
    path: Path | None
    split: str
    why: str = field(default="", repr=False)

    def __str__(self) -> str:
        """Return the argument in full."""
        return (
            self.format
            + (f":{self.path}" if self.path is not None else "")
            + (f"#{self.split}" if self.split else "")
        )


def parse_spec(text: str) -> DatasetSpec:
    """Take a data set argument apart.

    A `#` belongs to the path where a file or folder of that whole name exists. Without a format, what is at the path
    says which it is (`formats.recognition`).

    Args:
        text: `FORMAT:PATH#SPLIT`, `FORMAT:PATH`, `PATH#SPLIT`, `PATH`, or `scenes#SPLIT`.

    Raises:
        InputError: an unknown format (the nearest is proposed); no path where one is needed; a path in no format that
            is recognised, or in two.

    Example:
        >>> parse_spec("voc2007:VOCdevkit#sub_test")
        DatasetSpec(format='voc2007', path=PosixPath('VOCdevkit'), split='sub_test')
        >>> parse_spec("scenes#train")
        DatasetSpec(format='scenes', path=None, split='train')
    """
    name, colon, rest = text.partition(":")
    if name not in FORMATS and (found := _recognised(text)):
        return found
    if not colon:
        name, _, split = text.partition("#")
        if name in FORMATS and not FORMATS[name].needs_path:
            return DatasetSpec(name, None, split)
        if name in FORMATS:
            raise InputError(f"{text!r} names no folder or file. Write {name}:PATH#SPLIT.")
        raise InputError(
            f"{text!r} does not say its format (there is no colon), and nothing is there (looked from "
            f"{Path.cwd()}). Write FORMAT:PATH#SPLIT, such as csv:{name or 'tags.csv'}; formats: {', '.join(FORMATS)}."
        )
    if name not in FORMATS:
        raise unknown_name("data set format", name, FORMATS)
    path, _, split = (rest, "", "") if exists(Path(rest)) else rest.rpartition("#")
    if "#" not in rest:
        path, split = rest, ""
    if not FORMATS[name].needs_path:
        raise InputError(f"{text!r}: {name} has no path. Write {name}#SPLIT.")
    if not path:
        raise InputError(f"{text!r} names no folder or file. Write {name}:PATH#SPLIT.")
    return DatasetSpec(name, Path(path).expanduser(), split)


def _recognised(text: str) -> DatasetSpec | None:
    """Return what a path without a format is; None where nothing is at it."""
    from labelbeam.formats.recognition import recognised

    path, split = text, ""
    if not text or not exists(Path(text).expanduser()):
        path, _, split = text.rpartition("#")
        if not path or not exists(Path(path).expanduser()):
            return None
    if path in FORMATS and not FORMATS[path].needs_path:
        return None
    guesses = recognised(Path(path).expanduser())
    mark = f"#{split}" if split else ""
    if len(guesses) == 1:
        return DatasetSpec(guesses[0].format, guesses[0].path, split, guesses[0].why)
    if guesses:
        shown = " or ".join(f"{guess.format}:{guess.path}{mark} ({guess.why})" for guess in guesses[:6])
        raise InputError(f"{text!r} does not say its format, and could be several. Say which: {shown}.")
    own = 'labels in JSON of your own are lines of {"image": "a.jpg", "labels": ["cat"]}; '
    raise InputError(
        f"{text!r} does not say its format, and nothing in it is recognised as labels. Write FORMAT:PATH#SPLIT, "
        f"such as csv:{path}; {own if 'json' in Path(path).suffix else ''}formats: {', '.join(FORMATS)}."
    )


def open_dataset(spec: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read the data set that an argument names.

    Args:
        spec: `FORMAT:PATH#SPLIT`, or `PATH#SPLIT`, whose format is recognised and noted; of a CSV file also
            `#not-SPLIT`, everything but that split. Several with ` + ` between them are one data set (`combined`).
        options: switches of the reader and of label hygiene; one that the format does not have must be left at
            its default.

    Returns:
        The data set; its `notes` say what was understood and what looked odd.

    Raises:
        InputError: an argument that cannot be parsed; an option that the format does not have; a missing
            file or folder; an unknown or empty split; whatever the format's reader finds wrong.
    """
    if PLUS in spec and not exists(Path(spec)):
        return _combined(spec, options)
    parsed = parse_spec(spec)
    entry = FORMATS[parsed.format]
    if foreign := [name for name in options.changed() if name not in (*entry.options, *OF_LABELS)]:
        flags = ", ".join("--" + name.replace("_", "-") for name in foreign)
        known = ", ".join("--" + name.replace("_", "-") for name in entry.options) or "none"
        raise InputError(f"{spec}: the format {parsed.format} has no option {flags}. Its options: {known}.")
    if parsed.path is not None and not exists(parsed.path) and not entry.patterns:
        raise InputError(f"{spec}: {parsed.path} does not exist (looked from {Path.cwd()}). Check the path.")
    if (
        parsed.path is not None
        and exists(parsed.path)
        and not (parsed.path.is_file() or parsed.path.is_dir())
    ):
        raise InputError(
            f"{spec}: {parsed.path} is a pipe or a device, which is not read. Save it as a file first."
        )
    read = _function(entry.read)
    if parsed.path is None:
        return tidy(replace(read(parsed.split), spec=spec), options)
    if not parsed.why:
        return tidy(replace(_read_split(read, parsed, entry, options), spec=spec), options)
    note = f"recognised as {parsed.format} ({parsed.why})"
    try:
        dataset = _read_split(read, parsed, entry, options)
    except InputError as error:
        raise InputError(f"{spec!r} was {note}. {error}") from None
    notes = (f"{note}; {parsed} says so from the start.", *dataset.notes)
    return tidy(replace(dataset, spec=str(parsed), notes=notes), options)


def _combined(spec: str, options: ReadOptions) -> Dataset:
    """Read the parts of a combined data set, each with the switches that it has; one that none has is an error."""
    specs = [part.strip() for part in spec.split(PLUS)]
    entries = [FORMATS[parse_spec(part).format] for part in specs]
    asked = [name for name in options.changed() if name not in OF_LABELS]
    if foreign := [name for name in asked if not any(name in entry.options for entry in entries)]:
        flags = ", ".join("--" + name.replace("_", "-") for name in foreign)
        raise InputError(f"{spec}: none of these formats has an option {flags}.")
    parts = []
    for part, entry in zip(specs, entries, strict=True):
        own = {name: getattr(options, name) for name in asked if name in entry.options}
        reading = ReadOptions(**own, deny=options.deny, missing_tags=options.missing_tags)
        parts.append(open_dataset(part, options=reading))
    return tidy(combine(parts, spec), options)


def for_learning(spec: str, options: ReadOptions) -> ReadOptions:
    """Return switches for learning or judging: what a run wrote and no person touched is unknown."""
    parts = [part.strip() for part in spec.split(PLUS)] if not exists(Path(spec)) else [spec]
    has = any("machine_tags" in FORMATS[parse_spec(part).format].options for part in parts)
    return replace(options, machine_tags="unknown") if has and options.machine_tags is None else options


def _read_split(
    read: Callable[..., Any], parsed: DatasetSpec, entry: "Format", options: ReadOptions
) -> Dataset:
    """Read a split, or everything but one: `not-fold0`, where the format has a name for everything."""
    but = parsed.split.removeprefix("not-")
    if but == parsed.split or entry.everything is None:
        found: Dataset = read(parsed.path, parsed.split, options=options)
        if not entry.labels_by_split or parsed.split in {"", entry.everything}:
            return found
        lenient = replace(options, missing="keep", keep_unlabelled=True)
        try:
            whole_names = read(parsed.path, entry.everything, options=lenient).vocabulary.names
        except InputError as error:
            note = f"other splits cannot be read ({error}), so the labels are those of this one."
            return replace(found, notes=(*found.notes, note))
        return with_labels_of_all(found, whole_names, options.unsaid)
    # By path: where the images of a split lie in one folder, keys may start there.
    held_out = set(read(parsed.path, but, options=replace(options, keep_unlabelled=True)).paths)
    whole: Dataset = read(parsed.path, entry.everything, options=options)
    rows = [i for i, path in enumerate(whole.paths) if path not in held_out]
    if not rows:
        raise InputError(f"{parsed.path}#{parsed.split}: every image is in the split {but!r}; none is left.")
    note = f"of these, the {len(held_out)} images of the split {but!r} are left out."
    return replace(whole.subset(rows), notes=(*whole.notes, note))


MOSTLY = 0.5
"""Share of images with one label or none from which tags may be missing."""


def maybe_incomplete(dataset: Dataset) -> str:
    """Say that tags may be missing, where people list tags and most images have one or none; empty: nothing says so.

    A possibility, no finding: images with one label each look the same.

    Example:
        >>> import numpy as np
        >>> from labelbeam.labels.vocabulary import Vocabulary
        >>> data = Dataset("csv:a.csv", Path(), ("a", "b"), Vocabulary(("cat", "dog", "owl")),
        ...                np.array([[1, 0, 0], [0, 1, 0]], dtype=np.int8))
        >>> maybe_incomplete(data)[:67]
        'of 2 images 2 have one label or none, and only what is there is lis'
        >>> maybe_incomplete(replace(data, spec="voc2007:a#train"))
        ''
    """
    entry = FORMATS.get(dataset.spec.partition(":")[0])
    if entry is None or not entry.lists_tags or "missing_tags" in dataset.protocol:
        return ""
    few = int(((dataset.targets == PRESENT).sum(axis=1) <= 1).sum())
    if len(dataset.vocabulary) < 3 or few < MOSTLY * len(dataset):
        return ""
    return (
        f"of {len(dataset):,} images {few:,} have one label or none, and only what is there is listed: if tags are "
        "missing, take them for --missing-tags unlikely (or unknown) rather than absent."
    )


def write_dataset(dataset: Dataset, spec: str, *, images: str = "keep") -> tuple[str, ...]:
    """Write a data set in the format that an argument names.

    Args:
        spec: `FORMAT:PATH#SPLIT`; what PATH is to be, a file or a folder, is the format's matter.
        images: what becomes of the image files: `keep` (they stay where they are and are referred to), `link`
            (hard links where possible, copies elsewhere) or `copy`.

    Returns:
        Sentences for the user: what the format cannot hold and was left out.

    Raises:
        InputError: an argument that cannot be parsed; a format that is only read; something in the way at PATH;
            names that the format cannot hold; whatever else the format's writer finds wrong.
    """
    parsed = parse_spec(spec)
    if parsed.why:
        raise InputError(
            f"{spec!r} does not say in which format to write, and something is there. Write FORMAT:PATH."
        )
    entry = FORMATS[parsed.format]
    if entry.write is None or parsed.path is None:
        writable = ", ".join(name for name, one in FORMATS.items() if one.write)
        raise InputError(
            f"{spec}: the format {parsed.format} is read, not written. Formats to write: {writable}."
        )
    if parsed.format != "vectors" and dataset.features is not None:
        raise InputError(
            f"{spec}: the format {parsed.format} lists image files; {dataset.spec} holds vectors, which would be lost. "
            "Write vectors:FILE (.npz, .npy, .parquet, .arrow, .arff, .svm)."
        )
    write = _function(entry.write)
    notes: tuple[str, ...] = write(dataset, parsed.path, split=parsed.split, images=images)
    return notes


def _function(name: str) -> Callable[..., Any]:
    """Return the function `package.module:function` below labelbeam; imported now, not earlier."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"labelbeam.{module}"), function)
    return found


@dataclass(frozen=True)
class Format:
    """A row of the table of formats.

    Attributes:
        place: `module:name`; the module has a function read_NAME, called with path, split and options (with the split
            alone if there is no PATH), and where it is written write_NAME, called with data set, path, split and
            images.
        options: names of the `ReadOptions` that it has.
        writes: whether it is written too.
        needs_path: whether the argument has a PATH.
        everything: the split that is every image; None: there is none, and `#not-SPLIT` is not for this format.
        labels_by_split: whether the files of a split do not name labels that only other splits have.
        lists_tags: whether it holds tags that people list as they come to mind, so that one may be missing.
        patterns: whether PATH may be a pattern of several files, which the reader looks up itself.
    """

    place: str
    options: tuple[str, ...]
    writes: bool = False
    needs_path: bool = True
    everything: str | None = None
    labels_by_split: bool = False
    lists_tags: bool = False
    patterns: bool = False

    @property
    def read(self) -> str:
        """Its reader, `module:function` below labelbeam."""
        return self.place.replace(":", ":read_")

    @property
    def write(self) -> str | None:
        """Its writer; None: the format is only read."""
        return self.place.replace(":", ":write_") if self.writes else None


_FILES = ("keep_unlabelled", "missing")
_VOC = ("difficult", *_FILES)
_ROOT = (*_FILES, "root")
_TEXT = (*_FILES, "delimiter", "encoding")
_CELLS = ("image_column", "tags_column", "layout", "combinations")
_IN_FOLDERS: dict[str, Any] = {"everything": "all", "lists_tags": True, "labels_by_split": True}

FORMATS: dict[str, Format] = {
    "voc2007": Format("formats.voc:voc2007", _VOC, writes=True),
    "voc2012": Format("formats.voc:voc2012", _VOC, writes=True),
    "voc": Format("formats.voc:voc_folder", _VOC, everything="all"),
    "coco": Format("formats.coco:coco", _ROOT, writes=True),
    "yolo": Format("formats.yolo:yolo", _FILES, everything="all"),
    "labelme": Format("formats.drawing_tools:labelme", (*_FILES, "tags_column"), everything="all"),
    "createml": Format("formats.json_documents:createml", _ROOT, writes=True, everything="all"),
    "datumaro": Format("formats.json_documents:datumaro", _FILES, everything="all"),
    "parquet": Format("formats.parquet:parquet", (*_FILES, "delimiter", *_CELLS), everything="all"),
    "list": Format("formats.lists:list", (*_ROOT, "layout", "absent"), everything="all", lists_tags=True),
    "vertex": Format("formats.json_lines:vertex", _ROOT, everything="all"),
    "azure": Format("formats.json_lines:azure", _ROOT),
    "sagemaker": Format("formats.json_lines:sagemaker", (*_ROOT, "tags_column")),
    "nuswide81": Format("formats.nuswide:nuswide81", _FILES, everything="all"),
    "nuswide1000": Format("formats.nuswide:nuswide1000", _FILES, everything="all"),
    "csv": Format(
        "formats.csv_table:csv",
        (*_TEXT, "root", *_CELLS, "drop_columns", "absent"),
        writes=True,
        everything="",
        lists_tags=True,
    ),
    "folder": Format("formats.folder:folder", (*_FILES, "odd_folders"), writes=True, **_IN_FOLDERS),
    "sidecar": Format("formats.sidecar:sidecar", _TEXT, writes=True, **_IN_FOLDERS),
    "imagefolder": Format(
        "formats.imagefolder:imagefolder",
        (*_TEXT, "tags_column", "combinations", "drop_columns", "absent"),
        writes=True,
        **_IN_FOLDERS,
    ),
    "mmpretrain": Format("formats.json_documents:mmpretrain", _ROOT, writes=True),
    "paddle": Format("formats.lists:paddle", (*_ROOT, "layout", "absent"), writes=True),
    "cleanlab": Format("formats.json_documents:cleanlab", _ROOT, writes=True),
    "jsonl": Format("formats.json_lines:json_lines", _ROOT, writes=True, lists_tags=True),
    "labelstudio": Format(
        "formats.label_studio:label_studio", (*_ROOT, "image_column", "tags_column"), writes=True
    ),
    "cvat": Format("formats.drawing_tools:cvat", _ROOT, writes=True, everything="all", labels_by_split=True),
    "fiftyone": Format("formats.fiftyone:fiftyone", (*_FILES, "tags_column"), writes=True),
    "openimages": Format("formats.open_images:open_images", _ROOT, writes=True),
    "webdataset": Format(
        "formats.webdataset:webdataset",
        (*_FILES, "delimiter", "tags_column"),
        writes=True,
        patterns=True,
        **_IN_FOLDERS,
    ),
    "keywords": Format(
        "formats.keywords:keywords",
        (*_FILES, "encoding", "keyword_level", "machine_tags", "tag_root"),
        writes=True,
        lists_tags=True,
        patterns=True,
    ),
    "vectors": Format(
        "formats.vectors:vectors",
        ("keep_unlabelled", "encoding", "image_column", "tags_column", "features_column"),
        writes=True,
        everything="",
    ),
    "project": Format("formats.project:project", _ROOT),
    "scenes": Format("scenes.files:scenes", (), needs_path=False),
}
"""Every data set format by its name."""


PLUS = " + "
"""Between the parts of an argument."""


def combine(parts: Sequence[Dataset], spec: str) -> Dataset:
    """Return several data sets as one; the same file is one image, by its place.

    A later project counts more than an earlier one.

    Raises:
        InputError: vectors, which are no files.
    """
    if any(part.features is not None for part in parts):
        raise InputError(f"{spec}: vectors are no files, and cannot be combined with others.")
    names = sorted({name for part in parts for name in part.vocabulary})
    column = {name: j for j, name in enumerate(names)}
    rows: dict[Path, np.ndarray] = {}
    paths: dict[Path, Path] = {}
    contradicted = 0
    # Projects last: their word is a person's.
    for part in sorted(parts, key=_is_project):
        columns = [column[name] for name in part.vocabulary]
        for i in range(len(part)):
            path = part.path(i)
            place = path.parent.resolve() / path.name
            paths.setdefault(place, path)
            row = rows.setdefault(place, np.full(len(names), UNKNOWN, dtype=np.int8))
            values = part.targets[i]
            if part.spec.startswith("keywords:") and not (values == PRESENT).any():
                values = np.where(values == ABSENT, UNKNOWN, values)
            before = row[columns]
            if _is_project(part):
                contradicted += int(((before == PRESENT) & (values == ABSENT)).sum())
                row[columns] = np.where(values == UNKNOWN, before, values)
            else:
                row[columns] = np.maximum(before, values)
    order = sorted(rows, key=str)
    several = sum(len(part) for part in parts) - len(order)
    notes = [note for part in parts for note in part.notes]
    notes.append(f"combined: {len(order):,} images, {several:,} of them in more than one part.")
    if contradicted:
        notes.append(
            f"{contradicted:,} labels were rejected in a project: absent, whatever the other parts say."
        )
    return Dataset(
        spec=spec,
        root=Path(),
        images=tuple(paths[place].as_posix() for place in order),
        vocabulary=Vocabulary(tuple(names)),
        targets=np.array([rows[place] for place in order], dtype=np.int8),
        notes=tuple(notes),
    )


def _is_project(part: Dataset) -> bool:
    return part.spec.startswith("project:")
