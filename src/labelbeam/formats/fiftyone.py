"""FiftyOne's image classification folder: `data/` and `labels.json`, images by their names without suffix.

Reads and writes what FiftyOne exports as `FiftyOneImageClassificationDataset`, without needing FiftyOne. A number
or name is one label, a list of them several, null says that nobody labelled the image. Knows nothing of pixels.
"""

from collections.abc import Mapping
from pathlib import Path

from labelbeam.data.dataset import Dataset
from labelbeam.data.options import DEFAULTS, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.parts.image_keys import image_key
from labelbeam.formats.parts.image_stems import files_by_stem
from labelbeam.formats.parts.json_document import read_json
from labelbeam.formats.parts.labelled_images import labelled_dataset
from labelbeam.labels.targets import ABSENT, PRESENT, UNKNOWN

LABELS_FILE = "labels.json"
MANIFEST = "data.json"
"""Where images may stay elsewhere: `{stem: path}`."""


def read_fiftyone(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a folder of FiftyOne's layout.

    Args:
        path: folder with `labels.json` and `data/` or `data.json`, or with such a folder for each split.
        split: name of the subfolder; empty or `all` where the folder is not divided.
        options: `keep_unlabelled`, `missing`.

    Returns:
        The data set; image keys are relative to `data/` (where `data.json` says where images are: to the
        folder, or absolute), in the file's order. Labels are in the order of `classes`, or sorted where the
        file has none. An image whose entry is null has every label unknown.

    Raises:
        InputError: no such folder or file; not JSON of this form; an id beyond `classes`; two image files
            of the same stem; whatever `settle` finds.

    Source:
        FiftyOne user guide, "Dataset formats: FiftyOneImageClassificationDataset"; lists of labels since
        voxel51/fiftyone#1377.
    """
    spec = f"fiftyone:{path}" + (f"#{split}" if split else "")
    home = _home(path, split, spec)
    file = home / LABELS_FILE
    classes, entries = _document(file, spec)
    said, unsaid = [], []
    for stem, value in entries.items():
        where = f"{spec}: {file}, labels of {stem!r}"
        said.append((stem, dict.fromkeys(_labels(value, classes, where), PRESENT)))
        unsaid.append(UNKNOWN if value is None else ABSENT)
    root, keys, notes = _images(home, list(entries), spec)
    if never := sum(value is None for value in entries.values()):
        notes.append(f"{never} images have no entry but null: nobody labelled them, every label is unknown.")
    return labelled_dataset(
        [(keys[stem], labels) for stem, labels in said],
        spec=spec,
        root=root,
        names=classes,
        unsaid=unsaid,
        layout="classes by number" if classes else "labels by name",
        options=options,
        notes=notes,
    )


def _home(path: Path, split: str, spec: str) -> Path:
    """Return the folder that holds labels.json."""
    if not path.is_dir():
        raise InputError(f"{spec}: {path} is not a folder. Give the folder that holds {LABELS_FILE}.")
    inside = sorted(folder.name for folder in path.iterdir() if (folder / LABELS_FILE).is_file())
    if split and split in inside:
        return path / split
    if (path / LABELS_FILE).is_file() and split in {"", "all"}:
        return path
    if (path / LABELS_FILE).is_file():
        raise InputError(f"{spec}: the folder is not divided into splits. Leave #{split} away.")
    if not inside:
        raise InputError(f"{spec}: no {LABELS_FILE} in {path} nor in a folder in it. Is this the right one?")
    if not split:
        raise InputError(
            f"{spec}: say which split: {', '.join(f'fiftyone:{path}#{name}' for name in inside)}."
        )
    raise InputError(f"{spec}: {unknown_name('split', split, inside)}")


def _document(file: Path, spec: str) -> tuple[list[str] | None, Mapping[str, object]]:
    """Return the classes, None where there are none, and each stem's entry."""
    document = read_json(file, spec)
    classes = document.get("classes") if isinstance(document, dict) else None
    entries = document.get("labels") if isinstance(document, dict) else None
    if not isinstance(entries, dict) or not (classes is None or _is_names(classes)):
        raise InputError(
            f'{spec}: {file} is not of the form {{"classes": [names], "labels": {{stem: [0, 2]}}}}. '
            "Export it as FiftyOneImageClassificationDataset."
        )
    return classes, entries


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _labels(value: object, classes: list[str] | None, where: str) -> list[str]:
    """Return the label names of an entry."""
    if value is None:
        return []
    if isinstance(value, list):
        return [name for part in value for name in _labels(part, classes, where)]
    if isinstance(value, dict) and "label" in value:  # with confidence or attributes
        return _labels(value["label"], classes, where)
    if isinstance(value, str):
        if classes and value not in classes:
            raise InputError(f"{where}: {unknown_name('label', value, classes)}")
        return [value]
    if isinstance(value, int) and not isinstance(value, bool) and classes and 0 <= value < len(classes):
        return [classes[value]]
    have = f"{len(classes)} classes, numbered from 0" if classes else "no classes"
    raise InputError(
        f"{where}: {str(value)[:40]!r} names no class; the file has {have}. Repair the entry or `classes`."
    )


def _images(home: Path, stems: list[str], spec: str) -> tuple[Path, dict[str, str], list[str]]:
    """Return the image folder, the key of each stem, and notes."""
    manifest = home / MANIFEST
    if manifest.is_file():
        paths = read_json(manifest, spec)
        if not isinstance(paths, dict) or not all(isinstance(path, str) for path in paths.values()):
            raise InputError(f"{spec}: {manifest} is not of the form {{stem: path}}. Export it again.")
        keys = {stem: image_key(paths[stem], f"{spec}: {manifest}") for stem in stems if stem in paths}
        lost = files_by_stem(home / "data", [stem for stem in stems if stem not in keys], spec=spec)
        return home, {**{stem: f"data/{name}" for stem, name in lost.items()}, **keys}, []
    return home / "data", files_by_stem(home / "data", stems, spec=spec), []
