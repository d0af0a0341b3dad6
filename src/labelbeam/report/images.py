"""The images of a report: the worst and some drawn at random, with scores, maps, one search, probable label errors."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labelbeam.charts.page import embedded_thumbnail, quiet
from labelbeam.data.images import UnreadableImage
from labelbeam.errors import InputError
from labelbeam.explain.explained_run import explain, explanation_dict
from labelbeam.explain.explanation import Explanation
from labelbeam.explain.pictures import overlaid
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.progress import progress_bar
from labelbeam.report.charts import click_chart, search_tree_chart
from labelbeam.report.failures import truth_and_sets
from labelbeam.report.mistakes import WorstImage
from labelbeam.runs.evaluation import Evaluation
from labelbeam.runs.tagger import Tagger

# Parts of a report with pictures: images with scores and maps, one search, probable label errors.

Values = Mapping[str, Any]

MAP_SIDE, CLICKS = 224, 2


@dataclass(frozen=True)
class ShownImage:
    """An image of a report.

    Attributes:
        row: in the evaluation.
        path: its file.
        values: `image`, `why` (worst or random), `truth`, `unknown`, `labels` (score, bounds, whether decided and
            true), `path`, `log_prob`, `exact`, `explanation`; plain values.
        explanation: maps; None where the head or encoder cannot be explained.
    """

    row: int
    path: Path
    values: dict[str, Any]
    explanation: Explanation | None


def images_part(images: Sequence[ShownImage], missing: Mapping[str, str]) -> str:
    """Return images with their scores, bounds and what speaks for each label."""
    if not images:
        return quiet("None were asked for (--images 0).")
    told = (
        "The worst ones first, then some drawn at random. Bars are scores, the pale part their hard bounds; bold "
        "labels were decided. Maps: orange speaks for the label, blue against it, given the labels before it; each "
        "has its own scale. A difference is of two maps scaled to the same total: orange gained weight, blue lost it."
    )
    note = quiet(f"No maps: {missing['attention']}") if "attention" in missing else ""
    return quiet(told) + note + "".join(_shown(one) for one in images)


def _shown(one: ShownImage) -> str:
    said = one.values
    sure = "certified the most probable set" if said["exact"] else "not certified"
    log_p = (
        "a ranking, no probability" if said["log_prob"] is None else f"log p = {said['log_prob']:.2f}, {sure}"
    )
    lines = "".join(_tag(label) for label in said["labels"])
    maps = "" if one.explanation is None else _maps(one.explanation)
    return (
        f'<div class="shown"><div class="head">{_picture(one.path)}<div><p class="file">'
        f'<span class="why {said["why"]}">{said["why"]}</span> {escape(_text(said["image"]))}</p>'
        f'<div class="tags">{lines}</div>'
        f"{quiet(' → '.join((*said['path'], 'nothing more')) + '; ' + log_p)}</div></div>{maps}</div>"
    )


def _tag(one: Values) -> str:
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
    bounds = "" if one["high"] - one["low"] < 0.0005 else f" ({one['low']:.2f}–{one['high']:.2f})"
    return (
        f"<div{' class=decided' if one['decided'] else ''}><b>{escape(one['label'])}</b>"
        f'<svg width="100%" height="12"><title>{escape(hint)}</title>'
        '<rect class="rail" width="100%" height="12" rx="3"/>'
        f'<rect class="s0" y="2" width="{100 * one["score"]:.2f}%" height="8" rx="2"/>'
        f'<rect class="reach" x="{low:.2f}%" width="{max(high - low, 0.0):.2f}%" height="12"/></svg>'
        f'<span>{one["score"]:.2f}<span class="quiet bounds">{bounds}</span></span>'
        f'<em class="{colour}">{verdict}</em></div>'
    )


def _maps(explanation: Explanation) -> str:
    differs = explanation.joint and len(explanation.steps) > 1
    beside = differs and len(explanation.steps) == 2
    figures = []
    for number, step in enumerate(explanation.steps):
        given = f", after {', '.join(step.given)}" if step.given else ""
        figures.append(_map(explanation, step.signed, step.label, f"p = {step.prob:.2f}{given}"))
        if differs and number:
            before = explanation.steps[number - 1].label
            moved = explanation.moved(number)
            figures.append(_map(explanation, moved, f"{step.label} − {before}", "the difference"))
        elif differs and not beside:
            figures.append("<div></div>")
    told = f"{explanation.note} Method: {explanation.method}.".strip()
    two = " two" if differs and not beside else ""
    return f'<div class="maps"><div class="strip{two}">{"".join(figures)}</div>{quiet(told)}</div>'


def _map(explanation: Explanation, signed: np.ndarray, heading: str, under: str) -> str:
    shown = Image.fromarray(overlaid(explanation.picture, signed))
    shown.thumbnail((MAP_SIDE, MAP_SIDE), Image.Resampling.LANCZOS)
    return (
        f'<figure><img src="{_embedded(shown)}" alt="{escape(heading)}"><figcaption><b>{escape(heading)}</b>'
        f'<span class="quiet">{escape(under)}</span></figcaption></figure>'
    )


def search_part(values: Values) -> str:
    """Return the search tree of one image, and what clicks would change."""
    search = values["search"]
    if search is None:
        reason = values["missing"].get("search", "No image was asked for (--images 0).")
        return quiet(reason)
    exact, beam = search["exact"], search["beam"]
    same = "differs and is dashed" if beam["differs"] else "is the same"
    certain = "certified" if exact["exact"] else "not certified within its budget"
    told = (
        f"{_text(search['image'])}: prefixes with their probability, bars the paths that end there. The exact "
        f"search's path in blue ({certain}, log p = {exact['log_prob']:.2f}); a beam's of {beam['width']} {same}. "
        "Probabilities are the model's, before any calibration."
    )
    clicks = "".join(
        f"<div><h3>If {escape(click['label'])} were accepted</h3>{click_chart(click)}</div>"
        for click in search["clicks"][:CLICKS]
    )
    after = quiet("Hollow before, full after.") if clicks else ""
    tree = f'<div class="tree-box">{search_tree_chart(search)}</div>'
    return f'{quiet(told)}{tree}<div class="side">{clicks}</div>{after}'


def errors_part(values: Values, paths: Sequence[Path]) -> str:
    """Return where the run and the labels of the data differ most, with the images."""
    found = values["label_errors"]
    if found is None:
        return quiet(values["missing"]["label_errors"])
    if not found["errors"]:
        return quiet("None was found.")
    told = (
        f"{found['count']:,} times on {found['images_with_errors']:,} of {found['images']:,} images: "
        f"{found['missing']:,} labels that the run finds and the data lack, {found['wrong']:,} that the data have and "
        f"the run does not find; shown are the {len(found['errors'])} where it is surest, with the probability that it "
        "gives what the data say. Which of the two is wrong, the picture tells: in data that people checked it is "
        "mostly the run. Of images that the run was trained on this says little."
    )
    figures = "".join(
        f"<figure>{_picture(path, side=200)}<figcaption><b>{escape(one['label'])}</b>"
        f"<span>{'only the run finds it' if one['given'] == 'absent' else 'only the data have it'} "
        f"({one['confidence']:.2f})</span>"
        f'<span class="quiet">{escape(_text(one["image"]))}</span></figcaption></figure>'
        for one, path in zip(found["errors"], paths, strict=True)
    )
    return f'{quiet(told)}<div class="errors">{figures}</div>'


def _picture(path: Path, *, side: int = 320) -> str:
    try:
        address = embedded_thumbnail(path, side=side)
    except UnreadableImage as error:  # it was there when it was answered
        return f'<p class="bad">{escape(error.reason)}</p>'
    return f'<img src="{address}" alt="{escape(_text(path.name))}">'


def _embedded(image: Image.Image) -> str:
    file = BytesIO()
    image.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _text(name: str) -> str:
    """Return a file's name as text; names that are not UTF-8 exist on Linux."""
    return name.encode("utf-8", "replace").decode("utf-8")


# The images of a report: the worst and some drawn at random, with scores, and what speaks for each label.
#
# Between an evaluation and the page: names, bounds and explanations. Draws nothing.

SCORES_SHOWN = 8
"""Labels listed per image, at least; every true and every decided one is listed."""


def shown_images(
    tagger: Tagger,
    evaluation: Evaluation,
    worst: Sequence[WorstImage],
    *,
    count: int,
    seed: int,
    missing: dict[str, str],
) -> tuple[ShownImage, ...]:
    """Choose images, and say of them all there is to say.

    Args:
        tagger: the run.
        evaluation: its answers.
        worst: candidates for the first half.
        count: how many, at most.
        seed: of the draw of the others.
        missing: gets a sentence under `attention` where nothing can be explained.
    """
    bad = [one.image for one in worst[: (count + 1) // 2]]
    others = np.setdiff1d(np.arange(len(evaluation.dataset)), bad)
    drawn = np.random.default_rng(seed).permutation(others)[: count - len(bad)]
    rows = [(row, "worst") for row in bad] + [(int(row), "random") for row in drawn]
    truth, decided = truth_and_sets(evaluation, tagger.run.config.decision)
    shown = []
    with progress_bar("images", len(rows)) as advance:
        for row, why in rows:
            path = evaluation.dataset.paths[row]
            explanation = None
            if "attention" not in missing:
                try:
                    explanation = explain(tagger.run, path)
                except InputError as error:
                    missing["attention"] = str(error)
            said = _said(evaluation, row, truth[row], decided[row])
            values = {"image": evaluation.dataset.images[row], "why": why, **said}
            values["explanation"] = None if explanation is None else explanation_dict(explanation)
            shown.append(ShownImage(row, path, values, explanation))
            advance(1)
    return tuple(shown)


def _said(evaluation: Evaluation, row: int, truth: np.ndarray, decided: np.ndarray) -> dict[str, Any]:
    """Return truth, decided set, path, and the best labels' scores with bounds."""
    names, answers = evaluation.vocabulary.names, evaluation.answers
    ranked = np.argsort(-answers.scores[row], kind="stable")
    first = set(ranked[:SCORES_SHOWN].tolist())
    columns = {"score": answers.scores, "low": answers.low, "high": answers.high, "stderr": answers.stderr}
    log_prob = float(answers.log_probs[row])
    return {
        "truth": [names[j] for j in np.flatnonzero(truth == PRESENT)],
        "unknown": [names[j] for j in np.flatnonzero(truth == UNKNOWN)],
        "labels": [
            {
                "label": names[j],
                **{name: round(float(column[row, j]), 6) for name, column in columns.items()},
                "decided": bool(decided[j]),
                "truth": {PRESENT: True, UNKNOWN: None}.get(int(truth[j]), False),
            }
            for j in ranked.tolist()
            if j in first or decided[j] or truth[j] == PRESENT
        ],
        "path": list(evaluation.vocabulary.names_of(answers.paths[row])),
        "log_prob": None if np.isnan(log_prob) else round(log_prob, 6),
        "exact": bool(answers.exact[row]),
    }
