"""The page of an inspection: findings, charts of labels and pairs, copies with their pictures.

The template shows the plain values of `inspect.inspection` (the same that the JSON holds); here are its charts and
the thumbnails of copies.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from labelbeam.charts.charts import Series, bar, columns, curve, interval, legend, matrix
from labelbeam.charts.page import percent, render, shown_file
from labelbeam.data.dataset import Dataset

MOST_BARS, RAREST = 60, 20
MOST_PAIRS, MOST_ROWS, MOST_GROUPS, MOST_COPIES = 15, 50, 30, 6
REACH = 8.0
"""Log odds at which an axis ends at the latest, and a colour is full at half of it."""

Values = Mapping[str, Any]


def inspection_page(found: Values, splits: Mapping[str, Dataset]) -> str:
    """Return the page as one HTML document without network, script or outside file."""
    images, pairs = found["images"], found["pairs"]
    return render(
        "inspect/page.html.jinja",
        found=found,
        main=found["data"][0],
        numbers=_numbers(found),
        labels=_labels(found),
        sizes=_sizes(found),
        together=_forest(pairs["together"]["strongest"]) if pairs["tested"] else None,
        apart=_forest(pairs["apart"]["strongest"]) if pairs["tested"] else None,
        matrix=_matrix(pairs["matrix"]) if pairs["tested"] else None,
        longer_sides=_longer_sides(images),
        vectors=describe_vectors(images) if "vectors" in images else "",
        unreadable=_by_reason(images["unreadable"]),
        groups=[(row, _copies(row, splits)) for row in found["duplicates"]["groups"][:MOST_GROUPS]],
        most_rows=MOST_ROWS,
        visible=_visible,
    )


def describe_vectors(images: Values) -> str:
    """Return what vectors in place of images are, in a sentence."""
    given = images["vectors"]
    kind = f" ({given['kind']})" if given["kind"] else ""
    return f"{images['files']:,} rows of {given['number']:,} features{kind} in {given['dtype']}, no pictures."


def _numbers(found: Values) -> list[tuple[str, str]]:
    main, copies = found["data"][0], found["duplicates"]
    numbers = [
        (f"{main['images']:,}", "images"),
        (f"{main['labels']:,}", "labels"),
        (f"{main['mean_labels']:.2f}", "labels per image"),
        (percent(main["unknown"] / (main["images"] * main["labels"])), "of labels unknown"),
        (f"{len(main['images_without_labels']):,}", "images without a label"),
    ]
    if found["images"]["read"]:
        numbers += [
            (f"{len(found['images']['unreadable']):,}", "unreadable files"),
            (f"{copies['exact'] + copies['near']:,}", "groups of copies"),
        ]
    return numbers


def _labels(found: Values) -> dict[str, Any]:
    """Return the labels' rows with their bars; the rarest apart where not all of them are shown."""
    splits, rows = [one["name"] for one in found["data"]], found["labels"]
    scale = max((_share(row["splits"][name]) for row in rows for name in splits), default=0.0) or 1.0
    drawn = [(row, _label_bar(row, splits, scale)) for row in rows[:MOST_BARS]]
    rest = rows[MOST_BARS:] if len(rows) <= MOST_BARS + RAREST else rows[-RAREST:]
    drawn_rest = [(row, _label_bar(row, splits, scale)) for row in rest]
    all_fit = len(rows) <= MOST_BARS + RAREST
    return {
        "scale": scale,
        "legend": legend([splits[0], *(f"{name} (stroke)" for name in splits[1:4])]),
        "shown": drawn + drawn_rest if all_fit else drawn,
        "rest": [] if all_fit else drawn_rest,
        "curve": "" if all_fit else curve([row["images"] for row in rows], title="images per label, by rank"),
    }


def _label_bar(row: Values, splits: Sequence[str], scale: float) -> Markup:
    first = row["splits"][splits[0]]
    counts = "; ".join(
        f"{name}: not in its vocabulary"
        if row["splits"][name] is None
        else f"{name}: {row['splits'][name]['present']:,} have it ({percent(_share(row['splits'][name]))}), "
        f"{row['splits'][name]['unknown']:,} unknown"
        for name in splits
    )
    return bar(
        _share(first) / scale,
        unknown=(0.0 if first is None else first["unknown"] / max(_images_in(first), 1)) / scale,
        marks=[_share(row["splits"][name]) / scale for name in splits[1:4]],
        hint=f"{row['label']} – {counts}",
    )


def _images_in(counts: Values) -> int:
    return int(counts["present"] + counts["absent"] + counts["unknown"])


def _share(counts: Values | None) -> float:
    return 0.0 if counts is None else counts["present"] / max(_images_in(counts), 1)


def _sizes(found: Values) -> Markup:
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
    return columns([str(n) for n in range(most)], series, title="share of images by their number of labels")


def _forest(rows: Sequence[Values]) -> dict[str, Any]:
    """Return the strongest pairs with their intervals, all on one axis."""
    rows = rows[:MOST_PAIRS]
    reach = min(REACH, max(1.0, *(abs(row[end]) for row in rows for end in ("low", "high")))) if rows else 1.0
    drawn = []
    for row in rows:
        a, b = row["labels"]
        hint = (
            f"{a} on {row['images'][0]:,} and {b} on {row['images'][1]:,} of {row['known']:,} images: together on "
            f"{row['both']:,}, by chance {row['expected']:,.1f}; log odds {row['log_odds']:.2f} "
            f"({row['low']:.2f} to {row['high']:.2f})"
        )
        drawn.append((row, interval(row["low"], row["log_odds"], row["high"], reach=reach, hint=hint)))
    return {"reach": reach, "rows": drawn}


def _matrix(cells: Values) -> Markup | None:
    names, values, both = cells["labels"], cells["beyond_chance"], cells["both"]
    if len(names) < 3:
        return None
    hints = [
        [
            names[i]
            if i == j
            else f"{names[i]} + {names[j]}: not tested"
            if value is None
            else f"{names[i]} + {names[j]}: on {both[i][j]:,} images, log odds {cells['log_odds'][i][j]:.2f}"
            + (f", beyond chance by {abs(value):.2f}" if value else "")
            for j, value in enumerate(row)
        ]
        for i, row in enumerate(values)
    ]
    reach = max((abs(value) for row in values for value in row if value is not None), default=0.0) or 1.0
    return matrix(names, values, hints, reach=min(reach, REACH / 2))


def _longer_sides(images: Values) -> Markup:
    """Return the share of images by their longer side; empty where all are of one size."""
    bins = list(images["longer_side"]) if images["read"] and images["width"] else []
    while bins and not bins[-1]["images"]:
        bins.pop()
    while bins and not bins[0]["images"]:
        bins.pop(0)
    if len(bins) < 2:
        return Markup()
    total = sum(one["images"] for one in bins)
    hints = tuple(
        f"{one['images']:,} images, longer side {one['from']} px or more"
        + (f", below {one['below']}" if one["below"] else "")
        for one in bins
    )
    shares = Series("images", tuple(one["images"] / total for one in bins), hints)
    return columns(
        [f"{one['from']}+" for one in bins], [shares], title="share of images by their longer side"
    )


def _by_reason(unreadable: Sequence[Values]) -> list[tuple[str, list[Values]]]:
    by_reason: dict[str, list[Values]] = defaultdict(list)
    for one in unreadable:
        by_reason[one["reason"]].append(one)
    return sorted(by_reason.items(), key=lambda item: -len(item[1]))


def _copies(row: Values, splits: Mapping[str, Dataset]) -> list[dict[str, Any]]:
    """Return the first copies of a group with their thumbnails."""
    return [
        {**one, "shown": shown_file(splits[one["split"]].root / one["image"], side=200)}
        for one in row["images"][:MOST_COPIES]
    ]


def _visible(name: str) -> str:
    """Return a name with its unseen characters spelt out."""
    shown = name.replace("  ", " [blank]")
    return "".join(letter if letter.isprintable() else f"[U+{ord(letter):04X}]" for letter in shown)
