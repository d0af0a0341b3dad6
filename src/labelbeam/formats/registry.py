"""The data set argument: `FORMAT:PATH#SPLIT` to a data set, and a data set to files of a format.

The one table of formats is here: a new format is a file in `formats/` and a row of `FORMATS`. Knows nothing of
what is inside the files; readers and writers are imported when their format is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from labelbeam.data.dataset import DEFAULTS, OF_LABELS, Dataset, ReadOptions
from labelbeam.data.tidy import tidy
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import exists
from labelbeam.formats.combined import PLUS, combine
from labelbeam.formats.labelled_images import with_labels_of_all
from labelbeam.labels.vocabulary import PRESENT


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
    """Return what a path without a format is; None where nothing is at it.

    Raises:
        InputError: something is there, but in no format that is recognised, or in two.
    """
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
    raise InputError(
        f"{text!r} does not say its format, and nothing in it is recognised as labels. Write FORMAT:PATH#SPLIT, "
        f"such as csv:{path}; formats: {', '.join(FORMATS)}."
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
    """Return switches for learning or judging: what a run wrote and no person touched is unknown.

    Args:
        spec: the data set.
        options: as asked for; where they say what machine tags are, that counts.
    """
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

    Args:
        dataset: as `open_dataset` gives it.

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
        dataset: what to write.
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
        read: `module:function`, called with path, split and options; with the split alone if there is no PATH.
        options: names of the `ReadOptions` that it has.
        write: `module:function`, called with data set, path, split and images; None: the format is only read.
        needs_path: whether the argument has a PATH.
        everything: the split that is every image; None: there is none, and `#not-SPLIT` is not for this format.
        labels_by_split: whether the files of a split do not name labels that only other splits have.
        lists_tags: whether it holds tags that people list as they come to mind, so that one may be missing.
        patterns: whether PATH may be a pattern of several files, which the reader looks up itself.
    """

    read: str
    options: tuple[str, ...]
    write: str | None = None
    needs_path: bool = True
    everything: str | None = None
    labels_by_split: bool = False
    lists_tags: bool = False
    patterns: bool = False


_FILES = ("keep_unlabelled", "missing")
_VOC_OPTIONS = ("difficult", *_FILES)
_CSV_OPTIONS = (
    *(*_FILES, "delimiter", "encoding", "root"),
    *("image_column", "tags_column", "layout", "combinations", "drop_columns", "absent"),
)

FORMATS: dict[str, Format] = {
    "voc2007": Format("formats.voc:read_voc2007", _VOC_OPTIONS, "formats.voc:write_voc2007"),
    "voc2012": Format("formats.voc:read_voc2012", _VOC_OPTIONS, "formats.voc:write_voc2012"),
    "voc": Format("formats.voc:read_voc_folder", _VOC_OPTIONS, everything="all"),
    "coco": Format("formats.coco:read_coco", (*_FILES, "root"), "formats.coco:write_coco"),
    "yolo": Format("formats.yolo:read_yolo", _FILES, everything="all"),
    "labelme": Format("formats.labelme:read_labelme", (*_FILES, "tags_column"), everything="all"),
    "createml": Format(
        "formats.createml:read_createml",
        (*_FILES, "root"),
        "formats.createml:write_createml",
        everything="all",
    ),
    "datumaro": Format("formats.datumaro:read_datumaro", _FILES, everything="all"),
    "parquet": Format(
        "formats.parquet:read_parquet",
        (*_FILES, "delimiter", "image_column", "tags_column", "layout", "combinations"),
        everything="all",
    ),
    "list": Format(
        "formats.lists:read_list", (*_FILES, "root", "layout", "absent"), everything="all", lists_tags=True
    ),
    "vertex": Format("formats.cloud_manifests:read_vertex", (*_FILES, "root"), everything="all"),
    "azure": Format("formats.cloud_manifests:read_azure", (*_FILES, "root")),
    "sagemaker": Format("formats.cloud_manifests:read_sagemaker", (*_FILES, "root", "tags_column")),
    "nuswide81": Format("formats.nuswide:read_nuswide81", _FILES, everything="all"),
    "nuswide1000": Format("formats.nuswide:read_nuswide1000", _FILES, everything="all"),
    "csv": Format(
        "formats.csv_table:read_csv",
        _CSV_OPTIONS,
        "formats.csv_table:write_csv",
        everything="",
        lists_tags=True,
    ),
    "folder": Format(
        "formats.folder:read_folder",
        (*_FILES, "odd_folders"),
        "formats.folder:write_folder",
        everything="all",
        lists_tags=True,
        labels_by_split=True,
    ),
    "sidecar": Format(
        "formats.sidecar:read_sidecar",
        (*_FILES, "delimiter", "encoding"),
        "formats.sidecar:write_sidecar",
        everything="all",
        lists_tags=True,
        labels_by_split=True,
    ),
    "imagefolder": Format(
        "formats.imagefolder:read_imagefolder",
        (*_FILES, "delimiter", "encoding", "tags_column", "combinations", "drop_columns", "absent"),
        "formats.imagefolder:write_imagefolder",
        everything="all",
        lists_tags=True,
        labels_by_split=True,
    ),
    "mmpretrain": Format(
        "formats.mmpretrain:read_mmpretrain", (*_FILES, "root"), "formats.mmpretrain:write_mmpretrain"
    ),
    "paddle": Format(
        "formats.paddle:read_paddle", (*_FILES, "root", "layout", "absent"), "formats.paddle:write_paddle"
    ),
    "cleanlab": Format(
        "formats.cleanlab:read_cleanlab", (*_FILES, "root"), "formats.cleanlab:write_cleanlab"
    ),
    "jsonl": Format(
        "formats.json_lines:read_json_lines",
        (*_FILES, "root"),
        "formats.json_lines:write_json_lines",
        lists_tags=True,
    ),
    "labelstudio": Format(
        "formats.label_studio:read_label_studio",
        (*_FILES, "root", "image_column", "tags_column"),
        "formats.label_studio:write_label_studio",
    ),
    "cvat": Format(
        "formats.cvat:read_cvat",
        (*_FILES, "root"),
        "formats.cvat:write_cvat",
        everything="all",
        labels_by_split=True,
    ),
    "fiftyone": Format(
        "formats.fiftyone:read_fiftyone", (*_FILES, "tags_column"), "formats.fiftyone:write_fiftyone"
    ),
    "openimages": Format(
        "formats.open_images:read_open_images",
        (*_FILES, "root"),
        "formats.open_images:write_open_images",
    ),
    "webdataset": Format(
        "formats.webdataset:read_webdataset",
        (*_FILES, "delimiter", "tags_column"),
        "formats.webdataset:write_webdataset",
        everything="all",
        lists_tags=True,
        patterns=True,
        labels_by_split=True,
    ),
    "keywords": Format(
        "formats.keywords:read_keywords",
        (*_FILES, "keyword_level", "machine_tags", "tag_root"),
        "formats.keywords:write_keywords",
        lists_tags=True,
        patterns=True,
    ),
    "vectors": Format(
        "formats.vectors:read_vectors",
        ("keep_unlabelled", "encoding", "image_column", "tags_column", "features_column"),
        "formats.vectors_write:write_vectors",
        everything="",
    ),
    "project": Format("formats.project:read_project", (*_FILES, "root")),
    "scenes": Format("scenes.files:read_scenes", (), needs_path=False),
}
"""Every data set format by its name."""
