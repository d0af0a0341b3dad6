"""Pairs, implications and odd names on the page of an inspection."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from labelbeam.pages.charts import interval, matrix
from labelbeam.pages.page import table
from labelbeam.pages.wording import percent, quiet, times

MOST_PAIRS, MOST_ROWS = 15, 50
REACH = 8.0
"""Log odds at which an axis ends at the latest, and a colour is full at half of it."""

Values = Mapping[str, Any]


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
        for row in rows[:MOST_ROWS]
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
        for row in found["names"][:MOST_ROWS]
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
