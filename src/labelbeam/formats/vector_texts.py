"""Vectors as text: ARFF of Mulan and MEKA with its XML of label names, and LIBSVM's multi-label lines."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from labelbeam.data.feature_rows import FeatureRows, row_ids
from labelbeam.errors import InputError
from labelbeam.formats.vector_files import VectorTable
from labelbeam.labels.names import clean
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

# LIBSVM's text for several labels: `1,3 2:0.5 7:1` a row; also with the header of the extreme-
# classification sets.
#
# Indices count from 1, unless a 0 is there or a header `rows features labels` stands first; features that
# no row has are zeros.


def read_libsvm(path: Path) -> VectorTable:
    """Read a LIBSVM file; labels are numbers, and those are their names.

    Raises:
        InputError: a line that is none of it, or more numbers than memory is meant for.
    """
    spec = f"vectors:{path}"
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    labels: list[list[int]] = []
    header: tuple[int, ...] = ()
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.split("#", 1)[0].rstrip()
            if not text.strip() and (line.startswith("#") or not line.strip()):
                continue
            cells = text.split()
            if number == 1 and len(cells) == 3 and all(cell.isdecimal() for cell in cells):
                header = tuple(map(int, cells))
                continue
            first = "" if text[0].isspace() or ":" in cells[0] else cells.pop(0)
            try:
                labels.append([_whole(one) for one in first.split(",") if one])
                for cell in cells:
                    index, _, value = cell.partition(":")
                    columns.append(int(index))
                    values.append(float(value))
                    rows.append(len(labels) - 1)
            except (ValueError, OverflowError):
                also = (
                    " A qid is not read; leave it out."
                    if any(one.startswith("qid:") for one in cells)
                    else ""
                )
                raise InputError(
                    f"{path}, line {number}: {text[:60]!r} is no row 'label,label index:value …' of numbers.{also}"
                ) from None
            if len(set(columns[len(columns) - len(cells) :])) < len(cells):
                raise InputError(
                    f"{path}, line {number}: a feature is there twice. Which of its values counts?"
                )
    if not labels or not columns:
        raise InputError(
            f"{path} holds no row with a feature. LIBSVM's rows are 'label,label index:value …'."
        )
    lowest, highest = min(columns), max(columns)
    if lowest < 0:
        raise InputError(f"{path}: a feature has the index {lowest}; they count from 1, or from 0.")
    base = 0 if header or lowest == 0 else 1
    width = header[1] if header else highest + 1 - base
    if highest - base >= width:
        raise InputError(f"{path}: the header speaks of {width} features, a row has the index {highest}.")
    if len(labels) * width * 4 > MOST_BYTES:
        raise InputError(
            f"{spec}: {len(labels):,} rows of {width:,} features are {len(labels) * width * 4 / 1e9:,.0f} GB. "
            "Reduce them first (TruncatedSVD, say) and give the result as .npz."
        )
    features = np.zeros((len(labels), width), np.float32)
    features[rows, np.array(columns) - base] = values
    known = sorted({one for row in labels for one in row} | set(range(header[2] if header else 0)))
    if header and (len(labels), len(known)) != (header[0], header[2]):
        raise InputError(
            f"{path}: the header speaks of {header[0]:,} rows and {header[2]:,} labels, numbered from 0; there are "
            f"{len(labels):,} rows, and labels up to {known[-1]}. Is the file whole?"
        )
    column = {one: j for j, one in enumerate(known)}
    targets = np.zeros((len(labels), len(known)), np.int8)
    for target, row in zip(targets, labels, strict=True):
        target[[column[one] for one in row]] = 1
    notes = (
        f"feature indices count from {base}{' (a header stands first)' if header else ''}; labels are called by their "
        "numbers.",
    )
    rows_of = FeatureRows((features,), open_ended=not header)
    return VectorTable(rows_of, row_ids(path.stem, len(labels)), tuple(map(str, known)), targets, notes=notes)


def _whole(text: str) -> int:
    """Return a label's number, which may be written `3.0`."""
    if not float(text).is_integer():
        raise ValueError(text)
    return int(float(text))


# ARFF of Mulan and MEKA: attributes of which some are labels, rows dense or sparse.
#
# Mulan names its labels in an XML file; MEKA says in the relation's name how many attributes at the start
# (`-C 6`) or at the end (`-C -6`) are labels. Nominal features become a 0/1 feature for each of their
# values. Sparse rows leave out zeros, and of nominal attributes the first value.

_NUMBERS = frozenset({"numeric", "real", "integer"})
_VALUES = {
    "1": PRESENT,
    "0": ABSENT,
    "1.0": PRESENT,
    "0.0": ABSENT,
    "true": PRESENT,
    "false": ABSENT,
    "?": UNKNOWN,
}
_WORD = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,{}]+))""")
MOST_BYTES = 8 << 30
"""Of features in memory; rows are dense there."""


@dataclass(frozen=True)
class Attribute:
    """A column.

    Attributes:
        name: as it is called.
        values: what a nominal one may be; empty: it is a number.
    """

    name: str
    values: tuple[str, ...] = ()


def read_arff(path: Path, xml: Path | None = None) -> VectorTable:
    """Read an ARFF file with its labels; without any where nothing says which attributes they are.

    Args:
        xml: Mulan's file of label names; None: the one beside it, if there is one (`emotions.xml` for
            `emotions-train.arff`).

    Raises:
        InputError: no ARFF; labels that are no 0/1; attributes of texts or dates; rows that do not fit the attributes;
            more numbers than memory is meant for.
    """
    spec = f"vectors:{path}"
    xml = xml or _xml_beside(path)
    notes = []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = path.read_text(encoding="cp1252", errors="replace")
        notes.append("the file is not UTF-8 and was read as Windows-1252.")
    lines = text.split("\n")  # not splitlines, which ends a line at characters that names may hold
    relation, attributes, first = _header(lines, path)
    labels, how = _label_columns(relation, attributes, xml, path)
    notes.insert(0, f"{len(labels)} labels, {how}." if labels else how)
    if relation is None:
        notes.append("the file names no @relation.")
    wrong = [
        attributes[j]
        for j in labels
        if attributes[j].values and not {one.lower() for one in attributes[j].values} <= set(_VALUES)
    ]
    if wrong:
        raise InputError(
            f"{spec}: the label {wrong[0].name!r} may be {', '.join(wrong[0].values[:6])}; a label is 0 or 1."
        )
    is_label = set(labels)
    kept = [j for j in range(len(attributes)) if j not in is_label]
    if not kept:
        raise InputError(f"{spec}: every attribute is a label, so there are no features.")
    names, place, nominal = _feature_places(attributes, kept)
    if nominal:
        more = ", …" if len(nominal) > 5 else ""
        notes.append(
            f"nominal features become a 0/1 feature for each value: {', '.join(nominal[:5])}{more} "
            f"({len(nominal)} attributes)."
        )
    label_place = {j: k for k, j in enumerate(labels)}
    rows = list(_rows(lines, first, len(attributes), path))
    if len(rows) * len(names) * 4 > MOST_BYTES:
        raise InputError(
            f"{spec}: {len(rows):,} rows of {len(names):,} features are {len(rows) * len(names) * 4 / 1e9:,.0f} GB. "
            "Reduce them first (TruncatedSVD, say) and give the result as .npz."
        )
    features = np.zeros((len(rows), len(names)), np.float32)
    targets = np.zeros((len(rows), len(labels)), np.int8)
    for j, one in enumerate(attributes):  # what a sparse row leaves out; dense rows leave out nothing
        if one.values and j in label_place:
            targets[:, label_place[j]] = _VALUES[one.values[0].lower()]
        elif one.values:
            features[:, place[j]] = float(one.values[0]) if _is_binary(one) else 1
    for i, (line, cells) in enumerate(rows):
        for j, text in cells:
            if j in label_place:
                if (value := _VALUES.get(text.lower())) is None:
                    raise InputError(
                        f"{path}, line {line}: the label {attributes[j].name!r} is {text!r}, not 0 or 1."
                    )
                targets[i, label_place[j]] = value
            else:
                _set(features[i], place[j], attributes[j], text, path, line)
    return VectorTable(
        FeatureRows((features,), names=names),
        row_ids(path.stem, len(rows)),
        tuple(clean(attributes[j].name) for j in labels),
        targets if labels else None,
        notes=tuple(notes),
    )


def label_names(xml: Path) -> list[str]:
    """Return the labels that a Mulan XML file names, in its order; hierarchies are flattened.

    Raises:
        InputError: no XML, no label, or a label twice.
    """
    try:
        root = ElementTree.parse(xml).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise InputError(f"{xml} is no XML of label names ({error}).") from error
    names = [one.get("name", "") for one in root.iter() if one.tag.rpartition("}")[2] == "label"]
    if not names or len(set(names)) < len(names) or "" in names:
        raise InputError(f'{xml} must name each label once, as <label name="…"/>; it names {names[:5]}.')
    return names


def parts_of(xml: Path) -> dict[str, Path]:
    """Return the ARFF files that belong to an XML file, by what stands behind its name: `train`, `test`.

    Example:
        >>> parts_of(Path("nowhere/emotions.xml"))
        {}
    """
    found = {}
    for file in sorted(xml.parent.glob("*.arff")):
        if file.stem != xml.stem and file.stem.startswith(xml.stem + "-"):
            found[file.stem[len(xml.stem) + 1 :]] = file
    return found


def _xml_beside(path: Path) -> Path | None:
    """Return the XML of an ARFF file: of its own name, or of that without what stands behind a hyphen."""
    stem = path.stem
    while stem:
        if (file := path.with_name(stem + ".xml")).is_file():
            return file
        stem = stem.rpartition("-")[0]
    return None


def _header(lines: Sequence[str], path: Path) -> tuple[str | None, list[Attribute], int]:
    relation, attributes = None, []
    for number, line in enumerate(lines):
        text = line.strip()
        if not text or text[0] == "%":
            continue
        word = text.split(None, 1)[0].lower()
        if word == "@relation":
            relation = text[len(word) :].strip().strip("'\"")
        elif word == "@attribute":
            attributes.append(_attribute(text[len(word) :], path, number + 1))
        elif word == "@data":
            if not attributes:
                break
            counts = Counter(one.name for one in attributes)
            if twice := sorted(name for name, count in counts.items() if count > 1):
                raise InputError(f"{path}: each attribute needs a name of its own; given twice: {twice[:5]}.")
            return relation, attributes, number + 1
        else:
            raise InputError(f"{path}, line {number + 1}: {text[:40]!r} is no line of an ARFF header.")
    raise InputError(f"{path} is no whole ARFF file: it needs lines @attribute, then @data.")


def _attribute(text: str, path: Path, line: int) -> Attribute:
    match = _WORD.match(text)
    if match is None:
        raise InputError(f"{path}, line {line}: an attribute has no name.")
    name, rest = _unquoted(match), text[match.end() :].strip()
    if rest.startswith("{") and rest.endswith("}"):
        values = tuple(_unquoted(one) for one in _WORD.finditer(rest[1:-1]))
        if values:
            return Attribute(name, values)
    if rest.split("[")[0].strip().lower() in _NUMBERS:
        return Attribute(name)
    raise InputError(
        f"{path}, line {line}: the attribute {name!r} is {rest[:30]!r}; features are numeric or nominal {{a,b}}. Leave "
        "it out, or turn it into numbers."
    )


def _label_columns(
    relation: str | None, attributes: Sequence[Attribute], xml: Path | None, path: Path
) -> tuple[list[int], str]:
    column = {one.name: j for j, one in enumerate(attributes)}
    if xml is not None:
        names = label_names(xml)
        if lost := [name for name in names if name not in column]:
            told = f"{path} has no attribute {lost[0]!r}, which {xml.name} names as a label"
            if len(lost) == len(names):
                return [], f"{told}, nor another of them."
            raise InputError(f"{told}.")
        return [column[name] for name in names], f"named by {xml.name}"
    match = re.search(r"-[cC]\s+(-?\d+)", relation or "")
    if match is None:
        relates = "has no @relation" if relation is None else f"has the relation {relation[:40]!r}"
        return [], (
            f"{path.name} {relates}, which does not say how many attributes are labels (MEKA: '-C 6'), and there is no "
            f"{path.stem.split('-')[0]}.xml beside it that names them (Mulan): all are taken for features."
        )
    count = int(match[1])
    if not 0 < abs(count) < len(attributes):
        raise InputError(f"{path}: the relation says -C {count}, and there are {len(attributes)} attributes.")
    columns = range(count) if count > 0 else range(len(attributes) + count, len(attributes))
    return list(columns), f"as the relation's -C {count} says"


def _feature_places(
    attributes: Sequence[Attribute], kept: Sequence[int]
) -> tuple[tuple[str, ...], dict[int, int], list[str]]:
    """Return feature names, the first feature of each attribute, and the names of those that become several.

    An attribute of the two values 0 and 1 is a number.
    """
    names: list[str] = []
    place, nominal = {}, []
    for j in kept:
        place[j] = len(names)
        one = attributes[j]
        if not one.values or _is_binary(one):
            names.append(one.name)
        else:
            nominal.append(one.name)
            names += [f"{one.name}={value}" for value in one.values]
    return tuple(names), place, nominal


def _is_binary(attribute: Attribute) -> bool:
    return set(attribute.values) == {"0", "1"}


def _set(row: np.ndarray, place: int, attribute: Attribute, text: str, path: Path, line: int) -> None:
    if text == "?":
        row[place] = np.nan  # refused, with its place, when all rows are read
    elif not attribute.values or _is_binary(attribute):
        try:
            row[place] = float(text)
        except ValueError:
            raise InputError(
                f"{path}, line {line}: {attribute.name!r} is {text!r}, which is no number."
            ) from None
    elif text in attribute.values:
        width = len(attribute.values)
        row[place : place + width] = 0
        row[place + attribute.values.index(text)] = 1
    else:
        shown = ", ".join(attribute.values[:6])
        raise InputError(f"{path}, line {line}: {attribute.name!r} is {text!r}, which is none of {shown}.")


def _rows(
    lines: Sequence[str], first: int, width: int, path: Path
) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """Yield line number and cells (attribute, text) of every row; of sparse ones those that are written."""
    for number in range(first, len(lines)):
        text = lines[number].strip()
        if not text or text[0] == "%":
            continue
        if text[0] == "{":
            yield number + 1, list(_sparse(text, width, path, number + 1))
            continue
        plain = "'" not in text and '"' not in text
        cells = (
            [one.strip() for one in text.split("," if "," in text else None)]
            if plain
            else [_unquoted(m) for m in _WORD.finditer(text)]
        )
        if len(cells) != width:
            raise InputError(f"{path}, line {number + 1}: {len(cells)} values for {width} attributes.")
        yield number + 1, list(enumerate(cells))


_CELL = re.compile(rf"\s*(\d+)\s+{_WORD.pattern}\s*(?:,|$)")


def _sparse(text: str, width: int, path: Path, line: int) -> Iterator[tuple[int, str]]:
    if not text.endswith("}"):
        raise InputError(f"{path}, line {line}: a sparse row ends with '}}'.")
    place, seen, inner = 0, set(), text[1:-1].rstrip()
    while place < len(inner):
        cell = _CELL.match(inner, place)
        index = int(cell[1]) if cell else width
        if cell is None or index >= width or index in seen:
            shown = inner[place:].split(",")[0].strip()
            again = ", which is there already" if index in seen else ""
            raise InputError(
                f"{path}, line {line}: {shown!r} is no 'index value' with an index below {width}{again}."
            )
        yield index, _unquoted(cell, 2)
        place = cell.end()
        seen.add(index)


def _unquoted(match: re.Match[str], first: int = 1) -> str:
    single, double, bare = match.groups()[first - 1 :]
    return bare if bare is not None else re.sub(r"\\(.)", r"\1", single if single is not None else double)
