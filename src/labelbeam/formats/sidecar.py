"""A text file of tags beside each image: `a.jpg` and `a.txt` with `1girl, solo, smile` (Booru, LoRA training).

Reads and writes that layout. Knows nothing of pixels.
"""

import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.listing import images_in
from labelbeam.errors import InputError
from labelbeam.formats import placing
from labelbeam.formats.cells import CellStyle, looks_cut, recognise
from labelbeam.formats.documents import WESTERN, damaged_note, read_each, stems_of, text_lines, western_text
from labelbeam.formats.labelled_images import Labels, labelled_dataset
from labelbeam.formats.labelled_rows import numbers_note
from labelbeam.formats.yolo import CLASS_FILES, is_yolo_text
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.parsing import read_regular

_NAMED_BOX = re.compile(
    r"\s*|\s*[^\d\s,]\S*(?:\s+-?\d+(?:\.\d+)?){4,16}\s*"
    r"|\s*(?:-?\d+(?:\.\d+)?[\s,]+){4,16}[^\d\s,]\S*(?:[\s,]+\d+)?\s*|(?:imagesource|gsd):.*"
)
"""A name and at least four numbers, as OIDv4's tools and KITTI write boxes; DOTA puts the name behind them."""

_OTHER_MARK = re.compile(r"\w\s*[;|；，、]\s*\w")

LARGEST = 1 << 20
"""Bytes of a file that can still be tags of one image."""


def read_sidecar(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of images with a text file of tags beside each.

    Commas separate tags, and so do line ends. Where no file has a comma, what separates them is recognised, or an
    error. An empty file is an image without a label; an image without a file was not labelled, so every
    label is unknown. So it is where a file is damaged or in another encoding and nearly all others are not.

    Subfolders are read too; a split is one of them. Images are sorted by folder, labels by name.

    Raises:
        InputError: no folder of that split; no image or no text file beside one; two text files for an image; text
            that is too long or not in the encoding; an ambiguous delimiter; YOLO boxes.
    """
    spec = f"sidecar:{path}" + (f"#{split}" if split else "")
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is not a folder. Give the folder that holds images and .txt files.")
    home = path if split in {"", "all"} else placing.split_folder(path, split, spec)
    images, left_out = images_in(home)
    files = [_text_file(image, spec) for image in images]
    western: list[str] = []
    texts, unread = read_each(
        (file for file in dict.fromkeys(files) if file is not None),
        lambda file: _text(file, options.encoding, spec, western),
    )
    files = [None if file in unread else file for file in files]
    if not texts:
        raise InputError(
            f"{spec}: none of {len(images)} images has a .txt file beside it, such as a.txt for a.jpg."
        )
    if options.delimiter is None:
        _refuse_boxes(texts, path, split, spec)
    style = _style(list(texts.values()), options.delimiter, f"{spec}: the .txt files")
    labelled: list[tuple[str, Labels | None]] = []
    for image, file in zip(images, files, strict=True):
        try:
            labels = style.labels(_one_line(texts[file], style)) if file else []
        except InputError as error:
            raise InputError(f"{spec}: {file}: {error}") from None
        names = dict.fromkeys(labels, PRESENT) if file else None
        labelled.append((image.relative_to(path).as_posix(), names))
    numbers = _class_names({name for _, names in labelled for name in names or ()}, path, spec)
    if numbers:
        labelled = [
            (image, None if names is None else {numbers[name]: value for name, value in names.items()})
            for image, names in labelled
        ]
    return labelled_dataset(
        labelled,
        spec=spec,
        root=path,
        layout=f"a .txt file of tags beside each image, {style}",
        options=options,
        notes=[
            *left_out,
            *_notes(home, files, texts, unread),
            *([f"{len(western):,} .txt files, such as {western[0]}: {WESTERN}"] if western else []),
            *(["tags are class numbers, whose names are in a file beside the images."] if numbers else []),
            *numbers_note(sorted({n for _, names in labelled for n in names or ()})),
        ],
    )


def write_sidecar(dataset: Dataset, path: Path, *, split: str = "", images: str = "link") -> tuple[str, ...]:
    """Write images with a text file of tags beside each, separated by a comma and a blank.

    An image whose every label is unknown gets no text file, which says just that. With a split, `path` gets a folder of
    that name.
    """
    spec = f"sidecar:{path}" + (f"#{split}" if split else "")
    placing.check_way(images, keep=False, spec=spec)
    placing.refuse_unwritable(dataset.vocabulary, spec, without=",\n\r\0", control=False)
    for name in dataset.vocabulary:
        if looks_cut(name) or CellStyle(",", given=True).labels(f"{name},") != [name]:
            raise InputError(
                f"{spec}: the label {name!r} has brackets or quotation marks that a text of tags does not give back. "
                "Rename the label first."
            )
    placing.refuse_unlisted(dataset.images, spec)
    stems_of(dataset.images, spec=spec)
    present = dataset.targets == PRESENT
    if not present.any():
        raise InputError(f"{spec}: no image has a label, so there is nothing to write.")
    # Without a comma anywhere, a reader would have to guess what separates tags.
    end = "" if (present.sum(axis=1) > 1).any() else ","
    nobody = (dataset.targets == UNKNOWN).all(axis=1)
    with placing.new_split_folder(path, split, spec) as home:
        for i, place in enumerate(placing.place_images(dataset, home, images=images)):
            if not nobody[i]:
                labels = [dataset.vocabulary.names[j] for j in np.flatnonzero(present[i])]
                # One tag that reads like "no label" is a tag where a comma follows.
                text = ", ".join(labels) + (end or "," * (len(labels) == 1) if labels else "")
                (home / place).with_suffix(".txt").write_text(text, encoding="utf-8")
    return placing.unknown_note(dataset.targets[~nobody]) + placing.unused_note(dataset)


def _text_file(image: Path, spec: str) -> Path | None:
    found = [
        file
        for file in dict.fromkeys((image.with_suffix(".txt"), image.with_name(image.name + ".txt")))
        if file.is_file()
    ]
    if len(found) > 1:
        raise InputError(
            f"{spec}: {image} has two files of tags: {found[0].name} and {found[1].name}. Keep one."
        )
    return found[0] if found else None


def _text(file: Path, encoding: str | None, spec: str, western: list[str]) -> str:
    raw = read_regular(file, f"{spec}: {file}", most_bytes=LARGEST)
    try:
        utf16 = raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        return raw.decode(encoding or ("utf-16" if utf16 else "utf-8-sig")).strip().removeprefix("\ufeff")
    except LookupError:
        raise InputError(
            f"there is no encoding {encoding!r}. Use --encoding cp932, utf-8, latin-1, …"
        ) from None
    except UnicodeError as error:
        if encoding is None and (text := western_text(raw)) is not None:
            western.append(file.name)
            return text.strip()
        raise InputError(
            f"{spec}: {file} is not in the encoding {encoding or 'UTF-8'} ({error}). Try --encoding, such as "
            "cp1252 or cp932."
        ) from None


def _refuse_boxes(texts: dict[Path, str], path: Path, split: str, spec: str) -> None:
    """Refuse texts of YOLO boxes: their numbers are no tags."""
    full = [file for file, text in texts.items() if text]
    named = [file for file in full if all(map(_NAMED_BOX.fullmatch, texts[file].splitlines()))]
    if 2 * len(named) > len(full):
        raise InputError(
            f"{spec}: these are boxes with names, not tags, as in {named[0].name}: {texts[named[0]][:40]!r}. "
            "Export them in a format whose boxes are read (YOLO, COCO, VOC), or write the names alone, commas between."
        )
    boxes = [file for file, text in texts.items() if is_yolo_text(text)]
    if 2 * len(boxes) > len(full):
        raise InputError(
            f"{spec}: these are YOLO boxes, not tags, as in {boxes[0].name}: {texts[boxes[0]][:40]!r}. Read them as "
            f"yolo:{path}" + (f"#{split}." if split else ".")
        )


def _class_names(labels: set[str], home: Path, spec: str) -> Mapping[str, str]:
    """Return the names of labels that are all class numbers, where a file of class names is there.

    Raises:
        InputError: a number beyond the names.
    """
    found = next((home / name for name in CLASS_FILES if (home / name).is_file()), None)
    if found is None or not labels or not all(label.isdecimal() and len(label) < 6 for label in labels):
        return {}
    names = [line.strip() for line in text_lines(found) if line.strip()]
    if beyond := [label for label in labels if int(label) >= len(names)]:
        raise InputError(
            f"{spec}: class number {min(beyond)}; {found.name} names {len(names)} classes, from 0."
        )
    return {label: names[int(label)] for label in labels}


def _style(texts: Sequence[str], delimiter: str | None, where: str) -> CellStyle:
    if delimiter:
        return CellStyle(delimiter)
    if any("," in text or "\n" in text or "\r" in text for text in texts):
        other = next((text for text in texts if _OTHER_MARK.search(text) and "," not in text), None)
        if other is not None:
            raise InputError(
                f"{where}: {other[:40]!r} has no comma, by which other texts separate tags, and another mark that may. "
                "Write all alike, or say which separates with --delimiter."
            )
        return CellStyle(",")
    return recognise(texts, where)


def _one_line(text: str, style: CellStyle) -> str:
    return (style.delimiter or " ").join(text.splitlines()) if "\n" in text or "\r" in text else text


def _notes(
    home: Path, files: Sequence[Path | None], texts: dict[Path, str], unread: dict[Path, InputError]
) -> list[str]:
    notes = damaged_note(unread, ".txt files", "every label of their images is unknown")
    if without := sum(file is None for file in files):
        notes.append(f"{without} images have no .txt file: nobody labelled them, every label is unknown.")
    if shared := len(files) - without - len(texts):
        notes.append(f"{shared} images share a .txt file with another one of the same name.")
    others = {file for file in home.rglob("*.txt") if not file.name.startswith(".")} - texts.keys()
    others -= unread.keys()
    if others:
        shown = ", ".join(sorted(file.name for file in others)[:5])
        notes.append(f"{len(others)} .txt files belong to no image and were left out: {shown}.")
    if several := [file.name for file, text in texts.items() if "\n" in text.strip()]:
        notes.append(f"line ends separate tags too, as in {several[0]}.")
    return notes
