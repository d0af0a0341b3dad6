"""The values of a reproduction as tables: the paper's line, ours below it, intervals below ours, the protocol last.

One set of tables for the terminal and the page. Lays out; computes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from labelbeam.charts.charts import Mark, Row, interval, interval_rows
from labelbeam.charts.page import render
from labelbeam.decoding.likelihood import MOST_ORDERED
from labelbeam.errors import printable
from labelbeam.files import written_whole
from labelbeam.paper.measures import RANKED
from labelbeam.paper.paper_tables import OF_DECISIONS
from labelbeam.paper.result import protocol_title

Values = Mapping[str, Any]

NATS = "log_likelihood"
AS_IS = ("mean_labels_predicted", NATS)
AP_RULES = {"mAP_voc11": "11 points", "mAP_area": "area", "mAP_voc10": "area, interpolated (VOC 2010)"}

WORDS = {
    **{"CP": "C-P", "CR": "C-R", "CF1": "C-F1", "OP": "O-P", "OR": "O-R", "OF1": "O-F1", "MAP@10": "MAP@10"},
    **{"mAP_area": "mAP", "mAP_voc11": "mAP, 11 points", "mAP_voc10": "mAP, VOC 2010"},
    **{"subset_accuracy": "sets right", "mean_labels_predicted": "labels", NATS: "log-lik."},
    "CF1_mean_of_classes": "mean class F1",
}


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
    """A table and the remarks below it.

    Attributes:
        headings: of the columns; the first is of the names.
        below: sentences: the protocol first.
        wide: whether it is too wide for a terminal.
    """

    title: str
    headings: tuple[str, ...]
    lines: tuple[Line, ...]
    below: tuple[str, ...]
    wide: bool = False


def tables_of(values: Values) -> list[SideBySide]:
    """Return every table of a reproduction, the paper's own first.

    Args:
        values: as `result.reproduce` returns them.
    """
    if values["k"] is None:
        tables = [*(_average_precision(values, view) for view in _views(values)), _per_class(values)]
    else:
        tables = [_exact_k(values, view) for view in _views(values)]
    for protocol in ("path-up-to-k", "path-k", "top-k-and-threshold"):
        if f"{protocol} | {values['main_view']}" in values["measured"]:
            tables.append(
                _sets(
                    values,
                    protocol,
                    (*OF_DECISIONS, "mean_labels_predicted"),
                    paper=protocol != "top-k-and-threshold",
                )
            )
    for protocol, numbers in (
        ("path", ("subset_accuracy", "OF1", "CF1", "mean_labels_predicted", NATS)),
        ("tuned-sets", ("subset_accuracy", "OF1", "CF1", "mean_labels_predicted")),
        ("tuned-of1", ("subset_accuracy", "OF1", "CF1", "mean_labels_predicted")),
    ):
        if f"{protocol} | {values['main_view']}" in values["measured"]:
            tables.append(_sets(values, protocol, numbers, paper=False))
    return tables


def _views(values: Values) -> list[str]:
    return [block["view"] for block in values["protocols"].values() if block["protocol"] == RANKED]


def _exact_k(values: Values, view: str) -> SideBySide:
    key, k = f"{RANKED} | {view}", values["k"]
    numbers = (*OF_DECISIONS, "MAP@10", "mAP_area", "CF1_mean_of_classes")
    block = values["protocols"][key]
    title = f"{values['title']}: {protocol_title(RANKED, k)}, {view}"
    below = [_protocol(block), _ceiling(block), *_paper_remarks(values)]
    return SideBySide(
        title, ("percent", *(WORDS[name] for name in numbers)), _lines(values, key, numbers), tuple(below)
    )


def _sets(values: Values, protocol: str, numbers: Sequence[str], *, paper: bool) -> SideBySide:
    key = f"{protocol} | {values['main_view']}"
    block = values["protocols"][key]
    title = f"{values['title']}: {protocol_title(protocol, values['k'])}"
    below = [_protocol(block)]
    if protocol.startswith("path-"):
        below += [
            "By beam search of width 10. Only models that predict labels one after the other have such paths."
        ]
        below += [_ceiling(block)] if "exact_k_ceiling" in block else []
    if protocol == "path":
        below.append("Rankings (softmax, WARP, asymmetric loss) have no most probable set and no likelihood.")
    if NATS in numbers:
        below.append(
            "Log-likelihood in nats per image; labels is the mean number decided per image. Models in a free order "
            f"sum over a set's orders (– where an image has more than {MOST_ORDERED} labels); their most probable set "
            "is that of the most probable path."
        )
    headings = ("percent", *(WORDS[name] for name in numbers))
    return SideBySide(
        title, headings, _lines(values, key, numbers, paper=paper, only_ours=True), tuple(below)
    )


def _lines(
    values: Values, key: str, numbers: Sequence[str], *, paper: bool = True, only_ours: bool = False
) -> tuple[Line, ...]:
    """Return the paper's rows and ours, each of ours below its counterpart.

    Args:
        paper: whether the paper's rows are shown.
        only_ours: of the paper's rows only those that we have under this protocol.
    """
    measured, lines, done = values["measured"][key], [], set()
    for row in (values["paper"] or {"rows": []})["rows"] if paper else []:
        if only_ours and row["head"] not in measured:
            continue
        lines.append(_paper_line(values, row, numbers))
        if row["head"] in measured:
            done.add(row["head"])
            lines += _our_lines(values, row["head"], measured[row["head"]], numbers)
    for head in measured:
        if head not in done:
            lines += _our_lines(values, head, measured[head], numbers)
    return tuple(lines)


def _paper_line(values: Values, row: Values, numbers: Sequence[str]) -> Line:
    misfit = {(one["method"], one["number"]) for one in values["paper"]["misfits"]}
    marks = row["marks"]
    usual = max(set(marks.values()), key=list(marks.values()).count)
    cells = []
    for name in numbers:
        printed = row["printed"].get(name)
        text = "–" if printed is None else f"{printed:.1f}"
        text += "≠" if (row["method"], name) in misfit else ""
        text += f" [{marks[name]}]" if printed is not None and marks[name] != usual else ""
        cells.append(text)
    return Line("paper", (f"{row['method']}, {row['source']} [{usual}]", *cells))


def _our_lines(values: Values, head: str, measured: Values, numbers: Sequence[str]) -> list[Line]:
    cells = [_cell(name, (measured.get(name) or {}).get("value")) for name in numbers]
    lines = [Line("ours", (f"{values['rows'][head]['name']}, ours", *cells))]
    ends = [measured.get(name) or {} for name in numbers]
    if any("low" in one for one in ends):
        between = [
            f"{_cell(name, one['low'])}–{_cell(name, one['high'])}" if "low" in one else ""
            for name, one in zip(numbers, ends, strict=True)
        ]
        lines.append(Line("interval", ("  95 %", *between)))
    if any("deviation_over_seeds" in one for one in ends):
        spread = [
            f"±{_cell(name, one['deviation_over_seeds'])}" if "deviation_over_seeds" in one else ""
            for name, one in zip(numbers, ends, strict=True)
        ]
        lines.append(Line("interval", (f"  ± over {values['seeds']} seeds", *spread)))
    return lines


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if name in AS_IS else f"{100 * value:.1f}"


def _average_precision(values: Values, view: str) -> SideBySide:
    """Return mAP by every rule, for one way to treat difficult objects."""
    key = f"{RANKED} | {view}"
    block, main = values["protocols"][key], view == values["main_view"]
    lines, numbers, measured = [], tuple(AP_RULES), values["measured"][key]
    printed = (values["paper"] or {"rows": []})["rows"]
    for row in printed:
        name = f"{row['method']}, paper [{row['marks']['mAP']}]"
        lines.append(Line("paper", (name, f"{row['printed']['mAP']:.1f}", *[""] * (len(AP_RULES) - 1))))
        if row["head"] in measured:
            lines += _our_lines(values, row["head"], measured[row["head"]], numbers)
    heads = {row["head"] for row in printed}
    for head in measured:
        if head not in heads:
            lines += _our_lines(values, head, measured[head], numbers)
    below = [
        f"{view[0].upper()}{view[1:]}. {block['AP']}. {_images(block)}",
        "The paper gives neither its rule of AP nor what it does with difficult objects; its number stands in the "
        "first column.",
        *(_paper_remarks(values) if main else ()),
    ]
    headings = ("mAP, percent", *AP_RULES.values())
    return SideBySide(f"{values['title']}: mAP, {view}", headings, tuple(lines), tuple(below))


def _per_class(values: Values) -> SideBySide:
    """Return AP label by label, 11 points, the main reading."""
    labels = list(next(iter(values["per_class"].values())))
    lines = []
    for row in (values["paper"] or {"rows": []})["rows"]:
        cells = [f"{row['printed'][name]:.1f}" if name in row["printed"] else "–" for name in labels]
        lines.append(Line("paper", (f"{row['method']}, paper [{row['marks'].get(labels[0], '?')}]", *cells)))
    for head, by_label in values["per_class"].items():
        cells = [_cell("ap", by_label[name]["ap_voc11"]) for name in labels]
        lines.append(Line("ours", (f"{values['rows'][head]['name']}, ours", *cells)))
    return SideBySide(
        f"{values['title']}: average precision of every label, 11 points, {values['main_view']}",
        ("percent", *labels),
        tuple(lines),
        (
            "Single labels of small test sets have wide intervals (± 5 points and more); the JSON has their supports.",
        ),
        wide=True,
    )


def _protocol(block: Values) -> str:
    by = f" ({block['decided_by']})" if "decided_by" in block else ""
    return f"Protocol {block['name']}{by}: {block['decides']}; {block['view']}. {_images(block)}"


def _images(block: Values) -> str:
    unknown = f", {block['unknown_cells']:,} unknown labels left out" if block["unknown_cells"] else ""
    return (
        f"{block['images']:,} images ({block['images_without_labels']:,} without labels), {block['labels']:,} labels"
        f"{unknown}. Class averages: {block['class_averages']}; C-F1 is {block['CF1'].removeprefix('the ')}."
    )


def _ceiling(block: Values) -> str:
    best = block["exact_k_ceiling"]
    ceiling = " / ".join(
        "–" if best[name] is None else f"{100 * best[name]:.1f}" for name in ("OP", "OR", "OF1")
    )
    return (
        f"Best that any method can reach by exactly {block['k']} labels on these images, O-P / O-R / O-F1: {ceiling}. "
        "Higher numbers elsewhere were made by another protocol."
    )


def _paper_remarks(values: Values) -> list[str]:
    paper = values["paper"]
    if paper is None:
        return ["The paper has no such table."]
    remarks = [f"[{mark}] {meaning}." for mark, meaning in paper["marks"].items()]
    remarks = ["How well the paper's numbers are known: " + " ".join(remarks)]
    remarks += [
        f"≠ {one['method']}, {WORDS.get(one['number'], one['number'])}: {one['why']}."
        for one in paper["misfits"]
    ]
    remarks += [f"{row['method']}: {row['doubt']}." for row in paper["rows"] if row["doubt"]]
    return remarks + list(paper["not_exactly_k"]) + list(paper["remarks"]) + list(values["remarks"])


def print_table(table: SideBySide, *, width: int | None) -> None:
    """Print the table to standard output.

    Args:
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


NUMBERS, PAGE = "reproduction.json", "index.html"


PLOTTED = (
    ("ranked", "mAP_area", "mAP"),
    ("ranked", "OF1", "O-F1 of exactly k labels"),
    ("ranked", "CF1", "C-F1 of exactly k labels"),
    ("ranked", "MAP@10", "MAP@10"),
    ("path", "subset_accuracy", "Sets exactly right: the most probable set"),
    ("tuned-sets", "subset_accuracy", "Sets exactly right: thresholds tuned for whole sets"),
)
"""Protocol, number, heading: one chart each, where there is something to draw."""


def write_files(folder: Path, values: Values, tables: Sequence[SideBySide]) -> tuple[Path, Path]:
    """Write a reproduction's files and return their paths, the page first.

    Args:
        folder: where they go; it is there.
        values: as `result.reproduce` returns them.
        tables: as `tables.tables_of` lays them out.
    """
    text = json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    for file, content, strange in (
        (NUMBERS, text, "backslashreplace"),
        (PAGE, reproduction_page(values, tables), "replace"),
    ):
        with written_whole(folder / file) as part:
            part.write_bytes(content.encode("utf-8", strange))
    return folder / PAGE, folder / NUMBERS


def reproduction_page(values: Values, tables: Sequence[SideBySide]) -> str:
    """Return the page as one HTML document without network, script or outside file.

    Args:
        values: as `paper.result.reproduce` returns them.
        tables: as `paper.tables.tables_of` lays them out.
    """
    return render(
        "paper/page.html.jinja",
        values=values,
        tables=tables,
        facts=_facts(values),
        plots=_plots(values),
        differences=_differences(values),
    )


def _facts(values: Values) -> list[tuple[str, str]]:
    data, encoder = values["data"], values["encoder"]
    rows = [
        ("trained on", data["train"]),
        ("judged on", f"{data['test']}: {data['test_images']:,} images, {data['labels']:,} labels, "
         f"{data['mean_labels']:.2f} a picture"),
        ("encoder", f"{encoder['name'] or 'as its weights file says'}; {encoder['weights'] or 'its own weights'}; "
         "frozen"),
        ("each row", f"{values['configurations']} configuration(s), chosen by {values['chosen_by']} on a validation "
         f"part of the training split; {values['seeds']} seed(s); recipe {values['recipe']}"),
        ("intervals", f"95 %, {values['resamples']:,} draws of the test images" if values["resamples"] else "none"),
    ]  # fmt: skip
    protocol = "; ".join(f"{key}: {value}" for key, value in data["protocol"].items())
    return rows + ([("how it was read", protocol)] if protocol else [])


def _plots(values: Values) -> list[tuple[str, Markup]]:
    k, charts = values["k"], []
    for protocol, number, heading in PLOTTED:
        measured = values["measured"].get(f"{protocol} | {values['main_view']}", {})
        rows = [
            _plotted(values, head, number, one[number], protocol)
            for head, one in measured.items()
            if number in one
        ]
        if rows:
            title = heading if k is None else heading.replace("exactly k", f"exactly {k}")
            charts.append((title, interval_rows(rows, title=title, zoomed=True)))
    return charts


def _plotted(values: Values, head: str, number: str, measured: Values, protocol: str) -> Row:
    name, value = values["rows"][head]["name"], measured["value"]
    ours = Mark(value, measured.get("low", value), measured.get("high", value))
    hint = f"{name}: {100 * value:.1f}"
    printed = _printed(values, head, number) if protocol == "ranked" else None
    if printed is None:
        return Row(name, (ours,), hint)
    paper = Mark(printed / 100, (printed - 0.05) / 100, (printed + 0.05) / 100)
    return Row(name, (ours, paper), f"{hint}, paper {printed:.1f}")


def _printed(values: Values, head: str, number: str) -> float | None:
    """Return the paper's number for one of our rows, percent."""
    name = "mAP" if number == "mAP_area" and values["k"] is None else number
    for row in (values["paper"] or {"rows": []})["rows"]:
        if row["head"] == head and name in row["printed"]:
            return float(row["printed"][name])
    return None


def _differences(values: Values) -> list[tuple[str, list[tuple[str, Markup, str]]]]:
    """Return the differences from CNN-RNN by number: the other row, a chart, and the same in words."""
    groups: dict[tuple[str, str], list[Values]] = {}
    for one in values["differences"]:
        groups.setdefault((one["wording"], one["number"]), []).append(one)
    shown = []
    for (wording, number), pairs in groups.items():
        unit, scale = ("nats", 1) if number == "log_likelihood" else ("points", 100)
        reach = max(*(abs(one[end]) for one in pairs for end in ("low", "high")), 1e-6)
        lines = []
        for one in pairs:
            middle, low, high = (scale * one[name] for name in ("difference", "low", "high"))
            text = f"{middle:+.2f} ({low:+.2f} to {high:+.2f}) {unit}, {one['verdict']}"
            chart = interval(one["low"], one["difference"], one["high"], reach=reach, hint=text)
            lines.append((values["rows"][one["against"]]["name"], chart, text))
        shown.append((wording, lines))
    return shown
