"""A comparison to its scores: every number of the contract, with the protocol that produced it.

`numbers` is the one list of what is measured; it takes optional image weights, so the bootstrap measures
exactly what is reported. Knows nothing of files.
In the data path: `comparison` -> **evaluation** -> `Scores`.
"""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Int

from labelbeam.metrics import counts as ratios
from labelbeam.metrics.comparison import Comparison, images_below_k
from labelbeam.metrics.counts import Counts, count
from labelbeam.metrics.ranking import RULES, average_precision, average_precision_at, exact_k_ceiling

DECISION_NUMBERS = ("OP", "OR", "OF1", "CP", "CR", "CF1", "CF1_mean_of_classes", "subset_accuracy")
WRONG_ONES = ("OP", "OF1", "CP", "CF1", "CF1_mean_of_classes", "subset_accuracy", "log_likelihood")
"""Those for which it must be known what is absent."""


@dataclass(frozen=True)
class ClassScores:
    """One label's counts and scores; fractions in [0, 1], None where not defined or not given.

    Attributes:
        support: G_c, images where it is present.
        true_positives: TP_c; None without decisions.
        predicted: N_c; None without decisions.
        precision: TP_c / N_c, 0 if never decided.
        recall: TP_c / G_c.
        f1: of precision and recall.
        ap_area: average precision without interpolation (scikit-learn).
        ap_voc10: area under the interpolated curve.
        ap_voc11: 11 points.
    """

    support: int
    true_positives: int | None
    predicted: int | None
    precision: float | None
    recall: float | None
    f1: float | None
    ap_area: float | None
    ap_voc10: float | None
    ap_voc11: float | None


@dataclass(frozen=True)
class Scores:
    """Every number of one evaluation, and what is needed to compare it with another.

    Attributes:
        protocol: the decision rule, the definitions, the counts of images and labels.
        values: by name, fractions in [0, 1] (label means and log-likelihood apart); None where null.
        reasons: by name of a null value, why it is null.
        per_class: by label name, in the truth's column order.
        notes: sentences for the user.
    """

    protocol: dict[str, object]
    values: dict[str, float | None]
    reasons: dict[str, str]
    per_class: dict[str, ClassScores]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> float | None:
        return self.values[name]

    def to_json(self) -> dict[str, object]:
        """Return the object that `labelbeam score --json` prints: the values at the top level."""
        return {
            "protocol": self.protocol,
            **self.values,
            "null_because": self.reasons,
            "per_class": {name: asdict(scores) for name, scores in self.per_class.items()},
            "notes": list(self.notes),
        }


def numbers(
    comparison: Comparison, weights: Int[np.ndarray, "resamples images"], *, average_precisions: bool = True
) -> dict[str, Float[np.ndarray, " resamples"]]:
    """Measure everything under each weighting of the images; NaN where a number is not defined.

    Args:
        weights: how often each image counts; ones for the plain value.
        average_precisions: whether mAP is among them, which takes most of the time.

    Returns:
        By name, one number per weighting.
    """
    truth = comparison.truth
    decisions = (
        np.zeros(truth.shape, dtype=np.bool_) if comparison.decisions is None else comparison.decisions
    )
    values = _of_counts(count(truth, decisions, outside=comparison.outside, weights=weights))
    if comparison.decisions is None:
        values |= {
            name: np.full(len(weights), np.nan) for name in (*DECISION_NUMBERS, "mean_labels_predicted")
        }
    unranked = np.full(len(truth), np.nan)
    per_image = (
        unranked
        if comparison.ranking is None
        else average_precision_at(truth, comparison.ranking, n=comparison.map_depth)
    )
    values[f"MAP@{comparison.map_depth}"] = _weighted_mean(per_image, weights)
    if average_precisions:
        values |= _mean_average_precisions(comparison, weights)
    if comparison.log_likelihood is not None:
        values["log_likelihood"] = _weighted_mean(comparison.log_likelihood, weights)
    if comparison.only_present:
        values |= {
            name: np.full(len(weights), np.nan) for name in values if name in WRONG_ONES or "AP" in name
        }
    return values


def _of_counts(counts: Counts) -> dict[str, np.ndarray]:
    overall = ratios.overall_precision(counts), ratios.overall_recall(counts)
    by_class = ratios.mean_class_precision(counts), ratios.mean_class_recall(counts)
    return {
        "OP": overall[0],
        "OR": overall[1],
        "OF1": ratios.harmonic_mean(*overall),
        "CP": by_class[0],
        "CR": by_class[1],
        "CF1": ratios.harmonic_mean(*by_class),
        "CF1_mean_of_classes": ratios.mean_class_f1(counts),
        "subset_accuracy": ratios.subset_accuracy(counts),
        "mean_labels_true": ratios.mean_labels_true(counts),
        "mean_labels_predicted": ratios.mean_labels_predicted(counts),
    }


def _weighted_mean(per_image: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the images that have a value; NaN where a weighting holds none."""
    defined = ~np.isnan(per_image)
    total = weights[:, defined] @ per_image[defined]
    drawn = weights[:, defined].sum(axis=1)
    return np.divide(total, drawn, out=np.full(len(weights), np.nan), where=drawn > 0)


def _mean_average_precisions(comparison: Comparison, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Sum each rule's AP over labels with a positive, label by label, so that memory stays small."""
    total = {rule: np.zeros(len(weights)) for rule in RULES}
    labels = np.zeros(len(weights))
    for label in comparison.sorted_labels:
        by_rule = average_precision(label, weights)
        defined = ~np.isnan(by_rule["area"])
        labels += defined
        for rule in RULES:
            total[rule] += np.where(defined, by_rule[rule], 0.0)
    none = np.full(len(weights), np.nan)
    return {
        f"mAP_{rule}": np.divide(total[rule], labels, out=none.copy(), where=labels > 0) for rule in RULES
    }


def evaluate(comparison: Comparison) -> Scores:
    """Measure a comparison.

    Returns:
        Every number, per class too, with the protocol block and the reason of each null.

    Example:
        >>> from labelbeam.metrics.comparison import compare
        >>> from labelbeam.metrics.comparison import Protocol
        >>> truth = np.array([[1, 0, 1], [0, 1, 0]], dtype=np.int8)
        >>> scores = np.array([[0.9, 0.8, 0.7], [0.1, 0.6, 0.2]])
        >>> exact_1 = Protocol("exact-k", k=1)
        >>> result = evaluate(compare(truth, ["a", "b", "c"], protocol=exact_1, scores=scores))
        >>> result["OP"], round(result["OR"], 3), result["mAP_area"]
        (1.0, 0.667, 0.8333333333333334)
    """
    once = np.ones((1, len(comparison.truth)), dtype=np.int64)
    raw = {name: float(value[0]) for name, value in numbers(comparison, once).items()}
    values = {name: None if np.isnan(value) else value for name, value in raw.items()}
    reasons = {name: _reason(name, comparison) for name, value in values.items() if value is None}
    return Scores(_protocol_block(comparison), values, reasons, _per_class(comparison), comparison.notes)


def _reason(name: str, comparison: Comparison) -> str:
    """Say why a number is null."""
    if comparison.only_present and (name in WRONG_ONES or "AP" in name):
        return "of no image is it known what is absent, so no predicted label can be wrong."
    if comparison.decisions is None and (name in DECISION_NUMBERS or name == "mean_labels_predicted"):
        return comparison.reasons.get("decisions", "no decision protocol was chosen.")
    if name.startswith("MAP@") and comparison.ranking is None:
        return comparison.reasons.get("ranking", "the predictions do not rank labels.")
    if name.startswith("mAP_") and comparison.scores is None:
        return comparison.reasons.get(
            "scores", "the predictions have no scores, and sets cannot be ranked over images."
        )
    return "no image has a label, so there is nothing to find."


def _per_class(comparison: Comparison) -> dict[str, ClassScores]:
    truth, decided = comparison.truth, comparison.decisions
    counts = count(truth, np.zeros(truth.shape, dtype=np.bool_) if decided is None else decided)
    lost = comparison.never_absent
    precision, recall, f1 = (
        np.where(lost, np.nan, ratios.class_precision(counts)),
        ratios.class_recall(counts),
        np.where(lost, np.nan, ratios.class_f1(counts)),
    )
    once = np.ones((1, len(truth)), dtype=np.int64)
    ap = [
        {rule: float(value[0]) for rule, value in average_precision(label, once).items()}
        for label in comparison.sorted_labels
    ]
    rows = {}
    for c, name in enumerate(comparison.names):
        by_rule = ap[c] if ap else dict.fromkeys(RULES, np.nan)
        rows[name] = ClassScores(
            int(counts.positives[c]),
            None if decided is None else int(counts.true_positives[c]),
            None if decided is None else int(counts.predicted[c]),
            *(
                None if decided is None or np.isnan(value[c]) else float(value[c])
                for value in (precision, recall, f1)
            ),
            *(None if np.isnan(by_rule[rule]) else by_rule[rule] for rule in RULES),
        )
    return rows


def _protocol_block(comparison: Comparison) -> dict[str, object]:
    """Everything another result must share before two numbers may stand in one table."""
    truth, protocol = comparison.truth, comparison.protocol
    block: dict[str, object] = {"name": protocol.name, "decides": protocol.rule}
    block |= {
        key: value
        for key in ("k", "threshold", "decided_by")
        if (value := getattr(protocol, key)) is not None
    }
    if (short := images_below_k(comparison)) is not None:
        block["images_with_fewer_than_k"] = short
    if protocol.k is not None:
        block["exact_k_ceiling"] = exact_k_ceiling(truth, k=protocol.k)
    return block | {
        "ties": "within an image by code point order of the names; in AP equal scores are one threshold",
        "unknown": "taken out of the image's ranking; in decisions neither right nor wrong",
        "AP": "area: no interpolation (scikit-learn); voc10: area under interpolated curve; voc11: 11 points",
        "class_averages": "over labels with a positive; a label never decided has precision 0",
        "CF1": "the F1 of CP and CR",
        "MAP_normaliser": f"1 / min({comparison.map_depth}, labels of the image), over images with labels",
        "images": len(truth),
        "images_without_labels": int((~(truth == 1).any(axis=1)).sum()),
        "images_without_labels_are": "kept",
        "labels": truth.shape[1],
        "labels_with_a_positive": int((truth == 1).any(axis=0).sum()),
        "unknown_cells": int((truth == -1).sum()),
    }
