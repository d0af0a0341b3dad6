"""The page of an inspection: findings, charts of labels and pairs, copies with their pictures.

Shows the plain values that `joints.inspection` makes (the same that the JSON holds) and, for copies, thumbnails.
Computes nothing but shares.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from labelbeam.data.dataset import Dataset
from labelbeam.pages.charts import Series, bar, columns, curve, legend
from labelbeam.pages.inspected_files import copies_part, images_part
from labelbeam.pages.inspected_pairs import implications_part, names_part, pairs_part
from labelbeam.pages.inspection_style import STYLE
from labelbeam.pages.page import page, table
from labelbeam.pages.wording import percent, quiet

MOST_BARS, RAREST = 60, 20

Values = Mapping[str, Any]


def inspection_page(found: Values, splits: Mapping[str, Dataset]) -> str:
    """Return the page as one HTML document without network, script or outside file.

    Args:
        found: what `joints.inspection.inspect_data` gives.
        splits: the data sets, for the thumbnails of copies.
    """
    parts = [
        f"<style>{STYLE}</style>",
        _head(found),
        _findings(found),
        _section("labels", "Labels", _labels(found)),
        _section("sizes", "Labels per image", _sizes(found)),
        _section("pairs", "Labels that go together, and labels that do not", pairs_part(found)),
        _section("implications", "Labels that may imply another", implications_part(found)),
        _section("names", "Names that look odd", names_part(found)),
        _section("images", "Image files", images_part(found)),
        _section("duplicates", "Copies", copies_part(found, splits)),
        _section("notes", "What the readers said", _notes(found)),
    ]
    return page("What is in the data", "\n".join(part for part in parts if part))


def _section(name: str, heading: str, body: str) -> str:
    return f'<section id="{name}"><h2>{escape(heading)}</h2>\n{body}</section>' if body else ""


def _head(found: Values) -> str:
    main = found["data"][0]
    copies = found["duplicates"]["exact"] + found["duplicates"]["near"]
    cells = main["images"] * main["labels"]
    tiles = [
        (f"{main['images']:,}", "images"),
        (f"{main['labels']:,}", "labels"),
        (f"{main['mean_labels']:.2f}", "labels per image"),
        (percent(main["unknown"] / cells), "of labels unknown"),
        (f"{len(main['images_without_labels']):,}", "images without a label"),
    ]
    if found["images"]["read"]:
        tiles += [
            (f"{len(found['images']['unreadable']):,}", "unreadable files"),
            (f"{copies:,}", "groups of copies"),
        ]
    specs = "".join(
        f"<li><b>{escape(one['name'])}</b> <code>{escape(one['spec'])}</code>, {one['images']:,} images</li>"
        for one in found["data"]
    )
    boxes = "".join(f"<div><b>{number}</b><span>{text}</span></div>" for number, text in tiles)
    return f'<ul class="specs">{specs}</ul><div class="tiles">{boxes}</div>'


def _findings(found: Values) -> str:
    if not found["findings"]:
        return '<p class="good">Nothing was found that needs a look.</p>'
    items = "".join(
        f'<li class="{escape(one["weight"])}"><a href="#{escape(one["section"])}">{escape(one["text"])}</a></li>'
        for one in found["findings"]
    )
    return f'<h2>What deserves a look</h2><ul class="findings">{items}</ul>'


def _labels(found: Values) -> str:
    splits, main = [one["name"] for one in found["data"]], found["data"][0]
    rows: Sequence[Values] = found["labels"]
    scale = max((_share(row["splits"][name]) for row in rows for name in splits), default=0.0) or 1.0
    told = (
        "Each bar is the share of images that have the label, the longest being "
        f"{percent(scale)}; the number is how many images of {main['name']} that is. "
        + ("A pale end is images of which nobody knows." if main["unknown"] else "")
    )
    all_fit = len(rows) <= MOST_BARS + RAREST
    shown = [_label_row(row, splits, scale) for row in (rows if all_fit else rows[:MOST_BARS])]
    more = ""
    if not all_fit:
        rest = rows[-RAREST:]
        more = f'<h3>The {len(rest)} rarest</h3><div class="bars">' + "".join(
            _label_row(row, splits, scale) for row in rest
        )
        more += "</div><h3>All labels by rank, logarithmic</h3>" + curve(
            [row["images"] for row in rows], title="images per label, by rank"
        )
        more += quiet(
            f"From the most frequent label (left) to the last that has an image, of {len(rows):,}; "
            "images of all splits."
        )
    key = legend([splits[0], *(f"{name} (stroke)" for name in splits[1:4])])
    return f'{quiet(told)}{key}<div class="bars">{"".join(shown)}</div>{more}'


def _label_row(row: Values, splits: Sequence[str], scale: float) -> str:
    first = row["splits"][splits[0]]
    unknown = 0.0 if first is None else first["unknown"] / max(_images_in(first), 1)
    told = "; ".join(
        f"{name}: not in its vocabulary"
        if row["splits"][name] is None
        else f"{name}: {row['splits'][name]['present']:,} have it ({percent(_share(row['splits'][name]))}), "
        f"{row['splits'][name]['unknown']:,} unknown"
        for name in splits
    )
    picture = bar(
        _share(first) / scale,
        unknown=unknown / scale,
        marks=[_share(row["splits"][name]) / scale for name in splits[1:4]],
        hint=f"{row['label']} – {told}",
    )
    count = "–" if first is None else f"{first['present']:,}"
    return f'<div><span title="{escape(row["label"])}">{escape(row["label"])}</span>{picture}<b>{count}</b></div>'


def _images_in(counts: Values) -> int:
    return int(counts["present"] + counts["absent"] + counts["unknown"])


def _share(counts: Values | None) -> float:
    return 0.0 if counts is None else counts["present"] / max(_images_in(counts), 1)


def _sizes(found: Values) -> str:
    most = max(len(one["images_by_number_of_labels"]) for one in found["data"])
    series = []
    for one in found["data"][:4]:
        sizes = one["images_by_number_of_labels"]
        shares = tuple(count / one["images"] for count in sizes)
        hints = tuple(
            f"{one['name']}: {count:,} images with {n} labels ({percent(share)})"
            for n, (count, share) in enumerate(zip(sizes, shares, strict=True))
        )
        series.append(Series(one["name"], shares, hints))
    chart = columns([str(n) for n in range(most)], series, title="share of images by their number of labels")
    heads = ["", "images", "labels per image", "without a label", "with unknown labels"]
    rows = [
        [
            one["name"],
            f"{one['images']:,}",
            f"{one['mean_labels']:.2f}",
            f"{len(one['images_without_labels']):,}",
            f"{one['images_with_unknown']:,}",
        ]
        for one in found["data"]
    ]
    return chart + table(heads, rows)


def _notes(found: Values) -> str:
    items = []
    for one in found["data"]:
        chosen = ", ".join(f"{key}: {value}" for key, value in one["protocol"].items())
        items += [f"<li><b>{escape(one['name'])}</b> {escape(note)}</li>" for note in one["notes"]]
        if chosen:
            items.append(f"<li><b>{escape(one['name'])}</b> {escape(chosen)}</li>")
    return f"<ul>{''.join(items)}</ul>" if items else ""
