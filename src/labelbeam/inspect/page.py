"""The page of an inspection: findings, charts of labels and pairs, copies with their pictures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from labelbeam.charts.charts import Series, bar, columns, curve, interval, legend, matrix
from labelbeam.charts.page import embedded_thumbnail, page, percent, quiet, spread, table, times
from labelbeam.data.dataset import Dataset
from labelbeam.data.images import UnreadableImage

# The style of the page of an inspection, beside the one of every page.

STYLE = """
h1 { letter-spacing: -.01em; } h2 { border-top: 1px solid var(--line); padding-top: 1.6rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; } section p.quiet { font-size: .9rem; }
code { font-size: .85em; overflow-wrap: anywhere; color: var(--quiet); }
ul.specs { list-style: none; margin: 0 0 1.2rem; padding: 0; } ul.specs b { margin-right: .3rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .7rem; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem; }
.tiles b { display: block; font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--quiet); font-size: .82rem; }
ul.findings { list-style: none; padding: 0; display: grid; gap: .45rem; max-width: 52rem; }
ul.findings li { background: var(--card); border: 1px solid var(--line); border-left: .3rem solid var(--second);
  border-radius: .4rem; } ul.findings li.bad { border-left-color: var(--bad); }
ul.findings a { display: block; padding: .5rem .8rem; color: inherit; text-decoration: none; overflow-wrap: anywhere; }
ul.findings a:hover { background: var(--rail); }
svg text { font-size: 12px; fill: var(--ink); }
svg text.quiet { fill: var(--quiet); } svg .axis { stroke: var(--line); stroke-width: 1; }
.s0 { fill: var(--bar); background: var(--bar); } .s1 { fill: var(--second); background: var(--second); }
.s2 { fill: var(--third); background: var(--third); } .s3 { fill: var(--fourth); background: var(--fourth); }
.rail { fill: var(--rail); } .faint { fill: color-mix(in srgb, var(--bar) 35%, transparent); }
.curve .line { fill: none; stroke: var(--bar); stroke-width: 2; vector-effect: non-scaling-stroke; }
.curve { border-bottom: 1px solid var(--line); } .curve .axis { vector-effect: non-scaling-stroke; }
svg.columns { max-width: 46rem; display: block; } svg { overflow: visible; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .85rem; margin: .4rem 0; max-width: none; }
.key { display: inline-block; width: .75rem; height: .75rem; border-radius: .2rem; margin-right: .4rem; }
.key.together { background: var(--together); } .key.apart { background: var(--apart); }
.bars { columns: 2 22rem; column-gap: 2.5rem; font-size: .875rem; }
.bars > div { display: grid; grid-template-columns: 8.5rem 1fr 4rem; align-items: center; gap: .6rem;
  break-inside: avoid; padding: .1rem 0; }
.bars span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bars b { text-align: right; font-weight: 400; color: var(--quiet); font-variant-numeric: tabular-nums; }
.forest { font-size: .875rem; margin: 1rem 0 1.6rem; max-width: 56rem; }
.forest > div { display: grid; grid-template-columns: minmax(9rem, 16rem) 1fr 4.2rem 4.6rem 4rem; gap: .7rem;
  align-items: center; padding: .28rem 0; border-bottom: 1px solid var(--line); }
.forest .head { color: var(--quiet); font-size: .8rem; } .forest .head span:first-child { color: var(--ink);
  font-weight: 650; font-size: 1rem; } .forest .scale { display: flex;
  justify-content: space-between; }
.forest span { overflow-wrap: anywhere; } .forest i { font-style: normal; }
.forest b, .forest em, .forest .head span:nth-child(n+3) { text-align: right; font-style: normal;
  font-variant-numeric: tabular-nums; } .forest em { color: var(--quiet); }
.interval .span { stroke-width: 2.5; stroke-linecap: round; } .interval .axis { stroke: var(--quiet); opacity: .6; }
.interval.together .span { stroke: var(--together); } .interval.apart .span { stroke: var(--apart); }
.interval.together circle { fill: var(--together); } .interval.apart circle { fill: var(--apart); }
.matrix .together { fill: var(--together); } .matrix .apart { fill: var(--apart); } .matrix .none { fill: var(--rail); }
.words td { white-space: normal; text-align: left; vertical-align: top; min-width: 6rem; }
.words th { text-align: left; }
details { margin: .6rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
ul.files { columns: 2 16rem; font-size: .85rem; } ul.files li { overflow-wrap: anywhere; }
small { color: var(--quiet); }
.groups { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: 1rem; }
.group { padding: .7rem .8rem; } .group > div { padding: 0; }
.badges { display: flex; flex-wrap: wrap; gap: .4rem; margin: 0 0 .6rem; font-size: .75rem; }
.badges b { font-weight: 600; border: 1px solid currentcolor; border-radius: 1rem; padding: .02rem .6rem; }
.copies { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); gap: .7rem; }
figure { margin: 0; } figure img { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; background: var(--rail);
  border-radius: .35rem; display: block; }
figcaption { display: grid; margin-top: .35rem; font-size: .78rem; line-height: 1.35; }
figcaption b, figcaption span { overflow-wrap: anywhere; font-weight: 400; } figcaption b { font-weight: 600; }
@media (max-width: 40rem) { body { padding: 1.2rem 1rem 3rem; } th, td { padding: .3rem .5rem; font-size: .85rem; }
  .bars > div { grid-template-columns: 7rem 1fr 3.4rem; }
  .forest > div { grid-template-columns: 1fr 3.2rem 3.6rem 3rem; gap: .1rem .5rem; }
  .forest > div > svg { grid-row: 2; grid-column: 1 / -1; } .forest .head span:nth-child(2) { display: none; } }
"""

# Image files and copies on the page of an inspection, with thumbnails of the copies.

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
    elif "vectors" in images:
        body += quiet(vectors_told(images))
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


def vectors_told(images: Values) -> str:
    """Return what vectors in place of images are, in a sentence."""
    given = images["vectors"]
    kind = f" ({given['kind']})" if given["kind"] else ""
    return f"{images['files']:,} rows of {given['number']:,} features{kind} in {given['dtype']}, no pictures."


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


# Pairs, implications and odd names on the page of an inspection.

MOST_PAIRS, MOST_PAIRS = 15, 50
REACH = 8.0
"""Log odds at which an axis ends at the latest, and a colour is full at half of it."""


def pairs_part(found: Values) -> str:
    """Return the tables and the matrix of pairs."""
    pairs = found["pairs"]
    if not pairs["tested"]:
        return quiet("There is no pair of labels that could occur together.")
    left_out = f" The {pairs['labels_left_out']:,} rarest are left out." if pairs["labels_left_out"] else ""
    told = (
        f"Of {pairs['tested']:,} pairs in {pairs['of']}, {pairs['together']['count']:,} occur together more often "
        f"and {pairs['apart']['count']:,} less often than chance, beyond doubt ({pairs['method']}, 5 %). A pair is "
        f"counted over the images where both labels are known.{left_out}"
    )
    return (
        quiet(told)
        + _forest(pairs["together"]["strongest"][:MOST_PAIRS], "Together")
        + _forest(pairs["apart"]["strongest"][:MOST_PAIRS], "Apart")
        + _matrix(pairs["matrix"])
    )


def _forest(rows: Sequence[Values], heading: str) -> str:
    if not rows:
        return ""
    reach = min(REACH, max(1.0, *(abs(end) for row in rows for end in (row["low"], row["high"]))))
    lines = []
    for row in rows:
        a, b = row["labels"]
        hint = (
            f"{a} on {row['images'][0]:,} and {b} on {row['images'][1]:,} of {row['known']:,} images: together on "
            f"{row['both']:,}, by chance {row['expected']:,.1f}; log odds {row['log_odds']:.2f} "
            f"({row['low']:.2f} to {row['high']:.2f})"
        )
        picture = interval(row["low"], row["log_odds"], row["high"], reach=reach, hint=hint)
        lines.append(
            f'<div><span>{escape(a)} <i class="quiet">+</i> {escape(b)}</span>{picture}'
            f"<b>{row['both']:,}</b><em>{row['expected']:,.1f}</em><em>{times(row['lift'])}</em></div>"
        )
    head = (
        f'<div class="head"><span>{heading}</span><span class="scale"><i>−{reach:.1f}</i><i>log odds</i>'
        f"<i>+{reach:.1f}</i></span><span>images</span><span>chance</span><span>ratio</span></div>"
    )
    return f'<div class="forest">{head}{"".join(lines)}</div>'


def _matrix(cells: Values) -> str:
    names, values, both = cells["labels"], cells["beyond_chance"], cells["both"]
    if len(names) < 3:
        return ""
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
    reach = min(reach, REACH / 2)
    key = (
        '<p class="legend"><span><i class="key together"></i>more often than chance</span>'
        '<span><i class="key apart"></i>less often</span></p>'
    )
    heading = f"<h3>The {len(names)} most frequent labels</h3>"
    told = quiet(
        "The colour is the end of the 95 % interval of the log odds that is nearest to chance; an empty cell is "
        "one that chance explains. Labels that go together stand side by side."
    )
    return heading + told + key + matrix(names, values, hints, reach=reach)


def implications_part(found: Values) -> str:
    """Return the candidates for implications; empty where there is none."""
    rows = found["implications"]["found"]
    if not rows:
        return ""
    told = (
        f"Where the first is, the second is in at least {percent(found['implications']['share'])} of the images, "
        "and more often than chance. Candidates for a file of implications; both ways: two names for one thing?"
    )
    lines = [
        [
            f"{row['label']} → {row['implies']}" + (" (both ways)" if row["mutual"] else ""),
            f"{row['both']:,} of {row['images']:,}",
            percent(row["share"]),
            f"≥ {percent(row['share_at_least'])}",
        ]
        for row in rows[:MOST_PAIRS]
    ]
    return quiet(told) + table(["", "images", "share", "at least (95 %)"], lines)


def names_part(found: Values) -> str:
    """Return the names that look odd; empty where there is none."""
    if not found["names"]:
        return ""
    lines = [
        [
            ", ".join(_visible(one["label"]) + f" ({one['images']:,})" for one in row["names"][:6])
            + (", …" if len(row["names"]) > 6 else ""),
            row["kind"],
            row["why"] + (f" Together on {row['both']:,} images." if "both" in row else ""),
        ]
        for row in found["names"][:MOST_PAIRS]
    ]
    told = (
        "In brackets: images of all splits. Only what names themselves show; couch and sofa share no letters."
    )
    return f'<div class="words">{quiet(told)}{table(["names", "kind", "why"], lines)}</div>'


def _visible(name: str) -> str:
    """Return a name with its unseen characters spelt out."""
    return "".join(
        letter if letter.isprintable() else f"[U+{ord(letter):04X}]"
        for letter in name.replace("  ", " [blank]")
    )


# The page of an inspection: findings, charts of labels and pairs, copies with their pictures.
#
# Shows the plain values that `inspect.inspection` makes (the same that the JSON holds) and, for copies,
# thumbnails. Computes nothing but shares.

MOST_BARS, RAREST = 60, 20


def inspection_page(found: Values, splits: Mapping[str, Dataset]) -> str:
    """Return the page as one HTML document without network, script or outside file.

    Args:
        found: what `inspect.inspection.inspect_data` gives.
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
