"""The page of a report: what a run is, how good, how sure, what it learned, where it fails.

The templates show the plain values of `report.report` (the same that the JSON beside it holds); here are what needs a
calculation, the charts, and small copies of the images with their maps.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from labelbeam.charts.charts import element, interval, legend
from labelbeam.charts.page import percent, render, shown_file, template
from labelbeam.explain.pictures import figures
from labelbeam.report import charts
from labelbeam.report.report import SECTIONS, ShownImage

Values = Mapping[str, Any]

PLAIN = ("mean_labels_true", "mean_labels_predicted", "log_likelihood")
"""Scores that are no fractions."""

PAIRS_SHOWN, ROWS_SHOWN, CLICKS, MAP_SIDE = 10, 20, 2, 224

KINDS = {
    "learned": "Learned: together alike in the truth and in the decided sets",
    "missed": "Missed: associated in the truth, less so in the decided sets",
    "exaggerated": "Exaggerated: associated in the truth, more so in the decided sets",
    "invented": "Invented: associated in the decided sets only",
}

REACH = 6.0
"""Half the axis of log odds ratios."""


def report_page(values: Values, images: Sequence[ShownImage], error_paths: Sequence[Path]) -> str:
    """Return the page as one HTML document without network, script or outside file.

    Args:
        values: as `report.report.Report` holds them.
        error_paths: files of the images of `values["label_errors"]`, in their order.
    """
    score_headings, score_rows = _scores(values)
    labels, search = values["failures"]["labels"], values["search"]
    found = values["label_errors"] or {"errors": []}
    drawn = [
        (one, shown_file(path, side=200), path.name)
        for one, path in zip(found["errors"], error_paths, strict=True)
    ]
    return render(
        "report/page.html.jinja",
        values=values,
        sections={one.name: (one.heading, template(one.template)) for one in SECTIONS},
        facts=_facts(values),
        numbers=_numbers(values),
        score_headings=score_headings,
        score_rows=score_rows,
        score_notes=_score_notes(values["scores"]),
        training=_training(values),
        reliability=_reliability(values["calibration"]),
        thresholds=_thresholds(values["calibration"]),
        label_results=charts.label_results_chart(labels),
        sizes=charts.size_chart(values["failures"]["sizes"] or ()),
        traits=[
            (name.partition(" (")[0].partition(",")[0], chart)
            for trait, (name, _) in charts.TRAIT_AXES.items()
            if (chart := charts.trait_chart(labels, trait))
        ],
        notes=_label_notes(values),
        balance=_balance(labels),
        kinds=KINDS,
        forests=_forests(values["pairs"]),
        whose=lambda source: _whose(source, values),
        reach=f"{REACH:g}",
        most_rows=ROWS_SHOWN,
        label_map=values["label_space"] and charts.label_map_chart(values["label_space"]),
        images=[_image(one) for one in images],
        tree=search and charts.search_tree_chart(search),
        clicks=[(click["label"], charts.click_chart(click)) for click in search["clicks"][:CLICKS]]
        if search
        else [],
        errors=drawn,
        versions=_versions(values["about"]),
    )


def _facts(values: Values) -> list[tuple[str, str]]:
    about = values["about"]
    images = f"{about['images']:,} images"
    if about["images_drawn"] is not None:
        images = (
            f"{about['images']:,} of {about['images_given']:,} images, drawn at random (seed {about['seed']})"
        )
    rows = [
        ("run", f"{about['run']} ({about['head']} on {about['encoder']}, seed {about['training_seed']})"),
        ("trained on", about["training_data"] or "not recorded"),
        ("judged on", f"{about['data']}: {images}, {about['labels']:,} labels"),
    ]
    if about["beside"]:
        rows.append(("beside it", f"{about['beside']} ({about['beside_head']})"))
    rows.append(("sets decided by", _decided(about["decision"])))
    if about["head"] == "cnn-rnn":
        rows.append(("search", f"{about['search']['method']}, score of a label: {about['search']['score']}"))
    protocol = [f"{key}: {value}" for key, value in about["data_protocol"].items()]
    return rows + ([("how it was read", "; ".join(protocol))] if protocol else [])


def _numbers(values: Values) -> list[tuple[str, str]]:
    wordings = {
        "mAP_area": "mAP",
        "OF1": "F1 over all decisions",
        "CF1": "F1 of label averages",
        "subset_accuracy": "sets exactly right",
        "log_likelihood": "log-likelihood of an image's labels",
    }
    scores = values["scores"]
    return [
        (_score(name, scores[name]), wording)
        for name, wording in wordings.items()
        if scores.get(name) is not None
    ]


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


def _scores(values: Values) -> tuple[list[str], list[list[str]]]:
    """Return the table of scores: headings and rows."""
    scores = values["scores"]
    intervals, versus = scores.get("intervals"), scores.get("versus")
    heads = ["score, percent", "value"] + (["95 % interval"] if intervals else [])
    if versus:
        beside = Path(values["about"]["beside"]).name
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
    return heads, rows


def _score_notes(scores: Values) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, reason in scores["null_because"].items():
        reasons.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: none, because {reason}" for reason, names in reasons.items()] + list(
        scores["notes"]
    )


def _training(values: Values) -> dict[str, Any]:
    rows = values["training"] or [{}]
    epochs = [row.get("epoch") or float(i) for i, row in enumerate(rows, 1)]
    names = [name for name in rows[0] if name != "epoch" and "nats" in name][:4]
    lines = {name.replace("_nats", ""): [row.get(name) for row in rows] for name in names}
    validated = [
        (row["val_nats"], epoch) for row, epoch in zip(rows, epochs, strict=True) if row.get("val_nats")
    ]
    best = min(validated)[1] if validated else None
    return {
        "legend": legend(list(lines)),
        "chart": charts.learning_curve(epochs, lines, title="loss by epoch", best=best),
        "validated": bool(validated),
        "best": None if best is None else f"{best:g}",
    }


def _reliability(calibration: Values) -> Markup:
    bins = [one for one in calibration["pooled"]["bins"] if one["share"]["value"] is not None]
    return charts.reliability(bins, title="share present against the probability")


def _thresholds(calibration: Values) -> dict[str, Any]:
    """Return the tuned thresholds as a table, and in a sentence those that are the same for all labels."""
    found = calibration["thresholds"]
    if found is None:
        return {}
    first = next(iter(found.values()))
    same = {name: next(iter(by.values())) for name, by in found.items() if len(set(by.values())) == 1}
    return {
        "headings": ["tuned for", *found],
        "rows": [[label, *(_threshold(by[label]) for by in found.values())] for label in first],
        "same": ", ".join(f"{name}: {_threshold(value)}" for name, value in same.items()),
    }


def _threshold(value: float) -> str:
    return "never" if value > 1 else f"{value:.3f}"


def _label_notes(values: Values) -> list[str]:
    missing = values["missing"]
    notes = [
        *values["failures"]["notes"],
        *(missing[name] for name in ("sizes", "training_data") if name in missing),
    ]
    return [note[:1].upper() + note[1:] for note in dict.fromkeys(notes)]


def _balance(labels: Sequence[Values]) -> dict[str, Any]:
    """Return how unevenly labels are spread, and what becomes of the frequent, the middle and the rare third."""
    present = [one for one in labels if one["present"]]
    if not present:
        return {}
    trained = all(one["training_images"] is not None for one in present)
    key, where = ("training_images", "training") if trained else ("present", "judged")
    ranked = sorted(present, key=lambda one: (-one[key], one["label"]))
    total = sum(one[key] for one in ranked)
    first, second = -(-len(ranked) // 3), -(-2 * len(ranked) // 3)
    thirds = {"frequent": ranked[:first], "middle": ranked[first:second], "rare": ranked[second:]}
    rows = []
    for name, some in thirds.items():
        if some:
            wanted, decided, right = (sum(one[n] for one in some) for n in ("present", "decided", "right"))
            shares = [percent(right / of) if of else "–" for of in (decided, wanted)]
            rows.append([name, f"{len(some):,}", f"{some[-1][key]:,.0f} to {some[0][key]:,.0f}", *shares])
    tenth = sum(one[key] for one in ranked[: max(1, round(len(ranked) / 10))])
    return {
        "count": len(ranked),
        "key": key,
        "where": where,
        "most": ranked[0],
        "least": ranked[-1],
        "tenth": tenth / total if total else None,
        "rows": rows,
    }


def _whose(source: str, values: Values) -> str:
    """Return what the sets of the truth, of this run or of the run beside it are called: its folder's name."""
    folder = values["about"]["beside"]
    beside = Path(folder).name if folder else "the other run"
    return {"truth": "the data", "run": "this run", "rival": beside}.get(source, source)


def _forests(pairs: Values | None) -> list[tuple[str, list[tuple[Values, Markup]]]]:
    """Return pairs of labels by what became of them, with the interval of each."""
    found = pairs["pairs"] if pairs else {}
    shown = []
    for kind, heading in KINDS.items():
        rows = []
        for one in found.get(kind, ())[:PAIRS_SHOWN]:
            hint = (
                f"{' + '.join(one['labels'])}: log odds ratio {one['log_odds_true']:.2f} in the truth, "
                f"{one['log_odds_predicted']:.2f} decided; difference {one['low']:.2f} to {one['high']:.2f}"
            )
            rows.append((one, interval(one["low"], one["difference"], one["high"], reach=REACH, hint=hint)))
        shown += [(heading, rows)] if rows else []
    return shown


def _image(one: ShownImage) -> tuple[Any, ...]:
    """Return an image with its small copy, its labels and its maps."""
    maps = [] if one.explanation is None else figures(one.explanation, side=MAP_SIDE, quality=80)
    return one, shown_file(one.path), [_tag(label) for label in one.values["labels"]], maps


def _tag(one: Values) -> tuple[Any, ...]:
    """Return a label with its bar, its bounds and whether it is right."""
    verdict, colour = {
        (True, True): ("right", "good"),
        (True, False): ("wrong", "bad"),
        (True, None): ("unknown", "quiet"),
        (False, True): ("missed", "bad"),
    }.get((one["decided"], one["truth"]), ("", ""))
    low, high = 100 * one["low"], 100 * one["high"]
    hint = f"{one['label']}: {one['score']:.4f}, between {one['low']:.4f} and {one['high']:.4f}"
    if one["stderr"]:
        hint += f", standard error {one['stderr']:.4f}"
    chart = element(
        "svg",
        element("rect", class_="rail", width="100%", height=12, rx=3),
        element("rect", class_="s0", y=2, width=f"{100 * one['score']:.2f}%", height=8, rx=2),
        element("rect", class_="reach", x=f"{low:.2f}%", width=f"{max(high - low, 0.0):.2f}%", height=12),
        hint=hint,
        width="100%",
        height=12,
    )
    bounds = "" if one["high"] - one["low"] < 0.0005 else f" ({one['low']:.2f}–{one['high']:.2f})"
    return one, chart, bounds, verdict, colour


def _versions(about: Values) -> list[list[str]]:
    now, then = about["versions"], about["trained_with"] or {}
    return [
        [name, str(now.get(name, "–")), str(then.get(name, "–"))] for name in dict.fromkeys([*now, *then])
    ]
