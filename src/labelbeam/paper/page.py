"""The page of a reproduction: verdicts, plots, every table with its protocol, and how to make it again."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from labelbeam.charts.charts import CHART_STYLE, interval
from labelbeam.charts.interval_rows import Mark, Row, zoomed_rows
from labelbeam.charts.page import page, quiet
from labelbeam.charts.side_by_side import STYLE as TABLE_STYLE
from labelbeam.charts.side_by_side import SideBySide, html_of
from labelbeam.files import written_whole
from labelbeam.inspect.page import STYLE as SECTION_STYLE
from labelbeam.report.page import STYLE as REPORT_STYLE

# The two files of a reproduction: every number as JSON, and the page. Writes them whole; computes nothing.

NUMBERS, PAGE = "reproduction.json", "index.html"


def write_files(folder: Path, values: Mapping[str, Any], tables: Sequence[SideBySide]) -> tuple[Path, Path]:
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


# The page of a reproduction: verdicts, plots, every table with its protocol, and how to make it again.
#
# Shows plain values and tables that are laid out already. Computes nothing. Every text that a user wrote is
# escaped.

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

STYLE = """
.verdicts { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: .4rem 1.2rem .4rem 2.2rem; }
.verdicts li { margin: .5rem 0; max-width: 62rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem; font-size: .78rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
.differences { display: grid; grid-template-columns: minmax(9rem, 14rem) minmax(8rem, 22rem) max-content;
  gap: .1rem 1rem; align-items: center; font-size: .875rem; }
.differences h3 { grid-column: 1 / -1; font-size: .95rem; margin: .8rem 0 .2rem; }
.differences span { font-variant-numeric: tabular-nums; } .differences svg.interval { display: block; }
svg.interval .span { stroke: var(--bar); stroke-width: 3; opacity: .5; } svg.interval circle { fill: var(--bar); }
svg.interval.apart .span { stroke: var(--second); } svg.interval.apart circle { fill: var(--second); }
svg.interval .axis { stroke: var(--quiet); }
@media (max-width: 45rem) { .differences { grid-template-columns: minmax(5rem, 9rem) minmax(6rem, 1fr); }
  .differences svg + span { grid-column: 1 / -1; margin-bottom: .4rem; } dl.about { grid-template-columns: 1fr; } }
"""


def reproduction_page(values: Values, tables: Sequence[SideBySide]) -> str:
    """Return the page as one HTML document without network, script or outside file.

    Args:
        values: as `paper.result.reproduce` returns them.
        tables: as `paper.tables.tables_of` lays them out.
    """
    parts = [
        ("verdicts", "Does the recurrence earn its place?", _verdicts(values)),
        ("plots", "Every row on one scale", _plots(values)),
        ("differences", "CNN-RNN minus every other row", _differences(values)),
        ("tables", "Paper and ours, side by side", _tables(tables)),
        ("training", "How the rows were trained", _training(values)),
        ("again", "Make it again", _again(values)),
    ]
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in parts)
    sections = "\n".join(
        f'<section id="{name}"><h2>{escape(heading)}</h2>\n{body}</section>' for name, heading, body in parts
    )
    style = f"<style>{SECTION_STYLE}{CHART_STYLE}{REPORT_STYLE}{TABLE_STYLE}{STYLE}</style>"
    return page(
        f"CNN-RNN reproduced: {values['title']}", f"{style}\n{_about(values)}<nav>{links}</nav>\n{sections}"
    )


def _about(values: Values) -> str:
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
    rows += [("how it was read", protocol)] if protocol else []
    told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    warning = ""
    if not data["official_splits"]:
        text = (
            "These are not the benchmark's official splits, so our numbers and the paper's are of different images: "
            "the rows can be compared with each other, not with the paper."
        )
        warning = f'<p class="warn">{escape(text)}</p>'
    return f'<dl class="about">{told}</dl>{warning}'


def _verdicts(values: Values) -> str:
    if not values["verdicts"]:
        return quiet("Not judged: that needs CNN-RNN, another row, and intervals (--bootstrap above 0).")
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in values["verdicts"])
    return f'<ul class="verdicts">{items}</ul>'


def _plots(values: Values) -> str:
    k = values["k"]
    charts = []
    for protocol, number, heading in PLOTTED:
        told = values["measured"].get(f"{protocol} | {values['main_view']}", {})
        rows = [
            _plotted(values, head, number, one[number], protocol)
            for head, one in told.items()
            if number in one
        ]
        if rows:
            title = heading if k is None else heading.replace("exactly k", f"exactly {k}")
            charts.append(f"<div><h3>{escape(title)}</h3>{zoomed_rows(rows, title=title)}</div>")
    legend = (
        '<p class="marks"><span><i class="disc"></i>ours, with its 95 % interval</span>'
        '<span><i class="two"></i>the paper, width of a rounded digit</span></p>'
        if values["paper"]
        else ""
    )
    note = ""
    if values["paper"] and k is None:
        note = quiet("The paper's mAP is drawn beside ours by area; its own rule is not said.")
    return legend + f'<div class="side">{"".join(charts)}</div>' + note


def _plotted(values: Values, head: str, number: str, told: Values, protocol: str) -> Row:
    name = values["rows"][head]["name"]
    ours = Mark(told["value"], told.get("low", told["value"]), told.get("high", told["value"]))
    hint = f"{name}: {100 * told['value']:.1f}"
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


def _differences(values: Values) -> str:
    groups: dict[tuple[str, str], list[Values]] = {}
    for one in values["differences"]:
        groups.setdefault((one["wording"], one["number"]), []).append(one)
    parts = []
    for (wording, number), pairs in groups.items():
        nats = number == "log_likelihood"
        reach = max(*(abs(one[end]) for one in pairs for end in ("low", "high")), 1e-6)
        parts.append(f"<h3>{escape(wording)}</h3>")
        for one in pairs:
            scale = 1 if nats else 100
            text = (
                f"{scale * one['difference']:+.2f} ({scale * one['low']:+.2f} to {scale * one['high']:+.2f}) "
                f"{'nats' if nats else 'points'}, {one['verdict']}"
            )
            chart = interval(one["low"], one["difference"], one["high"], reach=reach, hint=text)
            name = values["rows"][one["against"]]["name"]
            parts.append(f"<span>{escape(name)}</span>{chart}<span>{escape(text)}</span>")
    if not parts:
        return quiet("None: that needs CNN-RNN, another row, and intervals.")
    return (
        quiet(
            "Right of the line: CNN-RNN is better. Intervals are paired: both rows on the same draws of the images."
        )
        + f'<div class="differences">{"".join(parts)}</div>'
    )


def _tables(tables: Sequence[SideBySide]) -> str:
    parts = [f"<h3>{escape(table.title)}</h3>{html_of(table)}" for table in tables]
    return "\n".join(parts)


def _training(values: Values) -> str:
    items = []
    for row in values["rows"].values():
        told = ", ".join(
            f"{100 * one[values['chosen_by']]:.1f}" if one[values["chosen_by"]] is not None else "–"
            for one in row["tried"]
        )
        items.append(
            f"<dt>{escape(row['name'])}</dt><dd>configuration {row['chosen_configuration']} of {len(row['tried'])}; "
            f"{escape(values['chosen_by'])} on validation images: {told}; "
            f"trained for {row['training_seconds']:.0f} s</dd>"
        )
    return f'<dl class="about">{"".join(items)}</dl>'


def _again(values: Values) -> str:
    commands = "\n".join(row["command"] for row in values["rows"].values())
    told = ", ".join(f"{name} {version}" for name, version in values["versions"].items())
    return (
        f"<pre>{escape(values['command'])}</pre>"
        + quiet("It trains each row as this command would, and uses again what is there:")
        + f"<pre>{escape(commands)}</pre>"
        + quiet(f"Made with {told}.")
        + "".join(quiet(note) for note in values["data"]["notes"])
    )
