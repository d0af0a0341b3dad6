"""How large the objects of an image are: from the boxes of VOC annotations and of COCO instances.

Beside the readers, which only ask which classes there are. A size is the box's share of the image's area; an image's
number for a label is that of its largest object. Difficult objects (VOC) and crowd regions (COCO) do not count: what
is asked is whether the plain ones were found. Knows nothing of pixels.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from labelbeam.errors import InputError
from labelbeam.formats.coco import _instances_file
from labelbeam.formats.documents import parse_xml
from labelbeam.labels.names import clean
from labelbeam.parsing import read_json


def voc_areas(
    folder: Path, images: Sequence[str], names: Sequence[str]
) -> Float32[np.ndarray, "images labels"]:
    """Return the largest box of each label on each image of a VOC folder.

    Returns:
        Shares of the image's area in (0, 1]; NaN where an image has no such object that is not difficult.

    Raises:
        InputError: an annotation that is missing, is not readable XML, or has a size or box that is no number.
    """
    column = {name: j for j, name in enumerate(names)}
    areas = np.full((len(images), len(names)), np.nan, dtype=np.float32)
    for row, image in zip(areas, images, strict=True):
        file = (folder / "Annotations" / image).with_suffix(".xml")
        try:
            root = parse_xml(file.read_bytes(), str(file))
        except OSError as error:
            raise InputError(f"{file} cannot be read ({error.strerror}). Check the folder.") from None
        whole = [
            _number(root.findtext(f"size/{side}"), f"{file}: size/{side}") for side in ("width", "height")
        ]
        for element in root.iterfind("object"):
            name = clean(element.findtext("name") or "")
            if name not in column or (element.findtext("difficult") or "").strip() == "1":
                continue
            left, top, right, bottom = (
                _number(element.findtext(f"bndbox/{side}"), f"{file}: bndbox/{side}")
                for side in ("xmin", "ymin", "xmax", "ymax")
            )
            # VOC's boxes name the first and the last pixel.
            _enlarge(row, column[name], (right - left + 1) * (bottom - top + 1), whole, str(file))
    return areas


def coco_areas(
    path: Path, split: str, images: Sequence[str], names: Sequence[str]
) -> Float32[np.ndarray, "images labels"]:
    """Return the largest box of each label on each image of a COCO split.

    Returns:
        As `voc_areas`; crowd regions are left out.

    Raises:
        InputError: no such split, not JSON of this form, or a size or box that is no number.
    """
    file, _ = _instances_file(path, split, f"coco:{path}#{split}")
    document: Any = read_json(file, f"coco:{path}#{split}")
    column = {name: j for j, name in enumerate(names)}
    rows = {image: i for i, image in enumerate(images)}
    areas = np.full((len(images), len(names)), np.nan, dtype=np.float32)
    try:
        category = {one["id"]: column.get(clean(one["name"])) for one in document["categories"]}
        image = {
            one["id"]: (rows.get(one["file_name"]), (one["width"], one["height"]))
            for one in document["images"]
        }
        for one in document["annotations"]:
            (row, whole), label = image[one["image_id"]], category[one["category_id"]]
            if row is None or label is None or one.get("iscrowd"):
                continue
            where = f"{file}: annotation {one.get('id')}"
            width, height = (_number(side, f"{where}: bbox") for side in one["bbox"][2:4])
            sides = [_number(side, f"{file}: size of an image") for side in whole]
            _enlarge(areas[row], label, width * height, sides, where)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{file} lacks {error}; sizes of objects need width and height of images and bbox of annotations."
        ) from None
    return areas


def _enlarge(row: np.ndarray, label: int, area: float, sides: Sequence[float], where: str) -> None:
    """Note an object's share of the image if it is the label's largest so far."""
    if min(sides) <= 0 or area < 0:
        raise InputError(
            f"{where}: an image of {sides[0]:g} x {sides[1]:g} with a box of area {area:g}. Repair it."
        )
    row[label] = np.fmax(row[label], min(area / (sides[0] * sides[1]), 1.0))


def _number(value: object, where: str) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # what is no number is refused below
    except (TypeError, ValueError):
        raise InputError(f"{where} must be a number, given {value!r:.40}. Repair the file.") from None
