"""The two files of a reproduction: every number as JSON, and the page; both are written whole.

The page: verdicts, plots, every table with its protocol, and how to make it again. The template shows plain values
and tables that are laid out already; here are its charts.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from labelbeam.charts.charts import interval
from labelbeam.charts.interval_rows import Mark, Row, interval_rows
from labelbeam.charts.page import render
from labelbeam.files import written_whole
from labelbeam.paper.tables import SideBySide

NUMBERS, PAGE = "reproduction.json", "index.html"

Values = Mapping[str, Any]

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
