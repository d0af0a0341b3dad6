"""Cells of labels: how a column writes several names in a cell, and the names inside, trimmed and in one Unicode form.

A cell's syntax is recognised before its delimiter: lists (`list_cells`), then quoted parts, then what separates names.
Nothing is guessed in silence: what was recognised is stated, what is ambiguous is an error that names the option, and
a bracket or quotation mark that is left over in a name is an error that shows the cell. Knows nothing of files and
images.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from labelbeam.errors import InputError
from labelbeam.formats.list_cells import OBJECTS, ListCell, list_cell
from labelbeam.labels.names import clean, marks_between

DELIMITERS = (";", "|", ",", "、", "､", "，", "；", "｜", "،", "؛")
"""Recognised inside a cell when it is the only one of them there; blanks are, where the words recombine."""

NO_LABEL = frozenset(
    {"", "nan", "none", "null", "na", "n/a", "<na>", "#n/a", "\\n", "-", "--", "–", "—"}
    | {"[]", "()", "{}", "set()"}
)
"""Cells, in any case, that say "no label"."""

_QUOTED_PART = re.compile(
    r"""(?:^|(?<=[;|,、､，；｜،؛\s]))(?:"(?:[^"]|"")*"|'(?:[^']|'')*')(?=\s*(?:[;|,、､，；｜،؛\s]|$))"""
)
_SCORED = re.compile(
    r"(?:[:=]\s*-?\d+(?:[.,]\d+)?\s*%?|\(-?\d*[.,]\d+\)|[\s(]\d+(?:[.,]\d+)?\s*%\)?|\s[01]?[.,]\d+)$"
)
"""A name and its score, as `cat:0.9`, `cat (0.91)` and `cat 91%`; `16:9` and `Apollo 11` are none."""

_ENTITY = re.compile(
    r"&(?:#\d+|#[xX][0-9a-fA-F]+|amp|lt|gt|quot|apos|nbsp|szlig|"
    r"[A-Za-z](?:grave|acute|circ|tilde|uml|cedil|ring|slash));"
)
_MARK_UP = re.compile(rf"<\s*/?\s*[a-zA-Z]+\s*/?\s*>|{_ENTITY.pattern}")
_EMOTICON = re.compile(r"[:;=][-o^']?[()\[\]{}]+")
_OPENS = {
    ")": "(",
    "]": "[",
    "}": "{",
    "）": "（",
    "］": "［",
    "｝": "｛",
    "】": "【",
    "」": "「",
    "』": "『",
    "》": "《",
}
_WRAPPED = re.compile(
    r"""“.*[”“]|„.*[“”]|«.*»|».*«|‹.*›|‘.*’|`.*[`']|［.*］|｛.*｝|".*"|[bB](['"]).*\1""", re.DOTALL
)
"""Quotation marks and brackets around a whole name, which no grammar of `list_cells` or CSV takes off."""

_ESCAPE = re.compile(
    r"(?<!\\)\\(?:[nrt]|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2})|%(?:2[0Cc]|3[Bb]|7[Cc])"
    r'|^="|^#(?:REF!|NAME\?|VALUE!|DIV/0!|NUM!|NULL!)$'
)
"""Line ends, tabs, letters and marks that a program wrote as an escape, and nobody took back; Excel's errors."""

_GROUPS = re.compile(r"(?:「[^「」]+」|『[^『』]+』|【[^【】]+】|《[^《》]+》|<[^<>]+>|\([^()]+\)){2,}")
_PRINTED = re.compile(r"^(?:dtype: \w|shape: \(|Series: |Name: .*dtype)", re.MULTILINE)
"""What pandas and polars print of a column in place of its values: shortened, or without escapes."""

_ROW = re.compile(r"[01](?:[.]0?)?(?:[\s,;|]+[01](?:[.]0?)?)+|0[01]+|[01]*0[01]{7,}")
"""A row of values in a cell; 10 and 11 are names."""

_AND = frozenset({"and", "und", "et", "y", "e", "en", "och", "og", "or", "oder", "ou", "&"})
_ITEM = re.compile(r"[-*•]\s|1[.)]\s.*\n\s*2[.)]\s")
_PLAIN_MARKS = frozenset(".'\"!?@%’·")
"""Marks that names have, and that separate none."""


@dataclass(frozen=True)
class CellStyle:
    """How a cell holds labels.

    Attributes:
        delimiter: what separates them; None where every plain cell is one label.
        is_list: whether cells are lists, in a notation of `list_cells`.
        notation: what such lists are called.
        has_plain: whether cells of one label stand beside lists.
        given: whether the user named the delimiter, and so says that brackets and quotation marks belong to names.
    """

    delimiter: str | None = None
    is_list: bool = False
    notation: str = "lists"
    has_plain: bool = False
    given: bool = False

    def __str__(self) -> str:
        if self.is_list:
            return f"cells that are {self.notation}" + (", others one label each" if self.has_plain else "")
        return "one label a cell" if self.delimiter is None else f"delimiter {self.delimiter!r}"

    def labels(self, cell: str) -> list[str]:
        """Return the labels of a cell, cleaned, each once, in the cell's order.

        Raises:
            InputError: the cell is not a list of texts, though the style says so; a bracket or a quotation mark is
                left over in a name.

        Example:
            >>> CellStyle(";").labels(" cat; dog ;cat;")
            ['cat', 'dog']
        """
        if cell.strip().casefold() in NO_LABEL:
            return []
        found = list_cell(cell) if self.is_list else None
        if found is not None:
            return list(dict.fromkeys(label for part in found.names if (label := clean(part))))
        if self.is_list and not self.has_plain:
            raise InputError(
                f"{cell[:60]!r} is not a list of texts such as ['person', 'sky'], as others are. Repair the cell."
            )
        labels = list(dict.fromkeys(label for part in _parts(cell, self.delimiter) if (label := clean(part))))
        for label in labels:
            if looks_cut(label) if not self.given else re.search(r"^[\[{(]\s*['\"]|['\"]\s*[\]})]$", label):
                if self.given:
                    raise InputError(
                        f"{cell[:60]!r} is a list, whose members need no delimiter. Leave --delimiter away."
                    )
                raise InputError(
                    f"{cell[:60]!r}: a bracket, quotation mark, backslash or escape is left over in the name "
                    f"{label[:40]!r} ({self}). Repair the cell; if it belongs to the name, say so with --delimiter "
                    f"{self.delimiter or ';'!r}."
                )
        return labels

    def absent(self, cell: str) -> list[str]:
        """Return the labels that a cell says are absent: those of an object of 1 and 0; none of other cells."""
        found = list_cell(cell) if self.notation == OBJECTS else None
        return [label for name in (found.absent if found else None) or () if (label := clean(name))]


def recognise(cells: Iterable[str], where: str, *, place: Callable[[str], str] = lambda _: "") -> CellStyle:
    """Find out how cells hold labels.

    `place` returns where a cell is, such as ", line 3".

    Raises:
        InputError: a cell that begins like a list and is none; lists beside cells that hold a delimiter; several
            delimiters, or blanks that may or may not be one.

    Example:
        >>> print(recognise(["cat;dog", "traffic light", ""], "a.csv, column 'tags'"))
        delimiter ';'
    """
    distinct = dict.fromkeys(cell.strip() for cell in cells if cell.strip().casefold() not in NO_LABEL)
    lists: dict[str, ListCell] = {}
    for cell in distinct:
        if cell.startswith("Index([") or ("\n" in cell and _PRINTED.search(cell)):
            raise InputError(
                f"{where}{place(cell)}: {cell[:60]!r} is a column as pandas or polars print it, not its values. Write "
                "names as a list, such as ['person', 'sky'], or with ';' between them."
            )
        try:
            found = list_cell(cell)
        except InputError as error:
            raise InputError(f"{where}{place(cell)}: {error}") from None
        if found is not None:
            lists[cell] = found
    plain = distinct.keys() - lists.keys()
    if lists:
        return _of_lists(lists, plain, where, place)
    return CellStyle(_delimiter(plain, where))


def _of_lists(
    lists: dict[str, ListCell], plain: set[str], where: str, place: Callable[[str], str]
) -> CellStyle:
    first = next(iter(lists))
    notation = Counter(found.notation for found in lists.values()).most_common(1)[0][0]
    if any(found.absent is not None for found in lists.values()):
        _check_objects(lists, plain, where, place)
    bare = [cell for cell, found in lists.items() if not found.quoted]
    unclear = [cell for cell in plain if any(mark in cell for mark in DELIMITERS)]
    if plain and (bare or unclear):
        odd, beside = (bare[0], min(plain)) if bare else (first, min(unclear))
        raise InputError(
            f"{where}{place(odd)}: {odd[:40]!r} is a list, {beside[:40]!r}{place(beside)} is none. Write all cells "
            "alike; if brackets belong to names, say what separates them with --delimiter ';'."
        )
    if len(bare) == len(lists) and not any("," in cell for cell in bare):
        raise InputError(
            f"{where}{place(bare[0])}: it is ambiguous whether {bare[0][:40]!r} is a list of labels or a name in "
            "brackets. Put quotation marks around labels of a list; if brackets belong to names, say --delimiter ';'."
        )
    return CellStyle(is_list=True, notation=notation, has_plain=bool(plain))


def _check_objects(
    lists: dict[str, ListCell], plain: set[str], where: str, place: Callable[[str], str]
) -> None:
    """Refuse objects of 1 and 0 beside other cells, or that leave names out although absent ones have their 0."""
    others = [*plain, *(cell for cell, found in lists.items() if found.absent is None and found.names)]
    first = next(cell for cell, found in lists.items() if found.absent is not None)
    if others:
        raise InputError(
            f"{where}{place(first)}: {first[:40]!r} is an object, {min(others)[:40]!r}{place(min(others))} is none. "
            "Write all cells alike."
        )
    keys = {cell: {*found.names, *(found.absent or ())} for cell, found in lists.items()}
    every = set[str]().union(*keys.values())
    short = next((cell for cell in keys if keys[cell] < every), None)
    if short is not None and any(found.absent for found in lists.values()):
        left = min(every - keys[short])
        raise InputError(
            f"{where}{place(short)}: it is ambiguous what {short[:40]!r} says of {left!r}: absent, or unknown, as "
            "other cells write 0 for what is absent. Write every name in each cell, or only the names that are present."
        )


def _delimiter(distinct: set[str], where: str) -> str | None:
    """Return what separates labels in plain cells; None where each is one label."""
    masked = {cell: _masked(cell) for cell in sorted(distinct)}
    found = {
        mark: min(cell for cell, text in masked.items() if mark in text)
        for mark in DELIMITERS
        if any(mark in text for text in masked.values())
    }
    _refuse_other_syntax(masked, where)
    if len(found) > 1:
        shown = " and ".join(f"{mark!r} (as in {cell[:40]!r})" for mark, cell in found.items())
        options = " or ".join(f"--delimiter {mark!r}" for mark in found)
        raise InputError(
            f"{where}: it is ambiguous what separates labels: the cells hold {shown}. Say which: {options}."
        )
    if found:
        mark = next(iter(found))
        _refuse_blanks_beside(mark, masked, where)
        # SharePoint's columns of several values; hashtags begin with a # too.
        sharepoint = all(re.search(r";(?!#)", text) is None and text[0] != "#" for text in masked.values())
        return ";#" if mark == ";" and sharepoint else mark
    with_blank = sorted(cell for cell, text in masked.items() if len(text.split()) > 1)
    if not with_blank:
        return None
    if bullet := next((cell for cell in with_blank if _ITEM.match(cell)), None):
        raise InputError(
            f"{where}: {bullet[:40]!r} is a list with a mark before each item. Write ';' between labels; if each cell "
            "is one label, say so with --delimiter ';'."
        )
    if any("\n" in text for text in masked.values()):
        return "\n"  # as Excel holds what was typed with Alt and Enter; no name has one
    if _recombine(distinct, partial(_parts, delimiter=" ")):
        for cell in with_blank:
            for part in cell.split()[1:-1]:
                mark = f" {part} " if part.casefold() in _AND else part
                if mark in suspicious_marks(part) or mark != part:
                    raise InputError(
                        f"{where}: it is ambiguous whether blanks or {mark!r} separate labels, as in {cell[:40]!r}. "
                        f"Say --delimiter {mark!r} or --delimiter ' '."
                    )
        return " "
    raise InputError(
        f"{where}: it is ambiguous whether blanks separate labels, as in {with_blank[0][:40]!r}. "
        "Say --delimiter ' ' if they do, or --delimiter ';' if every such cell is one label."
    )


def _refuse_other_syntax(masked: dict[str, str], where: str) -> None:
    """Refuse cells that hold HTML, rows of 0 and 1, or all of whose text is in quotation marks.

    Raises:
        InputError: such a cell.
    """
    if cell := next((cell for cell in masked if _ENTITY.search(cell)), None):
        raise InputError(
            f"{where}: {cell[:60]!r} holds HTML, whose ';' is no delimiter. Write the characters themselves (& in "
            "place of &amp;)."
        )
    some = list(islice(masked, 50))
    rows = [re.findall("[01]", re.sub(r"[.]0", "", cell)) for cell in some if _ROW.fullmatch(cell)]
    if rows and len(rows) == len(some) and len({*map(len, rows)}) == 1 and all(map(_ROW.fullmatch, masked)):
        cell = next(iter(masked))
        raise InputError(
            f"{where}: {cell[:60]!r} is a row of {len(rows[0])} values of 0 and 1, and nothing names the labels that "
            "they stand for. Write a column for each label, named in the first line; or the names that are present."
        )
    whole = bool(masked) and all(text.strip("\0") == "" for text in masked.values())
    if whole and (cell := next((cell for cell in masked if any(mark in cell for mark in DELIMITERS)), None)):
        raise InputError(
            f"{where}: it is ambiguous whether {cell[:40]!r} is one label, as every cell is in quotation marks, or "
            "several. Leave the quotation marks around the cell away."
        )


def _refuse_blanks_beside(mark: str, masked: dict[str, str], where: str) -> None:
    """Refuse a delimiter of few cells where most hold words that are labels elsewhere, with blanks between them.

    Raises:
        InputError: so it is.
    """
    blanks = [cell for cell, text in masked.items() if mark not in text and len(text.split()) > 1]
    if len(blanks) <= sum(mark in text for text in masked.values()):
        return
    labels = {part for cell in masked for part in _parts(cell, mark)}
    words = {word for cell in blanks for word in cell.split()}
    if 2 * len(words & labels) >= len(words):
        raise InputError(
            f"{where}: it is ambiguous whether blanks separate labels, as in {blanks[0][:40]!r}, or {mark!r}. Say "
            f"--delimiter ' ' or --delimiter {mark!r}."
        )


def refuse_combinations(labels: Iterable[str], where: str) -> None:
    """Raise an error where labels look like combinations of labels that were not taken apart.

    Raises:
        InputError: a mark that may separate labels occurs in several, and at least half of the words around it occur
            in several as well.

    Example:
        >>> refuse_combinations(["animal/dog", "colour/red"], "a.csv")
    """
    names = set(labels)
    scored = sorted(
        name
        for name in names
        if (end := _SCORED.search(name)) and re.search(r"[^\W\d_]", name[: end.start()])
    )
    if scored and 2 * len(scored) > len(names):
        raise InputError(
            f"{where}: {len(scored)} of {len(names)} labels end in a number, such as {', '.join(map(repr, scored[:3]))}"
            ". If these are scores or counts, decide on a threshold and write the names that are present; if each is "
            "one label, --combinations keep."
        )
    if marked_up := sorted(name for name in names if _MARK_UP.search(name)):
        raise InputError(
            f"{where}: {marked_up[0][:60]!r} holds HTML, which may separate labels. Write ';' between labels; if it "
            "is one label, --combinations keep."
        )
    if groups := sorted(name for name in names if _GROUPS.fullmatch(name)):
        raise InputError(
            f"{where}: {groups[0][:60]!r} is several names in brackets. Write ';' between labels; if it is one label, "
            "--combinations keep."
        )
    between = marks_between(names)
    for mark in sorted({mark for name in names for mark in suspicious_marks(name)} | between):
        if mark in between or _recombine(names, partial(_parts, delimiter=mark)):
            shown = ", ".join(f"{name!r:.60}" for name in sorted(name for name in names if mark in name)[:3])
            raise InputError(
                f"{where}: {len(names)} distinct labels look like combinations of labels: {shown}. "
                f"If {mark!r} separates labels, pass --delimiter {mark!r}; if each is one label, "
                "--combinations keep."
            )


def suspicious_marks(name: str) -> set[str]:
    """Return the marks in a name that separate labels in some files.

    Example:
        >>> sorted(suspicious_marks("cat#dog, wild-cat"))
        ['#', ',']
    """
    odd = {char for char in name if not char.isalnum() and char not in _PLAIN_MARKS}
    return {char for char in odd if char in "\t\n|^" or unicodedata.category(char) in {"Po", "Sm"}}


def looks_cut(name: str) -> bool:
    """Return whether brackets or quotation marks are left over in a name: around it, or without their other half.

    Example:
        >>> [looks_cut(name) for name in ("['cat'", "'dog", "“cat”", "miku (vocaloid)", "dog's", ":(")]
        [True, True, True, False, False, False]
    """
    if name.isalnum():
        return False
    if _WRAPPED.fullmatch(name) or _ESCAPE.search(name) or len(name) - len(name.rstrip("\\")) == 1:
        return True
    odd = name.count('"') % 2 or (name[0] == "'" and name[-1] != "'") or re.search(r"[^s']'$", name)
    if odd and (name.count("'") % 2 == 1 or '"' in name):
        return True
    open_now: list[str] = []
    for char in _EMOTICON.sub("", name) if any(map(str.isalnum, name)) else "":
        if char in _OPENS.values():
            open_now.append(char)
        elif char in _OPENS and (not open_now or open_now.pop() != _OPENS[char]):
            return True
    return bool(open_now) or re.match(r"[\[{(]\s*['\"]", name) is not None


def is_plain(name: str) -> bool:
    """Return whether a name between semicolons is read as it is, whichever others are there."""
    odd = (
        suspicious_marks(name)
        or name.casefold() in NO_LABEL
        or name[0] in "[({'\""
        or "(" in name.partition(" ")[0]
    )
    return not odd and name.isprintable() and not looks_cut(name)


def _masked(cell: str) -> str:
    """Return a cell whose quoted parts hold no delimiter."""
    if '"' not in cell and "'" not in cell:
        return cell
    return _QUOTED_PART.sub(lambda part: "\0" * len(part[0]), cell)


def _parts(cell: str, delimiter: str | None) -> list[str]:
    """Return what stands between delimiters, without the quotation marks around it."""
    masked = _masked(cell)
    if masked is cell:
        if delimiter is None:
            return [cell]
        # Any blanks, wide ones included, separate where one blank does.
        return cell.split() if delimiter == " " else [part.strip() for part in cell.split(delimiter)]
    ends = (
        []
        if delimiter is None
        else [
            found.span()
            for found in re.finditer(r"\s+" if delimiter == " " else re.escape(delimiter), masked)
        ]
    )
    starts = [0, *(end for _, end in ends)]
    parts = [
        cell[start:end].strip() for start, end in zip(starts, [*(s for s, _ in ends), len(cell)], strict=True)
    ]
    return [_unquoted(part) for part in parts if part or delimiter != " "]


def _unquoted(part: str) -> str:
    mark = part[:1]
    if (
        len(part) > 1
        and mark in {'"', "'"}
        and part[-1] == mark
        and mark not in part[1:-1].replace(mark * 2, "")
    ):
        return part[1:-1].replace(mark * 2, mark)
    return part


def _recombine(cells: set[str], split: Callable[[str], list[str]]) -> bool:
    """Return whether the words of compound cells turn up in other cells too, as labels do."""
    seen: Counter[str] = Counter()
    words: set[str] = set()
    compounds = 0
    for cell in cells:
        parts = set(split(cell)) - {""}
        seen.update(parts)
        if len(parts) > 1:
            compounds += 1
            words |= parts
    recurring = sum(seen[word] > 1 for word in words)
    return compounds > 1 and 2 * recurring >= len(words)
