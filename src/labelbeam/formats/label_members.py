"""The samples of a shard, and what their label members say: text, JSON or a multi-hot vector, as label names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np

from labelbeam.data.image_bytes import tar_members
from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError
from labelbeam.formats.cells import CellStyle, recognise
from labelbeam.formats.csv_rows import TAGS_COLUMNS
from labelbeam.formats.labelled_images import Labels
from labelbeam.formats.vector_files import DAMAGED_ARRAY
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.parsing import parse_json


@dataclass(slots=True)
class Sample:
    """The members of a shard that have one key.

    Attributes:
        image: name of the image among them; None where there is none.
        others: suffix without its first dot, in lower case -> offset and size.
    """

    image: str | None = None
    others: dict[str, tuple[int, int]] = field(default_factory=dict)


def read_samples(shard: Path, spec: str) -> list[Sample]:
    """Return the samples of a shard in their order.

    The first dot of a file's name ends its key. Hidden files (macOS's `._a.jpg`) and members whose name starts
    with `__` (WebDataset's own) are no samples.

    Raises:
        InputError: the shard is compressed, damaged or cut short, or a sample has two images.
    """
    samples: dict[str, Sample] = {}
    for member in tar_members(shard):
        folder, slash, name = member.name.rpartition("/")
        if name.startswith((".", "__")) or "." not in name:
            continue
        stem, _, suffix = name.partition(".")
        suffix = suffix.lower()
        sample = samples.setdefault(f"{folder}{slash}{stem}", Sample())
        if f".{suffix}" not in SUFFIXES:
            sample.others[suffix] = member.offset, member.size
        elif sample.image in (None, member.name):
            sample.image = member.name
        else:
            raise InputError(
                f"{spec}: {shard}, byte {member.offset:,}: the sample {folder}{slash}{stem} has two images, "
                f"{sample.image} and {member.name}. Only samples of one image are read; name the other differently, "
                "such as key.mask.png."
            )
    return list(samples.values())


MEMBERS = ("cls", "txt", "npy")
"""Suffixes of members that hold labels and nothing else."""

LARGEST = 1 << 20
"""Bytes of a member that can still be labels."""

JSON_FIELDS = TAGS_COLUMNS | {"objects", "categories"}
"""Names of JSON fields that hold labels, in any case."""


@dataclass(frozen=True)
class MultiHot:
    """A vector of 0 and 1, one number per class: which are 1, and how long it is."""

    ids: list[int]
    length: int


@dataclass(frozen=True)
class Partial:
    """What a JSON object says that has a field `unknown` beside its labels, neither of them understood yet."""

    labels: object
    unknown: object


@dataclass(frozen=True)
class LabelSource:
    """Where a sample's labels are.

    Attributes:
        suffix: of the member.
        field: of a JSON object; empty where the whole JSON value holds the labels.
    """

    suffix: str
    field: str = ""

    def __str__(self) -> str:
        return f"the field {self.field!r} of .{self.suffix}" if self.field else f".{self.suffix}"

    def value(self, sample: Sample, file: BinaryIO) -> object:
        """Return what a sample's member says, not yet understood; None where it says nothing.

        Raises:
            InputError: a member of more than a megabyte; not JSON, UTF-8 or an array.
        """
        if self.suffix not in sample.others:
            return None
        raw, where = _content(sample, self.suffix, file)
        if self.suffix == "npy":
            return _multi_hot(raw, where)
        if self.suffix != "json":
            return _text(raw, where)
        value = parse_json(raw, where)
        if not self.field:
            return value
        if not isinstance(value, dict):
            raise InputError(f"{where}: not a JSON object with the field {self.field!r}: {str(value)[:60]}.")
        labels, unknown = value.get(self.field), value.get("unknown")
        return Partial(labels, unknown) if unknown else labels

    def labels(
        self,
        values: Sequence[object],
        classes: Sequence[str] | None,
        *,
        delimiter: str | None,
        spec: str,
        keys: Sequence[str],
    ) -> tuple[list[Labels], str]:
        """Understand all samples' values.

        `values` are what `value` gave, `classes` label names by id; without a `delimiter` it is recognised.

        Returns:
            Each sample's labels, and how texts were taken apart, in words.

        Raises:
            InputError: text whose delimiter is ambiguous; ids beyond the classes or without them; other values.
        """
        texts = [value for value in values if isinstance(value, str)]
        style = _style(texts, delimiter, f"{spec}: {self}")
        labelled: list[Labels] = []
        for key, value in zip(keys, values, strict=True):
            where = f"{spec}: {self} of {key}"
            labels: dict[str, int] = {}
            if isinstance(value, Partial):
                labels = dict.fromkeys(_names(value.unknown, style, classes, where), UNKNOWN)
                value = value.labels
            labelled.append(labels | dict.fromkeys(_names(value, style, classes, where), PRESENT))
        return labelled, f", {style}" if texts and style.delimiter else ""


def choose_source(samples: Sequence[Sample], shard: Path, *, wanted: str | None, spec: str) -> LabelSource:
    """Return where the labels are.

    Fields of JSON objects are looked for in the first sample that has one; `wanted` is a suffix or a JSON field.

    Raises:
        InputError: no source or several, with the way to name one.
    """
    suffixes = sorted({suffix for sample in samples for suffix in sample.others})
    first = _first_json(samples, shard)
    fields = list(first) if isinstance(first, dict) else []
    found = [LabelSource(suffix) for suffix in MEMBERS if suffix in suffixes]
    if fields:
        found += [LabelSource("json", name) for name in fields if name.casefold() in JSON_FIELDS]
    elif first is not None:
        found.append(LabelSource("json"))
    if wanted is not None:
        if wanted in fields:
            return LabelSource("json", wanted)
        found = [source for source in found if wanted == source.suffix]
        if not found and wanted in suffixes and wanted != "json":
            return LabelSource(wanted)
    if len(found) == 1:
        return found[0]
    there = ", ".join([*(f".{name}" for name in suffixes), *(f"the JSON field {name!r}" for name in fields)])
    if found:
        options = " or ".join(f"--tags-column {source.field or source.suffix}" for source in found)
        raise InputError(
            f"{spec}: several members could hold the labels. Say which: {options}. There is: {there}."
        )
    raise InputError(
        f"{spec}: no member of the samples holds {'labels' if wanted is None else wanted} (.cls, .txt, .npy, or "
        f".json with a list or one of {', '.join(sorted(JSON_FIELDS))}). There is: "
        f"{there or 'nothing beside images'}. Name one with --tags-column."
    )


def _first_json(samples: Sequence[Sample], shard: Path) -> object:
    sample = next((sample for sample in samples if "json" in sample.others), None)
    if sample is None:
        return None
    with shard.open("rb") as file:
        raw, where = _content(sample, "json", file)
    return parse_json(raw, where)


def _content(sample: Sample, suffix: str, file: BinaryIO) -> tuple[bytes, str]:
    offset, size = sample.others[suffix]
    where = f"{file.name}, byte {offset:,} (.{suffix} of {sample.image})"
    if size > LARGEST:
        raise InputError(f"{where}: {size:,} bytes are no labels. Name the right member with --tags-column.")
    file.seek(offset)
    return file.read(size), where


def _text(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: not UTF-8 ({error.reason}). Write the labels as UTF-8.") from None


def _multi_hot(raw: bytes, where: str) -> MultiHot:
    """Read a multi-hot vector as NumPy writes it; nothing is unpickled."""
    stream = BytesIO(raw)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = read(stream)
        body = raw[stream.tell() :]
    except DAMAGED_ARRAY as error:
        raise InputError(f"{where}: not an array as NumPy writes it ({error}).") from None
    if len(shape) != 1 or kind.kind not in "biuf" or len(body) != shape[0] * kind.itemsize:
        raise InputError(f"{where}: not a vector of numbers, but {kind} {shape} in {len(body)} bytes.")
    vector = np.frombuffer(body, kind)
    if not np.isin(vector, (0, 1)).all():
        raise InputError(f"{where}: a multi-hot vector holds 0 and 1 only, this one {vector[:8].tolist()} ….")
    return MultiHot(np.flatnonzero(vector).tolist(), len(vector))


def _style(texts: Sequence[str], delimiter: str | None, where: str) -> CellStyle:
    if delimiter is not None:
        return CellStyle(delimiter)
    if any("\n" in text for text in texts):
        return CellStyle("\n")
    numbers = [text for text in texts if text.replace(" ", "").isdecimal()]
    if texts and len(numbers) == len(texts):
        return CellStyle(" " if any(" " in text for text in texts) else None)
    return recognise(texts, where)


def _names(value: object, style: CellStyle, classes: Sequence[str] | None, where: str) -> list[str]:
    """Return the label names that a value stands for."""
    if value is None:
        return []
    if isinstance(value, str):
        labels = style.labels(value)
        ids = [int(label) for label in labels if label.isdecimal() and len(label) < 10]
        return _by_id(ids, classes, where) if len(ids) == len(labels) else labels
    if isinstance(value, MultiHot):
        if classes is not None and value.length != len(classes):
            raise InputError(
                f"{where}: a vector of {value.length} numbers for {len(classes)} lines of classnames.txt."
            )
        return _by_id(value.ids, classes, where)
    parts = value if isinstance(value, list) else [value]
    names = [part for part in parts if isinstance(part, str)]
    numbers = [part for part in parts if isinstance(part, int) and not isinstance(part, bool)]
    if len(names) == len(parts):
        return [name for name in names if name.strip()]
    if len(numbers) == len(parts):
        return _by_id(numbers, classes, where)
    raise InputError(f"{where}: {str(value)[:60]} is neither label names nor ids. Write a list of either.")


def _by_id(ids: list[int], classes: Sequence[str] | None, where: str) -> list[str]:
    """Return the names of ids."""
    if not ids:
        return []
    if classes is None:
        raise InputError(
            f"{where}: {ids[:5]} are ids, and nothing says what they mean. Put classnames.txt beside the shards, "
            "where line n names the label with id n - 1."
        )
    if len(set(ids)) < len(ids):
        raise InputError(
            f"{where}: ids repeat: {ids[:8]}. Is it a multi-hot vector? Write the ids that are set."
        )
    if beyond := [i for i in ids if not 0 <= i < len(classes)]:
        raise InputError(f"{where}: the id {beyond[0]} is beyond the {len(classes)} lines of classnames.txt.")
    return [classes[i] for i in ids]
