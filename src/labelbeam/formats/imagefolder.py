"""Hugging Face's ImageFolder with metadata: `metadata.jsonl`, `.csv` or `.parquet` beside the images.

Finds the metadata of a split, and joins splits. What is inside a file is the matter of `metadata_rows` and, for CSV,
of `csv_table`. Knows nothing of pixels.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.listing import list_images
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.data.presence import settle
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.csv_table import read_csv
from labelbeam.formats.parts.split_folders import folders_in
from labelbeam.formats.tables.metadata_rows import read_metadata_rows
from labelbeam.labels.targets import ABSENT
from labelbeam.labels.vocabulary import Vocabulary

METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


def read_imagefolder(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of images with metadata; the column `file_name` names the images.

    The labels are those of the metadata's column, never the names of folders (as `datasets` does where there is
    metadata). Images that the metadata do not name are left out, and counted.

    Args:
        path: folder with the metadata, or of a folder per split (`train/`, or `data/train/`) with metadata each.
        split: such a folder, or the folder that `file_name`s start with; `all`: every split; empty: where the
            metadata are in `path` itself.
        options: `tags_column` (None: recognised by its name), `delimiter` of labels that are one text, `encoding`
            and `combinations`; `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are relative to `path`, in the metadata's order. Labels are sorted, or in the order
        of the class names where labels are numbers.

    Raises:
        InputError: no metadata, or several files of them in a folder; no such split; a row or column that cannot be
            read; numbers without class names; whatever `settle` finds.

    Source:
        Hugging Face Datasets, "Create an image dataset: ImageFolder".
    """
    spec = f"imagefolder:{path}" + (f"#{split}" if split else "")
    homes, prefix = _homes(path, split, spec)
    parts = [_read_home(home, path, options) for home in homes]
    whole = _joined(parts, spec, path)
    if prefix:
        rows = [i for i, image in enumerate(whole.images) if image.startswith(prefix)]
        if not rows:
            raise InputError(f"{spec}: {unknown_name('split', split, _first_parts(whole.images))}")
        whole = whole.subset(rows)
    where = [home / prefix for home in homes]
    return settle(replace(whole, notes=(*whole.notes, *_unlisted_note(where, whole, options))), options)


def _homes(path: Path, split: str, spec: str) -> tuple[list[Path], str]:
    """Return the folders whose metadata are read, and what the names of the images wanted start with."""
    if not path.is_dir():
        raise InputError(
            f"{spec}: {path} is not a folder. Give the folder that holds the metadata or the splits."
        )
    splits = {name: home for name, home in _split_homes(path).items() if _metadata_files(home)}
    if split and split != "all" and split in splits:
        return [splits[split]], ""
    if _metadata_files(path):
        return [path], "" if split in {"", "all"} else f"{split}/"
    if not splits:
        raise InputError(
            f"{spec}: no {', '.join(METADATA)} in {path}, nor in a folder of a split in it. Without metadata the "
            f"names of folders are the labels: read it as folder:{path}" + (f"#{split}." if split else ".")
        )
    if split == "all":
        return list(splits.values()), ""
    raise InputError(
        f"{spec}: {unknown_name('split', split, (*splits, 'all'))} Each has metadata in its folder."
    )


def _split_homes(path: Path) -> dict[str, Path]:
    inner = folders_in(path / "data") if (path / "data").is_dir() else {}
    return {**inner, **folders_in(path)}


def _metadata_files(folder: Path) -> list[Path]:
    return [folder / name for name in METADATA if (folder / name).is_file()]


def _read_home(home: Path, root: Path, options: ReadOptions) -> Dataset:
    """Return the data set of one folder's metadata, image keys relative to the root, files not looked for."""
    file, *others = _metadata_files(home)
    if others:
        raise InputError(
            f"{home} holds {file.name} and {others[0].name}; `datasets` reads one of them. Keep one."
        )
    lenient = replace(options, missing="keep", keep_unlabelled=True)
    if file.suffix == ".csv":
        dataset = read_csv(file, options=replace(lenient, image_column=options.image_column or "file_name"))
    else:
        dataset = read_metadata_rows(file, root / "README.md", options=lenient)
    start = home.relative_to(root).as_posix() + "/" if home != root else ""
    return replace(dataset, images=tuple(start + image for image in dataset.images))


def _joined(parts: Sequence[Dataset], spec: str, root: Path) -> Dataset:
    """Return the images of all parts; a label that only other parts have is absent."""
    protocol: dict[str, str | int | float] = {}
    if len(parts) == 1:
        return replace(parts[0], spec=spec, root=root, protocol=protocol)
    names = tuple(dict.fromkeys(name for part in parts for name in part.vocabulary))
    column = {name: j for j, name in enumerate(names)}
    targets = np.full((sum(map(len, parts)), len(names)), ABSENT, dtype=np.int8)
    start = 0
    for part in parts:
        targets[start : start + len(part), [column[name] for name in part.vocabulary]] = part.targets
        start += len(part)
    images = tuple(image for part in parts for image in part.images)
    notes = tuple(note for part in parts for note in part.notes)
    return Dataset(spec, root, images, Vocabulary(names), targets, protocol, notes)


def _first_parts(images: Sequence[str]) -> list[str]:
    return sorted({image.partition("/")[0] for image in images if "/" in image}) or ["all"]


def _unlisted_note(folders: Sequence[Path], dataset: Dataset, options: ReadOptions) -> list[str]:
    """Return a note about images that are there and not in the metadata; nothing is looked for under `keep`."""
    if options.missing == "keep":
        return []
    there = [
        file.relative_to(dataset.root).as_posix()
        for file in list_images([folder for folder in folders if folder.is_dir()])
    ]
    unlisted = sorted(set(there) - set(dataset.images))
    if not unlisted:
        return []
    return [f"{len(unlisted)} images are not in the metadata and were left out: {', '.join(unlisted[:5])}."]
