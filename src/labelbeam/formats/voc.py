"""PASCAL VOC: objects in boxes, read as the set of their classes.

Reads an official VOCdevkit or a folder made at home in its layout (`Annotations/*.xml`, `JPEGImages/*`,
`ImageSets/Main/*.txt`). The labels come from the annotations; lists only say which images belong to a split.
Knows nothing of pixels; `voc_writer` writes.
"""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.data.presence import settle
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.parts.image_keys import image_key
from labelbeam.formats.parts.image_stems import files_by_stem
from labelbeam.formats.parts.xml_document import parse_xml
from labelbeam.labels.hygiene import clean, refuse_reserved, variants_note
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN
from labelbeam.labels.vocabulary import Vocabulary

VOC_LABELS: tuple[str, ...] = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *(
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
)
"""The 20 classes, in the official (alphabetical) order."""

OFFICIAL_COUNTS = {
    ("voc2007", "train"): 2501,
    ("voc2007", "val"): 2510,
    ("voc2007", "trainval"): 5011,
    ("voc2007", "test"): 4952,
    ("voc2012", "train"): 5717,
    ("voc2012", "val"): 5823,
    ("voc2012", "trainval"): 11540,
}
"""Images of official splits, to notice a trimmed copy."""

Objects = dict[str, bool]
"""Class name -> whether an object of it is not difficult."""


def read_voc(
    folder: Path, split: str, *, edition: str = "voc2007", options: ReadOptions = DEFAULTS
) -> Dataset:
    """Read a split of a VOC folder.

    An image with a normal and a difficult object of a class has that class; `options.difficult` decides about
    classes seen in difficult objects only.

    Args:
        folder: VOCdevkit, its VOC2007 or VOC2012, or a home-made folder of that layout.
        split: name of any list in ImageSets/Main, the user's own and the lists of one class included.
        edition: `voc2007` or `voc2012`: which folder of a VOCdevkit.
        options: `difficult`, `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are file names in JPEGImages, in the list's order. Labels are the 20
        classes, or, where the folder holds others, all that its annotations hold, sorted.

    Raises:
        InputError: no such folder, list, or annotation; an empty list; XML that is broken
            or declares a document type.

    Source:
        Everingham et al., The PASCAL Visual Object Classes Challenge 2007 development kit, section 4
        (classification: difficult objects are ignored).
    """
    home = _home(folder, edition)
    spec = f"{edition}:{folder}#{split}"
    ids, notes = _split_ids(home, split, spec)
    objects = [_read_annotation(home / "Annotations" / f"{image_id}.xml", spec) for image_id in ids]
    names = VOC_LABELS
    if foreign := sorted({name for found in objects for name in found} - set(VOC_LABELS)):
        names = _all_labels(home, spec)
        refuse_reserved(names, spec)
        notes += variants_note(names)
        notes.append(
            f"classes beyond VOC's 20 were found ({', '.join(foreign[:5])}): "
            f"the labels are the {len(names)} that Annotations holds."
        )
    official = OFFICIAL_COUNTS.get((edition, split))
    if official and official != len(ids):
        notes.append(f"{len(ids)} images; the official {edition} {split} has {official:,}.")
    dataset = Dataset(
        spec=spec,
        root=home / "JPEGImages",
        images=tuple(files_by_stem(home / "JPEGImages", ids, spec=spec).values()),
        vocabulary=Vocabulary(names),
        targets=_targets(objects, names, options.difficult),
        protocol={"difficult": options.difficult},
        notes=tuple(notes),
    )
    return settle(dataset, options)


def read_voc2007(folder: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a split of VOC 2007; as `read_voc`."""
    return read_voc(folder, split, edition="voc2007", options=options)


def read_voc2012(folder: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a split of VOC 2012; as `read_voc`."""
    return read_voc(folder, split, edition="voc2012", options=options)


def _home(folder: Path, edition: str) -> Path:
    """Return the folder that holds Annotations and ImageSets/Main."""
    candidates = (folder / edition.upper(), folder / "VOCdevkit" / edition.upper(), folder)
    for candidate in candidates:
        if (candidate / "Annotations").is_dir() and (candidate / "ImageSets" / "Main").is_dir():
            return candidate
    raise InputError(
        f"{edition}:{folder} is not a VOC folder: Annotations and ImageSets/Main are in none of "
        f"{', '.join(str(candidate) for candidate in candidates)}. Give the folder VOCdevkit."
    )


def _split_ids(home: Path, split: str, spec: str) -> tuple[list[str], list[str]]:
    """Return the image ids of a list, in its order and each once, and notes about what looked odd."""
    lists = {file.stem: file for file in sorted((home / "ImageSets" / "Main").glob("*.txt"))}
    if split not in lists:
        # The lists of one class would crowd out the names a user looks for.
        plain = [name for name in lists if name.rpartition("_")[0] not in VOC_LABELS] or list(lists)
        raise InputError(
            f"{spec}: {unknown_name('split', split, plain)} A split is a list in {home}/ImageSets/Main."
        )
    lines = _lines(lists[split], spec)
    if not lines:
        raise InputError(f"{spec}: the split is empty: {lists[split]} has no line. Give another split.")
    fields = [line.rsplit(maxsplit=1) for line in lines]
    flagged = all(len(parts) == 2 and parts[1] in {"1", "0", "-1"} for parts in fields)
    ids = [parts[0] for parts in fields] if flagged else lines
    notes = []
    if flagged:
        notes.append(f"{split} is the list of one class; its images are taken, with all their labels.")
    if repeated := len(ids) - len(set(ids)):
        notes.append(f"{repeated} lines of {split} repeat an image; each image is taken once.")
    return list(dict.fromkeys(ids)), notes


def _lines(file: Path, spec: str) -> list[str]:
    """Return the lines of a list without the blank ones.

    Raises:
        InputError: not UTF-8, or a line that names no file.
    """
    try:
        # Only line feeds end a line: other separators are characters of a file name.
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{spec}: {file} is not UTF-8 text ({error}). Save it as UTF-8.") from None
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    return [image_key(line, f"{spec}: {file}, line {number}") for number, line in numbered]


def _all_labels(home: Path, spec: str) -> tuple[str, ...]:
    """Return every class of every annotation, sorted: the same labels for each split of the folder."""
    files = sorted((home / "Annotations").rglob("*.xml"))
    return tuple(sorted({name for file in files for name in _read_annotation(file, spec)}))


def _targets(objects: list[Objects], names: tuple[str, ...], difficult: str) -> np.ndarray:
    """Return int8 [images labels] of present, absent and unknown."""
    only_difficult = {"unknown": UNKNOWN, "absent": ABSENT, "present": PRESENT}[difficult]
    column = {name: j for j, name in enumerate(names)}
    targets = np.zeros((len(objects), len(names)), dtype=np.int8)
    for row, found in zip(targets, objects, strict=True):
        for name, normal in found.items():
            row[column[name]] = PRESENT if normal else only_difficult
    return targets


def _read_annotation(file: Path, spec: str) -> Objects:
    """Return the classes of an annotation, and whether each is seen in an object that is not difficult."""
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"{spec}: {file} is missing, but the split lists it. Check that the list belongs to this folder "
            "(the annotations of VOC 2012's test set are not public)."
        ) from None
    except OSError as error:
        raise InputError(f"{spec}: {file} cannot be read ({error.strerror}). Check the file.") from None
    objects: Objects = {}
    for element in parse_xml(raw, f"{spec}: {file}", lines=False).iterfind("object"):
        name = clean(element.findtext("name") or "")
        if not name:
            raise InputError(f"{spec}: an object in {file} has no name. Repair or remove it.")
        objects[name] = objects.get(name, False) or not _is_difficult(element)
    return objects


def _is_difficult(element: Element) -> bool:
    # Home-made files leave the mark out or write a word ("Unspecified"); only a clear yes is a yes.
    return (element.findtext("difficult") or "").strip().casefold() in {"1", "true", "yes"}
