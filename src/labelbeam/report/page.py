"""The page of a report: what a run is, how good, how sure, what it learned, where it fails."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from labelbeam.charts.charts import CHART_STYLE, legend
from labelbeam.charts.page import page, quiet, table
from labelbeam.inspect.page import STYLE as SECTION_STYLE
from labelbeam.report.charts import label_map_chart
from labelbeam.report.failures import (
    balance_part,
    confusions_part,
    labels_part,
    pairs_part,
    worst_part,
)
from labelbeam.report.images import ShownImage, errors_part, images_part, search_part
from labelbeam.report.run import ReliabilityBin, learning_curve, reliability

# The style of a report, beside those of every page, of inspections and of charts.

STYLE = """
nav { display: flex; flex-wrap: wrap; gap: .3rem 1rem; font-size: .9rem; margin: 1rem 0; }
nav a { color: var(--bar); } section { scroll-margin-top: 1rem; }
dl.about { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .9rem; margin: 1rem 0; }
dl.about dt { color: var(--quiet); } dl.about dd { margin: 0; overflow-wrap: anywhere; }
p.warn { border-left: .3rem solid var(--second); background: var(--card); padding: .5rem .8rem; border-radius: .4rem; }
svg.learning-curve { width: calc(100% - 48px); margin: .5rem 0 0 44px; max-width: 46rem; }
svg.learning-curve circle { stroke: none; } .learning { fill: none; stroke-width: 2;
  vector-effect: non-scaling-stroke; } .l0 { stroke: var(--bar); } .l1 { stroke: var(--second); stroke-dasharray: 6 3; }
.l2 { stroke: var(--third); stroke-dasharray: 2 3; } .l3 { stroke: var(--fourth); }
.best { stroke: var(--quiet); stroke-dasharray: 3 3; }
.side { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr)); gap: 1rem 2.5rem;
  align-items: start; } .side > div { min-width: 0; }
.marks { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; font-size: .85rem; margin: .4rem 0; }
.marks i { display: inline-block; width: .6rem; height: .6rem; background: var(--bar); margin-right: .4rem; }
.marks i.disc { border-radius: 50%; } .marks i.two { background: var(--second); }
.pairs { font-size: .875rem; } table.named td:first-child { white-space: normal; overflow-wrap: anywhere;
  min-width: 7rem; } table { font-size: .9rem; }
.shown { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; margin: 1rem 0; }
.shown { display: flex; flex-wrap: wrap; gap: 1rem; } .shown > * { min-width: 0; max-width: 100%; }
ul.quiet { font-size: .9rem; padding-left: 1.2rem; max-width: 52rem; overflow-wrap: anywhere; }
.shown .head { flex: 1 1 34rem; min-width: min(37rem, 100%); }
.shown .head { display: grid; grid-template-columns: minmax(8rem, 14rem) minmax(0, 1fr); gap: 1.2rem; }
.shown .head > img { width: 100%; border-radius: .4rem; } .shown .head > div { min-width: 0; }
.shown .why { font-size: .75rem; border: 1px solid currentcolor; border-radius: 1rem; padding: .02rem .6rem;
  font-weight: 600; } .shown .why.worst { color: var(--bad); }
.tags { display: grid; gap: .15rem; font-size: .85rem; margin: .5rem 0; max-width: 34rem; }
.tags > div { display: grid; grid-template-columns: minmax(5rem, 7rem) minmax(4rem, 1fr) 6.4rem 3.6rem; gap: .6rem;
  align-items: center; } .tags b { font-weight: 400; overflow-wrap: anywhere; } .tags .decided b { font-weight: 700; }
.tags span { font-variant-numeric: tabular-nums; white-space: nowrap; font-size: .8rem; }
.tags svg { display: block; } .tags .reach { fill: var(--bar); opacity: .35; }
.tags em { font-style: normal; font-size: .78rem; }
.strip { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(7.5rem, 9.5rem); gap: .8rem;
  overflow-x: auto; }
.strip.two { grid-template-rows: auto auto; }
.shown .maps p { margin: .3rem 0 0; font-size: .8rem; }
.strip img { aspect-ratio: 1; object-fit: cover; }
.errors { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .9rem; }
.errors figcaption b { font-weight: 650; }
.tree-box { overflow-x: auto; padding-bottom: .5rem; }
@media (max-width: 40rem) { .forest .head { font-size: .7rem; }
  .shown .head { grid-template-columns: 1fr; } .shown .head > img { max-height: 16rem;
  object-fit: contain; object-position: left; } .tags > div { grid-template-columns: 6.5rem 1fr 2.2rem 3.8rem; }
  .tags .bounds { display: none; }
  dl.about { grid-template-columns: 1fr; gap: 0; } dl.about dd { margin-bottom: .4rem; }
  svg.chart.rows { width: calc(100% - 142px); margin-left: 136px; }
  .errors { grid-template-columns: 1fr 1fr; } }
"""

# The page of a report: what a run is, how good, how sure, what it learned, where it fails.
#
# Shows the plain values of `report.report` (the same that the JSON beside it holds) and, for images, small
# copies with maps. Computes nothing. Every text that a user wrote is escaped.

Values = Mapping[str, Any]

PLAIN = ("mean_labels_true", "mean_labels_predicted", "log_likelihood")
"""Scores that are no fractions."""


def report_page(values: Values, images: Sequence[ShownImage], error_paths: Sequence[Path]) -> str:
    """Return the page as one HTML document without network, script or outside file.

    Args:
        values: as `report.report.Report` holds them.
        images: those shown.
        error_paths: files of the images of `values["label_errors"]`, in their order.
    """
    parts = [
        ("scores", "Scores", _scores(values)),
        ("training", "Training", _training(values)),
        ("calibration", "Are the scores probabilities?", _calibration(values)),
        ("labels", "Label by label", labels_part(values)),
        ("balance", "Frequent and rare labels", balance_part(values)),
        ("pairs", "Pairs of labels", pairs_part(values)),
        ("confusions", "Confusions", confusions_part(values)),
        ("map", "The label space", _map(values)),
        ("images", "Images", images_part(images, values["missing"])),
        ("search", "One search", search_part(values)),
        ("worst", "The worst images", worst_part(values)),
        ("errors", "Where the run disagrees with the labels", errors_part(values, error_paths)),
        ("versions", "Made with", _versions(values)),
    ]
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in parts)
    sections = "\n".join(
        f'<section id="{name}"><h2>{escape(heading)}</h2>\n{body}</section>' for name, heading, body in parts
    )
    style = f"<style>{SECTION_STYLE}{CHART_STYLE}{STYLE}</style>"
    return page("A run on labelled images", f"{style}\n{_about(values)}<nav>{links}</nav>\n{sections}")


def _about(values: Values) -> str:
    about, scores = values["about"], values["scores"]
    rows = [("run", f"{about['run']} ({about['head']} on {about['encoder']}, seed {about['training_seed']})")]
    rows += [("trained on", about["training_data"] or "not said")]
    rows += [("judged on", f"{about['data']}: {_images(about)}, {about['labels']:,} labels")]
    if about["beside"]:
        rows.append(("beside it", f"{about['beside']} ({about['beside_head']})"))
    search, decision = about["search"], about["decision"]
    rows.append(("sets decided by", _decided(decision)))
    if about["head"] == "cnn-rnn":
        rows.append(("search", f"{search['method']}, score of a label: {search['score']}"))
    protocol = [f"{key}: {value}" for key, value in about["data_protocol"].items()]
    rows += [("how it was read", "; ".join(protocol))] if protocol else []
    told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows)
    tiles = [
        (_score(name, scores[name]), wording)
        for name, wording in (
            ("mAP_area", "mAP"),
            ("OF1", "F1 over all decisions"),
            ("CF1", "F1 of label averages"),
            ("subset_accuracy", "sets exactly right"),
            ("log_likelihood", "log-likelihood of an image's labels"),
        )
        if scores.get(name) is not None
    ]
    boxes = "".join(
        f"<div><b>{escape(number)}</b><span>{escape(text)}</span></div>" for number, text in tiles
    )
    warning = ""
    if known := about["images_in_training_data"]:
        text = (
            f"{known:,} of the {about['images']:,} images are among the training data: scores, calibration and "
            "disagreements flatter the run."
        )
        warning = f'<p class="warn">{escape(text)}</p>'
    return f'<dl class="about">{told}</dl>{warning}<div class="tiles">{boxes}</div>'


def _images(about: Values) -> str:
    if about["images_drawn"] is None:
        return f"{about['images']:,} images"
    return f"{about['images']:,} of {about['images_given']:,} images, drawn at random (seed {about['seed']})"


def _decided(decision: Values) -> str:
    if decision["rule"] == "threshold":
        by = f"tuned for {decision['tuned_for']}" if decision["tuned_for"] else f"{decision['threshold']:g}"
        return f"threshold, {by}"
    return {"path": "path (the most probable set)"}.get(decision["rule"], str(decision["rule"]))


def _score(name: str, value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "–"
    sign = "+" if signed else ""
    return f"{value:{sign}.2f}" if name in PLAIN else f"{100 * value:{sign}.1f}"


def _between(name: str, ends: Values | None, *, signed: bool = False) -> str:
    if ends is None:
        return "–"
    return f"{_score(name, ends['low'], signed=signed)} to {_score(name, ends['high'], signed=signed)}"


def _scores(values: Values) -> str:
    scores, about = values["scores"], values["about"]
    intervals, versus = scores.get("intervals"), scores.get("versus")
    heads = ["score, percent", "value"] + (["95 % interval"] if intervals else [])
    if versus:
        beside = Path(about["beside"]).name
        heads += [beside, "difference"] if "differences" in versus else [beside]
        heads += ["its 95 % interval", "p"] if "differences" in versus else []
    rows = []
    for name, value in scores.items():
        if not (value is None or isinstance(value, float)):
            continue
        cells = [name, _score(name, value)]
        cells += [_between(name, intervals["of"].get(name))] if intervals else []
        if versus:
            cells.append(_score(name, versus["scores"].get(name)))
            if "differences" in versus:
                pair = versus["differences"].get(name)
                cells += [_score(name, pair and pair["difference"], signed=True)]
                cells += [_between(name, pair, signed=True), f"{pair['p']:.3f}" if pair else "–"]
        rows.append(cells)
    protocol = scores["protocol"]
    told = (
        f"Protocol: {protocol['name']}, {protocol['decides']}. {protocol['labels_with_a_positive']:,} of "
        f"{protocol['labels']:,} labels have a positive. mean_labels are labels per image, log_likelihood is a mean "
        "natural logarithm of probability per image; neither is percent."
    )
    if intervals:
        told += f" Intervals: percentile bootstrap over images, {about['bootstrap']:,} resamples, seed {about['seed']}."
    if versus and "differences" in versus:
        told += (
            " Differences are paired over the same resamples; p is one-sided, small where this run is better."
        )
    reasons: dict[str, list[str]] = {}
    for name, reason in scores["null_because"].items():
        reasons.setdefault(reason, []).append(name)
    notes = [f"{', '.join(names)}: none, because {reason}" for reason, names in reasons.items()]
    notes += list(scores["notes"])
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return table(heads, rows) + quiet(told) + (f'<ul class="quiet">{items}</ul>' if items else "")


def _training(values: Values) -> str:
    rows = values["training"]
    if rows is None:
        return quiet(values["missing"]["training"])
    epochs = [row.get("epoch") or float(i) for i, row in enumerate(rows, 1)]
    names = [name for name in rows[0] if name != "epoch" and "nats" in name][:4]
    lines = {name.replace("_nats", ""): [row.get(name) for row in rows] for name in names}
    validated = [
        (row["val_nats"], epoch) for row, epoch in zip(rows, epochs, strict=True) if row.get("val_nats")
    ]
    best = min(validated)[1] if validated else None
    chart = learning_curve(epochs, lines, title="loss by epoch", best=best)
    if not chart:
        return quiet("There is no training curve: fewer than two epochs were logged.")
    told = "Loss per image, the negative log-likelihood, by epoch. "
    told += (
        "Training is with dropout, validation without." if validated else "Of training alone; with dropout."
    )
    if best is not None:
        told += f" Upright: the least validation loss, epoch {best:g}."
    return legend(list(lines)) + chart + quiet(told)


def _calibration(values: Values) -> str:
    told, parts = values["calibration"], []
    if not told["probabilities"]:
        parts.append(quiet("The scores of this run rank labels; they are no probabilities."))
    bins = [
        ReliabilityBin(
            one["score"], one["share"]["value"], one["share"]["low"], one["share"]["high"], one["count"]
        )
        for one in told["pooled"]["bins"]
        if one["share"]["value"] is not None
    ]
    chart = reliability(bins, title="share present against the probability said")
    words = []
    if told["pooled"]["ece"] is not None:
        words.append(
            f"Expected calibration error: {100 * told['pooled']['ece']:.2f} percentage points over all labels "
            f"together, {100 * told['mean_label_ece']:.2f} averaged over labels. Few scores in a bin make it larger."
        )
    if told["method"] is None:
        words.append(values["missing"]["calibration"])
    else:
        done = {"none": "nothing was changed"}.get(told["method"], f"method: {told['method']}")
        words.append(f"Calibrated on {told['images']:,} validation images; {done}.")
    words.append(
        "Discs on the dashed line say what is true; bins hold equally many scores; intervals are Wilson's."
    )
    parts.append(
        f'<div class="side"><div>{chart}</div><div>{"".join(map(quiet, words))}{_thresholds(told)}</div></div>'
    )
    return "".join(parts)


def _thresholds(told: Values) -> str:
    if told["thresholds"] is None:
        return ""
    names = list(told["thresholds"])
    labels = list(told["thresholds"][names[0]])
    rows = [[label, *(_threshold(told["thresholds"][name][label]) for name in names)] for label in labels]
    same = [name for name in names if len(set(told["thresholds"][name].values())) == 1]
    single = ", ".join(f"{name}: {_threshold(told['thresholds'][name][labels[0]])}" for name in same)
    note = quiet(f"One threshold for all labels: {single}.") if single else ""
    body = table(["tuned for", *names], rows).replace("<table>", '<table class="named">')
    return f"{note}<details><summary>Tuned thresholds of every label</summary>{body}</details>"


def _threshold(value: float) -> str:
    return "never" if value > 1 else f"{value:.3f}"


def _map(values: Values) -> str:
    space = values["label_space"]
    if space is None:
        return quiet(values["missing"]["label_space"])
    told = "Labels whose embeddings point the same way stand together; discs grow with the training images."
    return label_map_chart(space) + quiet(told)


def _versions(values: Values) -> str:
    now, then = values["about"]["versions"], values["about"]["trained_with"] or {}
    names = list(dict.fromkeys([*now, *then]))
    rows = [[name, str(now.get(name, "–")), str(then.get(name, "–"))] for name in names]
    return table(["", "this report", "the training"], rows)
