"""Writes PASCAL VOC: each label an object whose box is the whole image.

The counterpart of `voc`: `Annotations`, `JPEGImages` and a list in `ImageSets/Main`; further splits may be added
to the folder. What is unknown is written as an object that is difficult, which is what VOC means by that.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape

from labelbeam.data.dataset import Dataset
from labelbeam.data.new_folder import new_folder
from labelbeam.errors import InputError
from labelbeam.formats.parts.image_stems import stems_of
from labelbeam.formats.parts.lost_notes import unused_note
from labelbeam.formats.parts.placing import check_way, place_image, placed_keys
from labelbeam.formats.parts.whole_boxes import NO_SIZE, box_notes, size_of
from labelbeam.formats.parts.writable import refuse_unwritable, refuse_unwritable_images
from labelbeam.formats.voc import VOC_LABELS
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN


def write_voc2007(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a data set in VOC's layout; `voc2007:PATH#SPLIT` reads it back.

    Args:
        dataset: what to write.
        path: the folder. It may be one of this layout, to which the split is added.
        split: name of the list; empty: `all`.
        images: `link` or `copy`: VOC finds images by their place only.

    Returns:
        Sentences about boxes, and about labels that the annotations do not hold because no image has them.

    Raises:
        InputError: something in the way, a name that cannot be written, image files that are missing, or whose
            names differ in the suffix only.
    """
    return _write("voc2007", dataset, path, split or "all", images)


def write_voc2012(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a data set in VOC's layout; as `write_voc2007`, read back by `voc2012:PATH#SPLIT`."""
    return _write("voc2012", dataset, path, split or "all", images)


def _write(edition: str, dataset: Dataset, path: Path, split: str, images: str) -> tuple[str, ...]:
    spec = f"{edition}:{path}#{split}"
    check_way(images, keep=False, spec=spec)
    refuse_unwritable(dataset.vocabulary.names, spec)
    refuse_unwritable_images(dataset.images, spec)
    keys = placed_keys(dataset.images)
    ids = stems_of(keys, spec=spec)
    _refuse_ids(keys, ids, split, spec)
    place = path / "ImageSets" / "Main" / f"{split}.txt"
    if place.exists():
        raise InputError(f"{place} is there already; nothing is overwritten. Give another split or folder.")
    objects = unreadable = 0
    with _filled(path) as home:
        for i, (key, image_id) in enumerate(zip(keys, ids, strict=True)):
            annotation = home / "Annotations" / f"{image_id}.xml"
            place_image(dataset.path(i), home / "JPEGImages" / key, images=images)
            size = size_of(home / "JPEGImages" / key)
            unreadable += size == NO_SIZE
            said = [
                (name, value)
                for name, value in zip(dataset.vocabulary, dataset.targets[i].tolist(), strict=True)
                if value
            ]
            objects += len(said)
            annotation.parent.mkdir(parents=True, exist_ok=True)
            annotation.write_text(_annotation(key, size, said), encoding="utf-8")
        lists = home / "ImageSets" / "Main"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text("".join(f"{image_id}\n" for image_id in ids), encoding="utf-8")
    return (*box_notes(objects, unreadable), *_label_notes(dataset))


def _label_notes(dataset: Dataset) -> tuple[str, ...]:
    """Return sentences about labels that are read back otherwise: annotations know only what they show."""
    said = (dataset.targets != ABSENT).any(axis=0)
    shown = {name for name, is_said in zip(dataset.vocabulary, said, strict=True) if is_said}
    if not shown <= set(VOC_LABELS):
        return unused_note(dataset, named=(PRESENT, UNKNOWN))
    lost = unused_note(dataset, named=(PRESENT, UNKNOWN), elsewhere=VOC_LABELS)
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


def _annotation(image: str, size: tuple[int, int], said: list[tuple[str, int]]) -> str:
    """Return the XML of an image: labels with PRESENT or UNKNOWN."""
    width, height = size
    box = f"<xmin>1</xmin><ymin>1</ymin><xmax>{width}</xmax><ymax>{height}</ymax>"
    objects = "".join(
        f"  <object>\n    <name>{escape(name)}</name>\n    <pose>Unspecified</pose>\n    <truncated>0</truncated>\n"
        f"    <difficult>{int(value != PRESENT)}</difficult>\n    <bndbox>{box}</bndbox>\n  </object>\n"
        for name, value in said
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f"<annotation>\n  <folder>JPEGImages</folder>\n  <filename>{escape(image)}</filename>\n"
        f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n"
        f"  <segmented>0</segmented>\n{objects}</annotation>\n"
    )
