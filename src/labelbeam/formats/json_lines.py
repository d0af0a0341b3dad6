"""Lines of JSON, one an image: labelbeam's own, read and written; manifests of cloud services, read.

    labelbeam          {"image": "a.jpg", "labels": ["sheep", "grass"], "unknown": ["dog"]}
    Vertex AI          {"imageGcsUri": "gs://…/a.jpg", "classificationAnnotations": [{"displayName": "cat"}]}
    Azure ML           {"image_url": "azureml://…/a.jpg", "label": ["cat"]}
    SageMaker          {"source-ref": "s3://…/a.jpg", "tags": [0], "tags-metadata": {…}}

What `tag` and `evaluate --truth` write becomes training data or any other format so. Of addresses nothing is fetched:
the part behind bucket or datastore is the image's path.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.finder import lost_images
from labelbeam.errors import InputError, unknown_name
from labelbeam.formats import placing
from labelbeam.formats.csv_table import read_csv
from labelbeam.formats.documents import image_key, text_lines
from labelbeam.formats.labelled_images import Labels, labelled_dataset
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.metrics.prediction_file import read_lines
from labelbeam.parsing import parse_json

ML_USE = "aiplatform.googleapis.com/ml_use"

Line = tuple[str, dict[str, Any]]
"""Where a line is, for messages, and its object."""


def read_json_lines(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read JSON Lines with `image`, `labels` and, where there are any, `unknown`.

    A label that a line does not name is absent; lines with an `error` are left out, and counted. Where only the
    working folder holds images, paths start there, since `tag` writes them as they were given.

    Raises:
        InputError: a malformed line (named by its number), a label both present and unknown, no image, no label,
            another split, or image files that are missing.
    """
    spec = f"jsonl:{path}" + (f"#{split}" if split else "")
    placing.refuse_split_in_file(split, path, spec)
    labelled: list[tuple[str, Labels]] = []
    failed = 0
    for line in read_lines(path):
        if "error" in line.content:
            failed += 1
            continue
        if "labels" not in line.content:
            raise InputError(f"{line.where}: the key 'labels' is missing. Use [] for no label.")
        present = line.label_list("labels")
        unknown = line.label_list("unknown") if "unknown" in line.content else []
        if both := sorted(set(present) & set(unknown)):
            raise InputError(
                f"{line.where}: {both[0]!r} is in 'labels' and in 'unknown'; it can be in one of them."
            )
        labels = dict.fromkeys(present, PRESENT) | dict.fromkeys(unknown, UNKNOWN)
        labelled.append((image_key(line.image, line.where), labels))
    root = options.root or path.parent
    if options.root is None:
        images = [image for image, _ in labelled]
        if len(lost_images(root, images)) == len(images) > len(lost_images(Path(), images)):
            root = Path()
    return labelled_dataset(
        labelled,
        spec=spec,
        root=root,
        layout=f"image paths start at {root}/",
        options=options,
        notes=[f"{failed} lines hold an error instead of labels and were left out."] if failed else [],
    )


def write_json_lines(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write JSON Lines; present and unknown labels are named, absent ones are all others."""
    spec = f"jsonl:{path}" + (f"#{split}" if split else "")
    placing.refuse_unwritable(dataset.vocabulary, spec, control=False)
    with (
        placing.new_list_file(dataset, path, images=images, spec=spec, split=split) as (part, references),
        part.open("w", encoding="utf-8") as file,
    ):
        labels = (dataset.labels_by_image(value) for value in (PRESENT, UNKNOWN))
        for image, present, unknown in zip(references, *labels, strict=True):
            line = {"image": image, "labels": present} | ({"unknown": unknown} if unknown else {})
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    return placing.unused_note(dataset, named=(PRESENT, UNKNOWN))


def read_vertex(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read an import file of Vertex AI: JSON Lines, or a CSV file `[ML_USE,]gs://…,label,label`.

    Splits are `training`, `validation` and `test`, as `ml_use` has it. An image without an annotation was not labelled.

    Raises:
        InputError: not JSON Lines of this form; an unknown split; whatever `settle` finds.

    Source:
        Google Cloud, "Prepare image training data for classification" (multi-label, JSON Lines and CSV).
    """
    spec = f"vertex:{path}" + (f"#{split}" if split else "")
    if path.suffix.lower() == ".csv":
        return read_csv(path, _csv_split(split, path), options=replace(options, layout="ragged"))
    labelled, uses, boxes = [], [], 0
    form = '{"imageGcsUri": "gs://…/a.jpg", "classificationAnnotations": []}'
    for where, line in _lines(path, spec, "imageGcsUri", form):
        notes = _vertex_annotations(line, where)
        boxes += "boundingBoxAnnotations" in line
        use = line.get("dataItemResourceLabels")
        uses.append(str(use.get(ML_USE, "")) if isinstance(use, dict) else "")
        names = None if notes is None else [_text(note, "displayName", where) for note in notes]
        labelled.append((_key(line["imageGcsUri"], where), names))
    chosen, more = placing.chosen_splits(sorted(set(uses) - {""}), split, f"vertex:{path}")
    every = split in {"", "all"}
    picked = [one for one, use in zip(labelled, uses, strict=True) if every or use in chosen]
    names_of_all = sorted({name for _, names in labelled for name in names or ()})
    layout = "annotations of Vertex AI"
    return _of_cloud(picked, path, spec, options, layout, names=names_of_all, boxes=boxes, notes=more)


def read_azure(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read JSON Lines of Azure Machine Learning; a line without `label` was not labelled.

    Raises:
        InputError: not JSON Lines of this form; whatever `settle` finds.

    Source:
        Microsoft, "Data schemas to train computer vision models with automated machine learning" (multi-label).
    """
    spec = f"azure:{path}" + (f"#{split}" if split else "")
    placing.refuse_split_in_file(split, path, spec)
    labelled, boxes = [], 0
    form = '{"image_url": "azureml://…/a.jpg", "label": ["cat"]}'
    for where, line in _lines(path, spec, "image_url", form):
        value = line.get("label")
        listed = value if isinstance(value, list) else [] if value is None else [value]
        boxes += any(isinstance(one, dict) for one in listed)
        names = [_text(one, "label", where) if isinstance(one, dict) else one for one in listed]
        if not all(isinstance(name, str) for name in names):
            raise InputError(f"{where}: 'label' must be a text or a list of texts, given {str(value)[:60]}.")
        labelled.append((_key(line["image_url"], where), None if value is None else names))
    return _of_cloud(labelled, path, spec, options, "labels of Azure ML", boxes=boxes)


def read_sagemaker(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read an augmented manifest of SageMaker Ground Truth or Rekognition.

    An attribute `X` is labels where `X-metadata` says that it is of image classification (one or several labels) or of
    boxes. Several attributes of one label each are read together, as Rekognition has them; of others `tags_column`
    names one. A line without the attribute was not labelled.

    Raises:
        InputError: not JSON Lines of this form; no attribute of labels, or several; a class number without a name;
            whatever `settle` finds.

    Source:
        AWS, "Labeling job output data" (multi-label image classification), "Image Classification: augmented manifest
        image format", Rekognition Custom Labels "Importing image-level labels in manifest files".
    """
    spec = f"sagemaker:{path}" + (f"#{split}" if split else "")
    placing.refuse_split_in_file(split, path, spec)
    form = '{"source-ref": "s3://…/a.jpg", "tags": [0], "tags-metadata": {…}}'
    lines = list(_lines(path, spec, "source-ref", form))
    attributes = _attributes(lines, options.tags_column, spec)
    labelled: list[tuple[str, list[str] | None]] = []
    doubtful = boxes = 0
    for where, line in lines:
        names: list[str] = []
        there = [name for name in attributes if line.get(name) is not None]
        for name in there:
            found, unsure = _sagemaker_labels(line[name], line.get(f"{name}-metadata"), f"{where}, {name!r}")
            names += found
            doubtful += unsure
            boxes += isinstance(line[name], dict)
        labelled.append((_key(line["source-ref"], where), names if there else None))
    notes = [f"{doubtful:,} labels have a confidence below 0.5 and are present nevertheless."]
    layout = f"label attribute {', '.join(map(repr, attributes[:5]))}"
    return _of_cloud(labelled, path, spec, options, layout, boxes=boxes, notes=notes if doubtful else [])


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


def _of_cloud(
    labelled: list[tuple[str, list[str] | None]],
    path: Path,
    spec: str,
    options: ReadOptions,
    layout: str,
    *,
    names: list[str] | None = None,
    boxes: int,
    notes: Iterable[str] = (),
) -> Dataset:
    read = "labels are those of boxes; where the boxes are is not read."
    return labelled_dataset(
        [(key, None if listed is None else dict.fromkeys(listed, PRESENT)) for key, listed in labelled],
        spec=spec,
        root=options.root or path.parent,
        layout=layout,
        options=options,
        names=names,
        unlabelled="images have no label at all: nobody labelled them",
        notes=[*notes, *([read] if boxes else [])],
    )
