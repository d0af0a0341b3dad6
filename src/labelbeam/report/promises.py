"""What can be promised, what became of it, and what a plain threshold does: a section of the report."""

from typing import Any

import numpy as np

from labelbeam.errors import InputError
from labelbeam.predict.decision import Decision
from labelbeam.predict.promise_kinds import set_probability
from labelbeam.predict.promises import Promises, check_listed, check_unseen, plain_cut, plain_threshold
from labelbeam.predict.set_lists import listed_until, mass_before
from labelbeam.report.run import Section, Subject
from labelbeam.runs.choices import valid_promises

TEMPLATE = """
{% macro size(one) -%}
{% if one.share_unseen is defined %}{{ "%.1f" | format(100 * one.size) }} % of the images
{%- elif one.sets is defined %}{{ "%.2f" | format(one.size) }} sets per list
{%- else %}{{ "%.2f" | format(one.size) }} labels per image{% endif %}
{%- endmacro %}
{% macro share(value) -%}{% if value is none %}–{% else %}{{ "%.1f" | format(100 * value) }} %{% endif %}{%- endmacro %}
<p class="quiet">Promised of images drawn as the calibration images were
({{ found.images | number }} of {{ found.data }}),
and what became of it on the images of this report. Beside it the plain threshold that just
reaches the target on the same calibration images: it has no margin and breaks its word about every second time.
Kept and broken are shown with confidence 95 %; undecided: too few images to tell.</p>
<div class="wide"><table class="named promised">
<tr><th>promise</th><th>reached</th><th>images</th><th>verdict</th><th>size</th>
<th>plain reaches</th><th>its size</th></tr>
{% for one in found.of %}
<tr><td>{{ one.promise }}</td>
  {%- if one.refused is defined %}<td>–</td><td>–</td><td>refused</td><td>–</td>
  {%- else %}<td>{{ share(one.value) }}</td><td>{{ one.images | number }}</td>
  {#- #}<td>{% if one.verdict is string %}{{ one.verdict }}
    {%- else %}
    {%- for name, count in one.verdict.items() if count %}{{ count }} labels {{ name }}{{ ", " if not loop.last }}
    {%- endfor %}
    {%- endif %}</td><td>{{ size(one) }}</td>
  {%- endif %}
  {%- if one.plain is none %}<td>–</td><td>–</td>
  {%- else %}<td>{{ share(one.plain.value) }}
    {%- if one.plain.value is not none and one.plain.value < one.target %} (too few)
    {%- endif %}</td><td>{{ size(one.plain) }}</td>
  {%- endif %}</tr>
{% endfor %}
</table></div>
{% for one in found.of if one.refused is defined %}
<p class="quiet">Refused: {{ one.refused }}</p>
{% endfor %}
{% for one in found.of if one.void is defined %}
<p class="warn">{{ one.promise }} is void here: {{ one.void }}.</p>
{% endfor %}
{% for one in found.of if one.sets is defined %}
{% set most = one.sets.counts.values() | max %}
<h3>How long the lists of sets are</h3>
<p class="quiet">Mean {{ "%.1f" | format(one.sets.mean) }}, median {{ one.sets["50 %"] }}, longest
{{ one.sets["100 %"] }} sets; images by the length of their list. {{ share(one.value) }} of the lists
hold the true set.</p>
<div class="lengths">
{% for length, count in one.sets.counts.items() %}
<div><span>{{ length }}</span><i style="width:{{ "%.1f" | format(80 * count / most) }}%"></i>
<span>{{ count | number }}</span></div>
{% endfor %}
</div>
{% endfor %}
"""

ASKED = ("precision=0.9", "recall=0.9")
UNSEEN, AMONG = 0.9, 0.9


def promises_of(ours: Subject) -> dict[str, Any]:
    """Return what became of promises, as plain values: the calibration images, and `of` promises one by one.

    Asked are those of the run's own decision and some usual ones. Each has what `check_unseen` says, or `refused` with
    the reason; `plain` is what the threshold that just reached the target on the calibration images does.

    Raises:
        InputError: the run kept no calibration images aside.
    """
    found, own = valid_promises(ours.tagger.run), ours.tagger.run.config.decision
    if found is None:
        raise InputError(
            "The run kept no images aside for promises. Train with --calibrate SPEC or --calibrate-fraction 0.2."
        )
    texts = list(dict.fromkeys([*([own.promise] if own.promise else []), *ASKED]))
    rows = [
        _of_labels(ours, found, text, on_average=own.on_average and text == own.promise) for text in texts
    ]
    rows.append(_of_unseen(ours, found, own.unseen or UNSEEN))
    rows.append(_of_sets(ours, found, own.sets_among or AMONG))
    return {"data": found.data, "images": len(found.sample), "of": rows}


def _of_labels(ours: Subject, found: Promises, text: str, *, on_average: bool) -> dict[str, Any]:
    decision = Decision(rule="promise", promise=text, on_average=on_average)
    promise = decision.promised()
    assert promise is not None
    values: dict[str, Any] = {"promise": str(promise), "target": promise.target, "plain": None}
    if not promise.kind.startswith("label-"):
        plain = Decision(
            rule="threshold", threshold=plain_threshold(promise.kind, promise.target, found.sample)
        )
        values["plain"] = _checked(ours, plain, decision)
    try:
        found.keep(promise)
    except InputError as error:
        return values | {"refused": str(error)}
    return values | _checked(ours, decision, decision)


def _checked(ours: Subject, decided_by: Decision, promised: Decision) -> dict[str, Any]:
    """Return what became of a promise where sets are decided so, and how many labels an image gets."""
    comparison = ours.evaluation.comparison(decided_by)
    found: dict[str, Any] = ours.evaluation.promise_checks(promised, comparison)["labels"]
    assert comparison.decisions is not None
    return found | {"size": float((comparison.decisions.sum(axis=1) + comparison.outside).mean())}


def _of_unseen(ours: Subject, found: Promises, target: float) -> dict[str, Any]:
    path, answers = Decision(unseen=target), ours.evaluation.answers
    comparison, sets = ours.evaluation.comparison(path), answers.path_sets()
    sure = set_probability(answers.scores, sets, answers.log_probs)
    plain = check_unseen(target, sure >= plain_cut(target, found.sample), comparison)
    values: dict[str, Any] = {"target": target, "plain": plain | {"size": plain["share_unseen"]}}
    try:
        found.keep_unseen(target, "path", None)
    except InputError as error:
        return {"promise": plain["promise"], **values, "refused": str(error)}
    checked = ours.evaluation.promise_checks(path, comparison)["unseen"]
    return values | checked | {"size": checked["share_unseen"]}


def _of_sets(ours: Subject, found: Promises, target: float) -> dict[str, Any]:
    decision, evaluation = Decision(sets_among=target), ours.evaluation
    truth = evaluation.dataset.with_vocabulary(evaluation.vocabulary.names).targets
    values: dict[str, Any] = {"target": target, "plain": None}
    try:
        most = found.keep_listed(target)
    except InputError as error:
        words = f"the true set is among those listed with probability {target:g} on average"
        return values | {"promise": words, "refused": str(error)}
    listed = decision.listed(evaluation.answers)
    checked = evaluation.promise_checks(decision, evaluation.comparison(Decision()))["sets"]
    quantile = float(np.quantile(found.sample.before, target, method="inverted_cdf"))
    cut = [listed_until(one, min(quantile, most)) for one in listed]
    held = np.isfinite(mass_before(cut, truth))
    shorter = check_listed(target, held, np.array([len(one) for one in cut]))
    plain = shorter | {"size": shorter["sets"]["mean"]}
    return values | checked | {"size": checked["sets"]["mean"], "plain": plain}


PROMISES = Section("promises", "What can be promised", promises_of, TEMPLATE)
