"""Open Images' verified labels: one CSV row per image and label, read and written.

1 is present, 0 verified absent; what no row says is unknown. Rows go into flat arrays: the official files have tens of
millions.
"""

import csv
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import new_folder
from labelbeam.formats import placing
from labelbeam.formats.csv_table import row_writer
from labelbeam.formats.documents import files_by_stem, stems_of
from labelbeam.formats.labelled_images import dataset_of_targets
from labelbeam.formats.list_cells import YES_NO, said
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

COLUMNS = ("ImageID", "LabelName", "Confidence")


def read_open_images(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read a CSV file of verified labels.

    Of a folder, the file whose name has `imagelabels` or `image-labels` in it and starts with the split
    (`train-annotations-human-imagelabels.csv`). Images are `ID.jpg` unless another suffix is on
    disk; labels are in the order of the class descriptions, otherwise sorted. A label that rows say to be both present
    and absent is unknown.

    Raises:
        InputError: no such file or split; a row without image or label; a confidence other than 0 and 1
            (labels that no person verified); whatever `settle` finds.

    Source:
        Open Images V7, "Download: image labels" (ImageID, Source, LabelName, Confidence).
    """
    spec = f"openimages:{path}" + (f"#{split}" if split else "")
    file = _labels_file(path, split, spec)
    rows = _Rows(file)
    if not rows.images:
        raise InputError(f"{spec}: {file} has no row after its header. Is it whole?")
    described = _descriptions(file, spec)
    # Those of the other splits' files too, so that labels do not depend on the split that is read.
    others = [other for other in _label_files(path) if other != file] if path.is_dir() else []
    more = {label: 0 for other in others for _, _, label, _ in _read_rows(other) if label}
    labels = list(rows.labels | more)
    names, name_notes = _display_names(labels, described)
    targets, disagreements = rows.targets(len(labels))
    rank = {label: position for position, label in enumerate(described)}
    order = sorted(range(len(names)), key=lambda j: (rank.get(labels[j], len(rank)), names[j]))
    subset = split if split not in {"", "all"} else _split_of(file)
    root, keys = files_by_stem(options.root or file.parent, list(rows.images), spec=spec, subset=subset)
    if disagreements:
        name_notes.append(f"{disagreements:,} labels are said to be present and absent of an image: unknown.")
    present, absent = int((targets == PRESENT).sum()), int((targets == ABSENT).sum())
    return dataset_of_targets(
        list(keys.values()),
        [names[j] for j in order],
        targets[:, order],
        spec=spec,
        root=root,
        layout=f"one row per image and label ({present:,} present, {absent:,} verified absent)",
        options=options,
        notes=name_notes,
    )


class _Rows:
    """The rows of a file as numbers: 9 bytes a row, and each name once.

    Attributes:
        images: image id to position, in order of first appearance.
        labels: the same for labels.
    """

    def __init__(self, file: Path) -> None:
        self.images: dict[str, int] = {}
        self.labels: dict[str, int] = {}
        self._rows, self._columns, self._values = array("i"), array("i"), array("b")
        for line, image, label, confidence in _read_rows(file):
            value = YES_NO.get(said(confidence)) if confidence[:1] in "01" else None
            if value is None:
                raise InputError(
                    f"{file}, line {line}: confidence {confidence!r}; only labels that people verified are read: "
                    "1 is present, 0 is absent. Machine-generated labels are in other files; decide on a "
                    "threshold, write 1 and 0, and read the result."
                )
            if not image or not label:
                raise InputError(f"{file}, line {line}: {'LabelName' if image else 'ImageID'} is empty.")
            self._rows.append(self.images.setdefault(image, len(self.images)))
            self._columns.append(self.labels.setdefault(label, len(self.labels)))
            self._values.append(value)

    def targets(self, num_labels: int) -> tuple[np.ndarray, int]:
        """Return int8 [images labels], and how many of them rows contradict each other about."""
        targets = np.full((len(self.images), num_labels), UNKNOWN, dtype=np.int8)
        at = np.frombuffer(self._rows, np.int32), np.frombuffer(self._columns, np.int32)
        values = np.frombuffer(self._values, np.int8)
        targets[at] = values
        contradicted = np.flatnonzero(targets[at] != values)
        cells = np.unique(at[0][contradicted].astype(np.int64) * num_labels + at[1][contradicted])
        targets.reshape(-1)[cells] = UNKNOWN
        return targets, len(cells)


def _read_rows(file: Path) -> Iterator[tuple[int, str, str, str]]:
    """Yield line number, image id, label and confidence of each row."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if missing := [name for name in COLUMNS if name not in header]:
                raise InputError(
                    f"{file}, line 1: no column {' and '.join(missing)} among {', '.join(header)[:200]!r}. The "
                    "file of image labels starts with ImageID,Source,LabelName,Confidence."
                )
            image, label, confidence = (header.index(name) for name in COLUMNS)
            for fields in reader:
                if len(fields) == len(header):
                    yield reader.line_num, fields[image], fields[label], fields[confidence].strip()
                elif fields:
                    raise InputError(
                        f"{file}, line {reader.line_num}: {len(fields)} fields, the header has {len(header)}. "
                        "Was the file copied in full?"
                    )
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8 ({error.reason} near byte {error.start}).") from None
    except csv.Error as error:
        raise InputError(
            f"{file}, line {reader.line_num}: {error}. Is a quotation mark not closed?"
        ) from None


def _label_files(path: Path) -> list[Path]:
    return [
        file
        for file in sorted([*path.glob("*.csv"), *path.glob("*/*.csv")])
        if "imagelabels" in file.name.casefold().replace("-", "").replace("_", "") and file.is_file()
    ]


def _labels_file(path: Path, split: str, spec: str) -> Path:
    """Return the CSV file of a split."""
    if not path.is_dir():
        if split not in {"", "all"} and not _starts_with_split(path, split):
            raise InputError(f"{spec}: {path} is one file, without splits. Leave #{split} away.")
        return path
    files = _label_files(path)
    if not files:
        raise InputError(
            f"{spec}: no CSV file with 'imagelabels' in its name in {path}, such as "
            "train-annotations-human-imagelabels.csv. Give the file itself."
        )
    fits = [file for file in files if split in {"", "all"} or _starts_with_split(file, split)]
    if not fits:
        raise InputError(f"{spec}: {unknown_name('split', split, {_split_of(file) for file in files})}")
    if len(fits) > 1:
        shown = ", ".join(file.name for file in fits[:6])
        raise InputError(f"{spec}: several files fit: {shown}. Name one of them, or a split.")
    return fits[0]


def _split_of(file: Path) -> str:
    return file.name.removeprefix("oidv6-").removeprefix("oidv7-").partition("-")[0]


def _starts_with_split(file: Path, split: str) -> bool:
    return file.name.startswith(f"{split}-") or _split_of(file) == split


def _display_names(labels: list[str], described: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the name of each label, and notes; two machine ids of one display name are kept apart."""
    names = [clean(described.get(label, label)) or label for label in labels]
    notes = []
    if described:
        if lost := sum(label not in described for label in labels):
            notes.append(f"{lost} labels have no display name in the class descriptions; their id is used.")
    elif any(label.startswith("/m/") for label in labels):
        notes.append(
            "no class-descriptions*.csv is beside the file, so labels are machine ids such as "
            f"{next(label for label in labels if label.startswith('/m/'))}."
        )
    repeated = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if repeated:
        notes.append(f"several ids have the display name {sorted(repeated)[0]!r}; the id tells them apart.")
        names = [
            f"{name} ({label})" if name in repeated else name
            for name, label in zip(names, labels, strict=True)
        ]
    return names, notes


def _descriptions(file: Path, spec: str) -> Mapping[str, str]:
    """Return machine id -> display name, from every class description beside the labels or a folder up."""
    found: dict[str, str] = {}
    for folder in (file.parent, file.parent.parent):
        for descriptions in sorted(folder.glob("*class-descriptions*.csv")):
            try:
                with descriptions.open(encoding="utf-8-sig", newline="") as text:
                    rows = list(csv.reader(text, strict=True))
            except (csv.Error, UnicodeDecodeError) as error:
                raise InputError(f"{spec}: {descriptions} cannot be read ({error}). Get it again.") from None
            for number, row in enumerate(rows, 1):
                if len(row) < 2:
                    raise InputError(f"{spec}: {descriptions}, line {number} is not ID,NAME: {row!r}.")
                if row[0] != "LabelName":  # V7 has a header, the boxable file has none
                    found.setdefault(row[0], row[1])
        if found:
            return found
    return found


SOURCE = "verification"
"""What the column Source says: labels that people gave."""


def write_open_images(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a folder: `SPLIT-annotations-human-imagelabels.csv`, class descriptions, and the images if placed.

    `split` (empty: `train`) is what the file's name starts with, and the folder of placed images. Labels are their own
    machine ids. With `keep`, image ids are absolute paths without suffix.
    """
    spec = f"openimages:{path}" + (f"#{split}" if split else "")
    split = split or "train"
    placing.check_way(images, keep=True, spec=spec)
    placing.refuse_unwritable(dataset.vocabulary, spec)
    placing.refuse_unwritable([split], spec, without="/")
    placing.refuse_unwritable_images(dataset.images, spec)
    keys = (
        placing.references(dataset.paths, path) if images == "keep" else placing.placed_keys(dataset.images)
    )
    ids = stems_of(keys, spec=spec)
    names = dataset.vocabulary.names
    with new_folder(path) as folder:
        labels = folder / f"{split}-annotations-human-imagelabels.csv"
        with labels.open("w", encoding="utf-8", newline="") as file:
            rows = row_writer(file)
            rows.writerow(("ImageID", "Source", "LabelName", "Confidence"))
            for image, targets in zip(ids, dataset.targets, strict=True):
                for j in np.flatnonzero(targets != UNKNOWN):
                    rows.writerow((image, SOURCE, names[j], int(targets[j])))
        with (folder / "class-descriptions.csv").open("w", encoding="utf-8", newline="") as file:
            row_writer(file).writerows((name, name) for name in names)
        if images != "keep":
            placing.place_images(dataset, folder / split, images=images)
    known = dataset.targets != UNKNOWN
    notes: tuple[str, ...] = ()
    if silent := int((~known.any(axis=1)).sum()):
        notes += (f"{silent} images have no known label, so no row names them: they are lost.",)
    if never := dataset.vocabulary.names_of(np.flatnonzero(~known.any(axis=0)).tolist()):
        shown = ", ".join(never[:5])
        notes += (f"{len(never)} labels are unknown for every image, so no row names them: {shown}.",)
    return notes
