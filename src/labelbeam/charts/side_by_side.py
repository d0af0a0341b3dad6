"""Tables that set printed numbers beside measured ones: plain cells, for a terminal and for a page alike.

Knows nothing of what the numbers mean.
"""

from dataclasses import dataclass
from html import escape

from labelbeam.errors import printable

KINDS = ("paper", "ours", "interval")


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        kind: `paper` (printed elsewhere), `ours` (measured here), `interval` (below the line that it belongs to).
        cells: texts; the first is its name.
    """

    kind: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class SideBySide:
    """A table with what has to be said of it.

    Attributes:
        title: above it.
        headings: of the columns; the first is of the names.
        lines: from top to bottom.
        below: sentences: the protocol first.
        wide: whether it is too wide for a terminal.
    """

    title: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    below: tuple[str, ...]
    wide: bool = False


STYLE = """
table.beside { font-size: .875rem; } table.beside td, table.beside th { padding: .25rem .6rem; }
table.beside tr.paper td { color: var(--quiet); } table.beside tr.ours td { font-weight: 600; }
table.beside tr.interval td { font-size: .75rem; color: var(--quiet); padding-top: 0; }
table.beside tr.spanned td { border-bottom: 0; padding-bottom: 0; }
table.beside th { vertical-align: bottom; }
"""


def html_of(table: SideBySide) -> str:
    """Return the table and the sentences below it; everything is escaped."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in table.headings)
    rows = []
    for i, line in enumerate(table.lines):
        spanned = i + 1 < len(table.lines) and table.lines[i + 1].kind == "interval"
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in line.cells)
        rows.append(f'<tr class="{line.kind}{" spanned" if spanned else ""}">{cells}</tr>')
    below = "".join(f'<p class="quiet">{escape(sentence)}</p>' for sentence in table.below)
    body = "\n".join(rows)
    return f'<div class="wide"><table class="beside"><tr>{head}</tr>\n{body}</table></div>{below}'


def print_table(table: SideBySide, *, width: int | None) -> None:
    """Print the table to standard output.

    Args:
        table: what to print.
        width: of the output, columns; None: the terminal's.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False, width=width)
    shown = Table(
        box=SIMPLE, title=table.title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0)
    )
    for number, heading in enumerate(table.headings):
        shown.add_column(
            heading, justify="right" if number else "left", no_wrap=bool(number), overflow="fold"
        )
    for line in table.lines:
        style = {"paper": "dim", "ours": "", "interval": "dim italic"}[line.kind]
        shown.add_row(*(Text(printable(cell)) for cell in line.cells), style=style)
    console.print(shown)
    for sentence in table.below:
        console.print(printable(sentence), soft_wrap=True, markup=False)
