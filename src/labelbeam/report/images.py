"""The images of a report: the worst and some drawn at random, with scores, and what speaks for each label."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.errors import InputError
from labelbeam.explain.explained_run import explain, explanation_dict
from labelbeam.explain.explanation import Explanation
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.progress import progress_bar
from labelbeam.report.failures import truth_and_sets
from labelbeam.report.mistakes import WorstImage
from labelbeam.runs.evaluation import Evaluation
from labelbeam.runs.tagger import Tagger


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
    """Choose images, and gather their answers.

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
            answer = _answer(evaluation, row, truth[row], decided[row])
            values = {"image": evaluation.dataset.images[row], "why": why, **answer}
            values["explanation"] = None if explanation is None else explanation_dict(explanation)
            shown.append(ShownImage(row, path, values, explanation))
            advance(1)
    return tuple(shown)


def _answer(evaluation: Evaluation, row: int, truth: np.ndarray, decided: np.ndarray) -> dict[str, Any]:
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
