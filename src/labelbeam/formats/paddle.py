"""PaddleClas's multi-label lists: a line per image, `path<TAB>0,1,0`, and `label_list.txt` beside them.

Reads and writes that layout. Knows nothing of pixels.
"""

from pathlib import Path

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions, settle
from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.formats.documents import text_lines
from labelbeam.formats.image_names import image_key
from labelbeam.formats.labelled_images import understood
from labelbeam.formats.lists import read_lines
from labelbeam.formats.one_hot import MINUS, absent_convention
from labelbeam.formats.placing import (
    new_list_file,
    refuse_split_in_file,
    refuse_split_to_write,
    refuse_unwritable,
    refuse_unwritable_images,
    unknown_note,
)
from labelbeam.labels.names import clean, refuse_reserved, variants_note
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary

LABEL_FILES = ("label_list.txt", "labels.txt", "label.txt")
"""Where names are looked for, beside the list; PaddleClas, PaddleLabel and PaddleX call it so."""

_BYTES = {"1": PRESENT, "0": ABSENT, "-1": UNKNOWN % 256}


def read_paddle(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a list of PaddleClas.

    Lists with blanks between the values, or with class numbers (PaddleLabel), are read as `list:` reads them. Names
    come from `label_list.txt` beside it, a line per label: `3 cat`, or names alone in their order. Without such
    a file labels are called 0, 1, 2, …, and a note says so. `-1` is unknown, or absent where there is no 0.

    Args:
        path: the list.
        split: empty or `all`; a list is one split.
        options: `root` (PaddleClas's `image_root`; None: the list's folder), `layout` (as `list:`),
            `keep_unlabelled`, `missing`.

    Returns:
        The data set, in the list's order; labels in the order of their columns.

    Raises:
        InputError: a split; a line without tab, with other values, or with another number of them (named by its
            number); label names that are too few, too many or repeated; an image given twice; whatever `settle`
            finds.

    Source:
        PaddleClas, `ppcls/data/dataloader/multilabel_dataset.py`, and its label list `class_id_map_file`.
    """
    spec = f"paddle:{path}" + (f"#{split}" if split else "")
    refuse_split_in_file(split, path, spec)
    if path.is_dir():
        raise InputError(
            f"{spec} is a folder. Give the list in it, such as paddle:{path / 'train_list.txt'}."
        )
    lines = text_lines(path)
    if _without_commas(lines):
        return read_lines(path, lines, split, spec, options=options)
    images: list[str] = []
    values = bytearray()
    for number, line in enumerate(lines, 1):
        if line.strip():
            image, _, flags = line.rpartition("\t" if "\t" in line else " ")
            where = f"{path}, line {number}"
            row = _row(flags, where)
            if images and len(row) * len(images) != len(values):
                usual = len(values) // len(images)
                raise InputError(
                    f"{where}: {len(row)} values, the lines before have {usual}. Repair the line."
                )
            images.append(image_key(image.strip(), where))
            values += row
    if not images:
        raise InputError(f"{spec}: {path} has no line. A line is an image, a tab and 0,1,0.")
    targets = np.frombuffer(values, np.int8).reshape(len(images), -1)
    kinds = {MINUS if value == UNKNOWN else int(value) for value in np.unique(targets)}
    meaning, said = absent_convention(kinds, options.absent, spec)
    if meaning[MINUS] == ABSENT:
        targets = np.where(targets == UNKNOWN, np.int8(ABSENT), targets)
    names, origin = _label_names(path, targets.shape[1])
    notes = (understood(images, names, targets, origin), *said, *variants_note(names))
    root = options.root or path.parent
    return settle(Dataset(spec, root, tuple(images), Vocabulary(names), targets, notes=notes), options)


def write_paddle(dataset: Dataset, path: Path, *, split: str = "", images: str = "keep") -> tuple[str, ...]:
    """Write a list of PaddleClas, and `label_list.txt` beside it, which lists of the same labels share.

    Args:
        dataset: what to write.
        path: the list to appear.
        split: empty or `all`; a list is one split.
        images: `keep`, `link` or `copy`.

    Returns:
        What the list cannot hold: PaddleClas knows 0 and 1 only.

    Raises:
        InputError: a split; something is at `path`; a `label_list.txt` of other labels; an image that is missing; a
            label with a line end, an image with a tab.
    """
    spec = f"paddle:{path}" + (f"#{split}" if split else "")
    refuse_split_to_write(split, path, spec)
    names = dataset.vocabulary.names
    refuse_unwritable(names, spec, without="\0" + _LINE_ENDS, control=False)
    label_file = path.with_name(LABEL_FILES[0])
    text = "".join(f"{j} {name}\n" for j, name in enumerate(names))
    if path == label_file:
        raise InputError(
            f"{spec}: {path.name} is the name of the list of labels. Call this one train_list.txt."
        )
    if label_file.exists() and label_file.read_bytes() != text.encode():
        raise InputError(
            f"{label_file} is there already, with other labels or another order; nothing is overwritten. Give "
            "another folder."
        )
    with new_list_file(dataset, path, images=images, spec=spec) as (part, references):
        refuse_unwritable_images(references, spec, blanks=False)
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for image, row in zip(references, dataset.targets, strict=True):
                file.write(image + "\t" + ",".join("1" if value == PRESENT else "0" for value in row) + "\n")
        if not label_file.exists():
            with written_whole(label_file) as label_part:
                label_part.write_bytes(text.encode())
    return unknown_note(dataset.targets)


def _without_commas(lines: list[str]) -> bool:
    """Return whether no line has values with commas between, as PaddleClas writes several."""
    return any(map(str.strip, lines)) and not any("," in line.split()[-1] for line in lines if line.strip())


_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What `str.splitlines` ends lines at."""


def _row(flags: str, where: str) -> bytes:
    try:
        return bytes(_BYTES[flag.strip()] for flag in flags.split(","))
    except KeyError as error:
        wrong = str(error)[:60]
        raise InputError(f"{where}: {wrong} among the values; 1 is present, 0 absent, -1 unknown.") from None


def _label_names(path: Path, count: int) -> tuple[tuple[str, ...], str]:
    """Return the names of the columns, and where they come from, in words."""
    file = next((path.with_name(name) for name in LABEL_FILES if path.with_name(name).is_file()), None)
    if file is None or file == path:
        return tuple(
            map(str, range(count))
        ), f"named by their numbers, as no {LABEL_FILES[0]} is beside the list"
    lines = [line.strip() for line in text_lines(file) if line.strip()]
    numbered = [line.split(maxsplit=1) for line in lines]
    ids = [parts[0] for parts in numbered]
    if sorted(ids) == sorted(map(str, range(len(lines)))) and all(len(parts) == 2 for parts in numbered):
        lines = [parts[1] for parts in sorted(numbered, key=lambda parts: int(parts[0]))]
    names = tuple(map(clean, lines))
    if len(names) != count:
        raise InputError(f"{file} names {len(names)} labels, the lines of {path} have {count} values.")
    if len(set(names)) < len(names):
        raise InputError(
            f"{file}: the labels must differ; {next(n for n in names if names.count(n) > 1)!r} is twice there."
        )
    refuse_reserved(names, str(file))
    return names, f"named by {file.name}"
