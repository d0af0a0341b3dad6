"""VOC's XML without VOC's folders: files beside the images (LabelImg, Roboflow) or in `Annotations`, without lists.

Lists in `ImageSets/Main` are used where there are some. What is inside a file is the matter of `voc`. Knows nothing
of pixels.

Source:
    Roboflow, "Pascal VOC XML" (Datumaro documentation, "Roboflow": `train/a.jpg` and `train/a.xml`); LabelImg,
    `libs/pascal_voc_io.py` (`folder`, `filename` and `path` of the machine that drew the boxes).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.listing import list_images
from labelbeam.errors import InputError
from labelbeam.formats.image_names import image_key, keys_by_either
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.placing import chosen_splits
from labelbeam.formats.voc import VOC_LABELS, Annotation, list_ids, read_annotation
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

HOMES = ("VOCdevkit/VOC2007", "VOCdevkit/VOC2012", "VOC2007", "VOC2012")
"""Where an official folder may be below the one that was named."""


def read_voc_folder(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of VOC XML files, each of one image.

    The labels are the classes of all XML files of the folder, sorted, whatever the split. An image without an XML file
    was not annotated: it is left out, and counted.

    Args:
        path: the folder; XML files may lie beside images, in `Annotations`, or in a folder per split.
        split: a folder that holds XML files (`train`), or a list of `ImageSets/Main`; empty or `all`: every file.
        options: `difficult`, `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are relative to `path`.

    Raises:
        InputError: no XML file; no such split; XML that is broken or none of VOC's; whatever `settle` finds.
    """
    spec = f"voc:{path}" + (f"#{split}" if split else "")
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is not a folder. Give the folder that holds the XML files.")
    files = _xml_files(path)
    if not files:
        raise InputError(f"{spec}: no .xml file in {path} or in a folder in it. Is this the right one?")
    annotations = {file: read_annotation(file, spec) for file in files}
    picked, notes = _picked(path, split, list(annotations), spec)
    images = _images(path, picked, annotations, spec)
    only_difficult = {"unknown": UNKNOWN, "absent": ABSENT, "present": PRESENT}[options.difficult]
    said = []
    for file, key in zip(picked, images, strict=True):
        objects = annotations[file].objects.items()
        said.append((key, {name: PRESENT if normal else only_difficult for name, normal in objects}))
    if options.missing != "keep":
        notes += _without_xml(path, {file.parent for file in picked}, set(images))
    dataset = labelled_dataset(
        said,
        spec=spec,
        root=path,
        names=sorted({name for one in annotations.values() for name in one.objects}),
        unsaid=ABSENT,
        layout="VOC objects, read as the set of their classes",
        options=options,
        notes=[*notes, "where the boxes are is not read."],
    )
    return dataset


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
            chosen_splits([name for name in lists if name.rpartition("_")[0] not in VOC_LABELS], split, spec)
        by_stem: dict[str, Path] = {file.stem: file for file in files}
        ids, notes = list_ids(lists[split], split, spec)
        if lost := [image for image in ids if image.rpartition("/")[2] not in by_stem]:
            raise InputError(f"{spec}: {len(lost)} images of {lists[split]} have no XML file: {lost[:3]}.")
        return [by_stem[image.rpartition("/")[2]] for image in ids], notes
    folders: dict[str, list[Path]] = {}
    for file in files:
        inside = file.relative_to(path).parts
        # `Annotations` is VOC's word for the folder of XML files; a split is the folder above or below it.
        named = [
            part
            for part in inside[:-1]
            if part.lower() not in {"annotations", "annotation", "labels", "xml", "xmls"}
        ]
        folders.setdefault(named[0] if named else "", []).append(file)
    names = sorted(name for name in folders if name)
    chosen, notes = chosen_splits(names, split, f"voc:{path}")
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
        named.append(image_key(start + written, f"{spec}: {file}"))
    return keys_by_either(path, own, named, spec)


def _without_xml(path: Path, folders: Iterable[Path], keys: set[str]) -> list[str]:
    """Return a note about images beside the XML files, or in VOC's folder of images, that none is about."""
    places = {
        folder for home in folders for folder in (home, home.parent / "JPEGImages", home.parent / "images")
    }
    there = {
        image.relative_to(path).as_posix()
        for image in list_images(sorted(folder for folder in places if folder.is_dir()))
        if image.is_relative_to(path)
    }
    lost = sorted(there - keys)
    if not lost:
        return []
    return [f"{len(lost):,} images have no XML file and were left out: {', '.join(lost[:5])}."]
