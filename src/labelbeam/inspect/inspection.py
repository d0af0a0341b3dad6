"""An inspection of labelled data: plain values that the text, the JSON and the page all show; and the text.

Opens the data sets, lets the analyses look, and says in sentences what deserves a look. Trains nothing and
imports no torch.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.errors import InputError, printable
from labelbeam.formats.registry import FORMATS, open_dataset, parse_spec
from labelbeam.inspect.images import inspected_images, inspected_vectors
from labelbeam.inspect.labels import evidence_of, inspected_labels

if TYPE_CHECKING:
    from rich.console import Console


PAIRS = 200
"""Pairs of labels listed in each direction, at most."""


def open_splits(specs: Sequence[str], *, options: ReadOptions = DEFAULTS) -> dict[str, Dataset]:
    """Open the data sets of a report and name them.

    Image files that are missing are a finding here, not an error, unless the option `missing` was set.

    Args:
        specs: data set arguments; the first is the one that is described in detail.
        options: switches of the readers.

    Returns:
        The data sets by name: the part behind `#` where that tells them apart, else the whole argument.

    Raises:
        InputError: an argument given twice, or whatever the reader finds wrong.
    """
    if twice := sorted({spec for spec in specs if list(specs).count(spec) > 1}):
        raise InputError(f"{twice[0]} is given twice. Name each data set once.")
    parsed = [parse_spec(spec) for spec in specs]
    splits = [one.split for one in parsed]
    distinct = all(splits) and len(set(splits)) == len(splits)
    opened = {}
    for spec, one in zip(specs, parsed, strict=True):
        kept = options
        if "missing" in FORMATS[one.format].options and options.missing == DEFAULTS.missing:
            kept = replace(options, missing="report")
        opened[one.split if distinct else spec] = open_dataset(spec, options=kept)
    return opened


def inspect_data(splits: Mapping[str, Dataset], *, images: bool = True, pairs: int = PAIRS) -> dict[str, Any]:
    """Look through data sets.

    Args:
        splits: data sets by name, as `open_splits` gives them.
        images: open the image files too, to find unreadable ones and duplicates.
        pairs: pairs of labels listed in each direction, at most.

    Returns:
        Plain values, ready for JSON; `docs/inspect.md` explains them. `findings` are sentences, the gravest
        first.
    """
    found = inspected_labels(splits, most_pairs=pairs)
    if given := {name: one.features for name, one in splits.items() if one.features is not None}:
        if len(given) < len(splits):
            raise InputError(
                "some of the data are vectors, some pictures: there is nothing to compare. Name one kind."
            )
        found |= inspected_vectors(splits)
    else:
        found |= inspected_images(splits, read=images)
    return {"findings": _findings(found), **found}


def _findings(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what deserves a look, in sentences: `bad` spoils training or scores, `look` may be meant."""
    rows: list[tuple[int, str, str, str]] = []
    copies, images, implied = found["duplicates"], found["images"], found["implications"]
    for leak in copies["leaks"]:
        later, earlier, exact, near = leak["split"], leak["copies_in"], leak["exact"], leak["near"]
        is_in = f"Leakage: {_n(exact, 'image')} of {later} {'is' if exact == 1 else 'are'} in {earlier} too."
        alike = (
            f"{_n(near, 'image')} of {later} {'looks' if near == 1 else 'look'} the same as one of {earlier}"
        )
        rows += [(exact, "bad", "duplicates", is_in)]
        rows += [(near, "look", "duplicates", f"Possible leakage: {alike}.")]
    unreadable, constant = len(images["unreadable"]), images.get("vectors", {}).get("constant", 0)
    exact, near = copies["exact_with_different_labels"], copies["near_with_different_labels"]
    same = f"{_n(near, 'group')} of images that look the same {_have(near)} different labels."
    rows += [
        (unreadable, "bad", "images", f"{_n(unreadable, 'image file')} cannot be read."),
        (
            constant,
            "look",
            "images",
            f"{_n(constant, 'feature')} the same in every row: nothing to learn from.",
        ),
        (
            exact,
            "bad",
            "duplicates",
            f"{_n(exact, 'group')} of exact copies {_have(exact)} different labels.",
        ),
        (near, "look", "duplicates", same),
    ]
    for name, labels in found["labels_only_in"].items():
        only = f"{_n(len(labels), 'label')} only in {name}: {_some(labels)}."
        rows.append((len(labels), "look", "labels", only))
    within = copies["exact"] + copies["near"] - copies["across_splits"]
    blank, odd = len(images.get("blank", ())), len(found["names"])
    rows += [
        (within, "look", "duplicates", f"{_n(within, 'group')} of copies inside one split."),
        (blank, "look", "images", f"{_n(blank, 'picture')} of one plain colour."),
        (odd, "look", "names", f"{_n(odd, 'name')} or groups of names look odd."),
    ]
    for data in found["data"]:
        name, count = data["name"], len(data["images_without_labels"])
        share = f"{100 * count / data['images']:.1f} %"
        part = 100 * data["unknown"] / (data["images"] * data["labels"])
        of_all = f"{part:.2g} %" if part < 99.5 else "100 %"
        on = _n(data["images_with_unknown"], "image")
        rows += [
            (count, "look", "sizes", f"{_n(count, 'image')} of {name} without a label ({share})."),
            (len(data["maybe_incomplete"]), "look", "sizes", f"{name}: {data['maybe_incomplete']}"),
            (data["unknown"], "look", "labels", f"{of_all} of the labels of {name} are unknown, on {on}."),
        ]
    for labels, where in (
        (found["labels_with_one_image"], "one image only"),
        (found["labels_never_present"], "no image"),
    ):
        text = f"{_n(len(labels), 'label')} on {where}: {_some(labels)}."
        rows.append((len(labels), "look", "labels", text))
    both, one_way = implied["mutual_pairs"], implied["count"]
    may = f"In {_n(one_way, 'ordered pair')} of labels the first may imply the second."
    rows += [
        (both, "look", "implications", f"{_n(both, 'pair')} of labels (nearly) always occur together."),
        (one_way, "look", "implications", may),
    ]
    findings = [
        {"weight": weight, "section": section, "text": text} for count, weight, section, text in rows if count
    ]
    return sorted(findings, key=lambda one: one["weight"])  # "bad" before "look", else in this order


def _n(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (", …" if len(labels) > 5 else "")


MOST_LABELS = 40
MOST_PAIRS = 10
MOST_FILES = 10
NONE_WITHOUT = (
    "no image without a label (if some to come show none, tag finds out, or --nothing 0.2 says how many)"
)

Values = Mapping[str, Any]


def show_inspection(found: Values) -> None:
    """Print an inspection."""
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    for one in found["data"]:
        count = len(one["images_without_labels"])
        bare = f"{_n(count, 'image')} without a label" if count else NONE_WITHOUT
        _say(
            console,
            f"{one['name']}: {one['images']:,} images, {one['labels']:,} labels, {one['mean_labels']:.2f} labels "
            f"per image; {bare}",
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
    _rules(console, found["rules"])
    _names(console, found["names"])
    _images(console, found["images"])
    _duplicates(console, found["duplicates"])


def _say(console: "Console", text: str) -> None:
    console.print(printable(text), soft_wrap=True, markup=False, emoji=False)


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
        table.add_row(*(Text(printable(cell)) for cell in row))
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


def _rules(console: "Console", learned: Values) -> None:
    if learned["found"]:
        _heading(console, "Rules that no image breaks (--write-rules FILE writes them all)")
    for row in learned["found"][:MOST_PAIRS]:
        _say(console, f"{row['rule']}  ({evidence_of(row)})")


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
