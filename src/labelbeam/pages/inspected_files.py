"""Image files and copies on the page of an inspection, with thumbnails of the copies."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from labelbeam.data.dataset import Dataset
from labelbeam.data.images import UnreadableImage
from labelbeam.pages.charts import Series, columns
from labelbeam.pages.thumbnail import embedded_thumbnail
from labelbeam.pages.wording import quiet, spread

MOST_GROUPS, MOST_COPIES, MOST_ROWS = 30, 6, 50

Values = Mapping[str, Any]


def images_part(found: Values) -> str:
    """Return sizes, unreadable files and blank pictures."""
    images = found["images"]
    body = ""
    if images["read"] and images["width"]:
        bins = list(images["longer_side"])
        while bins and not bins[-1]["images"]:
            bins.pop()
        while bins and not bins[0]["images"]:
            bins.pop(0)
        total = sum(one["images"] for one in bins)
        names = [f"{one['from']}+" for one in bins]
        shares = tuple(one["images"] / total for one in bins)
        hints = tuple(
            f"{one['images']:,} images, longer side {one['from']} px or more"
            + (f", below {one['below']}" if one["below"] else "")
            for one in bins
        )
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in images["kinds"].items())
        size = images["bytes"]
        body += quiet(
            f"{images['files']:,} files: {kinds}. Width {spread(images['width'])} px, height "
            f"{spread(images['height'])} px, {size['median'] / 1024:,.0f} KB at the median."
            + (" Longer side, pixels:" if len(bins) > 1 else "")
        )
        if len(bins) > 1:
            body += columns(
                names, [Series("images", shares, hints)], title="share of images by their longer side"
            )
    elif not images["read"]:
        body += quiet(f"{images['files']:,} files, not opened (--no-images).")
    by_reason: dict[str, list[Values]] = defaultdict(list)
    for one in images["unreadable"]:
        by_reason[one["reason"]].append(one)
    for reason, ones in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        body += _file_list(f"{len(ones):,} unreadable: {reason}", ones, kind="bad")
    if blank := images.get("blank"):
        body += _file_list(f"{len(blank):,} of one plain colour", blank, kind="")
    return body


def _file_list(heading: str, ones: Sequence[Values], *, kind: str) -> str:
    items = "".join(
        f"<li>{escape(one['image'])} <small>{escape(one['split'])}</small></li>" for one in ones[:MOST_ROWS]
    )
    more = f"<li>… {len(ones) - MOST_ROWS:,} more</li>" if len(ones) > MOST_ROWS else ""
    opened = " open" if len(ones) <= 10 else ""
    summary = f'<summary class="{kind}">{escape(heading)}</summary>'
    return f'<details{opened}>{summary}<ul class="files">{items}{more}</ul></details>'


def copies_part(found: Values, splits: Mapping[str, Dataset]) -> str:
    """Return the groups of copies as cards with thumbnails."""
    copies = found["duplicates"]
    if not copies["groups"]:
        return '<p class="good">No copies were found.</p>' if found["images"]["read"] else ""
    shown = copies["groups"][:MOST_GROUPS]
    told = (
        f"{copies['exact']:,} groups of the same bytes and {copies['near']:,} of pictures that look the same (scaled, "
        f"saved again, mirrored, slightly cropped); {copies['across_splits']:,} in several splits, "
        f"{copies['exact_with_different_labels'] + copies['near_with_different_labels']:,} with different labels."
    )
    if len(shown) < len(copies["groups"]):
        told += f" The first {len(shown)} are shown."
    return quiet(told) + '<div class="groups">' + "".join(_group(row, splits) for row in shown) + "</div>"


def _group(row: Values, splits: Mapping[str, Dataset]) -> str:
    badges = (
        "<b>one file</b>" if row["one_file"] else "<b>same bytes</b>" if row["exact"] else "<b>look alike</b>"
    )
    if row["mirrored"]:
        badges += "<b>mirrored</b>"
    if row["across_splits"]:
        badges += '<b class="bad">in several splits</b>'
    if row["labels_differ"]:
        badges += '<b class="bad">different labels</b>'
    copies = "".join(_copy(one, row["labels_differ"], splits) for one in row["images"][:MOST_COPIES])
    left = len(row["images"]) - MOST_COPIES
    more = f'<p class="quiet">and {left:,} more</p>' if left > 0 else ""
    return f'<div class="card group"><p class="badges">{badges}</p><div class="copies">{copies}</div>{more}</div>'


def _copy(one: Values, differ: Sequence[str], splits: Mapping[str, Dataset]) -> str:
    try:
        address = embedded_thumbnail(splits[one["split"]].root / one["image"], side=200)
        picture = f'<img src="{address}" alt="" loading="lazy">'
    except UnreadableImage as error:
        picture = f'<p class="bad">{escape(error.reason)}</p>'
    labels = ", ".join(
        f'<span class="bad">{escape(label)}</span>' if label in differ else escape(label)
        for label in one["labels"]
    )
    name = one["image"].rpartition("/")[2]
    return (
        f'<figure>{picture}<figcaption><b title="{escape(one["image"])}">{escape(name)}</b>'
        f"<small>{escape(one['split'])}</small><span>{labels or 'no label'}</span></figcaption></figure>"
    )
