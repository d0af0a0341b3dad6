"""PASCAL VOC: objects in boxes, read as the set of their classes, with `ImageSets` or as loose folders; written.

The labels come from the annotations; lists only say which images belong to a split. What is unknown is written as an
object that is difficult, which is what VOC means by that.

Source:
    Roboflow, "Pascal VOC XML" (Datumaro documentation, "Roboflow": `train/a.jpg` and `train/a.xml`); LabelImg,
    `libs/pascal_voc_io.py` (`folder`, `filename` and `path` of the machine that drew the boxes).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions, settle
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import exists, new_folder
from labelbeam.formats import documents, placing
from labelbeam.formats.labelled_images import NO_SIZE, box_notes, labelled_dataset, size_of
from labelbeam.labels.names import clean, refuse_reserved, variants_note
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary
from labelbeam.parsing import read_regular

VOC_LABELS: tuple[str, ...] = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
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


UNREAD = ("part", "actions", "attributes")
"""What objects hold besides classes and boxes: parts of a body, actions, attributes of CVAT."""


@dataclass(frozen=True)
class Annotation:
    """What an XML file says.

    Attributes:
        objects: the classes, and whether each is seen in an object that is not difficult.
        filename: the image as the file names it; empty where it does not.
        more: what else is said of objects and is not read, each once: of `UNREAD`.
        western: whether it is in Windows-1252, though it does not say so.
    """

    objects: Objects
    filename: str
    more: tuple[str, ...] = ()
    western: bool = False


def read_voc(
    folder: Path, split: str, *, edition: str = "voc2007", options: ReadOptions = DEFAULTS
) -> Dataset:
    """Read a split of a VOC folder.

    An image with a normal and a difficult object of a class has that class; `options.difficult` decides about
    classes seen in difficult objects only.

    `folder` is VOCdevkit, its VOC2007 or VOC2012, or a home-made folder of that layout; a split is any list in
    ImageSets/Main, the user's own and the lists of one class included. Image keys are file names in JPEGImages, in the
    list's order. Labels are the 20 classes, or, where the folder holds others, all that its annotations hold, sorted.

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
    objects = [read_annotation(home / "Annotations" / f"{image_id}.xml", spec).objects for image_id in ids]
    names = VOC_LABELS
    seen = {name for found in objects for name in found} | _possible_labels(home)
    if seen - set(VOC_LABELS):
        # Every class of every annotation: the same labels for each split of the folder.
        every = sorted((home / "Annotations").rglob("*.xml"))
        names = tuple(sorted({name for file in every for name in read_annotation(file, spec).objects}))
    if foreign := sorted(set(names) - set(VOC_LABELS)):
        refuse_reserved(names, spec)
        notes += variants_note(names)
        notes.append(
            f"classes beyond VOC's 20 were found ({', '.join(foreign[:5])}): "
            f"the labels are the {len(names)} that Annotations holds."
        )
    official = OFFICIAL_COUNTS.get((edition, split))
    if official and official != len(ids):
        notes.append(f"{len(ids)} images; the official {edition} {split} has {official:,}.")
    root, files = documents.files_by_stem(home / "JPEGImages", ids, spec=spec)
    dataset = Dataset(
        spec=spec,
        root=root,
        images=tuple(files.values()),
        vocabulary=Vocabulary(names),
        targets=_targets(objects, names, options),
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
        if not split:
            raise InputError(
                f"{spec}: say which split, a list in {home}/ImageSets/Main: {', '.join(plain[:12])}."
            )
        raise InputError(
            f"{spec}: {unknown_name('split', split, plain)} A split is a list in {home}/ImageSets/Main."
        )
    return list_ids(lists[split], split, spec)


def list_ids(file: Path, split: str, spec: str) -> tuple[list[str], list[str]]:
    """Return the image ids of a list of `ImageSets/Main`, in its order and each once, and notes about odd ones.

    Raises:
        InputError: an empty list, not UTF-8, or a line that names no file.
    """
    lines = _lines(file, spec)
    if not lines:
        raise InputError(f"{spec}: the split is empty: {file} has no line. Give another split.")
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
    """Return the lines of a list without the blank ones."""
    try:
        # Only line feeds end a line: other separators are characters of a file name.
        lines = file.read_bytes().decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{spec}: {file} is not UTF-8 text ({error}). Save it as UTF-8.") from None
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    return [documents.image_key(line, f"{spec}: {file}, line {number}") for number, line in numbered]


_NAME = re.compile(rb"<object>(?:(?!</object>|<part>).)*?<name>([^<]*)</name>", re.DOTALL)


def _possible_labels(home: Path) -> set[str]:
    """Return what names objects anywhere in the annotations, by their bytes: XML of ten thousand files takes long."""
    found: set[bytes] = set()
    for file in (home / "Annotations").rglob("*.xml"):
        with suppress(OSError):
            found.update(_NAME.findall(file.read_bytes()))
    return {clean(name.decode(errors="replace")) for name in found}


def _targets(objects: list[Objects], names: tuple[str, ...], options: ReadOptions) -> np.ndarray:
    """Return int8 [images labels] of present, absent and unknown."""
    only_difficult = {"unknown": UNKNOWN, "absent": ABSENT, "present": PRESENT}[options.difficult]
    column = {name: j for j, name in enumerate(names)}
    targets = np.full((len(objects), len(names)), options.unsaid, dtype=np.int8)
    for row, found in zip(targets, objects, strict=True):
        for name, normal in found.items():
            row[column[name]] = PRESENT if normal else only_difficult
    return targets


def read_annotation(file: Path, spec: str) -> Annotation:
    """Return what an annotation says of its image.

    Raises:
        InputError: a file that is missing, is not readable XML or none of VOC's, or has an object without a name.
    """
    if not exists(file):
        raise InputError(
            f"{spec}: {file} is missing, but the split lists it. Check that the list belongs to this folder "
            "(the annotations of VOC 2012's test set are not public)."
        )
    seen: list[bool] = []
    raw = read_regular(file, f"{spec}: {file}")
    root = documents.parse_xml(raw, f"{spec}: {file}", lines=False, western=lambda: seen.append(True))
    if root.tag != "annotation":
        raise InputError(f"{spec}: {file} is no annotation of VOC: it begins with <{root.tag[:40]}>.")
    objects: Objects = {}
    for element in root.iterfind("object"):
        name = clean(element.findtext("name") or "")
        if not name:
            raise InputError(f"{spec}: an object in {file} has no name. Repair or remove it.")
        # Home-made files leave the mark out or write a word ("Unspecified"); only a clear yes is a yes.
        mark = (element.findtext("difficult") or "").strip().casefold()
        objects[name] = objects.get(name, False) or mark not in {"1", "true", "yes"}
    more = tuple(tag for tag in UNREAD if root.find(f"object/{tag}") is not None)
    return Annotation(objects, (root.findtext("filename") or "").strip(), more, western=bool(seen))


def write_voc2007(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a data set in VOC's layout; `voc2007:PATH#SPLIT` reads it back.

    `path` may be a folder of this layout, to which the split (empty: `all`) is added. Images are linked or copied: VOC
    finds them by their place only.
    """
    return _write("voc2007", dataset, path, split or "all", images)


def write_voc2012(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a data set in VOC's layout; as `write_voc2007`, read back by `voc2012:PATH#SPLIT`."""
    return _write("voc2012", dataset, path, split or "all", images)


def _write(edition: str, dataset: Dataset, path: Path, split: str, images: str) -> tuple[str, ...]:
    spec = f"{edition}:{path}#{split}"
    placing.check_way(images, keep=False, spec=spec)
    placing.refuse_unwritable(dataset.vocabulary.names, spec)
    placing.refuse_unwritable_images(dataset.images, spec)
    keys = placing.placed_keys(dataset.images)
    ids = documents.stems_of(keys, spec=spec)
    _refuse_ids(keys, ids, split, spec)
    place = path / "ImageSets" / "Main" / f"{split}.txt"
    if place.exists():
        raise InputError(f"{place} is there already; nothing is overwritten. Give another split or folder.")
    objects = unreadable = 0
    with _filled(path) as home:
        for i, (key, image_id) in enumerate(zip(keys, ids, strict=True)):
            annotation = home / "Annotations" / f"{image_id}.xml"
            placing.place_image(
                dataset.path(i), home / "JPEGImages" / key, images=images, within=dataset.root
            )
            size = size_of(home / "JPEGImages" / key)
            unreadable += size == NO_SIZE
            labels = [
                (name, value)
                for name, value in zip(dataset.vocabulary, dataset.targets[i].tolist(), strict=True)
                if value
            ]
            objects += len(labels)
            annotation.parent.mkdir(parents=True, exist_ok=True)
            annotation.write_text(_annotation(key, size, labels), encoding="utf-8")
        lists = home / "ImageSets" / "Main"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text("".join(f"{image_id}\n" for image_id in ids), encoding="utf-8")
    return (*box_notes(objects, unreadable), *_label_notes(dataset))


def _label_notes(dataset: Dataset) -> tuple[str, ...]:
    """Return sentences about labels that are read back otherwise: annotations know only what they show."""
    mentioned = (dataset.targets != ABSENT).any(axis=0)
    shown = {name for name, is_mentioned in zip(dataset.vocabulary, mentioned, strict=True) if is_mentioned}
    if not shown <= set(VOC_LABELS):
        return placing.unused_note(dataset, named=(PRESENT, UNKNOWN))
    lost = placing.unused_note(dataset, named=(PRESENT, UNKNOWN), elsewhere=VOC_LABELS)
    if gained := set(VOC_LABELS) - set(dataset.vocabulary):
        return (
            *lost,
            f"all labels are VOC's, so a reader takes its 20 and has {len(gained)} more, all absent.",
        )
    return lost


@contextmanager
def _filled(path: Path) -> Iterator[Path]:
    """Yield a folder to fill that becomes `path`, or whose files join those of this layout that are there."""
    if not ((path / "Annotations").is_dir() and (path / "ImageSets" / "Main").is_dir()):
        with new_folder(path) as home:
            yield home
        return
    with TemporaryDirectory(dir=path, prefix=".") as folder:
        yield Path(folder)
        files = sorted(file.relative_to(folder) for file in Path(folder).rglob("*") if file.is_file())
        if taken := [file for file in files if (path / file).exists()]:
            raise InputError(
                f"{path / taken[0]} is there already ({len(taken)} such files): another split has an image of that "
                "name. Rename one, or give another folder."
            )
        # The list comes last: until it is there, the split is not.
        for file in sorted(files, key=lambda file: file.parts[0] == "ImageSets"):
            (path / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / file).replace(path / file)


def _refuse_ids(keys: Iterable[str], ids: Iterable[str], split: str, spec: str) -> None:
    """Raise an error where a list of these images would be read as something else."""
    if "/" in split or "\\" in split or split.startswith("."):
        raise InputError(f"{spec}: {split!r} cannot be the name of a split, because it names a file.")
    listed = list(ids)
    if plain := next((key for key, image_id in zip(keys, listed, strict=True) if key == image_id), None):
        raise InputError(
            f"{spec}: {plain!r} has no suffix by which VOC's readers know images. Rename the file."
        )
    for image_id in listed:
        if image_id != image_id.strip() or "\\" in image_id or image_id.startswith("\ufeff"):
            raise InputError(f"{spec}: VOC's lists cannot hold the file name {image_id!r}. Rename the file.")
    if all(image_id.rpartition(" ")[2] in {"1", "0", "-1"} and " " in image_id for image_id in listed):
        raise InputError(
            f"{spec}: every file name ends in a blank and 1, 0 or -1, as {listed[0]!r} does; VOC's lists say labels "
            "that way. Rename a file."
        )


def _annotation(image: str, size: tuple[int, int], labels: list[tuple[str, int]]) -> str:
    """Return the XML of an image: labels with PRESENT or UNKNOWN."""
    width, height = size
    box = f"<xmin>1</xmin><ymin>1</ymin><xmax>{width}</xmax><ymax>{height}</ymax>"
    objects = "".join(
        f"  <object>\n    <name>{escape(name)}</name>\n    <pose>Unspecified</pose>\n    <truncated>0</truncated>\n"
        f"    <difficult>{int(value != PRESENT)}</difficult>\n    <bndbox>{box}</bndbox>\n  </object>\n"
        for name, value in labels
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f"<annotation>\n  <folder>JPEGImages</folder>\n  <filename>{escape(image)}</filename>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"  <segmented>0</segmented>\n{objects}</annotation>\n"
    )


HOMES = ("VOCdevkit/VOC2007", "VOCdevkit/VOC2012", "VOC2007", "VOC2012")
"""Where an official folder may be below the one that was named."""


def read_voc_folder(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of VOC XML files, each of one image.

    The labels are the classes of all XML files of the folder, sorted, whatever the split. An image without an XML file
    was not annotated: it is left out, and counted.

    XML files may lie beside images, in `Annotations`, or in a folder per split; a split may also be a list of
    `ImageSets/Main`.

    Raises:
        InputError: no XML file; no such split; XML that is broken or none of VOC's; whatever `settle` finds.
    """
    spec = f"voc:{path}" + (f"#{split}" if split else "")
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is not a folder. Give the folder that holds the XML files.")
    files = _xml_files(path)
    if not files:
        raise InputError(f"{spec}: no .xml file in {path} or in a folder in it. Is this the right one?")
    annotations, damaged = documents.read_each(files, lambda file: read_annotation(file, spec))
    picked, notes = _picked(path, split, list(annotations), spec)
    images = _images(path, picked, annotations, spec)
    only_difficult = {"unknown": UNKNOWN, "absent": ABSENT, "present": PRESENT}[options.difficult]
    labelled = []
    for file, key in zip(picked, images, strict=True):
        objects = annotations[file].objects.items()
        labelled.append((key, {name: PRESENT if normal else only_difficult for name, normal in objects}))
    if options.missing != "keep":
        homes = {file.parent for file in picked}
        beside = {home.parent / name for home in homes for name in ("JPEGImages", "images")}
        notes += documents.left_out_note(path, homes | beside, images, "have no XML file")
    dataset = labelled_dataset(
        labelled,
        spec=spec,
        root=path,
        names=sorted({name for one in annotations.values() for name in one.objects}),
        unsaid=ABSENT,
        layout="VOC objects, read as the set of their classes",
        options=options,
        notes=[
            *notes,
            *documents.damaged_note(damaged, "XML files", "their images are left out"),
            "where the boxes are is not read.",
            *_unread_note(annotations.values()),
            *_western_note(annotations),
        ],
    )
    return dataset


def _western_note(annotations: Mapping[Path, Annotation]) -> list[str]:
    found = [file for file, one in annotations.items() if one.western]
    if not found:
        return []
    return [
        f"{len(found):,} XML files are not UTF-8, though they say nothing else, and were read as Windows-1252, by "
        f"their accented letters, such as {found[0].name}."
    ]


def _unread_note(annotations: Iterable[Annotation]) -> list[str]:
    counts = Counter(tag for one in annotations for tag in one.more)
    if not counts:
        return []
    shown = ", ".join(f"<{tag}> in {count:,} files" for tag, count in counts.items())
    return [f"what objects hold besides their class is not read: {shown}."]


def _xml_files(path: Path) -> list[Path]:
    return sorted(
        file
        for file in path.rglob("*.xml")
        if not any(part.startswith(".") or part == "__MACOSX" for part in file.relative_to(path).parts)
    )


def _picked(path: Path, split: str, files: list[Path], spec: str) -> tuple[list[Path], list[str]]:
    """Return the XML files of a split, in its order, and notes."""
    lists = _lists(path)
    if lists:
        if split in {"", "all"}:
            return files, []
        if split not in lists:
            placing.chosen_splits(
                [name for name in lists if name.rpartition("_")[0] not in VOC_LABELS], split, spec
            )
        by_stem: dict[str, Path] = {file.stem: file for file in files}
        ids, notes = list_ids(lists[split], split, spec)
        if lost := [image for image in ids if image.rpartition("/")[2] not in by_stem]:
            raise InputError(f"{spec}: {len(lost)} images of {lists[split]} have no XML file: {lost[:3]}.")
        return [by_stem[image.rpartition("/")[2]] for image in ids], notes
    folders: dict[str, list[Path]] = {}
    for file in files:
        folders.setdefault(documents.split_folder_of(file, path), []).append(file)
    names = sorted(name for name in folders if name)
    chosen, notes = placing.chosen_splits(names, split, f"voc:{path}")
    if split in {"", "all"}:
        return files, notes if len(names) > 1 else []
    return [file for name in chosen for file in folders[name]], notes


def _lists(path: Path) -> Mapping[str, Path]:
    for home in (path, *(path / inner for inner in HOMES)):
        if found := {file.stem: file for file in sorted((home / "ImageSets" / "Main").glob("*.txt"))}:
            return found
    return {}


def _images(
    path: Path, files: Sequence[Path], annotations: Mapping[Path, Annotation], spec: str
) -> list[str]:
    """Return the key of each XML file's image: the one of its name, else the one that it names."""
    own, named = [], []
    for file in files:
        start = "" if file.parent == path else file.parent.relative_to(path).as_posix() + "/"
        written = annotations[file].filename.replace("\\", "/").rpartition("/")[2] or f"{file.stem}.jpg"
        own.append(start + file.stem)
        named.append(documents.image_key(start + written, f"{spec}: {file}"))
    return documents.keys_by_either(path, own, named, spec)
