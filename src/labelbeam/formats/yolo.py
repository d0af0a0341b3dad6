"""YOLO folders: a text file of boxes for each image, `CLASS X Y WIDTH HEIGHT` a line, read as the set of their classes.

Reads what Ultralytics (`data.yaml`), Roboflow (`train/images`, `train/labels`), darknet and CVAT (`obj.names`,
`train.txt`) and LabelImg (`classes.txt`, texts beside the images) leave behind. Knows nothing of pixels.

Source:
    Ultralytics documentation, "Object Detection Datasets Overview", and `ultralytics/data/utils.py`
    (`img2label_paths`, `verify_image_label`, `check_det_dataset`); Datumaro documentation, "YOLO", "YOLO-Ultralytics",
    "Roboflow".
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.listing import SUFFIXES, images_in
from labelbeam.errors import InputError
from labelbeam.files import is_file, is_folder
from labelbeam.formats.documents import damaged_note, key_below, read_each
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.placing import chosen_splits, folders_in
from labelbeam.labels.vocabulary import PRESENT
from labelbeam.parsing import parse_yaml, read_regular

CLASS_FILES = ("classes.txt", "obj.names", "_darknet.labels", "*.names", "names.txt")
"""Where the names of the classes are where no YAML file has them, a line each; in the folder or two folders down."""

SPLITS = ("train", "val", "valid", "validation", "test", "minival", "obj_train_data", "obj_valid_data")
"""Keys of `data.yaml` and names of folders and lists that are splits."""

LARGEST = 1 << 24
"""Bytes of a label file or list that are read; more is something else."""


def read_yolo(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a YOLO data set.

    A class is present where a box, polygon or pose of it is; an image without a label file, or with an empty one, is
    a background image, as Ultralytics has it: every label is absent.

    `path` is the folder or its `data.yaml`. Splits are named by it, by folders or by lists (`train.txt`); `val` and
    `valid` are the same. Labels are in the order of the classes' numbers.

    Raises:
        InputError: nothing that names the classes; no image; no label file at all; a line that is no box; a class
            number beyond the names; whatever `settle` finds.
    """
    spec = f"yolo:{path}" + (f"#{split}" if split else "")
    description = path if path.is_file() else _yaml_file(path)
    home = path.parent if path.is_file() else path
    if not home.is_dir():
        raise InputError(f"{spec}: {path} is neither a folder nor a data.yaml. Check the path.")
    config = _config(description, spec) if description else {}
    classes, origin = _classes(config, description, home, spec)
    splits = _splits(config, home, spec)
    whole = splits or {"": [home]}
    names, notes = chosen_splits(splits, _spelled(split, splits), f"yolo:{path}")
    images: dict[Path, None] = {}
    for name in names or [""]:
        images |= dict.fromkeys(_images(whole[name], home, spec))
    if not images:
        places = ", ".join(str(place) for name in names or [""] for place in whole[name])
        raise InputError(
            f"{spec}: "
            + (
                f"no image in {places}."
                if places
                else f"{description} names a folder that is not there. Repair it."
            )
        )
    listed: dict[str, frozenset[str]] = {}
    scores: list[float] = []
    file_of = {key: _label_file(key, home, listed) for key in (key_below(home, image) for image in images)}
    numbers, damaged = read_each(
        (file for file in file_of.values() if file is not None),
        lambda file: _class_numbers(file, spec, scores),
    )
    labelled = [
        (
            key,
            None if file in damaged else _labels(numbers.get(file, ()) if file else (), classes, file, spec),
        )
        for key, file in file_of.items()
    ]
    without = [key for key, file in file_of.items() if file is None]
    if len(without) == len(images):
        raise InputError(
            f"{spec}: none of {len(images)} images has a label file, such as {home / _label_places(without[0])[0]}. "
            "A YOLO folder has labels/… for images/…, or texts beside the images."
        )
    if without:
        notes.append(
            f"{len(without):,} images have no label file and count as images without an object, as YOLO has it: "
            f"{', '.join(without[:3])}."
        )
    if scores:
        notes.append(
            f"{len(scores):,} boxes have a sixth number, as a model's confidence ({min(scores):g} to {max(scores):g}): "
            "each counts as present, whatever it is."
        )
    return labelled_dataset(
        labelled,
        spec=spec,
        root=home,
        names=classes,
        layout=f"YOLO boxes, read as the set of their classes, which {origin} names",
        options=options,
        notes=[
            *notes,
            *damaged_note(damaged, "label files", "every label of their images is unknown"),
            "where the boxes are is not read.",
        ],
    )


def is_yolo_text(text: str) -> bool:
    """Return whether a text is lines of YOLO boxes and nothing else.

    Example:
        >>> is_yolo_text("0 0.5 0.5 0.2 0.2"), is_yolo_text("1girl, solo"), is_yolo_text("2019 2020")
        (True, False, False)
    """
    lines = [line for line in text.split("\n") if line.strip()]
    return bool(lines) and all(_box_class(line) is not None for line in lines)


def _yaml_file(folder: Path) -> Path | None:
    """Return the YAML file of a folder that names classes; `data.yaml` before others."""
    files = sorted((*folder.glob("*.yaml"), *folder.glob("*.yml")), key=lambda f: (f.stem != "data", f.name))
    return next((file for file in files if is_file(file) and _has_names(file)), None)


def _has_names(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return file.stem == "data" or b"names" in opened.read(LARGEST)
    except OSError:
        return False


def _config(file: Path, spec: str) -> Mapping[str, object]:
    found = parse_yaml(_text(file, spec).encode(), f"{spec}: {file}")
    if not isinstance(found, dict):
        raise InputError(f"{spec}: {file} is not of the form 'names: [cat, dog]' with 'train: images/train'.")
    return {str(key): value for key, value in found.items()}


def _classes(
    config: Mapping[str, object], description: Path | None, home: Path, spec: str
) -> tuple[list[str], str]:
    """Return the names by number, and what names them."""
    names = config.get("names")
    if isinstance(names, dict):
        try:
            numbered = {int(key): value for key, value in names.items()}
        except (TypeError, ValueError):
            raise InputError(f"{spec}: 'names' in {description} must be numbered 0, 1, 2, ….") from None
        if sorted(numbered) != list(range(len(numbered))):
            raise InputError(
                f"{spec}: 'names' in {description} must be numbered 0 to {len(numbered) - 1} without a gap."
            )
        names = [numbered[number] for number in range(len(numbered))]
    if isinstance(names, list) and names:
        if not all(isinstance(name, str | int | float) for name in names):
            raise InputError(f"{spec}: 'names' in {description} must be a list of texts.")
        found, origin = [_class_text(name) for name in names], str((description or home).name)
    else:
        file = class_file(home, spec)
        if file is None and (above := _yaml_file(home.parent)):  # a folder of one split was named
            return _classes(_config(above, spec), above, home.parent, spec)
        if file is None:
            raise InputError(
                f"{spec}: boxes name their classes by numbers, and nothing names the numbers: there is no data.yaml "
                f"with 'names' and no {', '.join(CLASS_FILES[:2])} in {home}. Write them into classes.txt, a line each."
            )
        found, origin = [line.strip() for line in _text(file, spec).split("\n") if line.strip()], file.name
    if not found or not all(found) or len(set(found)) < len(found):
        raise InputError(f"{spec}: the class names of {origin} must differ and not be empty: {found[:8]}.")
    return found, origin


def class_file(home: Path, spec: str) -> Path | None:
    """Return the file that names the classes, the nearest one; None where there is none.

    Raises:
        InputError: two of them are equally near and differ.
    """
    for level in ("", "*/", "*/*/"):
        for name in CLASS_FILES:
            found = sorted(file for file in home.glob(level + name) if is_file(file))
            if len({_text(file, spec).strip() for file in found}) > 1:
                raise InputError(f"{spec}: {found[0]} and {found[1]} name the classes differently. Keep one.")
            if found:
                return found[0]
    return None


def _class_text(value: object) -> str:
    # YAML reads an unquoted `no` as false and `8` as a number; people mean the names.
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value).strip()


def _splits(config: Mapping[str, object], home: Path, spec: str) -> dict[str, list[Path]]:
    """Return the folders and lists of each split; empty where the folder is not divided."""
    found: dict[str, list[Path]] = {}
    for name in SPLITS:
        entries = config.get(name)
        listed = [entries] if isinstance(entries, str) else entries if isinstance(entries, list) else []
        places = [_place(str(entry), config, home) for entry in listed if entry]
        if there := [place for place in places if place is not None]:
            found[name] = there
        elif listed and all(listed):
            found[name] = []
    if any(found.values()):
        return {name: places for name, places in found.items() if places or name in {"train", "val", "valid"}}
    return _folders_of_splits(home)


def _place(entry: str, config: Mapping[str, object], home: Path) -> Path | None:
    """Return a folder or list that `data.yaml` names; its `path` is often of another machine."""
    base = config.get("path")
    starts = [home / base, Path(base)] if isinstance(base, str) and "\0" not in base else []
    plain = entry.replace("\\", "/")
    while plain.startswith("../"):  # Roboflow writes ../train/images for train/images
        plain = plain[3:]
    parts = Path(plain).parts
    shorter = [Path(*parts[start:]) for start in range(1, len(parts))]
    for place in (
        *(start / plain for start in starts),
        home / plain,
        home / entry,
        *(home / p for p in shorter),
    ):
        if "\0" not in str(place) and (is_folder(place) or is_file(place)):
            return place
    return None


def _folders_of_splits(home: Path) -> dict[str, list[Path]]:
    """Return `images/SPLIT`, `SPLIT/images`, `SPLIT` with images in it, or `SPLIT.txt`, whichever is there."""
    inner = folders_in(home / "images") if is_folder(home / "images") else {}
    if inner:
        return {name: [folder] for name, folder in inner.items()}
    outer = folders_in(home)
    divided = {name: [folder / "images"] for name, folder in outer.items() if is_folder(folder / "images")}
    if divided:
        return divided
    lists = {name: [home / f"{name}.txt"] for name in SPLITS if is_file(home / f"{name}.txt")}
    return lists or {name: [folder] for name, folder in outer.items() if name in SPLITS}


def _spelled(split: str, splits: Mapping[str, object]) -> str:
    """Return a split as the data set spells it: `val`, `valid` and `validation` are one."""
    same = {"val", "valid", "validation"}
    return next((name for name in splits if name in same), split) if split in same else split


def _images(places: Sequence[Path], home: Path, spec: str) -> list[Path]:
    """Return the images of folders and lists, in their order."""
    found: list[Path] = []
    for place in places:
        if is_folder(place):
            found += images_in(place)[0]
            continue
        for number, line in enumerate(_text(place, spec).split("\n"), 1):
            if written := line.strip():
                found.append(_listed_image(written, place, home, f"{spec}: {place}, line {number}"))
    return found


def _listed_image(written: str, file: Path, home: Path, where: str) -> Path:
    """Return an image that a list names: relative to the list, to the folder, or with fewer folders in front."""
    if "\0" in written or Path(written).suffix.lower() not in SUFFIXES:
        raise InputError(f"{where}: {written[:80]!r} is no image file. A list has an image a line.")
    plain = written.replace("\\", "/").removeprefix("./")
    parts = Path(plain).parts
    tries = [file.parent / plain, home / plain, *(home.joinpath(*parts[i:]) for i in range(1, len(parts)))]
    return next((place for place in tries if is_file(place)), home / plain)


def _label_file(key: str, home: Path, listed: dict[str, frozenset[str]]) -> Path | None:
    """Return the label file of an image: below `labels` for one below `images`, else beside it.

    Args:
        home: folder that keys are relative to.
        listed: names in the folders that were looked into, each listed once; more are added.
    """
    for place in _label_places(key):
        folder, _, name = place.rpartition("/")
        if folder not in listed:
            try:
                with os.scandir(home / (folder or ("/" if place.startswith("/") else "."))) as entries:
                    listed[folder] = frozenset(entry.name for entry in entries)
            except OSError:
                listed[folder] = frozenset()
        if name in listed[folder]:
            return home / place
    return None


def _label_places(key: str) -> list[str]:
    """Return where an image's label file may be, relative to where its key is."""
    parts = key.split("/")
    parts[-1] = parts[-1].rpartition(".")[0] + ".txt"
    mirrored = [
        "/".join([*parts[:i], "labels", *parts[i + 1 :]])
        for i in reversed(range(len(parts) - 1))
        if parts[i].lower() in {"images", "jpegimages", "imgs", "img"}
    ]
    return [*mirrored, "/".join(parts), f"labels/{parts[-1]}"]


def _class_numbers(file: Path, spec: str, scores: list[float]) -> list[int]:
    """Return the class numbers of a label file, each once; confidences of boxes go to `scores`."""
    numbers: dict[int, None] = {}
    for line_number, line in enumerate(_text(file, spec).split("\n"), 1):
        if line.strip():
            number = _box_class(line)
            if number is None:
                raise InputError(
                    f"{spec}: {file}, line {line_number}: {line.strip()[:60]!r} is no box. A line is a class number "
                    "and at least four numbers: 0 0.5 0.5 0.2 0.2."
                )
            numbers[number] = None
            if len(fields := line.split()) == 6:  # no polygon and no pose has as many
                scores.append(float(fields[5]))
    return list(numbers)


def _box_class(line: str) -> int | None:
    """Return the class number of a line of a label file; None where the line is something else."""
    fields = line.split()
    if len(fields) < 5 or len(fields[0]) > 9:
        return None
    try:
        number = float(fields[0])
        if (
            not number.is_integer()
            or number < 0
            or not all(math.isfinite(float(field)) for field in fields[1:])
        ):
            return None
    except ValueError:
        return None
    return int(number)


def _labels(numbers: Iterable[int], classes: Sequence[str], file: Path | None, spec: str) -> dict[str, int]:
    if beyond := [number for number in numbers if number >= len(classes)]:
        raise InputError(
            f"{spec}: {file}: class number {beyond[0]}; there are {len(classes)} classes, from 0. Complete the names."
        )
    return {classes[number]: PRESENT for number in numbers}


def _text(file: Path, spec: str) -> str:
    try:
        return read_regular(file, f"{spec}: {file}", most_bytes=LARGEST).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{spec}: {file} is not UTF-8 ({error.reason}). Save it as UTF-8.") from None
