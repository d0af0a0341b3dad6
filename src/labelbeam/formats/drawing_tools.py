"""Tools in which people draw: CVAT's XML file of images with tags, read and written; labelme's JSON files, read.

The labels of CVAT's (for images 1.1) `<tag>` are read; where a file has boxes or other shapes only, theirs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.finder import find_images, keys_of_subsets
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats import placing
from labelbeam.formats.documents import (
    WESTERN,
    damaged_note,
    image_key,
    keys_by_either,
    left_out_note,
    parse_xml,
    read_each,
    split_folder_of,
)
from labelbeam.formats.labelled_images import NO_SIZE, labelled_dataset, size_of
from labelbeam.formats.placing import chosen_splits
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN
from labelbeam.parsing import read_json, read_regular

SHAPES = frozenset({"box", "polygon", "polyline", "points", "cuboid", "mask", "ellipse", "skeleton"})


def read_cvat(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a file that CVAT exports as "CVAT for images 1.1".

    `path` may be the folder with `annotations.xml` that an export unpacks to. A split is a value of the images'
    attribute `subset`. Labels are in the order of the file's list of them, which has those that no image has too.

    Raises:
        InputError: not such a file, broken XML, or a document type; an image without name, or named twice with
            different labels; a tag without label; an unknown subset; whatever `settle` finds.

    Source:
        CVAT documentation, "CVAT for image 1.1" (XML annotation format).
    """
    spec = f"cvat:{path}" + (f"#{split}" if split else "")
    file = path / "annotations.xml" if path.is_dir() else path
    western: list[str] = []
    root = _document(file, spec, western)
    elements = list(root.iterfind("image"))
    counts = Counter(child.tag for element in elements for child in element)
    shapes = {kind: count for kind, count in counts.items() if kind in SHAPES}
    kinds = {"tag"} if counts["tag"] or not shapes else set(shapes)
    unread = shapes if kinds == {"tag"} else {}
    shown = ", ".join(f"{count:,} {kind}" for kind, count in sorted(unread.items()))
    chosen = _of_split(elements, split, spec)
    names = _listed_labels(root)
    where = f"{spec}: {file}"
    # Exports of projects, and of tasks since cvat-ai/cvat#8176, keep images in `images/SUBSET/NAME`.
    written = [image_key(element.get("name") or "", _at(where, element)) for element in chosen]
    subsets = [element.get("subset") or "" for element in chosen]
    images = find_images(options.root or file.parent, written, subsets=subsets)
    keys = keys_of_subsets(written, subsets, images)
    labelled: dict[str, dict[str, int]] = {}
    for key, element in zip(keys, chosen, strict=True):
        labels = dict.fromkeys(_labels(element, kinds, where), PRESENT)
        if labelled.setdefault(key, labels) != labels:
            raise InputError(
                f"{_at(where, element)}: {key!r} is there twice with different labels. Keep one."
            )
    return labelled_dataset(
        list(labelled.items()),
        spec=spec,
        root=images.root,
        names=names,
        layout="tags" if kinds == {"tag"} else "labels of shapes, because the file has no tag",
        options=options,
        notes=[
            *([f"only tags were read; the labels of shapes were not: {shown}."] if unread else []),
            *_attribute_notes(chosen, kinds),
            *western,
        ],
    )


def _document(file: Path, spec: str, western: list[str]) -> Element:
    raw = read_regular(file, f"{spec}: {file}")
    root = parse_xml(raw, f"{spec}: {file}", western=lambda: western.append(WESTERN))
    if root.tag != "annotations":
        raise InputError(
            f'{spec}: {file} starts with <{root.tag}>, not with <annotations>. Export the task as "CVAT for '
            'images 1.1".'
        )
    if root.find("track") is not None:
        raise InputError(
            f'{spec}: {file} holds tracks of a video. Export the task as "CVAT for images 1.1", which has '
            "each frame as an image."
        )
    return root


def _of_split(elements: list[Element], split: str, spec: str) -> list[Element]:
    subsets = {subset for element in elements if (subset := element.get("subset"))}
    if split in subsets:
        return [element for element in elements if element.get("subset") == split]
    if split in {"", "all"}:
        return elements
    if not subsets:
        raise InputError(f"{spec}: the file's images have no subset. Leave #{split} away.")
    raise InputError(f"{spec}: {unknown_name('split', split, subsets)}")


def _listed_labels(root: Element) -> list[str] | None:
    """Return the labels that the file lists, in its order; None where it lists none."""
    for owner in ("task", "project", "job"):
        found = root.findall(f"meta/{owner}/labels/label")
        names = [name for label in found if (name := (label.findtext("name") or "").strip())]
        if names:
            return names
    return None


def _labels(element: Element, kinds: set[str], where: str) -> Iterator[str]:
    for child in element:
        if child.tag not in kinds:
            continue
        label = (child.get("label") or "").strip()
        if not label:
            raise InputError(f"{_at(where, child)}: a {child.tag} has no label. Repair or remove it.")
        yield label


def _at(where: str, element: object) -> str:
    return f"{where}, line {getattr(element, 'line', 0)}"


def _attribute_notes(elements: Iterable[Element], kinds: set[str]) -> list[str]:
    names = Counter(
        attribute.get("name") or ""
        for element in elements
        for child in element
        if child.tag in kinds
        for attribute in child.iterfind("attribute")
    )
    if not names:
        return []
    shown = ", ".join(f"{name} ({count:,})" for name, count in names.most_common(5))
    return [f"attributes of labels are not read: {shown}."]


PICTURES = "images"
"""The folder beside the file that images are placed in."""


def write_cvat(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write one XML file; images are placed in the folder `images` beside it, or stay where they are.

    `split` becomes the images' attribute `subset`.
    """
    spec = f"cvat:{path}" + (f"#{split}" if split else "")
    placing.refuse_unwritable([*dataset.vocabulary, *([split] if split else [])], spec)
    placing.refuse_unwritable_images(dataset.images, spec)
    subset = f" subset={quoteattr(split)}" if split else ""
    unmeasured = 0
    with (
        placing.new_list_file(dataset, path, images=images, spec=spec, pictures=PICTURES) as (part, names),
        part.open("w", encoding="utf-8", newline="\n") as file,
    ):
        file.writelines(line + "\n" for line in _head(dataset))
        for i, name in enumerate(names):
            # CVAT names images as they were uploaded; `images/` is where its exports put them.
            inside = name if images == "keep" else name.removeprefix(f"{PICTURES}/")
            width, height = size_of(dataset.path(i))
            size = "" if (width, height) == NO_SIZE else f' width="{width}" height="{height}"'
            unmeasured += not size
            file.write(f'  <image id="{i}" name={quoteattr(inside)}{subset}{size}>\n')
            for j in np.flatnonzero(dataset.targets[i] == PRESENT):
                file.write(
                    f'    <tag label={quoteattr(dataset.vocabulary.names[j])} source="manual"></tag>\n'
                )
            file.write("  </image>\n")
        file.write("</annotations>\n")
    notes = placing.unknown_note(dataset.targets)
    if unmeasured:
        notes += (f"{unmeasured} image files could not be opened, so their width and height were left out.",)
    return notes


def _head(dataset: Dataset) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield "<annotations>"
    yield "  <version>1.1</version>"
    yield "  <meta><task><labels>"
    for name in dataset.vocabulary:
        yield f"    <label><name>{escape(name)}</name><type>tag</type><attributes></attributes></label>"
    yield "  </labels></task></meta>"


# labelme: a JSON file for each image, with `flags` of the image and `shapes` drawn on it.
#
# Reads what labelme saves: a flag that is set is a label that is present, one that is not set is absent, and a shape's
# label is present. Source:
#     wkentaro/labelme, `labelme/_label_file.py` and `examples/classification` (`--flags flags.txt`).

PARTS = ("flags", "shapes")

IGNORED = frozenset({"__ignore__", "_background_"})
"""Labels of labelme's own that say nothing of an image."""


def read_labelme(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of labelme's files.

    The labels are all flags and all labels of shapes of the folder, sorted, whatever the split. A flag that a file does
    not have is unknown there; a label that is only drawn is absent where nothing of it is drawn. An image without a
    file was not annotated: it is left out, and counted.

    A split is a folder in `path`. `tags_column` reads `flags` or `shapes` only.

    Raises:
        InputError: no file of labelme's; no such split; a file that is not of its form; whatever `settle` finds.
    """
    spec = f"labelme:{path}" + (f"#{split}" if split else "")
    if options.tags_column not in {None, *PARTS}:
        raise unknown_name("part of a labelme file (--tags-column)", str(options.tags_column), PARTS)
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is not a folder. Give the folder that holds labelme's JSON files.")
    files = sorted(file for file in path.rglob("*.json") if not file.name.startswith("."))
    read, damaged = read_each(files, lambda file: _labelme_document(file, spec))
    documents = {file: found for file, found in read.items() if found is not None}
    if not documents:
        raise InputError(
            f"{spec}: no JSON file with 'shapes' and 'imagePath' in {path}. Is this the right one?"
        )
    parts = PARTS if options.tags_column is None else (options.tags_column,)
    folders = sorted({split_folder_of(file, path) for file in documents} - {""})
    chosen, notes = chosen_splits(folders, split, f"labelme:{path}")
    if len(folders) < 2 and split in {"", "all"}:
        notes = []
    flags = {file: _flags(found, file, spec) if "flags" in parts else {} for file, found in documents.items()}
    shapes = {
        file: _shapes(found, file, spec) if "shapes" in parts else [] for file, found in documents.items()
    }
    flag_names = {name for one in flags.values() for name in one}
    written: list[str] = []
    own: list[str] = []
    values: list[dict[str, int]] = []
    for file, document in documents.items():
        if split in {"", "all"} or split_folder_of(file, path) in chosen:
            labels = dict.fromkeys(flag_names - flags[file].keys(), UNKNOWN)
            labels |= {name: PRESENT if is_set else ABSENT for name, is_set in flags[file].items()}
            labels |= dict.fromkeys(shapes[file], PRESENT)
            start = "" if file.parent == path else file.parent.relative_to(path).as_posix() + "/"
            written.append(image_key(start + _image_path(document, file), f"{spec}: {file}"))
            own.append(start + file.stem)
            values.append(labels)
    images = keys_by_either(path, written, own, spec)
    if options.missing != "keep":
        home = path / split if split not in {"", "all"} and (path / split).is_dir() else path
        notes += left_out_note(path, [home], images, "have no file of labelme's")
    drawn = {name for names in shapes.values() for name in names}
    both = (
        f"{len(flag_names)} labels are flags of images, {len(drawn - flag_names)} are labels of shapes; --tags-column "
        "flags or shapes reads one of them."
    )
    return labelled_dataset(
        list(zip(images, values, strict=True)),
        spec=spec,
        root=path,
        names=sorted(flag_names | drawn),
        layout=f"labelme's {' and '.join(parts)}",
        options=options,
        notes=[
            *notes,
            *damaged_note(damaged, "JSON files", "their images are left out"),
            *([both] if flag_names and drawn - flag_names else []),
            *_unread(documents, parts, list(read)),
        ],
    )


def _labelme_document(file: Path, spec: str) -> Mapping[str, object] | None:
    """Return a file of labelme's; None for JSON of another kind."""
    found = read_json(file, spec)
    if not isinstance(found, dict) or not isinstance(found.get("imagePath"), str):
        return None
    return found if isinstance(found.get("shapes"), list) or isinstance(found.get("flags"), dict) else None


def _flags(document: Mapping[str, object], file: Path, spec: str) -> dict[str, bool]:
    flags = document.get("flags") or {}
    if not isinstance(flags, dict) or not all(isinstance(value, bool) for value in flags.values()):
        raise InputError(
            f"{spec}: {file}: 'flags' must be names with true or false, given {str(flags)[:60]}."
        )
    return {name: value for name, value in flags.items() if name not in IGNORED}


def _shapes(document: Mapping[str, object], file: Path, spec: str) -> list[str]:
    found: list[str] = []
    shapes = document.get("shapes") or []
    for shape in shapes if isinstance(shapes, list) else [shapes]:
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str):
            raise InputError(f"{spec}: {file}: a shape without a text 'label': {str(shape)[:60]}.")
        if label not in IGNORED:
            found.append(label)
    return found


def _image_path(document: Mapping[str, object], file: Path) -> str:
    written = str(document["imagePath"]).replace("\\", "/")
    # Images are found near the file; `../images/a.jpg` and `C:/photos/a.jpg` are of the machine that wrote it.
    return "/".join(part for part in written.split("/") if part not in {"", ".", ".."}) or f"{file.stem}.jpg"


def _unread(
    documents: Mapping[Path, Mapping[str, object]], parts: tuple[str, ...], files: list[Path]
) -> list[str]:
    """Return notes about what the files hold and is not read."""
    left_out = {
        part: sum(bool(one.get(part)) for one in documents.values()) for part in PARTS if part not in parts
    }
    notes = [f"{count:,} files have {part}, which are not read." for part, count in left_out.items() if count]
    listed = [found for one in documents.values() if isinstance(found := one.get("shapes"), list)]
    shapes = [shape for found in listed for shape in found]
    if "shapes" in parts and shapes:
        notes.append("where the shapes are is not read.")
    if flagged := sum(
        isinstance(shape, dict) and any((shape.get("flags") or {}).values()) for shape in shapes
    ):
        notes.append(f"{flagged:,} shapes have flags of their own, which are not read.")
    if inside := sum(isinstance(one.get("imageData"), str) for one in documents.values()):
        notes.append(f"{inside:,} files hold a copy of their image, which is not read; the image files are.")
    if others := len(files) - len(documents):
        notes.append(f"{others} JSON files are not labelme's and were left out.")
    return notes
