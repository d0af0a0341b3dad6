"""A project as a file to take home: a zip archive of any format that can be written, or of XMP sidecars."""

import os
import re
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.keywords import write_keywords
from labelbeam.formats.photo_metadata.keyword_lists import lists_of
from labelbeam.formats.photo_metadata.xmp import new_packet
from labelbeam.formats.placing import refuse_unwritable
from labelbeam.formats.registry import FORMATS, write_dataset
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, Vocabulary
from labelbeam.project.project_file import Project
from labelbeam.project.schema import Photograph

# What a request calls a photograph is text, not a path: only letters, digits and a few signs are taken from it, in
# folders below the export.

LONGEST = 80
"""Characters of a part of a name: with four bytes each still a file name everywhere."""

DEEPEST = 6
"""Folders kept of a name; the innermost ones."""

_RESERVED = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)$")  # what Windows calls its devices


def export_names(named: Iterable[tuple[str, str]]) -> list[str]:
    """Return where in an export each photograph stands.

    Args:
        named: what a photograph is called, and the suffix that its content asks for.

    Returns:
        Relative paths with forward slashes that differ in more than case.

    Example:
        >>> export_names([("2019/Böot.JPG", ".jpg"), ("../../etc/passwd", ".png"), ("2019/böot.jpg", ".jpg")])
        ['2019/Böot.JPG', 'etc/passwd.png', '2019/böot (2).jpg']
    """
    found: list[str] = []
    taken: set[str] = set()
    for name, suffix in named:
        parts = [part for part in map(_plain, re.split(r"[/\\]", name)) if part]
        *folders, last = parts[-DEEPEST - 1 :] or ["photograph"]
        leaf = PurePosixPath(last)
        # A name that says another kind than the content is would not be read back.
        stem, ending = (leaf.stem, leaf.suffix) if _alike(leaf.suffix.lower(), suffix) else (last, suffix)
        candidate, number = "/".join([*folders, stem + ending]), 1
        while candidate.casefold() in taken:
            number += 1
            candidate = "/".join([*folders, f"{stem} ({number}){ending}"])
        taken.add(candidate.casefold())
        found.append(candidate)
    return found


def _plain(part: str) -> str:
    """Return a part of a path with letters, marks, digits and harmless signs only; empty where nothing is left."""
    kept = (
        char if unicodedata.category(char)[0] in "LMN" or char in " -_.,()+&'" else "_"
        for char in unicodedata.normalize("NFC", part)
    )
    text = "".join(kept)
    if len(text) > LONGEST:
        text = text[: LONGEST - 10] + text[-10:]
    text = text.strip(" .")
    return f"_{text}" if _RESERVED.match(text.partition(".")[0]) else text


def _alike(given: str, suffix: str) -> bool:
    same = ({".jpg", ".jpeg", ".jpe"}, {".tif", ".tiff"}, {".heic", ".heif"})
    return given == suffix or any(given in group and suffix in group for group in same)


# Photographs get back what their owner called them (`export_names`). Unzipped over the folder that the photographs came
# from, sidecars lie beside them.

XMP = "xmp"
"""Name of the export of sidecars."""

FILES = {"csv": "tags.csv", "jsonl": "tags.jsonl", "labelstudio": "tasks.json", "cvat": "annotations.xml"} | {
    **{
        "mmpretrain": "annotations.json",
        "paddle": "tags.txt",
        "cleanlab": "labels.json",
        "createml": "annotations.json",
    }
}
"""Formats that are one file, and what it is called: it names the photographs, which stay where they are."""

NO_EXPORTS = frozenset({"keywords", "vectors"})
"""Written elsewhere: `keywords` into the photographs themselves, `vectors` by an encoder."""


def export_formats() -> tuple[str, ...]:
    """Return the names of all exports: sidecars, then every format that has a writer and holds photographs."""
    return (XMP, *(name for name, entry in FORMATS.items() if entry.write and name not in NO_EXPORTS))


@contextmanager
def exported(project: Project, format_: str) -> Iterator[Path]:
    """Yield a zip archive of a project that is gone when the block ends.

    Args:
        format_: a name of `export_formats`.

    Raises:
        InputError: an unknown format, nothing decided yet, or labels and photographs that the format cannot hold.
    """
    if format_ not in export_formats():
        raise unknown_name("export format", format_, export_formats())
    photographs, dataset = _decided(project, format_)
    with tempfile.TemporaryDirectory(prefix="labelbeam-export-") as folder:
        archive = Path(folder, "export.zip")
        if format_ == XMP:
            _write_sidecars(dataset, archive)
        else:
            _write_format(project, dataset, photographs, format_, archive)
        yield archive


def write_beside(project: Project) -> tuple[int, tuple[str, ...]]:
    """Write what is decided into sidecars beside the photographs that stay where they are, into those that are there.

    As `labelbeam data convert project:FILE keywords:FOLDER` does: of a sidecar nothing changes but its keywords.

    Returns:
        How many photographs, and notes for a person.

    Raises:
        InputError: nothing is decided on such a photograph, or as `formats.keywords.write_keywords`.
    """
    photographs, dataset = _decided(project, XMP)
    rows = [i for i, one in enumerate(photographs) if not one.added]
    if not rows:
        raise InputError(
            "nothing is decided on photographs that lie in a folder of this machine. Export a zip."
        )
    paths = [photographs[i].path for i in rows]
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    keys = tuple(path.relative_to(folder).as_posix() for path in paths)
    beside = Dataset(dataset.spec, folder, keys, dataset.vocabulary, dataset.targets[rows])
    return len(rows), write_keywords(beside, folder, split="", images="keep")


def _decided(project: Project, format_: str) -> tuple[list[Photograph], Dataset]:
    """Return the photographs of which something is known, and that as a data set under their owner's names."""
    known = project.known()
    photographs = [one for one in project.photographs() if one.id in known]
    used = {name for row in known.values() for name in row}
    names = [name for name in project.labels() if name in used]
    if not photographs:
        raise InputError("nothing is accepted or rejected yet, so there is nothing to export.")
    targets = np.full((len(photographs), len(names)), UNKNOWN, dtype=np.int8)
    column = {name: j for j, name in enumerate(names)}
    for row, one in zip(targets, photographs, strict=True):
        for name, value in known[one.id].items():
            row[column[name]] = value
    keys = export_names((one.name, one.path.suffix.lower()) for one in photographs)
    return photographs, Dataset(
        f"project:{project.path.name}", Path(), tuple(keys), Vocabulary(tuple(names)), targets
    )


def _write_sidecars(dataset: Dataset, archive: Path) -> None:
    refuse_unwritable(dataset.vocabulary, XMP)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for i, key in enumerate(dataset.images):
            keywords = [
                name
                for name, value in zip(dataset.vocabulary, dataset.targets[i], strict=True)
                if value == PRESENT
            ]
            zipped.writestr(_entry(key + ".xmp"), new_packet(lists_of(keywords)))


def _write_format(
    project: Project, dataset: Dataset, photographs: Sequence[Photograph], format_: str, archive: Path
) -> None:
    """Write a format in a folder of links to the photographs, then pack what was written."""
    folder = archive.with_name("photographs")
    for one, key in zip(photographs, dataset.images, strict=True):
        target = folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        content = project.content(one)
        try:
            os.link(one.path.resolve(), target)
        except OSError:  # another file system
            target.write_bytes(content)
    here = replace(dataset, root=folder)
    if format_ in FILES:
        written = folder / FILES[format_]
        write_dataset(here, f"{format_}:{written}", images="keep")
        beside = [path for path in folder.iterdir() if path.is_file() and not _is_photograph(path, here)]
        _pack(archive, [(path.name, path) for path in beside])
        return
    written = archive.with_name("written")
    write_dataset(here, f"{format_}:{written}", images="link")
    files = sorted(path for path in written.rglob("*") if path.is_file())
    _pack(archive, [(path.relative_to(written).as_posix(), path) for path in files])


def _is_photograph(path: Path, dataset: Dataset) -> bool:
    return path.name in dataset.images


def _pack(archive: Path, files: Sequence[tuple[str, Path]]) -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name, path in files:
            zipped.writestr(_entry(name), path.read_bytes())


def _entry(name: str) -> zipfile.ZipInfo:
    """Return a zip entry without a time, so that one project gives one archive, byte for byte."""
    entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry
