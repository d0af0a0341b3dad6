"""The frame of every page: one style, light and dark, no script, no network; everything a user wrote is escaped."""

import base64
from html import escape
from pathlib import Path

from labelbeam.pages.design import LETTERS, PAGE_COLOURS

STYLE = f"""
{PAGE_COLOURS}
""" + """
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 LETTERS; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
p { max-width: 46rem; } .quiet { color: var(--quiet); } .good { color: var(--good); } .bad { color: var(--bad); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr.ours td { font-weight: 650; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; }
.card img { display: block; width: 100%; } .card.small img { image-rendering: pixelated; }
.card > div { padding: .6rem .8rem .8rem; font-size: .875rem; }
.row { display: grid; grid-template-columns: 6.5rem 1fr 2.6rem; align-items: center; gap: .5rem; }
.row i { height: .5rem; border-radius: .25rem; background: var(--bar); display: block; }
.row span:first-child { overflow-wrap: anywhere; } .file { overflow-wrap: anywhere; font-weight: 600; margin: 0; }
.row span:last-child { text-align: right; color: var(--quiet); }
""".replace("LETTERS", LETTERS)


def page(title: str, body: str) -> str:
    """Return a whole HTML document.

    Args:
        title: plain text.
        body: HTML whose variable parts are escaped already.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n{body}\n</html>\n"
    )


def table(headings: list[str], rows: list[list[str]], *, marked: int | None = None) -> str:
    """Return a table of plain-text cells.

    Args:
        headings: of the columns.
        rows: cells; the first of a row is its name.
        marked: number of the row that stands out.
    """
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    lines = []
    for number, cells in enumerate(rows):
        mark = ' class="ours"' if number == marked else ""
        lines.append(f"<tr{mark}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>\n' + "\n".join(lines) + "</table></div>"


def embedded_image(path: Path) -> str:
    """Return an image file as the address that embeds it; PNG, JPEG, GIF and WebP."""
    kind = {".png": "png", ".gif": "gif", ".webp": "webp"}.get(path.suffix.lower(), "jpeg")
    return f"data:image/{kind};base64," + base64.b64encode(path.read_bytes()).decode("ascii")
