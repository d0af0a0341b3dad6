"""Lists of images with labels behind them: `a.jpg 1 0 0`, `a.jpg 2 0`, `a.jpg cat dog`, `a.jpg<TAB>0,1,0`.

Reads CelebA's `list_attr_celeba.txt` (a count, a line of names, 1 and -1), the lists of the hashing literature
(one-hot, without names), mmpretrain's and PaddleLabel's (class numbers) and lists of words; reads and writes
PaddleClas's, with `label_list.txt` beside them.

Source:
    CelebA, `Anno/list_attr_celeba.txt` and `Eval/list_eval_partition.txt` (torchvision, `datasets/celeba.py`); HashNet,
    `data/nuswide_81/train.txt`; mmpretrain, `datasets/custom.py`; PaddleLabel, multi-class classification; PaddleClas,
    `ppcls/data/dataloader/multilabel_dataset.py`, and its label list `class_id_map_file`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import written_whole
from labelbeam.formats import placing
from labelbeam.formats.cells import DELIMITERS, looks_cut, recognise
from labelbeam.formats.csv_rows import IMAGE_COLUMNS
from labelbeam.formats.documents import image_key, text_lines
from labelbeam.formats.labelled_images import dataset_of_targets
from labelbeam.formats.one_hot import MINUS, absent_convention
from labelbeam.labels.names import clean, refuse_reserved
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

NAME_FILES = ("label_list.txt", "labels.txt", "label.txt", "classes.txt", "class_names.txt", "concepts.txt")
"""Where the names of columns or class numbers are looked for, beside the list."""

CELEBA = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"
CELEBA_SPLITS = ("train", "valid", "test")
"""What 0, 1 and 2 mean in CelebA's list of partitions."""

LAYOUTS = ("one-hot", "numbers", "tags")

_BYTES = {"1": PRESENT, "0": ABSENT, "-1": UNKNOWN % 256}

_MOST = 100_000
"""Class numbers without names go up to here; more is something else, such as an id."""

_OF_NUMBERS = "-0123456789 \t\r"

_NUMBER = re.compile(r"-?\d{1,9}")
_FRACTION = re.compile(r"-?\d{1,9}(?:\.\d{0,20})?(?:[eE][-+]?\d{1,2})?")
_PAIR = re.compile(r"\d{1,9}:-?\d*\.?\d+")
_BOX = re.compile(r"\d{1,6}(,\d{1,6}){4}")
_NUMBERS = re.compile(r"-?\d{1,9}(?:(?:,-?\d{1,9})+|(?:;-?\d{1,9})+)")

Row = tuple[int, str, str]
"""Line number, image as written, what stands behind it."""

Labels = tuple[tuple[str, ...], np.ndarray, str]
"""Names, int8 [images labels], and how the labels are written, in words."""


def read_list(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a list.

    Columns are named by a first line, else by `labels.txt` or the like beside the list, else by their numbers, which is
    noted. In columns of 1 and -1 without a 0, -1 is absent (CelebA); beside 0 it is unknown; `absent` decides
    otherwise. Labels are in the order of columns or class numbers; words are sorted.

    Args:
        path: the list, or a folder with `list_attr_celeba.txt` in it.
        split: of CelebA `train`, `valid` or `test`; else empty or `all`: every line.
        options: `layout` (`one-hot`, `numbers` or `tags`; None: recognised, or an error where two are possible), `root`
            (folder of the images; None: looked for around the list), `absent` (`-1` or `none`).

    Raises:
        InputError: two layouts that are possible and differ; a line that does not fit; names that are too few; an
            unknown split; whatever `settle` finds.
    """
    spec = f"list:{path}" + (f"#{split}" if split else "")
    file = _list_in(path, spec) if path.is_dir() else path
    return read_lines(file, text_lines(file), split, spec, options=options)


def read_lines(file: Path, lines: Sequence[str], split: str, spec: str, *, options: ReadOptions) -> Dataset:
    """Read the lines of a list; see `read_list`."""
    _refuse_boxes(lines, file)
    header, rows = _rows(lines, file, spec)
    rows = _without_fractions(rows, file)
    beside = _name_file(file)
    names = header or (None if beside is None else _names_in(beside))
    layout = options.layout or _layout(rows, header, names, file, spec)
    if layout not in LAYOUTS:
        raise InputError(f"{spec}: {unknown_name('--layout', layout, LAYOUTS)}")
    if layout == "one-hot":
        columns, targets, written = _one_hot(rows, names, file, options.absent)
    else:
        columns, targets, written = (_class_numbers if layout == "numbers" else _words)(rows, names, file)
    if layout != "tags":
        origin = "the first line" if header or beside is None else beside.name
        nameless = f"called by their numbers, as no {NAME_FILES[0]} is beside the list"
        written += f", {f'named by {origin}' if names is not None else nameless}"
    # CelebA's images lie beside the folder of its lists.
    home = options.root or (file.parent.parent if file.parent.name == "Anno" else file.parent)
    images = [image_key(image, f"{file}, line {number}") for number, image, _ in rows]
    partition = _partition(file, rows, spec)
    notes: list[str] = []
    if partition is not None:
        chosen, notes = placing.chosen_splits(CELEBA_SPLITS, split, f"list:{file}")
        kept = [i for i, part in enumerate(partition) if part in chosen]
        images, targets = [images[i] for i in kept], targets[kept]
    else:
        placing.chosen_splits([], split, spec)
    return dataset_of_targets(
        images, columns, targets, spec=spec, root=home, layout=written, options=options, notes=notes
    )


def _list_in(folder: Path, spec: str) -> Path:
    for place in (folder / CELEBA, folder / "Anno" / CELEBA):
        if place.is_file():
            return place
    files = sorted(file.name for file in folder.glob("*.txt"))[:5]
    raise InputError(
        f"{spec} is a folder without {CELEBA}. Give the list in it, such as {', '.join(files) or 'train.txt'}."
    )


def _rows(lines: Sequence[str], file: Path, spec: str) -> tuple[list[str] | None, list[Row]]:
    """Return the names of a first line that has some, and the rows."""
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    first = numbered[0][1].split()[1:] if numbered and _is_comment(numbered[0][1]) else []
    is_header = len(numbered) > 1 and len(first) == len(numbered[1][1].split())
    if is_header and first[0].casefold() in IMAGE_COLUMNS:  # a comment that names the columns
        numbered[0] = (numbered[0][0], " ".join(first))
    numbered = [(number, line) for number, line in numbered if not _is_comment(line)]
    if numbered and numbered[0][1].strip().isdigit():  # CelebA begins with the number of images
        numbered = numbered[1:]
    rows = [(number, *_taken_apart(line)) for number, line in numbered]
    if rows and all(image.endswith(":") and _is_image(image[:-1]) for _, image, _ in rows):
        rows = [(number, image[:-1], behind) for number, image, behind in rows]
    if not rows:
        raise InputError(f"{spec}: {file} has no line. A line is an image and its labels: a.jpg 1 0.")
    first = numbered[0][1].split()
    if len(rows) > 1 and not any(_is_image(word.rstrip(":")) for word in first) and _is_image(rows[1][1]):
        width = len(rows[1][2].split())
        names = first if len(first) == width else first[1:] if len(first) == width + 1 else None
        if names is None:
            raise InputError(
                f"{spec}: {file}, line {numbered[0][0]}: {len(first)} names for {width} values in the lines below. "
                "Repair the first line."
            )
        return names, rows[1:]
    return None, rows


def _is_comment(line: str) -> bool:
    """Return whether a line begins with a hash and a blank and is no image that is called so."""
    return line.startswith("# ") and not _is_image(_taken_apart(line)[0])


def _without_fractions(rows: list[Row], file: Path) -> list[Row]:
    """Return rows whose values are written `1.0`, `0.0` and `-1.0`, or True and False, with whole numbers."""
    values = {value for _, _, behind in rows for value in behind.split()}
    if values and {value.casefold() for value in values} <= {"true", "false"}:
        words = {value: str(int(value.casefold() == "true")) for value in values}
        return [(n, image, " ".join(map(words.__getitem__, behind.split()))) for n, image, behind in rows]
    if not any("." in value for value in values) or not all(map(_FRACTION.fullmatch, values)):
        return rows
    if scores := sorted(value for value in values if float(value) not in (0, 1, -1)):
        raise InputError(
            f"{file}: {scores[0]!r} is a score or a measure, and only 1, 0 and -1 are read. Decide on a threshold and "
            "write the labels that are present."
        )
    return [
        (line, image, " ".join(str(int(float(value))) for value in behind.split()))
        for line, image, behind in rows
    ]


def _refuse_boxes(lines: Sequence[str], file: Path) -> None:
    """Refuse lists of boxes, `a.jpg 10,20,30,40,0`: five numbers that are not all 0 and 1, and nothing else."""
    first, values = "", set()
    for line in lines:
        for word in line.split()[1:]:
            if not _BOX.fullmatch(word):
                return
            first = first or word
            values.update(word.split(","))
    if not values <= {"0", "1"}:
        raise InputError(
            f"{file}: {first!r} is a box with a class number at its end (YOLO of Keras), which is not read. Export the "
            "data set in another format."
        )


def _taken_apart(line: str) -> tuple[str, str]:
    """Return image and labels: numbers are taken from the end, as names of files may hold blanks."""
    image = line.rstrip(_OF_NUMBERS)
    if (
        _is_image(image)
        and line[len(image) : len(image) + 1].isspace()
        and "-" not in line[len(image) :].replace(" -1", "")
    ):
        return image.strip(), line[len(image) :].strip()  # what nearly every line is
    last = line.rsplit(None, 1)[-1]
    if _NUMBERS.fullmatch(last):
        line = line.rstrip().removesuffix(last) + last.replace(",", " ").replace(";", " ")
    words = line.split()
    behind = next(
        (i for i, word in enumerate(reversed(words[1:])) if not _NUMBER.fullmatch(word)), len(words) - 1
    )
    if (
        not behind
    ):  # words, not numbers: the image ends where its suffix does, or at a tab, or at the first blank
        if "\t" in line.strip():
            image, _, rest = line.strip().partition("\t")
            return image.strip(), rest.strip()
        end = next((i for i, word in enumerate(words, 1) if _is_image(word.rstrip(":"))), 1)
        behind = len(words) - end
    if not behind:
        return line.strip(), ""
    image = line.rstrip().rsplit(None, behind)[0]
    return image.strip(), line[len(image) :].strip()


def _is_image(word: str) -> bool:
    return "." + word.rpartition(".")[2].lower() in SUFFIXES


def _layout(
    rows: Sequence[Row], header: Sequence[str] | None, names: Sequence[str] | None, file: Path, spec: str
) -> str:
    """Return how the labels are written."""
    values: set[str] = set()
    widths: set[int] = set()
    repeats = False
    for _, _, behind in rows:
        found = behind.split()
        values.update(found)
        widths.add(len(found))
        repeats = repeats or len(set(found)) < len(found)
    if not values:
        raise InputError(
            f"{spec}: {file}, line {rows[0][0]}: no label stands behind {rows[0][1][:60]!r} or another image."
        )
    if not all(_NUMBER.fullmatch(value) for value in values):
        if pair := next((value for value in sorted(values) if _PAIR.fullmatch(value)), None):
            raise InputError(
                f"{spec}: {file}: {pair!r} is the number of a column and its value (LIBSVM), or a class and its score. "
                "Write class numbers or names alone, those that are present."
            )
        return "tags"
    if header or "-1" in values:
        return "one-hot"
    joined = {len(value) for value in values if set(value) <= {"0", "1"}}
    if len(joined) == 1 and joined != {1} and any(value[0] == "0" for value in values):
        raise InputError(
            f"{spec}: {file}: {rows[0][2]!r} could be a row of 1 and 0 without blanks, or the number of a class. Put "
            "blanks between the values, or write class numbers without zeros in front."
        )
    if not values <= {"0", "1"}:
        return "numbers"
    if len(widths) > 1:
        if repeats:
            raise InputError(
                f"{spec}: {file}: lines have {min(widths)} to {max(widths)} values of 1 and 0, too many or too few for "
                "columns, and some twice, so they are no class numbers. Repair the lines."
            )
        return "numbers"
    if repeats:
        return "one-hot"  # nobody writes one class number twice
    width = widths.pop()
    if width == 1 and names is not None:
        return "one-hot" if len(names) == 1 else "numbers"
    raise InputError(
        f"{spec}: {file}: two readings are possible. {rows[0][1]!r} with {rows[0][2]!r} is a column of 1 and 0 "
        f"for each of {width} labels, or {'the numbers of its classes' if width > 1 else 'the number of its class'}. "
        "Say which: --layout one-hot or --layout numbers."
    )


def _one_hot(rows: Sequence[Row], names: Sequence[str] | None, file: Path, absent: str | None) -> Labels:
    width = len(rows[0][2].split())
    if names is not None and len(names) != width:
        raise InputError(
            f"{file}: {len(names)} names of labels, but {width} values in a line. Repair the names."
        )
    values = bytearray()
    for number, _, behind in rows:
        found = behind.split()
        if len(found) != width:
            raise InputError(
                f"{file}, line {number}: {len(found)} values, the first line has {width}. Repair the line."
            )
        try:
            values += bytes(map(_BYTES.__getitem__, found))
        except KeyError as error:
            raise InputError(
                f"{file}, line {number}: {str(error)[:40]} among the values; 1 is present, 0 or -1 not."
            ) from None
    targets = np.frombuffer(values, np.int8).reshape(len(rows), width)
    written = "a column of 1 and 0 for each label"
    if (targets == UNKNOWN).any():
        kinds = {ABSENT, MINUS} if (targets == ABSENT).any() else {MINUS}
        meaning, _ = absent_convention(kinds, absent, str(file))
        targets = _without_minus(targets, meaning)
        signs = "1, 0 and -1" if ABSENT in kinds else "1 and -1"
        why = (
            ", as there is no 0; --absent none decides otherwise"
            if absent is None and ABSENT not in kinds
            else ""
        )
        meant = f"-1 is {'absent' if meaning[MINUS] == ABSENT else 'unknown'}{why}"
        written = f"a column of {signs} for each label ({meant})"
    return _columns(names, width, file), targets, written


def _class_numbers(rows: Sequence[Row], names: Sequence[str] | None, file: Path) -> Labels:
    numbers: list[list[int]] = []
    most = len(names) if names is not None else _MOST
    for number, _, behind in rows:
        found = behind.split()
        if wrong := [value for value in found if not value.isdecimal() or int(value) >= most]:
            raise InputError(
                f"{file}, line {number}: {wrong[0][:40]!r} is no class number from 0 on"
                + (f"; there are {len(names)} names of classes." if names is not None else ".")
            )
        numbers.append([int(value) for value in found])
    width = len(names) if names is not None else 1 + max((n for found in numbers for n in found), default=0)
    targets = np.zeros((len(rows), width), np.int8)
    for row, columns in zip(targets, numbers, strict=True):
        row[columns] = PRESENT
    return _columns(names, width, file), targets, "class numbers behind each image"


def _words(rows: Sequence[Row], names: Sequence[str] | None, file: Path) -> Labels:
    for number, image, behind in rows:
        if not _is_image(image) and _is_image(behind.rpartition("\t")[2]):
            raise InputError(
                f"{file}, line {number}: the image comes last, {behind[-40:]!r}. Put it first, its labels behind it."
            )
    marked = any(mark in behind for _, _, behind in rows for mark in DELIMITERS)
    style = recognise((behind for _, _, behind in rows), str(file)) if marked else None
    found = [
        style.labels(behind)
        if style
        else [clean(word) for word in behind.split("\t" if "\t" in behind else None)]
        for _, _, behind in rows
    ]
    columns = tuple(sorted({word for words in found for word in words if word}))
    if not columns:
        raise InputError(f"{file}: no line has a label behind its image.")
    if cut := next((word for word in columns if looks_cut(word)), None):
        raise InputError(
            f"{file}: a bracket or quotation mark is left over in the label {cut[:40]!r}. Repair the lines."
        )
    place = {name: j for j, name in enumerate(columns)}
    targets = np.zeros((len(rows), len(columns)), np.int8)
    for row, words in zip(targets, found, strict=True):
        row[[place[word] for word in words if word]] = PRESENT
    return columns, targets, f"words behind each image{f', {style}' if style else ''}"


def _columns(names: Sequence[str] | None, width: int, file: Path) -> tuple[str, ...]:
    columns = tuple(map(clean, names)) if names is not None else tuple(map(str, range(width)))
    if len(set(columns)) < len(columns) or not all(columns):
        raise InputError(
            f"{file}: the names of labels must differ and not be empty: {', '.join(columns[:8])}."
        )
    return columns


def _names_in(file: Path) -> list[str]:
    """Return the names of a list, a line each: names alone, or `3 cat`, by their numbers."""
    lines = [line.strip() for line in text_lines(file) if line.strip()]
    numbered = [line.split(maxsplit=1) for line in lines]
    if not all(len(parts) == 2 for parts in numbered):
        return lines
    if sorted(parts[0] for parts in numbered) != sorted(map(str, range(len(lines)))):
        return lines
    return [parts[1] for parts in sorted(numbered, key=lambda parts: int(parts[0]))]


def _without_minus(targets: np.ndarray, meaning: Mapping[int, int]) -> np.ndarray:
    return np.where(targets == UNKNOWN, np.int8(ABSENT), targets) if meaning[MINUS] == ABSENT else targets


def _name_file(file: Path) -> Path | None:
    there = (file.with_name(name) for name in NAME_FILES)
    return next((found for found in there if found.is_file() and found != file), None)


def _partition(file: Path, rows: Sequence[Row], spec: str) -> list[str] | None:
    """Return the split of each row as CelebA's list of partitions has it; None where there is none."""
    if file.name != CELEBA:
        return None
    places = (file.with_name(PARTITION), file.parent.parent / "Eval" / PARTITION)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        return None
    parts: dict[str, str] = {}
    for number, line in enumerate(text_lines(found), 1):
        if line.strip():
            image, _, part = line.strip().rpartition(" ")
            if part not in {"0", "1", "2"}:
                raise InputError(
                    f"{spec}: {found}, line {number}: {part[:40]!r}; 0 is train, 1 valid, 2 test."
                )
            parts[image.strip()] = CELEBA_SPLITS[int(part)]
    if lost := [image for _, image, _ in rows if image not in parts]:
        raise InputError(f"{spec}: {found} does not have {len(lost)} images of {file.name}: {lost[:3]}.")
    return [parts[image] for _, image, _ in rows]


_PADDLE_NAMES = NAME_FILES[:3]
_LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What `str.splitlines` ends lines at."""


def read_paddle(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a list of PaddleClas, `path<TAB>0,1,0`; `root` is its `image_root`.

    Lists with blanks between the values, or with class numbers (PaddleLabel), are read as `list:` reads them. Names
    come from `label_list.txt` beside it, a line per label: `3 cat`, or names alone in their order. Without such
    a file labels are called 0, 1, 2, …, which is noted. `-1` is unknown, or absent where there is no 0.

    Raises:
        InputError: a split; a line without tab, with other values, or with another number of them (named by its
            number); label names that are too few, too many or repeated; an image given twice; whatever `settle`
            finds.
    """
    spec = f"paddle:{path}" + (f"#{split}" if split else "")
    placing.refuse_split_in_file(split, path, spec)
    if path.is_dir():
        raise InputError(
            f"{spec} is a folder. Give the list in it, such as paddle:{path / 'train_list.txt'}."
        )
    lines = text_lines(path)
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if numbered and not any("," in line.split()[-1] for _, line in numbered):
        return read_lines(path, lines, split, spec, options=options)
    images: list[str] = []
    values = bytearray()
    for number, line in numbered:
        where = f"{path}, line {number}"
        image, _, flags = line.rpartition("\t" if "\t" in line else " ")
        try:
            row = bytes(_BYTES[flag.strip()] for flag in flags.split(","))
        except KeyError as error:
            wrong = str(error)[:60]
            raise InputError(
                f"{where}: {wrong} among the values; 1 is present, 0 absent, -1 unknown."
            ) from None
        if images and len(row) * len(images) != len(values):
            usual = len(values) // len(images)
            raise InputError(f"{where}: {len(row)} values, the lines before have {usual}. Repair the line.")
        images.append(image_key(image.strip(), where))
        values += row
    if not images:
        raise InputError(f"{spec}: {path} has no line. A line is an image, a tab and 0,1,0.")
    targets = np.frombuffer(values, np.int8).reshape(len(images), -1)
    kinds = {MINUS if value == UNKNOWN else int(value) for value in np.unique(targets)}
    meaning, notes = absent_convention(kinds, options.absent, spec)
    names, origin = _paddle_names(path, targets.shape[1])
    return dataset_of_targets(
        images,
        names,
        _without_minus(targets, meaning),
        spec=spec,
        root=options.root or path.parent,
        layout=origin,
        options=options,
        notes=notes,
    )


def _paddle_names(path: Path, count: int) -> tuple[tuple[str, ...], str]:
    """Return the names of the columns, and where they come from, in words."""
    file = next((path.with_name(name) for name in _PADDLE_NAMES if path.with_name(name).is_file()), None)
    if file is None or file == path:
        origin = f"named by their numbers, as no {_PADDLE_NAMES[0]} is beside the list"
        return tuple(map(str, range(count))), origin
    names = tuple(map(clean, _names_in(file)))
    if len(names) != count:
        raise InputError(f"{file} names {len(names)} labels, the lines of {path} have {count} values.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{file}: the labels must differ; {twice[0]!r} is twice there.")
    refuse_reserved(names, str(file))
    return names, f"named by {file.name}"


def write_paddle(dataset: Dataset, path: Path, *, split: str = "", images: str = "keep") -> tuple[str, ...]:
    """Write a list of PaddleClas, and `label_list.txt` beside it, which lists of the same labels share.

    Raises:
        InputError: a `label_list.txt` of other labels; a label with a line end, an image with a tab.
    """
    spec = f"paddle:{path}" + (f"#{split}" if split else "")
    placing.refuse_unwritable(dataset.vocabulary, spec, without="\0" + _LINE_ENDS, control=False)
    label_file = path.with_name(_PADDLE_NAMES[0])
    text = "".join(f"{j} {name}\n" for j, name in enumerate(dataset.vocabulary))
    if path == label_file:
        raise InputError(
            f"{spec}: {path.name} is the name of the list of labels. Call this one train_list.txt."
        )
    if label_file.exists() and label_file.read_bytes() != text.encode():
        raise InputError(
            f"{label_file} is there already, with other labels or another order; nothing is overwritten. Give "
            "another folder."
        )
    with placing.new_list_file(
        dataset, path, images=images, spec=spec, split=split, control=True, blanks=False
    ) as (part, references):
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for image, row in zip(references, dataset.targets, strict=True):
                image = f"./{image}" if image.startswith("# ") else image  # no comment
                file.write(image + "\t" + ",".join("1" if value == PRESENT else "0" for value in row) + "\n")
        if not label_file.exists():
            with written_whole(label_file) as label_part:
                label_part.write_bytes(text.encode())
    return placing.unknown_note(dataset.targets)
