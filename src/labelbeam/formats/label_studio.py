"""Label Studio exports (JSON, JSON_MIN, CSV; one or several annotators) read, and annotated tasks written.

Several people's answers are put together label by label: present where all chose it, absent where none did, unknown
where they disagree. Skipped answers and predictions are no answers.
"""

import csv
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit
from xml.sax.saxutils import quoteattr

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import written_whole
from labelbeam.formats import placing
from labelbeam.formats.documents import keys_by_either, parse_xml, plain_path
from labelbeam.formats.labelled_images import Labels, labelled_dataset
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.parsing import parse_json, read_json

_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")
"""Label Studio puts eight hexadecimal digits and a hyphen before the name of an uploaded file."""


def image_keys(addresses: Sequence[str], root: Path, spec: str) -> tuple[list[str], list[str]]:
    """Return the image key of each address, and notes about how they were understood.

    Args:
        addresses: `/data/upload/1/1a2b3c4d-cat.jpg`, `/data/local-files/?d=photos/cat.jpg`, `s3://bucket/cat.jpg`,
            `https://host/cat.jpg`, or a path.
        spec: the data set, for messages.

    Raises:
        InputError: two addresses lead to one file, or one to two.
    """
    names = [path_of(address) for address in addresses]
    found = keys_by_either(root, names, [_own_name(name) for name in names], spec)
    keys: dict[str, str] = {}
    for key, address in zip(found, addresses, strict=True):
        if key in keys:
            raise InputError(
                f"{spec}: {keys[key]!r} and {address!r} both lead to {key!r} in {root}. Keep the names that Label "
                "Studio gave the files (…/media/upload/PROJECT), or remove one of the tasks."
            )
        keys[key] = address
    renamed = [key for key, address in keys.items() if key != address]
    if not renamed:
        return list(keys), []
    return list(keys), [
        f"{len(renamed):,} addresses were read as files below {root}, such as {keys[renamed[0]]} as {renamed[0]}."
    ]


def path_of(address: str) -> str:
    """Return the path that an address names.

    Example:
        >>> path_of("/data/upload/3/1a2b3c4d-cat.jpg"), path_of("/data/local-files/?d=my%20photos/cat.jpg")
        ('upload/3/1a2b3c4d-cat.jpg', 'my photos/cat.jpg')
        >>> path_of("https://host/photos/a%20b.jpg?size=100")
        'photos/a b.jpg'
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address):
        try:
            parts = urlsplit(address)
        except ValueError:  # brackets in the host
            return address
        path, query = unquote(parts.path).lstrip("/"), parts.query
    else:
        path, _, query = address.partition("?")
    if path.rstrip("/").endswith("data/local-files") and (named := parse_qs(query).get("d")):
        return plain_path(named[0])
    if "data/upload/" in path:
        return "upload/" + unquote(path).partition("data/upload/")[2]
    return plain_path(path) or address


def _own_name(name: str) -> str:
    """Return the name that an uploaded file had before; of others the name as it is."""
    if not name.startswith("upload/"):
        return name
    last = name.rpartition("/")[2]
    return _UPLOAD_PREFIX.sub("", last, count=1) or last


_OWN_FIELDS = frozenset(
    {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "comments"}
    | {
        "inner_id",
        "total_annotations",
        "cancelled_annotations",
        "total_predictions",
        "file_upload",
        "project",
    }
)
"""What JSON_MIN and CSV say beside the data and the answers."""

Answer = frozenset[str]
"""The choices of one person for one image."""


@dataclass(frozen=True)
class Task:
    """One image, as the export names it, and what people answered.

    Attributes:
        image: its address in the export.
        answers: one per person, skipped ones left out; none: nobody answered.
    """

    image: str
    answers: tuple[Answer, ...]


def read_label_studio(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read an export.

    The labelling configuration beside the export, `STEM.xml`, gives labels that nobody chose and their order;
    otherwise they are sorted. `image_column` names the field of the image, `tags_column` the control whose choices are
    the labels, where there are several.

    Raises:
        InputError: not such an export; several fields that could be the image or the labels; results that are
            no choices; two tasks of one image file; whatever `settle` finds.

    Source:
        Label Studio documentation, "Export annotations" (JSON, JSON_MIN, CSV).
    """
    spec = f"labelstudio:{path}" + (f"#{split}" if split else "")
    if path.is_dir():
        raise InputError(f"{spec}: {path} is a folder. Give the exported .json or .csv file.")
    placing.refuse_split_in_file(split, path, spec)
    form, control, tasks, unread = _tasks(path, options, spec)
    root = options.root or path.parent
    keys, notes = image_keys([task.image for task in tasks], root, spec)
    names = _configured_labels(path.with_suffix(".xml"), control)
    labelled = [(key, _agreed(task.answers)) for key, task in zip(keys, tasks, strict=True)]
    if several := sum(len(task.answers) > 1 for task in tasks):
        open_ = sum(value == UNKNOWN for _, labels in labelled for value in (labels or {}).values())
        notes.append(
            f"{several:,} images were answered more than once; {open_:,} labels that the answers disagree about are "
            "unknown."
        )
    return labelled_dataset(
        labelled,
        spec=spec,
        root=root,
        layout=form,
        options=options,
        names=names,
        unlabelled="images have no answer, or only skipped ones",
        notes=[*notes, *unread],
    )


def _agreed(answers: Sequence[Answer]) -> Labels | None:
    """Return what several answers say together of the labels that any of them names; None: nobody answered."""
    counts = Counter(label for answer in answers for label in answer)
    agreed = {label: PRESENT if count == len(answers) else UNKNOWN for label, count in counts.items()}
    return agreed if answers else None


def _tasks(path: Path, options: ReadOptions, spec: str) -> tuple[str, str | None, list[Task], list[str]]:
    """Return the form of the export in words, the control whose choices are the labels, the tasks, what is not read."""
    if path.suffix.lower() in {".csv", ".tsv"}:
        return "Label Studio CSV", *_tasks_of_rows(_csv_rows(path, spec), options, spec), []
    document = read_json(path, spec)
    listed = document if isinstance(document, list) else [document]
    rows = [row for row in listed if isinstance(row, dict)]
    if not rows or len(rows) < len(listed):
        raise InputError(f"{spec}: {path} is not a list of tasks. Export the project as JSON or JSON-MIN.")
    if "data" in rows[0]:
        return "Label Studio JSON", *_full_tasks(rows, options, spec)
    return "Label Studio JSON_MIN", *_tasks_of_rows(rows, options, spec), []


def _full_tasks(
    rows: Sequence[Mapping[str, object]], options: ReadOptions, spec: str
) -> tuple[str | None, list[Task], list[str]]:
    """Return control and tasks of a JSON export (data, and annotations of results), and notes."""
    field = _image_field([_dict(row.get("data")) for row in rows], options, spec)
    results = [[list(_results(one, n, spec)) for one in _answers(row, n, spec)] for n, row in enumerate(rows)]
    everything = [result for answers in results for answer in answers for result in answer]
    controls = {name for name, kind, _ in everything if kind == "choices"}
    control = _control(controls, options.tags_column, spec)
    if control is None and (kinds := sorted({kind for _, kind, _ in everything} - {"choices"})):
        raise InputError(
            f"{spec}: there are results of {', '.join(kinds)}, none of choices. Labels of whole images are choices; "
            "export boxes as COCO or Pascal VOC and read them as coco: or voc:."
        )
    if not everything and (predicted := sum(bool(row.get("predictions")) for row in rows)):
        raise InputError(
            f"{spec}: no task has an annotation, and {predicted:,} have predictions, which are no answers. Accept them "
            "in Label Studio and export again."
        )
    tasks = []
    for n, (row, answers) in enumerate(zip(rows, results, strict=True)):
        image = _dict(row.get("data")).get(field)
        if not isinstance(image, str) or not image:
            raise InputError(f"{spec}: task {n + 1} has no {field!r}: {str(row.get('data'))[:80]}.")
        chosen = tuple(
            frozenset(label for name, _, labels in answer if name == control for label in labels)
            for answer in answers
        )
        tasks.append(Task(image, chosen))
    return control, tasks, _unread_notes(rows, everything, {name for name in controls if name != control})


def _unread_notes(
    rows: Sequence[Mapping[str, object]],
    results: Sequence[tuple[str, str, list[str]]],
    others: set[str],
) -> list[str]:
    """Return notes about what an export holds besides the choices that are the labels."""
    notes = []
    kinds = Counter(kind for _, kind, _ in results if kind != "choices")
    if kinds:
        shown = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        notes.append(f"only choices were read; other results were not: {shown}.")
    if others:
        notes.append(f"choices of other controls were not read: {', '.join(sorted(others))}.")
    of_regions = sum(
        "x" in _dict(_dict(result).get("value")) and _dict(result).get("type") == "choices"
        for row in rows
        for annotation in _listed(row.get("annotations"))
        for result in _listed(_dict(annotation).get("result"))
    )
    if of_regions:
        notes.append(
            f"{of_regions:,} choices belong to a region of an image; they were read as labels of the whole."
        )
    if predicted := sum(bool(row.get("predictions")) for row in rows):
        notes.append(f"predictions of {predicted:,} tasks were not read: they are no answers.")
    return notes


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _answers(row: Mapping[str, object], n: int, spec: str) -> Iterator[Mapping[str, object]]:
    """Yield the annotations of a task that were not skipped; exports before 1.0 call them completions."""
    annotations = row.get("annotations", row.get("completions", []))
    if not isinstance(annotations, list):
        raise InputError(f"{spec}: task {n + 1}: annotations is {str(annotations)[:60]}, not a list.")
    for annotation in annotations:
        one = _dict(annotation)
        if not (one.get("was_cancelled") or one.get("skipped")):
            yield one


def _results(answer: Mapping[str, object], n: int, spec: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield control, kind and labels of each result."""
    results = answer.get("result", [])
    if not isinstance(results, list):
        raise InputError(f"{spec}: task {n + 1}: result is {str(results)[:60]}, not a list.")
    for result in map(_dict, results):
        kind = str(result.get("type", ""))
        labels = _dict(result.get("value")).get("choices", []) if kind == "choices" else []
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise InputError(f"{spec}: task {n + 1}: choices are {str(labels)[:60]}, not a list of names.")
        if kind:
            yield str(result.get("from_name", "")), kind, [clean(label) for label in labels if clean(label)]


def _tasks_of_rows(
    rows: Sequence[Mapping[str, object]], options: ReadOptions, spec: str
) -> tuple[str | None, list[Task]]:
    """Return control and tasks of rows that each hold one person's answer: JSON_MIN and CSV."""
    field = _image_field(rows, options, spec)
    others = {name for row in rows for name, value in row.items() if name != field and _is_answer(value)}
    control = _control(others - _OWN_FIELDS, options.tags_column, spec)
    answers: dict[str, list[Answer]] = defaultdict(list)
    for n, row in enumerate(rows):
        image = row.get(field)
        if not isinstance(image, str) or not image:
            raise InputError(f"{spec}: row {n + 1} has no {field!r}: {str(dict(row))[:80]}.")
        answers[image].append(frozenset(_choices(row.get(control or ""), f"{spec}: row {n + 1}")))
    return control, [Task(image, tuple(given)) for image, given in answers.items()]


def _is_answer(value: object) -> bool:
    return isinstance(value, str | list) or (isinstance(value, dict) and "choices" in value)


def _choices(value: object, where: str) -> list[str]:
    """Return the labels of an answer: a name, `{"choices": [names]}`, or that as text."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        value = parse_json(value, where)
    if isinstance(value, dict):
        value = value.get("choices")
    parts = value if isinstance(value, list) else [value] if value else []
    names = [part for part in parts if isinstance(part, str)]
    if len(names) < len(parts):
        raise InputError(f"{where}: {str(value)[:60]!r} is neither a choice nor a list of choices.")
    return [clean(name) for name in names if clean(name)]


def _csv_rows(path: Path, spec: str) -> list[Mapping[str, object]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as text:
            reader = csv.reader(text, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
            header = next(reader, [])
            rows: list[Mapping[str, object]] = []
            for fields in reader:
                if len(fields) > len(header):
                    raise InputError(
                        f"{spec}: {path}, line {reader.line_num}: {len(fields)} fields, the header has {len(header)}."
                    )
                rows.append(dict(zip(header, fields, strict=False)))
    except UnicodeDecodeError as error:
        raise InputError(f"{spec}: {path} is not UTF-8 ({error.reason}). Export it again.") from None
    except csv.Error as error:
        raise InputError(
            f"{spec}: {path}, line {reader.line_num}: {error}. Is a quotation mark open?"
        ) from None
    if not rows:
        raise InputError(f"{spec}: {path} has no row after its header. Is it whole?")
    return rows


def _image_field(rows: Iterable[Mapping[str, object]], options: ReadOptions, spec: str) -> str:
    """Return the field that holds the image's address."""
    first = next((row for row in rows if row), {})
    if options.image_column is not None:
        if options.image_column not in first:
            raise InputError(f"{spec}: {unknown_name('field', options.image_column, map(str, first))}")
        return options.image_column
    if "image" in first:
        return "image"
    likely = [name for name, value in first.items() if isinstance(value, str) and "/" in value]
    if len(likely) == 1:
        return likely[0]
    raise InputError(
        f"{spec}: which field holds the image? There is {', '.join(map(str, first)) or 'none'}. Name it with "
        "--image-column."
    )


def _control(names: set[str], wanted: str | None, spec: str) -> str | None:
    """Return the control whose choices are the labels; None where no choice was ever made."""
    if wanted is not None:
        if wanted not in names:
            raise InputError(f"{spec}: {unknown_name('control', wanted, names)}")
        return wanted
    if len(names) > 1:
        options = " or ".join(f"--tags-column {name}" for name in sorted(names))
        raise InputError(f"{spec}: several controls hold choices. Say whose are the labels: {options}.")
    return next(iter(names), None)


def _configured_labels(file: Path, control: str | None) -> list[str] | None:
    """Return a control's choices from the labelling configuration, in its order; None where there is none."""
    if not file.is_file():
        return None
    controls = list(parse_xml(file.read_bytes(), str(file)).iter("Choices"))
    own = [one for one in controls if one.get("name") == control]
    choices = [choice for one in own or controls for choice in one.iter("Choice")]
    return [name for one in choices if (name := one.get("alias") or one.get("value") or "")] or None


def _dict(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


CONTROL = "labels"
"""Name of the control whose choices are the labels."""

LOCAL_FILES = "/data/local-files/?d="
"""How Label Studio addresses files of its own machine, below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT."""


def write_label_studio(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write tasks as JSON, to be imported into a project, and `STEM.xml`, the project's labelling configuration.

    An image whose every label is unknown gets no annotation. Serve the file's folder as Label Studio's root of local
    files; placed images go into the folder `images` beside the file.
    """
    spec = f"labelstudio:{path}" + (f"#{split}" if split else "")
    if path.suffix.lower() != ".json":
        raise InputError(f"{spec}: tasks are written as JSON. Give a file name that ends in .json.")
    placing.refuse_unwritable(dataset.vocabulary, spec)
    placing.refuse_unwritable_images(dataset.images, spec)
    configuration = path.with_suffix(".xml")
    placing.refuse_existing(configuration)
    with placing.new_list_file(dataset, path, images=images, spec=spec, split=split, pictures="images") as (
        part,
        names,
    ):
        tasks = [_task(dataset, i, name) for i, name in enumerate(names)]
        part.write_text(json.dumps(tasks, ensure_ascii=False, indent=1), encoding="utf-8")
        with written_whole(configuration) as second:
            second.write_text(_configuration(dataset), encoding="utf-8")
    return placing.unknown_note(dataset.targets[(dataset.targets != UNKNOWN).any(axis=1)])


def _task(dataset: Dataset, i: int, name: str) -> dict[str, object]:
    row = dataset.targets[i]
    labels = dataset.vocabulary.names_of(np.flatnonzero(row == PRESENT).tolist())
    result = {"from_name": CONTROL, "to_name": "image", "type": "choices", "value": {"choices": labels}}
    answered = not (row == UNKNOWN).all()
    return {
        "data": {"image": LOCAL_FILES + quote(name)},
        "annotations": [{"result": [result] if labels else []}] if answered else [],
    }


def _configuration(dataset: Dataset) -> str:
    choices = "".join(f"    <Choice value={quoteattr(name)}/>\n" for name in dataset.vocabulary)
    return (
        '<View>\n  <Image name="image" value="$image"/>\n'
        f'  <Choices name="{CONTROL}" toName="image" choice="multiple">\n{choices}  </Choices>\n</View>\n'
    )
