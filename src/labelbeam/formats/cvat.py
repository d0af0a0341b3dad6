"""CVAT for images 1.1: one XML file of images with tags.

Reads the labels of `<tag>`; where a file has boxes or other shapes only, the set of their labels. The list of
labels comes from the file's `<meta>`, so labels that no image has are there too. Knows nothing of pixels.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

from labelbeam.data.dataset import Dataset
from labelbeam.data.image_bytes import image_exists
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.parts.image_keys import image_key
from labelbeam.formats.parts.labelled_images import labelled_dataset
from labelbeam.formats.parts.xml_document import parse_xml
from labelbeam.labels.targets import ABSENT, PRESENT

SHAPES = frozenset({"box", "polygon", "polyline", "points", "cuboid", "mask", "ellipse", "skeleton"})


def read_cvat(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a file that CVAT exports as "CVAT for images 1.1".

    Args:
        path: the XML file, or the folder with `annotations.xml` that an export unpacks to.
        split: a value of the images' attribute `subset`; empty or `all`: every image.
        options: `root` (default: `images` beside the file where that is a folder, otherwise the file's own
            folder), `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are the names in the file, in its order; labels are in the order of the
        file's list of labels.

    Raises:
        InputError: not such a file, broken XML, or a document type; an image without name, or named twice with
            different labels; a tag without label; an unknown subset; whatever `settle` finds.

    Source:
        CVAT documentation, "CVAT for image 1.1" (XML annotation format).
    """
    spec = f"cvat:{path}" + (f"#{split}" if split else "")
    file = path / "annotations.xml" if path.is_dir() else path
    root = _document(file, spec)
    elements = list(root.iterfind("image"))
    counts = Counter(child.tag for element in elements for child in element)
    shapes = {kind: count for kind, count in counts.items() if kind in SHAPES}
    kinds = {"tag"} if counts["tag"] or not shapes else set(shapes)
    chosen = [element for element in elements if _in_split(element, split, elements, spec)]
    names = _listed_labels(root)
    where = f"{spec}: {file}"
    said: dict[str, dict[str, int]] = {}
    for element in chosen:
        key = image_key(element.get("name") or "", _at(where, element))
        labels = dict.fromkeys(_labels(element, kinds, where), PRESENT)
        if said.setdefault(key, labels) != labels:
            raise InputError(
                f"{_at(where, element)}: {key!r} is there twice with different labels. Keep one."
            )
    return labelled_dataset(
        list(said.items()),
        spec=spec,
        root=options.root or _image_root(file, next(iter(said), "")),
        names=names,
        unsaid=ABSENT,
        layout="tags" if kinds == {"tag"} else "labels of shapes, because the file has no tag",
        options=options,
        notes=_shape_notes(shapes if kinds == {"tag"} else {}),
    )


def _document(file: Path, spec: str) -> Element:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise InputError(f"{spec}: {file} cannot be read ({error.strerror}). Give the XML file.") from None
    root = parse_xml(raw, f"{spec}: {file}")
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


def _in_split(element: Element, split: str, elements: list[Element], spec: str) -> bool:
    if split in {"", "all"} or element.get("subset") == split:
        return True
    subsets = {subset for other in elements if (subset := other.get("subset"))}
    if split not in subsets:
        if not subsets:
            raise InputError(f"{spec}: the file's images have no subset. Leave #{split} away.")
        raise InputError(f"{spec}: {unknown_name('split', split, subsets)}")
    return False


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


def _shape_notes(shapes: dict[str, int]) -> list[str]:
    if not shapes:
        return []
    shown = ", ".join(f"{count:,} {kind}" for kind, count in sorted(shapes.items()))
    return [f"only tags were read; the labels of shapes were not: {shown}."]


def _image_root(file: Path, first: str) -> Path:
    """Return the folder that holds the first image, or the likeliest one."""
    likely = [file.parent / "images", file.parent]
    for folder in likely:
        if image_exists(folder / first):
            return folder
    return next(folder for folder in likely if folder.is_dir())
