"""The choice of one decision protocol for a prediction file, and the comparison that follows.

Knows what each kind of file can be asked for; knows nothing of the command line. In the data path:
`Truth` + `Predictions` + the user's choice -> **comparison** -> `evaluation` and `bootstrap`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from labelbeam.errors import InputError
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.metrics.comparison import Comparison, Protocol, compare
from labelbeam.metrics.prediction_file import Line, Predictions, Truth, read_lines, shown

NO_PROTOCOL = (
    "the predictions are scores and no decision protocol was chosen; "
    "give --k K (exactly K labels per image) or --threshold T."
)


def choose_protocol(
    predictions: Predictions,
    *,
    k: int | None = None,
    threshold: float | None = None,
    sets: bool = False,
    min_score: float | None = None,
) -> Protocol:
    """Return the one protocol that was asked for, or that the file implies.

    Args:
        k: decide the k best-ranked labels of each image.
        threshold: decide every label with at least this score.
        sets: decide the sets as given; the default where every line has `labels`.
        min_score: with k: of the k best, only those with at least this score (another protocol than exact-k).

    Raises:
        InputError: more than one protocol, `min_score` without `k`, or material that the file lacks.
    """
    asked = [
        option
        for option, given in (("--k", k), ("--threshold", threshold), ("--sets", sets or None))
        if given is not None
    ]
    if len(asked) > 1:
        raise InputError(
            f"exactly one decision protocol per run; given {' and '.join(asked)}. "
            "Choose one of --k, --threshold, --sets "
            "(top-k-and-threshold, ML-GCN's protocol, is --k K --min-score T)."
        )
    if min_score is not None and k is None:
        raise InputError(
            "--min-score belongs to --k (top-k-and-threshold); for a threshold alone use --threshold."
        )
    if k is not None:
        return _ranked(predictions, k, min_score)
    if threshold is not None:
        _require_scores(predictions, "--threshold")
        return Protocol("threshold", threshold=threshold)
    if predictions.sets is None:
        if sets:
            raise InputError(
                f"--sets needs 'labels' on every line: {predictions.reasons['labels']} "
                "Use --k or --threshold."
            )
        return Protocol("none")
    sizes = np.unique(predictions.set_sizes)
    if predictions.decided_by == "path-k" and len(sizes) == 1 and sizes[0] > 0:
        return Protocol("path-k", k=int(sizes[0]), decided_by="path-k")
    return Protocol("sets", decided_by=predictions.decided_by)


def _ranked(predictions: Predictions, k: int, min_score: float | None) -> Protocol:
    if min_score is not None:
        _require_scores(predictions, "--min-score")
        return Protocol("top-k-and-threshold", k=k, threshold=min_score)
    if predictions.ranking is None:
        raise InputError(f"--k needs one ranking for all images: {predictions.reasons['ranking']}")
    from_lists = predictions.scores is None
    predicted = predictions.set_sizes >= 0 if not predictions.missing else predictions.set_sizes > 0
    if from_lists and (predictions.set_sizes[predicted] < k).any():
        return Protocol("at-most-k", k=k)
    return Protocol("exact-k", k=k)


def _require_scores(predictions: Predictions, option: str) -> None:
    if predictions.scores is None:
        raise InputError(
            f"{option} needs 'scores' on every line: {predictions.reasons['scores']} "
            "Write them with `labelbeam tag --all-scores`, or use --k or --sets."
        )


def compare_files(truth: Truth, predictions: Predictions, *, protocol: Protocol) -> Comparison:
    """Put a prediction file beside the truth under a protocol.

    Args:
        truth: as read by `read_truth`.
        predictions: as read by `read_predictions`, with a depth of at least k and 10.
        protocol: as of `choose_protocol`.
    """
    from_sets = protocol.name in ("sets", "path-k")
    by_threshold = protocol.threshold is not None
    notes = list(predictions.notes)
    if predictions.scores is None and predictions.ranking is not None:
        notes.append("MAP@10 takes the lists as rankings, best first; what is not listed is not found.")
    threshold = protocol.threshold
    if threshold is not None and predictions.scores is not None and 0 < threshold < 1:
        given = predictions.scores[np.isfinite(predictions.scores)]
        if given.size and (given.min() < 0 or given.max() > 1):
            notes.append(
                f"scores reach from {given.min():.4g} to {given.max():.4g}, so they are no probabilities; a threshold "
                f"of {threshold:g} is one on their own scale."
            )
    comparison = compare(
        truth.targets,
        truth.names,
        protocol=protocol,
        scores=predictions.scores,
        decisions=predictions.sets if from_sets else None,
        ranking=predictions.ranking,
        outside=predictions.outside
        if from_sets
        else predictions.outside_at_threshold
        if by_threshold
        else None,
        reasons={**predictions.reasons, "decisions": NO_PROTOCOL},
        notes=notes,
    )
    return replace(comparison, notes=(*notes, *_note_unscored(comparison)))


def _note_unscored(comparison: Comparison) -> list[str]:
    """Tell of images whose k labels had to be filled up with labels that were not scored."""
    ranking, scores = comparison.ranking, comparison.scores
    if ranking is None or scores is None or comparison.protocol.name != "exact-k":
        return []
    top = ranking[:, : comparison.protocol.k]
    unscored = (top >= 0) & np.isneginf(np.take_along_axis(scores, np.maximum(top, 0), axis=1))
    images = int(unscored.any(axis=1).sum())
    filled = (
        f"{images} image(s) score fewer than {comparison.protocol.k} labels; filled up in order of names."
    )
    return [filled] if images else []


def read_unseen(path: Path, truth: Truth) -> Bool[np.ndarray, " images"]:
    """Return of which images of a truth the lines say that nobody needs to look at them.

    Raises:
        InputError: no line says it of any image, or a line says something else than true or false.
    """
    row = {image: i for i, image in enumerate(truth.images)}
    found, any_stated = np.zeros(len(row), dtype=bool), False
    for line in read_lines(path):
        if "unseen" not in line.content or line.image not in row:
            continue
        if not isinstance(value := line.content["unseen"], bool):
            raise InputError(f"{line.where}: 'unseen' must be true or false, given {shown(value)}.")
        found[row[line.image]], any_stated = value, True
    if not any_stated:
        raise InputError(
            f"{path}: no line has 'unseen', so nothing says which images nobody looks at. `labelbeam tag --unseen 0.95`"
            " writes it."
        )
    return found


def read_listed(path: Path, truth: Truth) -> tuple[Bool[np.ndarray, " images"], Int[np.ndarray, " images"]]:
    """Return for each image of a truth whether its set is among those listed, and how many are listed.

    Labels that the truth does not know of an image are passed over.

    Raises:
        InputError: an image without a list, or a list that is none of sets.
    """
    row = {image: i for i, image in enumerate(truth.images)}
    found, sizes = np.zeros(len(row), dtype=bool), np.full(len(row), -1)
    for line in read_lines(path):
        if line.image not in row or "sets" not in line.content:
            continue
        targets = truth.targets[row[line.image]]
        wanted, unknown = (
            {name for name, one in zip(truth.names, targets, strict=True) if one == value}
            for value in (PRESENT, UNKNOWN)
        )
        listed = _sets(line)
        found[row[line.image]] = any(set(one) - unknown == wanted for one in listed)
        sizes[row[line.image]] = len(listed)
    if (sizes < 0).any():
        image = truth.images[int((sizes < 0).argmax())]
        raise InputError(
            f"{path}: {int((sizes < 0).sum())} images have no 'sets', such as {image!r}. `labelbeam tag --sets-among "
            "0.9` writes them."
        )
    return found, sizes


def _sets(line: Line) -> list[list[str]]:
    entries = line.content["sets"]
    if not isinstance(entries, list) or not all(isinstance(one, dict) and "labels" in one for one in entries):
        raise InputError(
            f"{line.where}: 'sets' must be a list of {{\"labels\": [names]}}, given {shown(entries)}."
        )
    return [Line(line.where, line.image, one).label_list("labels") for one in entries]
