"""COCO instances: objects in boxes, read as the set of their categories; written with whole-image boxes.

The official layout (`annotations/instances_SPLIT.json` beside folders of images), Roboflow's
(`SPLIT/_annotations.coco.json` beside the images), FiftyOne's (`labels.json` and `data/`), LVIS, or one JSON file in
that form. Images come from the file's list of images, not from its annotations.

Source:
    Datumaro documentation, "Roboflow COCO JSON"; FiftyOne user guide, "COCODetectionDataset"; lvis-dataset/lvis-api,
    `lvis/lvis.py`, and Gupta et al., LVIS (2019), section 3 (federated: negative sets, not exhaustive flags).
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from json import JSONDecoder
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions, settle
from labelbeam.data.finder import find_images
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import new_folder, written_whole
from labelbeam.formats import placing
from labelbeam.formats.documents import image_key
from labelbeam.formats.labelled_images import NO_SIZE, box_notes, size_of, with_labels_of_all
from labelbeam.labels.names import clean, refuse_reserved, variants_note
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary
from labelbeam.parsing import read_json

OFFICIAL_COUNTS = {
    "train2014": (82_783, 82_081),
    "val2014": (40_504, 40_137),
    "train2017": (118_287, 117_266),
    "val2017": (5_000, 4_952),
}
"""Images of official splits, and those of them that have a label, to notice a trimmed copy."""

LABELLED = "-labelled"
"""Ends the name of a split of which only the images that have a label are meant."""

ROBOFLOW_FILE = "_annotations.coco.json"
SINGLE_FILES = (ROBOFLOW_FILE, "labels.json", "annotations.json", "result.json")
"""What a folder's only file is called: Roboflow, FiftyOne, many, Label Studio."""

_OTHER_TASKS = ("captions_", "person_keypoints_", "stuff_", "panoptic_", "image_info_")

_TAIL = 1 << 20
"""Bytes at either end of a file that are looked through for its categories."""

_TRIED = 20
"""Images by which their folder is found: the first one may be lost."""

_ID = (int, str, float)
_FIELDS: dict[str, dict[str, tuple[type, ...]]] = {
    "images": {"id": _ID},
    "annotations": {"image_id": _ID, "category_id": _ID},
    "categories": {"id": _ID, "name": (str,)},
}

_OF_ANNOTATIONS = ("attributes", "ignore", "score")
"""What annotations of some programs hold beside their category; one with a low score counts as any other."""

_OF_IMAGES = ("category_ids", "category_id", "categories", "labels", "label", "tags")
"""What some programs write labels of whole images into, beside the annotations; it is not COCO, and not read."""


def read_coco(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a split of a COCO folder, or one JSON file.

    A category is present when an annotation of it, a crowd region included, belongs to the image. Published numbers use
    two image sets: `val2014`, every image (40,504), and `val2014-labelled`, those with an annotation
    (40,137). In LVIS, whose images were searched for some categories only, a category is absent where
    `neg_category_ids` has it, and unknown where neither that nor an annotation names it; one that is annotated
    somewhere, if not everywhere (`not_exhaustive_category_ids`), is present.

    `path` is a folder with `annotations/instances_SPLIT.json` or `SPLIT/_annotations.coco.json`, or a JSON file of that
    form. The split may be left out for a folder of one. Image keys are the file names of the JSON; labels are in the
    order of category ids, which may have gaps.

    Raises:
        InputError: no such split; not JSON of this form; an id given twice; an annotation of an image or
            category that is not listed; no image; image files that are missing.

    Source:
        Lin et al., Microsoft COCO: Common Objects in Context (2014).
    """
    spec = f"coco:{path}" + (f"#{split}" if split else "")
    file, base = _instances_file(path, split, spec)
    document = _load(file, spec)
    named = _by_id(document["categories"], "name", file, spec)
    categories = {number: clean(named[number]) for number in sorted(named)}
    categories, notes = _without_placeholder(categories, document)
    files = {
        number: image_key(name, f"{spec}: image {number} in {file}")
        for number, name in _by_id(_named(document["images"], file, spec), "file_name", file, spec).items()
    }
    if not files:
        raise InputError(f"{spec}: the split is empty: {file} lists no image. Give another split.")
    if not categories:
        raise InputError(f"{spec}: {file} lists no category, so there is no label to read.")
    refuse_reserved(categories.values(), spec)
    names = tuple(dict.fromkeys(categories.values()))
    if len(names) < len(categories):
        again = [name for name, count in Counter(categories.values()).items() if count > 1]
        notes = [*notes, f"categories of one name are one label: {', '.join(map(repr, again[:5]))}."]
    if any("neg_category_ids" in image for image in document["images"]):
        notes = [*notes, "LVIS: what an image is neither annotated with nor known not to show is unknown."]
    if any(
        annotation.get("bbox") or annotation.get("segmentation") for annotation in document["annotations"]
    ):
        notes = [*notes, "where the boxes are is not read."]
    if unread := sorted({key for image in document["images"] for key in _OF_IMAGES if image.get(key)}):
        notes = [*notes, f"what images hold besides annotations is not read: {', '.join(unread)}."]
    annotations = document["annotations"]
    if unread := sorted({key for one in annotations for key in _OF_ANNOTATIONS if one.get(key)}):
        notes = [*notes, f"what annotations say besides their category is not read: {', '.join(unread)}."]
    targets = _targets(document, list(files), categories, f"{spec}: an annotation in {file}", options.unsaid)
    images = tuple(files.values())
    home = options.root or (path.parent if path.is_file() else path)
    subsets = [file.stem.removeprefix("instances_") if path.is_file() else base] * len(images)
    labelled = int((targets == PRESENT).any(axis=1).sum())
    official = OFFICIAL_COUNTS.get(base)
    if official is not None and official != (len(images), labelled):
        notes = [
            f"{len(images):,} images, {labelled:,} of them with a label; the official COCO {base} has {official[0]:,} "
            f"and {official[1]:,}.",
            *notes,
        ]
    dataset = Dataset(
        spec=spec,
        root=find_images(home, images[:_TRIED], subsets=subsets[:_TRIED]).root,
        images=images,
        vocabulary=Vocabulary(names),
        targets=targets,
        notes=(*notes, *variants_note(names)),
    )
    if base != split and split.endswith(LABELLED):
        options = replace(options, keep_unlabelled=False)
    found = settle(dataset, options, subsets=subsets)
    if path.is_file() or len(splits := annotation_files(path)) < 2:
        return found
    placeholder = set(map(clean, _names_of(document["categories"]))) - set(names)
    try:
        every = {
            clean(name): None
            for other in splits.values()
            for name in _category_names(other, spec, own=(file, document))
        }
    except InputError as error:
        note = f"other splits cannot be read ({error}), so the labels are those of this one."
        return replace(found, notes=(*found.notes, note))
    names_of_all = [name for name in every if name and name not in placeholder]
    return with_labels_of_all(found, names_of_all, options.unsaid)


def _category_names(
    file: Path, spec: str, *, own: tuple[Path, Mapping[str, list[dict[str, Any]]]]
) -> list[str]:
    """Return the names of a file's categories, in the order of their ids; its images are read only if they must be."""
    if file == own[0]:
        return _names_of(own[1]["categories"])
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        for start in (
            max(0, size - _TAIL),
            0,
        ):  # at the end, as official files have them, or at the beginning
            opened.seek(start)
            text = opened.read(_TAIL).decode("utf-8", "replace")
            for found in reversed(list(re.finditer(r'"categories"\s*:\s*(?=\[)', text))):
                try:
                    categories, _ = JSONDecoder().raw_decode(text, found.end())
                except (ValueError, RecursionError):
                    continue
                if categories and all(isinstance(_value(entry, "id"), int) for entry in categories):
                    return _names_of(categories)
    return _names_of(_load(file, spec)["categories"])


def _names_of(categories: Iterable[Mapping[str, Any]]) -> list[str]:
    return [str(one.get("name", "")) for one in sorted(categories, key=lambda one: int(one["id"]))]


def _without_placeholder(
    categories: Mapping[int, str], document: Mapping[str, list[dict[str, Any]]]
) -> tuple[dict[int, str], list[str]]:
    """Return the categories without the one that Roboflow puts first as the parent of all, and a note."""
    above = {entry["id"]: entry.get("supercategory") for entry in document["categories"]}
    parents = [number for number, parent in above.items() if parent == "none"]
    others = {parent for number, parent in above.items() if number not in parents}
    used = {entry["category_id"] for entry in document["annotations"]}
    if len(parents) != 1 or others != {categories[parents[0]]} or parents[0] in used:
        return dict(categories), []
    left = {number: name for number, name in categories.items() if number != parents[0]}
    return left, [f"{categories[parents[0]]!r} is the parent of all categories and no label of its own."]


def _named(images: list[dict[str, Any]], file: Path, spec: str) -> list[dict[str, Any]]:
    """Return the images with a `file_name` each; LVIS has the last two parts of `coco_url` for it."""
    named = []
    for entry in images:
        name, address = entry.get("file_name"), entry.get("coco_url")
        if not isinstance(name, str) and isinstance(address, str):
            name = "/".join(address.split("/")[-2:])
        if not isinstance(name, str):
            raise InputError(
                f"{spec}: an entry of 'images' in {file} lacks file_name (str): {str(entry)[:120]}."
            )
        named.append({**entry, "file_name": name})
    return named


def _targets(
    document: Mapping[str, list[dict[str, Any]]],
    images: list[int],
    categories: Mapping[int, str],
    where: str,
    unsaid: int,
) -> np.ndarray:
    """Return int8 [images labels]; labels are the distinct names of the categories, in their order."""
    annotations = document["annotations"]
    column_of = {name: j for j, name in enumerate(dict.fromkeys(categories.values()))}
    rows = {image_id: i for i, image_id in enumerate(images)}
    column = {category: column_of[name] for category, name in categories.items()}
    federated = any("neg_category_ids" in image for image in document["images"])
    targets = np.full((len(rows), len(column_of)), UNKNOWN if federated else unsaid, dtype=np.int8)
    for image in document["images"] if federated else ():
        never = image.get("neg_category_ids")
        for category in never if isinstance(never, list) else [never]:
            if not isinstance(category, int) or category not in column:
                raise InputError(
                    f"{where}: neg_category_ids of image {image['id']} has {str(category)[:40]}, which is no category. "
                    "Repair the file."
                )
            targets[rows[image["id"]], column[category]] = ABSENT
    for annotation in annotations:
        try:
            targets[rows[annotation["image_id"]], column[annotation["category_id"]]] = PRESENT
        except KeyError as error:
            raise InputError(
                f"{where} refers to {error}, which is not among the file's images or categories: "
                f"{str(annotation)[:120]}. Repair the file."
            ) from None
    return targets


def _by_id(entries: list[dict[str, Any]], field: str, file: Path, spec: str) -> dict[int, str]:
    """Return a field of entries by their ids, in their order."""
    found: dict[int, str] = {}
    for entry in entries:
        if entry["id"] in found:
            raise InputError(
                f"{spec}: the id {entry['id']} is given to {found[entry['id']]!r} and to {entry[field]!r} in {file}; "
                "annotations could mean either. Repair the file."
            )
        found[entry["id"]] = entry[field]
    return found


def _instances_file(path: Path, split: str, spec: str) -> tuple[Path, str]:
    """Return the JSON file of a split, and the split's name in it."""
    if path.is_file():
        placing.refuse_split_in_file(split, path, spec)
        return path, split
    splits = annotation_files(path)
    if not splits:
        raise InputError(
            f"{spec}: no instances_*.json in {path / 'annotations'}, no {ROBOFLOW_FILE} in a folder in it and no "
            f"{', '.join(SINGLE_FILES[1:])}. Give the folder that holds annotations, or a JSON file."
        )
    base = split if split in splits else split.removesuffix(LABELLED)
    if len(splits) == 1 and split in {"", *({"all"} if "" in splits else ())}:
        base = next(iter(splits))
    if base not in splits:
        allowed = [name + ending for name in splits for ending in ("", LABELLED)]
        if not split:
            raise InputError(
                f"{spec}: say which split: {', '.join(f'coco:{path}#{name}' for name in splits)}."
            )
        raise InputError(f"{spec}: {unknown_name('split', split, allowed)}")
    return splits[base], base


def annotation_files(path: Path) -> dict[str, Path]:
    """Return the JSON file of each split of a folder; one without a name where it is not divided.

    The official names come first, then Roboflow's, then any file in `annotations`, then a single one.
    """
    folder = path / "annotations"
    official = {
        file.stem.removeprefix("instances_"): file for file in sorted(folder.glob("instances_*.json"))
    }
    if official:
        return official
    for name in (ROBOFLOW_FILE, "labels.json"):
        if divided := {file.parent.name: file for file in sorted(path.glob(f"*/{name}"))}:
            return divided
    lvis = sorted(path.glob("lvis_v*.json"))
    others = [f for f in sorted(folder.glob("*.json")) if not f.name.startswith(_OTHER_TASKS)] or lvis
    if others:
        return {re.sub(r"^lvis_v[\d.]+_", "", file.stem): file for file in others}
    single = next((path / name for name in SINGLE_FILES if (path / name).is_file()), None)
    return {} if single is None else {"": single}


def _load(file: Path, spec: str) -> dict[str, list[dict[str, Any]]]:
    """Return the document, with the fields that are read checked."""
    document = read_json(file, spec)
    parts: dict[str, list[dict[str, Any]]] = {}
    for part, keys in _FIELDS.items():
        entries = _value(document, part)
        if not isinstance(entries, list):
            raise InputError(f"{spec}: {file} has no list {part!r}; a COCO file has {', '.join(_FIELDS)}.")
        if part == "annotations":
            entries = [one for entry in entries for one in _one_category_each(entry)]
        for entry in entries:
            wrong = [key for key, kind in keys.items() if not isinstance(_value(entry, key), kind)]
            if wrong:
                fields = " and ".join(f"{key} ({keys[key][0].__name__})" for key in wrong)
                raise InputError(
                    f"{spec}: an entry of {part!r} in {file} lacks {fields}: {str(entry)[:120]}."
                )
        parts[part] = entries
    unread = next((key for image in parts["images"] for key in _OF_IMAGES if image.get(key)), None)
    if unread is not None and not parts["annotations"]:
        raise InputError(
            f"{spec}: {file} has no annotations, and {unread!r} in its images, which is not COCO. Write an annotation "
            "for each label: image_id and category_id."
        )
    _number_ids(parts, "images", "image_id")
    _number_ids(parts, "categories", "category_id")
    return parts


def _one_category_each(entry: Any) -> list[Any]:
    """Return an annotation, or one for each of its `category_ids`."""
    several = _value(entry, "category_ids")
    if not isinstance(several, list) or _value(entry, "category_id") is not None:
        return [entry]
    return [{**entry, "category_id": one} for one in several]


def _number_ids(parts: dict[str, list[dict[str, Any]]], part: str, field: str) -> None:
    """Put whole numbers in the place of ids that are texts, where there are any: `"7"` is 7, others are counted."""
    both = ((parts[part], "id"), (parts["annotations"], field))
    if all(type(entry[key]) is int for entries, key in both for entry in entries):
        return
    plain = {
        value: int(value)
        for entries, key in both
        for entry in entries
        if (value := entry[key]) == value and str(value).removesuffix(".0").isdecimal()
        if isinstance(value, float) or str(int(value)) == value or isinstance(value, int)
    }
    ids = [plain.get(entry["id"], entry["id"]) for entry in parts[part]]
    number = (
        {}
        if all(isinstance(one, int) for one in ids)
        else {one: n for n, one in enumerate(dict.fromkeys(ids), 1)}
    )
    for entries, key in both:
        for i, entry in enumerate(entries):
            value = plain.get(entry[key], entry[key])
            entries[i] = {**entry, key: number.get(value, value)}


def _value(entry: object, key: str) -> object:
    return entry.get(key) if isinstance(entry, dict) else None


def write_coco(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a data set as COCO instances; labels get the ids 1, 2, … in their order.

    `path` is a folder, which may hold other splits already, or a file whose name ends in `.json`. Placed images go into
    the folder `SPLIT` (empty: `all`); for a file, into one of its name.
    """
    spec = f"coco:{path}" + (f"#{split}" if split else "")
    placing.check_way(images, keep=True, spec=spec)
    placing.refuse_unwritable(dataset.vocabulary.names, spec)
    if path.suffix.lower() == ".json":
        placing.refuse_split_to_write(split, path, spec)
        file, pictures = path, path.with_name(path.stem.removeprefix("instances_"))
    else:
        name = split or "all"
        if "/" in name or "\\" in name or name.startswith("."):
            raise InputError(f"{spec}: {name!r} cannot be the name of a split, because it names files.")
        file, pictures = path / "annotations" / f"instances_{name}.json", path / name
    if path.is_file() or file.exists():
        there = file if file.exists() else path
        raise InputError(f"{there} is there already; nothing is overwritten. Give another place or split.")
    with nullcontext(pictures) if images == "keep" else new_folder(pictures) as folder:
        if images == "keep":
            names = placing.references(dataset.paths, file.parent if file == path else path)
        else:
            names = placing.place_images(dataset, folder, images=images)
        placing.refuse_unwritable_images(names, spec)
        document, unreadable = _document(dataset, names)
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as part:
            part.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    return (*placing.unknown_note(dataset.targets), *box_notes(len(document["annotations"]), unreadable))


def _document(dataset: Dataset, names: list[str]) -> tuple[dict[str, Any], int]:
    """Return the JSON document, and how many images have no known size."""
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    unreadable = 0
    for i, name in enumerate(names):
        width, height = size_of(dataset.path(i))
        unreadable += (width, height) == NO_SIZE
        entries.append({"id": i + 1, "file_name": name, "width": width, "height": height})
        for j in np.flatnonzero(dataset.targets[i] == PRESENT):
            annotation = {"id": len(annotations) + 1, "image_id": i + 1, "category_id": int(j) + 1}
            box = {"bbox": [0, 0, width, height], "area": width * height, "iscrowd": 0, "segmentation": []}
            annotations.append(annotation | box)
    categories = [
        {"id": j, "name": name, "supercategory": ""} for j, name in enumerate(dataset.vocabulary.names, 1)
    ]
    info = {"description": "written by labelbeam; every box is the whole image"}
    document = {"info": info, "images": entries, "annotations": annotations, "categories": categories}
    return document, unreadable
