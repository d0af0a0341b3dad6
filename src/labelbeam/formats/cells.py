"""Cells of labels: what separates them, and the names inside, trimmed and in one Unicode form.

Between the CSV layouts and the vocabulary. Nothing is guessed in silence: what was recognised is stated, what
is ambiguous is an error that names the option. Knows nothing of files and images.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from labelbeam.errors import InputError
from labelbeam.labels.names import clean

DELIMITERS = (";", "|", ",", "、")
"""Recognised inside a cell when it is the only one of them there; blanks are, where the words recombine."""

SUSPICIOUS = (*DELIMITERS, "/", "+", "&", "\t", "\n")
"""Characters that separate labels in some files; inside labels that recombine they are a mistake."""

NO_LABEL = frozenset({"", "nan", "none", "null", "na", "n/a", "<na>", "[]", "()"})
"""Cells, in any case, that say "no label"."""


@dataclass(frozen=True)
class CellStyle:
    """How a cell holds labels.

    Attributes:
        delimiter: what separates them; None where every cell is one label.
        is_list: whether cells are lists in Python's notation.
    """

    delimiter: str | None = None
    is_list: bool = False

    def __str__(self) -> str:
        if self.is_list:
            return "cells that are lists"
        return "one label a cell" if self.delimiter is None else f"delimiter {self.delimiter!r}"

    def labels(self, cell: str) -> list[str]:
        """Return the labels of a cell, cleaned, each once, in the cell's order.

        Raises:
            InputError: the cell is not a list of texts, though the style says so.

        Example:
            >>> CellStyle(";").labels(" cat; dog ;cat;")
            ['cat', 'dog']
        """
        if cell.strip().casefold() in NO_LABEL:
            return []
        parts = _list_literal(cell) if self.is_list else _parts(cell, self.delimiter)
        return list(dict.fromkeys(label for part in parts if (label := clean(part))))


def recognise(cells: Iterable[str], where: str) -> CellStyle:
    """Find out how cells hold labels.

    Args:
        cells: every cell of the column.
        where: file and column, for messages.

    Returns:
        The style.

    Raises:
        InputError: several delimiters, or blanks that may or may not be one.

    Example:
        >>> print(recognise(["cat;dog", "traffic light", ""], "a.csv, column 'tags'"))
        delimiter ';'
    """
    distinct = {cell.strip() for cell in cells if cell.strip().casefold() not in NO_LABEL}
    if broken := [cell for cell in distinct if cell[:2] in ("['", '["') and cell[-1] != "]"]:
        raise InputError(f"{where}: {broken[0][:60]!r} begins a list that never ends. Repair the cell.")
    if distinct and all(cell[0] in "[(" and cell[-1] in "])" for cell in distinct):
        return CellStyle(is_list=True)
    found = {
        mark: min(cell for cell in distinct if mark in cell)
        for mark in DELIMITERS
        if _any_has(distinct, mark)
    }
    if len(found) > 1:
        shown = " and ".join(f"{mark!r} (as in {cell[:40]!r})" for mark, cell in found.items())
        options = " or ".join(f"--delimiter {mark!r}" for mark in found)
        raise InputError(
            f"{where}: it is ambiguous what separates labels: the cells hold {shown}. Say which: {options}."
        )
    if found:
        return CellStyle(next(iter(found)))
    with_blank = sorted(cell for cell in distinct if len(cell.split()) > 1)
    if not with_blank:
        return CellStyle()
    if _recombine(distinct, str.split):
        return CellStyle(" ")
    raise InputError(
        f"{where}: it is ambiguous whether blanks separate labels, as in {with_blank[0][:40]!r}. "
        "Say --delimiter ' ' if they do, or --delimiter ';' if every such cell is one label."
    )


def refuse_combinations(labels: Iterable[str], where: str) -> None:
    """Raise an error where labels look like combinations of labels that were not taken apart.

    Raises:
        InputError: a character that separates labels in other files occurs in several, and at least half of
            the words around it occur in several as well.

    Example:
        >>> refuse_combinations(["animal/dog", "colour/red"], "a.csv")
    """
    names = set(labels)
    for mark in SUSPICIOUS:
        if _any_has(names, mark) and _recombine(names, partial(_parts, delimiter=mark)):
            shown = ", ".join(repr(name) for name in sorted(name for name in names if mark in name)[:3])
            raise InputError(
                f"{where}: {len(names)} distinct labels look like combinations of labels: {shown}. "
                f"If {mark!r} separates labels, pass --delimiter {mark!r}; if each is one label, "
                "--combinations keep."
            )


def _any_has(cells: set[str], mark: str) -> bool:
    return any(mark in cell for cell in cells)


def _parts(cell: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return [cell]
    # Any blanks, wide ones included, separate where one blank does.
    return cell.split() if delimiter == " " else [part.strip() for part in cell.split(delimiter)]


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


def _list_literal(cell: str) -> list[str]:
    try:
        value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, list | tuple) or not all(isinstance(part, str) for part in value):
        raise InputError(f"{cell[:60]!r} is not a list of texts such as ['person', 'sky']. Repair the cell.")
    return list(value)
