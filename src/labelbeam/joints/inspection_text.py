"""An inspection as text, for a terminal: the findings first, then the tables they rest on.

Knows the plain values that `joints.inspection` makes; computes nothing but shares.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

MOST_LABELS = 40
MOST_PAIRS = 10
MOST_FILES = 10

Values = Mapping[str, Any]


def show_inspection(found: Values) -> None:
    """Print an inspection.

    Args:
        found: what `joints.inspection.inspect_data` gives.
    """
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    for one in found["data"]:
        _say(
            console,
            f"{one['name']}: {one['images']:,} images, {one['labels']:,} labels, {one['mean_labels']:.2f} labels "
            f"per image; {len(one['images_without_labels']):,} images without a label",
        )
        for note in one["notes"]:
            _say(console, f"  {note}")
    _heading(console, "What deserves a look")
    for finding in found["findings"]:
        mark = "!" if finding["weight"] == "bad" else "-"
        _say(console, f"{mark} {finding['text']}")
    if not found["findings"]:
        _say(console, "nothing")
    _labels(console, found)
    _sizes(console, found)
    _pairs(console, found["pairs"])
    _implications(console, found["implications"])
    _names(console, found["names"])
    _images(console, found["images"])
    _duplicates(console, found["duplicates"])


def _say(console: "Console", text: str) -> None:
    console.print(_seen(text), soft_wrap=True, markup=False, emoji=False)


def _seen(text: str) -> str:
    """Return a text that cannot steer the terminal; unseen characters are spelt out."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\u200d" else f"[U+{ord(letter):04X}]"
        for letter in text
    )


def _heading(console: "Console", text: str) -> None:
    console.print(f"\n{text}", style="bold", markup=False)


def _table(console: "Console", headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose first column is text and whose others are numbers."""
    from rich.box import SIMPLE
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="right" if i else "left", no_wrap=i > 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_seen(cell)) for cell in row))
    console.print(table)


def _labels(console: "Console", found: Values) -> None:
    splits = [one["name"] for one in found["data"]]
    rows = found["labels"]
    _heading(console, "Labels (images that have it; ? how many are unknown)")
    cells = [[row["label"], *(_count(row["splits"][name]) for name in splits)] for row in rows]
    if len(cells) > MOST_LABELS:
        left = len(cells) - MOST_LABELS
        cells = [*cells[: MOST_LABELS - 5], ["…", *("" for _ in splits)], *cells[-5:]]
        _table(console, ["label", *splits], cells)
        _say(console, f"{left:,} more are in the JSON and on the page.")
    else:
        _table(console, ["label", *splits], cells)


def _count(counts: Values | None) -> str:
    if counts is None:
        return "-"
    images = counts["present"] + counts["absent"] + counts["unknown"]
    unknown = f"  ?{counts['unknown']:,}" if counts["unknown"] else ""
    return f"{counts['present']:,} ({100 * counts['present'] / images:.1f} %){unknown}"


def _sizes(console: "Console", found: Values) -> None:
    _heading(console, "Labels per image")
    most = max(len(one["images_by_number_of_labels"]) for one in found["data"])
    rows = []
    for n in range(most):
        cells = []
        for one in found["data"]:
            sizes = one["images_by_number_of_labels"]
            count = sizes[n] if n < len(sizes) else 0
            cells.append(f"{count:,} ({100 * count / one['images']:.1f} %)")
        rows.append([str(n), *cells])
    _table(console, ["labels", *(one["name"] for one in found["data"])], rows)


def _pairs(console: "Console", pairs: Values) -> None:
    for key, heading in (("together", "more"), ("apart", "less")):
        rows = pairs[key]["strongest"][:MOST_PAIRS]
        if not rows:
            continue
        count = f"{pairs[key]['count']:,} of {pairs['tested']:,} pairs of {pairs['of']}"
        _heading(console, f"Together {heading} often than chance: {count} beyond doubt; the strongest:")
        _table(
            console,
            ["pair", "images", "by chance", "ratio", "log odds", "95 % interval"],
            [
                [
                    " + ".join(row["labels"]),
                    f"{row['both']:,}",
                    f"{row['expected']:,.1f}",
                    f"{row['lift']:.2f}",
                    f"{row['log_odds']:.2f}",
                    f"{row['low']:.2f} to {row['high']:.2f}",
                ]
                for row in rows
            ],
        )


def _implications(console: "Console", implied: Values) -> None:
    if implied["found"]:
        _heading(console, "Labels that may imply another (candidates for a file of implications)")
    for row in implied["found"][:MOST_PAIRS]:
        ways = ", and the other way round: two names for one thing?" if row["mutual"] else ""
        count = f"{row['both']:,} of {row['images']:,} images"
        least = f", at least {100 * row['share_at_least']:.1f} %"
        _say(console, f"{row['label']} -> {row['implies']}  ({count}{least}{ways})")


def _names(console: "Console", names: Sequence[Values]) -> None:
    if names:
        _heading(console, "Names that look odd (in brackets: images)")
    for row in names:
        shown = ", ".join(f"{one['label']!r} ({one['images']:,})" for one in row["names"][:6])
        more = ", …" if len(row["names"]) > 6 else ""
        both = f" Together on {row['both']:,} images." if "both" in row else ""
        _say(console, f"{row['kind']}: {shown}{more} {row['why']}{both}")


def _images(console: "Console", images: Values) -> None:
    if images["read"] and images["width"]:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in images["kinds"].items())
        _heading(console, "Image files")
        width, height = images["width"], images["height"]
        _say(
            console,
            f"{kinds}; width {width['min']} to {width['max']}, height {height['min']} to {height['max']} pixels",
        )
    reasons = Counter(one["reason"] for one in images["unreadable"])
    for reason, count in reasons.most_common():
        _heading(console, f"{count:,} unreadable: {reason}")
        ones = [one for one in images["unreadable"] if one["reason"] == reason]
        _files(console, ones)
    if blank := images.get("blank"):
        _heading(console, f"{len(blank):,} of one plain colour")
        _files(console, blank)


def _files(console: "Console", ones: Sequence[Values]) -> None:
    for one in ones[:MOST_FILES]:
        _say(console, f"  {one['split']}: {one['image']}")
    if len(ones) > MOST_FILES:
        _say(console, f"  … {len(ones) - MOST_FILES:,} more")


def _duplicates(console: "Console", copies: Values) -> None:
    if not copies["groups"]:
        return
    _heading(console, f"Copies: {copies['exact']:,} groups exact, {copies['near']:,} near")
    for row in copies["groups"][:MOST_FILES]:
        kind = (
            "one file"
            if row["one_file"]
            else "same bytes"
            if row["exact"]
            else f"alike {row['likeness']:.2f}"
        )
        across = ", in several splits" if row["across_splits"] else ""
        differ = f"; labels differ: {', '.join(row['labels_differ'])}" if row["labels_differ"] else ""
        mirrored = ", mirrored" if row["mirrored"] else ""
        _say(console, f"{kind}{mirrored}{across}{differ}")
        _files(console, row["images"])
    if len(copies["groups"]) > MOST_FILES:
        _say(console, f"… {len(copies['groups']) - MOST_FILES:,} more groups are in the JSON")
