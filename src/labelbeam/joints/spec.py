"""The data set argument: `FORMAT:PATH#SPLIT` to a data set.

The one table of formats is here. Knows nothing of what is inside the files; readers are imported when their
format is asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

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
    return replace(entry.read(parsed.path or Path(), parsed.split, options), spec=spec)


def _read_voc2007(path: Path, split: str, options: ReadOptions) -> Dataset:
    from labelbeam.data.voc import read_voc

    return read_voc(path, split, edition="voc2007", options=options)


def _read_voc2012(path: Path, split: str, options: ReadOptions) -> Dataset:
    from labelbeam.data.voc import read_voc

    return read_voc(path, split, edition="voc2012", options=options)


def _read_coco(path: Path, split: str, options: ReadOptions) -> Dataset:
    from labelbeam.data.coco import read_coco

    return read_coco(path, split, options=options)


def _read_csv(path: Path, split: str, options: ReadOptions) -> Dataset:
    from labelbeam.data.csv_table import read_csv

    return read_csv(path, split, options=options)


def _read_scenes(path: Path, split: str, options: ReadOptions) -> Dataset:
    from labelbeam.scenes.files import read_scenes

    return read_scenes(split)


@dataclass(frozen=True)
class Format:
    """A row of the table of formats.

    Attributes:
        read: path, split and options to data set; without a PATH the first is unused.
        options: names of the `ReadOptions` that it has.
        needs_path: whether the argument has a PATH.
    """

    read: Callable[[Path, str, ReadOptions], Dataset]
    options: tuple[str, ...]
    needs_path: bool = True


_VOC_OPTIONS = ("difficult", "keep_unlabelled", "missing")
_CSV_OPTIONS = (
    *("keep_unlabelled", "missing", "delimiter", "encoding", "root"),
    *("image_column", "tags_column", "layout", "combinations"),
)

FORMATS: dict[str, Format] = {
    "voc2007": Format(_read_voc2007, _VOC_OPTIONS),
    "voc2012": Format(_read_voc2012, _VOC_OPTIONS),
    "coco": Format(_read_coco, ("keep_unlabelled", "missing")),
    "csv": Format(_read_csv, _CSV_OPTIONS),
    "scenes": Format(_read_scenes, (), needs_path=False),
}
"""Every data set format by its name."""
