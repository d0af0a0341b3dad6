"""Parts of a report: labels one by one, pairs, confusions, the worst images as a table."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from labelbeam.pages.analysis_charts import TRAIT_AXES, label_results_chart, size_chart, trait_chart
from labelbeam.pages.charts import interval
from labelbeam.pages.page import table
from labelbeam.pages.wording import percent, quiet

Values = Mapping[str, Any]

PAIRS_SHOWN, ROWS_SHOWN = 10, 20

KINDS = {
    "learned": "Learned: together alike in the truth and in the decided sets",
    "missed": "Missed: associated in the truth, less so in the decided sets",
    "exaggerated": "Exaggerated: associated in the truth, more so in the decided sets",
    "invented": "Invented: associated in the decided sets only",
}

REACH = 6.0
"""Half the axis of log odds ratios."""


def labels_part(values: Values) -> str:
    """Return precision and recall of every label, and what recall goes with."""
    found, missing = values["failures"], values["missing"]
    labels: Sequence[Values] = found["labels"]
    key = '<p class="marks"><span><i class="disc"></i>precision</span><span><i class="two"></i>recall</span></p>'
    parts = [key, label_results_chart(labels)]
    many = f" The {min(len(labels), 40)} most frequent of {len(labels):,} labels." if len(labels) > 40 else ""
    parts.append(quiet(f"Sets decided by {found['decided_by']}.{many} Intervals are Wilson's, 95 %."))
    rows = [
        [
            one["label"],
            f"{one['present']:,}",
            f"{one['decided']:,}",
            f"{one['right']:,}",
            _share(one["precision"]["value"]),
            _share(one["recall"]["value"]),
            "–" if one["training_images"] is None else f"{one['training_images']:,.0f}",
            "–" if one["predictability"] is None else percent(one["predictability"]),
        ]
        for one in labels
    ]
    heads = ["label", "present", "decided", "right", "precision", "recall", "in training", "predictable"]
    parts.append(f"<details><summary>Every label as a table</summary>{_named(heads, rows)}</details>")
    if found["sizes"]:
        parts.append(f"<h3>By object size</h3>{size_chart(found['sizes'])}")
        parts.append(quiet("Recall by the largest object's share of the image's area."))
    charts = [
        (name, chart) for trait, (name, _) in TRAIT_AXES.items() if (chart := trait_chart(labels, trait))
    ]
    boxes = "".join(
        f"<div><h3>Recall against {escape(name.partition(' (')[0].partition(',')[0])}</h3>{chart}</div>"
        for name, chart in charts
    )
    parts.append(f'<div class="side">{boxes}</div>{_associations(found["associations"])}')
    notes = [*found["notes"], *([missing["sizes"]] if "sizes" in missing else [])]
    if "training_data" in missing:
        notes.append(missing["training_data"])
    return "".join(parts) + "".join(quiet(note[:1].upper() + note[1:]) for note in dict.fromkeys(notes))


def _associations(associations: Mapping[str, Values]) -> str:
    told = [
        f"{trait.replace('_', ' ')}: {one['rho']:+.2f}"
        + ("" if one["low"] is None else f" ({one['low']:+.2f} to {one['high']:+.2f})")
        for trait, one in associations.items()
        if one["rho"] is not None
    ]
    return quiet(f"Rank correlation of recall over labels with {'; '.join(told)}.") if told else ""


def pairs_part(values: Values) -> str:
    """Return pairs of labels that were learned, missed, exaggerated or invented, beside a rival's counts."""
    pairs, missing = values["pairs"], values["missing"]
    if pairs is None:
        return quiet(missing["pairs"])
    ours, rival = pairs["pairs"], pairs["rival_pairs"]
    heads = ["of the pairs that are associated", "this run", *(["rival"] if rival else [])]
    sides = [ours, *([rival] if rival else [])]
    rows = [[kind, *(f"{side['counts'][kind]:,}" for side in sides)] for kind in KINDS]
    rows.append(["undecided", *(f"{side['undecided']:,}" for side in sides)])
    parts = [table(heads, rows)]
    told = (
        f"{ours['tested']:,} pairs of {ours['labels']:,} labels were tested: Fisher's test, Holm-corrected."
    )
    parts.append(quiet(told))
    for kind, heading in KINDS.items():
        if ours[kind]:
            parts.append(_forest(ours[kind][:PAIRS_SHOWN], heading))
    if any(ours[kind] for kind in KINDS):
        text = (
            "Right of the middle, the decided sets put the labels together more than the truth does; left, less. Log "
            f"odds ratio, decided less true (the shift), cut off at ±{REACH:g}, with its 95 % interval."
        )
        parts.append(quiet(text))
    parts.append(_exclusive(pairs["exclusive"]))
    parts.append(_near_synonyms(pairs["near_synonyms"]))
    parts += [quiet(f"No rival's pairs: {missing['rival_pairs']}")] if "rival_pairs" in missing else []
    return "".join(parts)


def _forest(pairs: Sequence[Values], heading: str) -> str:
    lines = [
        '<div class="head"><span></span><span></span><span>shift</span><span>true</span><span>decided</span></div>'
    ]
    for one in pairs:
        hint = (
            f"{' + '.join(one['labels'])}: log odds ratio {one['log_odds_true']:.2f} in the truth, "
            f"{one['log_odds_predicted']:.2f} decided; difference {one['low']:.2f} to {one['high']:.2f}"
        )
        mark = interval(one["low"], one["difference"], one["high"], reach=REACH, hint=hint)
        lines.append(
            f"<div><span>{escape(' + '.join(one['labels']))}</span>{mark}<b>{one['difference']:+.2f}</b>"
            f"<em>{one['images']['true']:,}</em><em>{one['images']['predicted']:,}</em></div>"
        )
    return f'<h3>{escape(heading)}</h3><div class="forest">{"".join(lines)}</div>'


def _exclusive(found: Values) -> str:
    if not found["pairs"]:
        return quiet("No two labels exclude each other in the training data beyond doubt.")
    rows = [
        [name, f"{one['images']:,}", _share(one["share"]["value"]), _ends(one["share"])]
        for name, one in found["rates"].items()
    ]
    body = table(["", "images", "share", "95 % interval"], rows)
    emitted = "; ".join(
        f"{' + '.join(one['labels'])} ({', '.join(f'{who} {n:,}' for who, n in one['images'].items())})"
        for one in found["emitted"][:8]
    )
    told = f"{found['pairs']:,} pairs of labels (nearly) exclude each other in the training data. Images that get both:"
    more = quiet(f"Most often together: {emitted}.") if emitted else ""
    return f"<h3>Labels that exclude each other</h3>{quiet(told)}{_classed(body)}{more}"


def _near_synonyms(found: Values | None) -> str:
    """Return how often both names of what looks alike are decided."""
    if found is None or not found["alike"]:
        return (
            quiet("None of them look alike, both by the run's label vectors and by their images.")
            if found
            else ""
        )
    sources = list(found["rates"])
    told = (
        f"{found['pairs']:,} of these pairs also look alike: among the tenth of all pairs of labels that are most "
        "similar by the run's label vectors, and by the mean features of the images that have them (cosines). "
        "Images that get both names:"
    )
    rates = [
        [name, f"{one['images']:,}", _share(one["share"]["value"]), _ends(one["share"])]
        for name, one in found["rates"].items()
    ]
    gap = found["differences"].get("run")
    versus = (
        ""
        if gap is None
        else quiet(
            f"This run less the {found['against']}: {100 * gap['value']:+.2f} points ({100 * gap['low']:+.2f} to "
            f"{100 * gap['high']:+.2f}, images drawn again)."
        )
    )
    rows = [
        [
            " + ".join(one["labels"]),
            "–" if one["by_vectors"] is None else f"{one['by_vectors']:.2f}",
            f"{one['by_images']:.2f}",
            *(f"{one['images'][name]:,}" for name in sources),
        ]
        for one in found["alike"][:ROWS_SHOWN]
    ]
    return (
        f"<h3>Near-synonyms</h3>{quiet(told)}"
        f"{_classed(table(['', 'images', 'share', '95 % interval'], rates))}{versus}"
        f"{_named(['pair', 'vectors', 'images alike', *sources], rows)}"
    )


def confusions_part(values: Values) -> str:
    """Return missed labels with the labels that were emitted in their stead."""
    found = values["failures"]["confusions"]
    if not found["first"]:
        return quiet("No label is taken for another more often than the two mistakes would meet by chance.")
    rows = [
        [
            f"{one['missed']} → {one['wrong']}",
            f"{one['images']:,}",
            f"{one['expected']:.2g}",
            f"{one['log10_p_adjusted']:.1f}",
        ]
        for one in found["first"][:ROWS_SHOWN]
    ]
    told = f"Missed label → label emitted instead, on the same image. Beyond chance: {found['count']:,}."
    return quiet(told) + _named(["missed → emitted", "images", "by chance", "log10 p, corrected"], rows)


def worst_part(values: Values) -> str:
    """Return the images whose true sets were held least probable, as a table."""
    found = values["failures"]["worst_images"]
    if not found["first"]:
        return quiet("There are none.")
    by = {"model": "by its own log-likelihood", "scores": "by its scores, labels taken one by one"}[
        found["by"]
    ]
    rows = [
        [
            one["image"],
            "impossible" if one["nats"] is None else f"{one['nats']:.2f}",
            ", ".join(one["missed"]) or "–",
            ", ".join(one["wrong"]) or "–",
        ]
        for one in found["first"]
    ]
    body = table(["image", "nats", "missed", "wrongly decided"], rows)
    body = body.replace("<table>", '<table class="words">', 1)
    return quiet(f"Images whose true sets the run held least probable, {by}.") + body


def _named(heads: list[str], rows: list[list[str]]) -> str:
    return _classed(table(heads, rows))


def _classed(body: str) -> str:
    return body.replace("<table>", '<table class="named">', 1)


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _ends(share: Values) -> str:
    return f"{percent(share['low'])} to {percent(share['high'])}"
