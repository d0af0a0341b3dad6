"""The data set argument: `FORMAT:PATH#SPLIT` to a data set, and a data set to files of a format.

The one table of formats is here: a new format is a file in `formats/` and a row of `FORMATS`. Knows nothing of
what is inside the files; readers and writers are imported when their format is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.errors import InputError, unknown_name


@dataclass(frozen=True)
class DatasetSpec:
    """A data set argument in its parts.

    Attributes:
        format: a name of `FORMATS`.
        path: file or folder; None for a format that needs none.
        split: name of the split; empty where the argument has none.
    """

    format: str
    path: Path | None
    split: str


def parse_spec(text: str) -> DatasetSpec:
    """Take a data set argument apart.

    A `#` belongs to the path where a file or folder of that whole name exists.

    Args:
        text: `FORMAT:PATH#SPLIT`, `FORMAT:PATH`, or `scenes#SPLIT`.

    Raises:
        InputError: no format, an unknown one (the nearest is proposed), or no path where one is needed.

    Example:
        >>> parse_spec("voc2007:VOCdevkit#sub_test")
        DatasetSpec(format='voc2007', path=PosixPath('VOCdevkit'), split='sub_test')
        >>> parse_spec("scenes#train")
        DatasetSpec(format='scenes', path=None, split='train')
    """
    name, colon, rest = text.partition(":")
    if not colon:
        name, _, split = text.partition("#")
        if name in FORMATS and not FORMATS[name].needs_path:
            return DatasetSpec(name, None, split)
        if name in FORMATS:
            raise InputError(f"{text!r} names no folder or file. Write {name}:PATH#SPLIT.")
        example = f"coco:{name}#train2017" if Path(name).is_dir() else f"csv:{name or 'tags.csv'}"
        raise InputError(
            f"{text!r} does not say its format: there is no colon. Write FORMAT:PATH#SPLIT, "
            f"such as {example}; formats: {', '.join(FORMATS)}."
        )
    if name not in FORMATS:
        raise unknown_name("data set format", name, FORMATS)
    path, _, split = (rest, "", "") if Path(rest).exists() else rest.rpartition("#")
    if "#" not in rest:
        path, split = rest, ""
    if not FORMATS[name].needs_path:
        raise InputError(f"{text!r}: {name} has no path. Write {name}#SPLIT.")
    if not path:
        raise InputError(f"{text!r} names no folder or file. Write {name}:PATH#SPLIT.")
    return DatasetSpec(name, Path(path).expanduser(), split)


def open_dataset(spec: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read the data set that an argument names.

    Args:
        spec: `FORMAT:PATH#SPLIT`.
        options: switches of the reader; one that the format does not have must be left at its default.

    Returns:
        The data set; its `notes` say what was understood and what looked odd.

    Raises:
        InputError: an argument that cannot be parsed; an option that the format does not have; a missing
            file or folder; an unknown or empty split; whatever the format's reader finds wrong.
    """
    parsed = parse_spec(spec)
    entry = FORMATS[parsed.format]
    if foreign := [name for name in options.changed() if name not in entry.options]:
        flags = ", ".join("--" + name.replace("_", "-") for name in foreign)
        known = ", ".join("--" + name.replace("_", "-") for name in entry.options) or "none"
        raise InputError(f"{spec}: the format {parsed.format} has no option {flags}. Its options: {known}.")
    if parsed.path is not None and not parsed.path.exists():
        raise InputError(f"{spec}: {parsed.path} does not exist (looked from {Path.cwd()}). Check the path.")
    read = _function(entry.read)
    if parsed.path is None:
        return replace(read(parsed.split), spec=spec)
    return replace(read(parsed.path, parsed.split, options=options), spec=spec)


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
    entry = FORMATS[parsed.format]
    if entry.write is None or parsed.path is None:
        writable = ", ".join(name for name, one in FORMATS.items() if one.write)
        raise InputError(
            f"{spec}: the format {parsed.format} is read, not written. Formats to write: {writable}."
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
    """

    read: str
    options: tuple[str, ...]
    write: str | None = None
    needs_path: bool = True


_FILES = ("keep_unlabelled", "missing")
_VOC_OPTIONS = ("difficult", *_FILES)
_CSV_OPTIONS = (
    *(*_FILES, "delimiter", "encoding", "root"),
    *("image_column", "tags_column", "layout", "combinations"),
)

FORMATS: dict[str, Format] = {
    "voc2007": Format("formats.voc:read_voc2007", _VOC_OPTIONS),
    "voc2012": Format("formats.voc:read_voc2012", _VOC_OPTIONS),
    "coco": Format("formats.coco:read_coco", _FILES),
    "csv": Format("formats.csv_table:read_csv", _CSV_OPTIONS),
    "jsonl": Format(
        "formats.json_lines:read_json_lines", (*_FILES, "root"), "formats.json_lines:write_json_lines"
    ),
    "scenes": Format("scenes.files:read_scenes", (), needs_path=False),
}
"""Every data set format by its name."""
