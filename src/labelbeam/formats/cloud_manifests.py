"""Manifests of cloud services: a line of JSON per image, addresses of a bucket, labels.

Reads Vertex AI's JSON Lines and CSV, Azure Machine Learning's JSON Lines and SageMaker Ground Truth's augmented
manifest (Rekognition's too). Knows nothing of pixels; nothing is fetched.

Source:
    Google Cloud, "Prepare image training data for classification" (multi-label, JSON Lines and CSV);
    Microsoft, "Data schemas to train computer vision models with automated machine learning" (multi-label);
    AWS, "Labeling job output data" (multi-label image classification), "Image Classification: augmented manifest image
    format", Rekognition Custom Labels "Importing image-level labels in manifest files".
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.csv_table import read_csv
from labelbeam.formats.documents import text_lines
from labelbeam.formats.image_names import image_key
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.placing import chosen_splits, refuse_split_in_file
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN
from labelbeam.parsing import parse_json

ML_USE = "aiplatform.googleapis.com/ml_use"

Line = tuple[str, dict[str, Any]]
"""Where a line is, for messages, and its object."""


def read_vertex(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read an import file of Vertex AI: JSON Lines, or a CSV file `[ML_USE,]gs://…,label,label`.

    Args:
        path: the file.
        split: `training`, `validation` or `test`, as `ml_use` has it; empty or `all`: every image.
        options: `root` (folder of the bucket's files; None: the file's folder), `keep_unlabelled`, `missing`.

    Returns:
        The data set, in the file's order; labels are sorted. An image without an annotation is unknown in every label.

    Raises:
        InputError: not JSON Lines of this form; an unknown split; whatever `settle` finds.
    """
    spec = f"vertex:{path}" + (f"#{split}" if split else "")
    if path.suffix.lower() == ".csv":
        return read_csv(path, _csv_split(split, path), options=replace(options, layout="ragged"))
    said, unsaid, uses, boxes = [], [], [], 0
    for where, line in _lines(
        path, spec, "imageGcsUri", '{"imageGcsUri": "gs://…/a.jpg", "classificationAnnotations": []}'
    ):
        notes = _vertex_annotations(line, where)
        boxes += "boundingBoxAnnotations" in line
        names = [_text(note, "displayName", where) for note in notes or ()]
        use = line.get("dataItemResourceLabels")
        uses.append(str(use.get(ML_USE, "")) if isinstance(use, dict) else "")
        said.append((_key(line["imageGcsUri"], where), dict.fromkeys(names, PRESENT)))
        unsaid.append(UNKNOWN if notes is None else ABSENT)
    return _dataset(said, unsaid, uses, split, "annotations of Vertex AI", path, spec, options, boxes=boxes)


def read_azure(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read JSON Lines of Azure Machine Learning: `{"image_url": "azureml://…", "label": ["cat", "dog"]}`.

    Args:
        path: the file.
        split: empty or `all`; a file is one split.
        options: `root` (folder of the images; None: the file's folder), `keep_unlabelled`, `missing`.

    Returns:
        The data set, in the file's order; labels are sorted. A line without `label` is unknown in every label.

    Raises:
        InputError: not JSON Lines of this form; whatever `settle` finds.
    """
    spec = f"azure:{path}" + (f"#{split}" if split else "")
    refuse_split_in_file(split, path, spec)
    said, unsaid, boxes = [], [], 0
    for where, line in _lines(
        path, spec, "image_url", '{"image_url": "azureml://…/a.jpg", "label": ["cat"]}'
    ):
        value = line.get("label")
        listed = value if isinstance(value, list) else [] if value is None else [value]
        boxes += any(isinstance(one, dict) for one in listed)
        names = [_text(one, "label", where) if isinstance(one, dict) else one for one in listed]
        if not all(isinstance(name, str) for name in names):
            raise InputError(f"{where}: 'label' must be a text or a list of texts, given {str(value)[:60]}.")
        said.append((_key(line["image_url"], where), dict.fromkeys(names, PRESENT)))
        unsaid.append(UNKNOWN if value is None else ABSENT)
    return _dataset(said, unsaid, [], "", "labels of Azure ML", path, spec, options, boxes=boxes)


def read_sagemaker(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read an augmented manifest of SageMaker Ground Truth or Rekognition.

    An attribute `X` is labels where `X-metadata` says that it is of image classification (one or several labels) or of
    boxes. Several attributes of one label each are read together, as Rekognition has them; of others one is named.

    Args:
        path: the manifest.
        split: empty or `all`; a manifest is one split.
        options: `tags_column` (the label attribute), `root` (folder of the bucket's files; None: the file's folder),
            `keep_unlabelled`, `missing`.

    Returns:
        The data set, in the file's order; labels are sorted. A line without the attribute is unknown in every label.

    Raises:
        InputError: not JSON Lines of this form; no attribute of labels, or several; a class number without a name;
            whatever `settle` finds.
    """
    spec = f"sagemaker:{path}" + (f"#{split}" if split else "")
    refuse_split_in_file(split, path, spec)
    lines = list(
        _lines(path, spec, "source-ref", '{"source-ref": "s3://…/a.jpg", "tags": [0], "tags-metadata": {…}}')
    )
    attributes = _attributes(lines, options.tags_column, spec)
    said, unsaid, doubtful = [], [], 0
    for where, line in lines:
        names: dict[str, int] = {}
        there = [name for name in attributes if line.get(name) is not None]
        for name in there:
            found, unsure = _sagemaker_labels(line[name], line.get(f"{name}-metadata"), f"{where}, {name!r}")
            names |= dict.fromkeys(found, PRESENT)
            doubtful += unsure
        said.append((_key(line["source-ref"], where), names))
        unsaid.append(ABSENT if there else UNKNOWN)
    more = (
        [f"{doubtful:,} labels have a confidence below 0.5 and are present nevertheless."] if doubtful else []
    )
    boxes = sum(isinstance(line.get(name), dict) for _, line in lines for name in attributes)
    layout = f"label attribute {', '.join(map(repr, attributes[:5]))}"
    return _dataset(said, unsaid, [], "", layout, path, spec, options, boxes=boxes, more=more)


def _lines(path: Path, spec: str, field: str, form: str) -> Iterator[Line]:
    """Yield the objects of a file of JSON Lines whose field names an image."""
    if path.is_dir():
        raise InputError(f"{spec} is a folder. Give the manifest in it, a file of JSON Lines.")
    any_line = False
    try:
        with path.open("rb") as opened:
            for number, raw in enumerate(opened, 1):
                if raw.strip():
                    any_line, where = True, f"{path}, line {number}"
                    line = parse_json(raw.strip(), where)
                    if not isinstance(line, dict) or not isinstance(line.get(field), str):
                        raise InputError(
                            f"{where}: no text {field!r} in {str(line)[:80]}. A line looks like {form}."
                        )
                    yield where, line
    except OSError as error:
        raise InputError(f"{spec}: {path} cannot be read ({error.strerror}). Check the path.") from None
    if not any_line:
        raise InputError(f"{spec}: {path} has no line. Was it copied in full?")


def _key(written: str, where: str) -> str:
    """Return the key of an address; Azure's begin with where its datastore is."""
    return image_key(written.partition("/paths/")[2] or written, where)


def _text(value: object, field: str, where: str) -> str:
    found = value.get(field) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise InputError(f"{where}: a label without a text {field!r}: {str(value)[:60]}.")
    return found


def _vertex_annotations(line: Mapping[str, Any], where: str) -> list[object] | None:
    """Return the annotations of a line; None where nobody annotated it."""
    if "classificationAnnotation" in line:
        return [line["classificationAnnotation"]]
    found = line.get("classificationAnnotations", line.get("boundingBoxAnnotations"))
    if found is not None and not isinstance(found, list):
        raise InputError(f"{where}: 'classificationAnnotations' must be a list, given {str(found)[:60]}.")
    return found or None


def _csv_split(split: str, path: Path) -> str:
    """Return a split as the CSV file spells it: TRAIN or TRAINING."""
    if split.casefold() not in {"train", "training"}:
        return split.upper() if split not in {"", "all"} else split
    return "TRAINING" if any(line.startswith("TRAINING,") for line in text_lines(path)) else "TRAIN"


def _attributes(lines: list[Line], named: str | None, spec: str) -> list[str]:
    """Return the label attributes of a manifest."""
    kinds: dict[str, str] = {}
    for _, line in lines:
        for name, metadata in line.items():
            if name.endswith("-metadata") and isinstance(metadata, dict):
                kinds.setdefault(name.removesuffix("-metadata"), str(metadata.get("type", "")))
    every = {name: None for _, line in lines for name in line if not name.endswith("-metadata")}
    if named is not None:
        if named not in every:
            raise InputError(f"{spec}: {unknown_name('label attribute', named, set(every) - {'source-ref'})}")
        return [named]
    labels = [name for name, kind in kinds.items() if "classification" in kind or "object-detection" in kind]
    labels = [name for name in labels if not kinds[name].startswith("groundtruth/label-verification")]
    if len(labels) > 1 and not all(kinds[name] == "groundtruth/image-classification" for name in labels):
        raise InputError(
            f"{spec}: several attributes hold labels: {', '.join(labels[:8])}. Name one with --tags-column."
        )
    if not labels:
        others = ", ".join(sorted(set(every) - {"source-ref"})[:8])
        raise InputError(
            f"{spec}: no attribute has metadata of image classification or boxes; there is {others or 'nothing else'}. "
            "Name the attribute with --tags-column."
        )
    return labels


def _sagemaker_labels(value: object, metadata: object, where: str) -> tuple[list[str], int]:
    """Return the names of a label attribute's value, and how many were less sure than not."""
    about = metadata if isinstance(metadata, dict) else {}
    confidence = about.get("confidence-map")
    if isinstance(about.get("class-name"), str):
        return [about["class-name"]], 0
    if isinstance(value, dict) and isinstance(value.get("annotations"), list):
        value = [note.get("class_id") if isinstance(note, dict) else note for note in value["annotations"]]
    if isinstance(value, str) and value.lstrip().startswith("["):  # the training algorithm takes "[1, 2]" too
        value = parse_json(value.encode("utf-8", "surrogatepass"), where)
    ids = value if isinstance(value, list) else [value]
    names, unsure = [], 0
    class_map = about.get("class-map")
    for number in ids:
        name = class_map.get(str(number)) if isinstance(class_map, dict) else None
        if not isinstance(name, str):
            if isinstance(number, str) and not number.lstrip("-").isdigit():
                name = number
            else:
                raise InputError(
                    f"{where}: class number {str(number)[:40]} has no name: the metadata have no 'class-name', and no "
                    "'class-map' with it. Add the names."
                )
        names.append(name)
        sure = confidence.get(str(number)) if isinstance(confidence, dict) else None
        unsure += isinstance(sure, int | float) and sure < 0.5
    return names, unsure


def _dataset(
    said: list[tuple[str, dict[str, int]]],
    unsaid: list[int],
    uses: list[str],
    split: str,
    layout: str,
    path: Path,
    spec: str,
    options: ReadOptions,
    *,
    boxes: int = 0,
    more: list[str] | None = None,
) -> Dataset:
    names = sorted({name for _, labels in said for name in labels})
    notes = list(more or ())
    if uses:
        chosen, split_notes = chosen_splits(sorted(set(uses) - {""}), split, f"vertex:{path}")
        notes += split_notes
        if split not in {"", "all"}:
            rows = [i for i, use in enumerate(uses) if use in chosen]
            said, unsaid = [said[i] for i in rows], [unsaid[i] for i in rows]
    if never := sum(value == UNKNOWN for value in unsaid):
        notes.append(f"{never:,} images have no label at all: nobody labelled them, every label is unknown.")
    if boxes:
        notes.append("labels are those of boxes; where the boxes are is not read.")
    return labelled_dataset(
        said,
        spec=spec,
        root=options.root or path.parent,
        names=names,
        unsaid=unsaid,
        layout=layout,
        options=options,
        notes=notes,
    )
