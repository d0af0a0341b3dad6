"""CVAT for images 1.1: one XML file of images with tags, read and written.

The labels of `<tag>` are read; where a file has boxes or other shapes only, theirs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.finder import find_images, keys_of_subsets
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats import placing
from labelbeam.formats.documents import WESTERN, parse_xml
from labelbeam.formats.image_names import image_key
from labelbeam.formats.labelled_images import NO_SIZE, labelled_dataset, size_of
from labelbeam.labels.vocabulary import PRESENT
from labelbeam.parsing import read_regular

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
