"""Where a run fails, and what failing goes with: the tables of a report and their parts of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int8

from labelbeam.charts.charts import interval
from labelbeam.charts.page import percent, quiet, table
from labelbeam.data.dataset import Dataset
from labelbeam.formats.registry import parse_spec
from labelbeam.predict.decision import Decision
from labelbeam.report.charts import TRAIT_AXES, label_results_chart, size_chart, trait_chart
from labelbeam.report.label_kinds import kind_of
from labelbeam.report.label_results import (
    Association,
    LabelResults,
    SizeRecall,
    label_results,
    predictability,
    rank_association,
    recall_by_size,
    results_by_kind,
)
from labelbeam.report.mistakes import (
    Confusion,
    WorstImage,
    confusions,
    summed_log_likelihood,
    worst_images,
)
from labelbeam.runs.evaluation import Evaluation

# Where a run fails, and what failing goes with: the tables of a report, with names.
#
# Between an evaluation and the analyses; each function answers one question and can be called alone.
# Results hold plain numbers and names, and become JSON by `to_json`. Draws nothing.

TRAITS = ("training_images", "mean_area", "predictability")
"""What a label's recall may go with."""

NO_BOXES = "object sizes are known for voc2007, voc2012 and coco only."


@dataclass(frozen=True, eq=False)
class Failures:
    """Where a run fails on labelled images.

    Attributes:
        names: of the run's labels, the columns of everything.
        images: keys of the images.
        decided_by: the rule that decided the sets.
        results: precision and recall of every label.
        kinds: `object`, `scene`, `activity` or None, by label (`report.label_kinds`).
        traits: by name of `TRAITS`, one number per label; NaN where it is not known.
        associations: trait -> rank correlation with recall.
        sizes: recall by the size of the largest object; None without boxes.
        confused: missed labels with wrongly emitted ones, beyond chance.
        worst: the images whose true sets were held least probable.
        nats: what `worst` is ranked by: `model` (its own log-likelihood) or `scores` (labels as if independent).
        notes: why something is missing.
    """

    names: tuple[str, ...]
    images: tuple[str, ...]
    decided_by: str
    results: LabelResults
    kinds: tuple[str | None, ...]
    traits: dict[str, Float[np.ndarray, " labels"]]
    associations: dict[str, Association]
    sizes: SizeRecall | None
    confused: tuple[Confusion, ...]
    worst: tuple[WorstImage, ...]
    nats: str
    notes: tuple[str, ...] = ()

    def to_json(self, *, most_confusions: int = 50) -> dict[str, Any]:
        """Return everything as plain values."""
        columns: dict[str, Any] = {"kind": self.kinds, **self.traits}
        return {
            "images": len(self.images),
            "decided_by": self.decided_by,
            "labels": self.results.to_json(self.names, columns),
            "kinds": results_by_kind(self.results, self.kinds),
            "associations": {trait: one.to_json() for trait, one in self.associations.items()},
            "sizes": None if self.sizes is None else self.sizes.to_json(),
            "confusions": {
                "count": len(self.confused),
                "first": [one.to_json(self.names) for one in self.confused[:most_confusions]],
            },
            "worst_images": {
                "by": self.nats,
                "first": [one.to_json(self.images, self.names) for one in self.worst],
            },
            "notes": list(self.notes),
        }


def failures(
    evaluation: Evaluation,
    decision: Decision,
    *,
    training_images: tuple[int, ...] | None = None,
    training_targets: Int8[np.ndarray, "training labels"] | None = None,
    areas: Float[np.ndarray, "images labels"] | None = None,
    worst: int = 20,
    seed: int = 0,
    resamples: int = 1000,
) -> Failures:
    """Find where a run fails.

    Args:
        evaluation: a run's answers for labelled images.
        decision: how sets are decided.
        training_images: of each of the run's labels (`run.counts`); None: not known.
        training_targets: training labels, columns in the run's order: says how predictable labels are from one another.
        areas: of the largest objects, columns in the run's order (`largest_areas`).
        worst: worst images listed.
        seed: of the halves and the resampling.
        resamples: of the labels, for the intervals of correlations.

    Raises:
        InputError: arrays that do not fit the evaluation.
    """
    truth, decided = truth_and_sets(evaluation, decision)
    results, notes = label_results(truth, decided), []
    rng = np.random.default_rng(seed)
    nothing = np.full(len(evaluation.vocabulary), np.nan)
    traits = dict.fromkeys(TRAITS, nothing)
    if training_images is not None:
        traits["training_images"] = np.array(training_images, dtype=np.float64)
    if training_targets is not None:
        traits["predictability"] = predictability(training_targets, seed=seed)
    else:
        notes.append("predictability of labels needs the training labels; none were given.")
    sizes = None
    if areas is not None:
        sizes = recall_by_size(truth, decided, areas)
        traits["mean_area"] = sizes.mean_area
    else:
        notes.append(NO_BOXES)
    likelihood, by = evaluation.log_likelihood, "model"
    if likelihood is None:
        likelihood, by = summed_log_likelihood(evaluation.answers.scores, truth), "scores"
    names = evaluation.vocabulary.names
    return Failures(
        names,
        evaluation.dataset.images,
        decision.name,
        results,
        tuple(kind_of(name) for name in names),
        traits,
        {
            trait: rank_association(values, results.recall.value, rng=rng, resamples=resamples)
            for trait, values in traits.items()
        },
        sizes,
        tuple(confusions(truth, decided)),
        tuple(worst_images(truth, decided, likelihood, count=worst)),
        by,
        tuple(notes),
    )


def truth_and_sets(
    evaluation: Evaluation, decision: Decision
) -> tuple[Int8[np.ndarray, "images labels"], Bool[np.ndarray, "images labels"]]:
    """Return truth and decided sets in the columns of the run's labels.

    Labels that the data lack are unknown; labels of the data that the run lacks are left out (the evaluation's notes
    name them).
    """
    truth = evaluation.dataset.with_vocabulary(evaluation.vocabulary.names).targets
    return truth, decision.decide(evaluation.answers, evaluation.thresholds)


def largest_areas(dataset: Dataset, names: tuple[str, ...]) -> Float[np.ndarray, "images labels"] | None:
    """Return the size of each label's largest object on each image, as a share of the image's area.

    Args:
        dataset: of VOC or COCO; images may be a part of its split.
        names: of the columns.

    Returns:
        float32, NaN where there is no such object; None for a format without boxes.

    Raises:
        InputError: annotations that are missing or damaged.
    """
    from labelbeam.formats.object_areas import coco_areas, voc_areas

    spec = parse_spec(dataset.spec)
    if spec.format in ("voc2007", "voc2012"):
        return voc_areas(dataset.root.parent, dataset.images, names)
    if spec.format == "coco" and spec.path is not None:
        return coco_areas(spec.path, spec.split, dataset.images, names)
    return None


# Parts of a report: labels one by one, pairs, confusions, the worst images as a table.

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


def balance_part(values: Values) -> str:
    """Return how unevenly labels are spread, and what becomes of the rare ones."""
    labels = [one for one in values["failures"]["labels"] if one["present"]]
    if not labels:
        return quiet("No label is present.")
    trained = all(one["training_images"] is not None for one in labels)
    key = "training_images" if trained else "present"
    ranked = sorted(labels, key=lambda one: (-one[key], one["label"]))
    most, least = ranked[0], ranked[-1]
    total = sum(one[key] for one in ranked)
    tenth = ranked[: max(1, round(len(ranked) / 10))]
    times = f", {most[key] / least[key]:,.0f} times as many" if least[key] else ""
    where = "training" if trained else "judged"
    told = (
        f"Of the {len(ranked):,} labels that are present, {most['label']} has the most {where} images "
        f"({most[key]:,.0f}{times}) and {least['label']} the fewest ({least[key]:,.0f}). The most frequent tenth has "
        f"{percent(sum(one[key] for one in tenth) / total) if total else '–'} of all."
    )
    rows = []
    for name, some in _thirds(ranked):
        wanted, decided = sum(one["present"] for one in some), sum(one["decided"] for one in some)
        right = sum(one["right"] for one in some)
        rows.append(
            [
                name,
                f"{len(some):,}",
                f"{some[-1][key]:,.0f} to {some[0][key]:,.0f}",
                percent(right / decided) if decided else "–",
                percent(right / wanted) if wanted else "–",
            ]
        )
    heads = ["labels", "how many", f"{where} images of each", "precision", "recall"]
    return (
        quiet(told)
        + table(heads, rows)
        + quiet("Precision and recall of all decisions on those labels together.")
    )


def _thirds(ranked: Sequence[Values]) -> list[tuple[str, Sequence[Values]]]:
    """Return the frequent, the middle and the rare third; those that have a label."""
    first, second = -(-len(ranked) // 3), -(-2 * len(ranked) // 3)
    parts = (("frequent", ranked[:first]), ("middle", ranked[first:second]), ("rare", ranked[second:]))
    return [(name, some) for name, some in parts if some]


def pairs_part(values: Values) -> str:
    """Return pairs of labels that were learned, missed, exaggerated or invented, beside a rival's counts."""
    pairs, missing = values["pairs"], values["missing"]
    if pairs is None:
        return quiet(missing["pairs"])
    ours, rival = pairs["pairs"], pairs["rival_pairs"]
    beside = _beside(values)
    heads = ["of the pairs that are associated", "this run", *([beside] if rival else [])]
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
    parts.append(_exclusive(pairs["exclusive"], beside))
    parts.append(_near_synonyms(pairs["near_synonyms"], beside))
    parts += [quiet(f"No pairs of {beside}: {missing['rival_pairs']}")] if "rival_pairs" in missing else []
    return "".join(parts)


def _beside(values: Values) -> str:
    """Return what the run beside it is called: its folder's name."""
    folder = values.get("about", {}).get("beside")
    return Path(folder).name if folder else ""


def _whose(source: str, beside: str) -> str:
    return {"truth": "the data", "run": "this run", "rival": beside or "the other run"}.get(source, source)


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


def _exclusive(found: Values, beside: str) -> str:
    if not found["pairs"]:
        return quiet("No two labels exclude each other in the training data beyond doubt.")
    rows = [
        [_whose(name, beside), f"{one['images']:,}", _share(one["share"]["value"]), _ends(one["share"])]
        for name, one in found["rates"].items()
    ]
    body = table(["", "images", "share", "95 % interval"], rows)
    emitted = "; ".join(
        f"{' + '.join(one['labels'])} ({', '.join(f'{_whose(who, beside)} {n:,}' for who, n in one['images'].items())})"
        for one in found["emitted"][:8]
    )
    told = f"{found['pairs']:,} pairs of labels (nearly) exclude each other in the training data. Images that get both:"
    more = quiet(f"Most often together: {emitted}.") if emitted else ""
    return f"<h3>Labels that exclude each other</h3>{quiet(told)}{_classed(body)}{more}"


def _near_synonyms(found: Values | None, beside: str) -> str:
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
        [_whose(name, beside), f"{one['images']:,}", _share(one["share"]["value"]), _ends(one["share"])]
        for name, one in found["rates"].items()
    ]
    gap = found["differences"].get("run")
    versus = (
        ""
        if gap is None
        else quiet(
            f"This run less {_whose(found['against'], beside)}: {100 * gap['value']:+.2f} points "
            f"({100 * gap['low']:+.2f} to {100 * gap['high']:+.2f}, images drawn again)."
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
        f"{_named(['pair', 'vectors', 'images alike', *(_whose(name, beside) for name in sources)], rows)}"
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
    body = table(["image", "surprise", "missed", "wrongly decided"], rows)
    body = body.replace("<table>", '<table class="words">', 1)
    return (
        quiet(
            f"Images whose true sets the run held least probable, {by}; surprise is -log of that probability."
        )
        + body
    )


def _named(heads: list[str], rows: list[list[str]]) -> str:
    return _classed(table(heads, rows))


def _classed(body: str) -> str:
    return body.replace("<table>", '<table class="named">', 1)


def _share(value: float | None) -> str:
    return "–" if value is None else percent(value)


def _ends(share: Values) -> str:
    return f"{percent(share['low'])} to {percent(share['high'])}"
