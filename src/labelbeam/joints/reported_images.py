"""The images of a report: the worst and some drawn at random, with scores, and what speaks for each label.

Between an evaluation and the page: names, bounds and explanations. Draws nothing.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from labelbeam.analysis.worst_images import WorstImage
from labelbeam.errors import InputError
from labelbeam.joints.evaluation import Evaluation
from labelbeam.joints.explanation import explain
from labelbeam.joints.explanation_files import told
from labelbeam.joints.failures import truth_and_sets
from labelbeam.joints.progress import progress_bar
from labelbeam.joints.tagger import Tagger
from labelbeam.labels.targets import PRESENT, UNKNOWN
from labelbeam.pages.report_images import ShownImage

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
            values["explanation"] = None if explanation is None else told(explanation)
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
