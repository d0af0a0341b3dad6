"""docs/reproduction.md says what the code says: the paper's numbers with their marks."""

import re
from pathlib import Path

import pytest

from labelbeam.paper.paper_tables import PAPER_TABLES, PRINTED, misfits

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "reproduction.md").read_text(encoding="utf-8")


def lines_of(heading: str) -> list[list[str]]:
    """Return the cells of all table lines of a section."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in section.splitlines()
        if line.startswith("|")
    ]


@pytest.mark.parametrize("name", PAPER_TABLES)
def test_the_papers_rows_stand_in_the_page_as_they_stand_in_the_code(name: str) -> None:
    table = PAPER_TABLES[name]
    marked = {(one.method, one.number) for one in misfits(table)}
    there = lines_of("The paper's numbers")
    for row in table.rows:
        numbers = ("mAP",) if name == "voc2007" else PRINTED
        cells = []
        for number in numbers:
            value = row.printed.get(number)
            text = "–" if value is None else f"{value:.1f}"
            cells.append(text + ("≠" if (row.method, number) in marked else ""))
        plain = [[re.sub(r" \(.*\)$", "", cell) for cell in line] for line in there]
        mark = row.mark_of("mAP") if name == "voc2007" else row.mark
        assert [row.method, *cells, mark] in plain
