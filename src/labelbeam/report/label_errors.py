"""Labels that disagree with the model: absent where it is sure of them, present where it is sure they are not.

Confident learning, each label a class problem of its own (present, absent). Honest only with out-of- sample
probabilities: of images that the model was not trained on (a test split, or cross-validation). Knows matrices.

Source:
    Northcutt, Jiang, Chuang 2021, Confident Learning; Thyagarajan et al. 2022 for several labels per image
    (self-confidence, exponential moving average). Rewritten; gives what cleanlab 2.9 gives with
    `filter_by="confident_learning"`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, ByLabel, PerImage, PerLabel, Targets
from labelbeam.runs.evaluation import Evaluation

ALPHA = 0.8
"""Weight of an image's worse labels in its quality (cleanlab's default)."""

ROWS = 16_384


@dataclass(frozen=True)
class LabelError:
    """One label of one image that the model disagrees with.

    Attributes:
        given: whether the data say that the image has it.
        confidence: the model's probability of what the data say; low is suspicious.
    """

    image: int
    label: int
    given: bool
    confidence: float

    def to_json(self, images: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "image": images[self.image],
            "label": names[self.label],
            "given": "present" if self.given else "absent",
            "probably": "absent" if self.given else "present",
            "confidence": round(self.confidence, 6),
        }


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """Labels of a data set that the model disagrees with.

    Attributes:
        found: the labels, the strongest disagreement first; all, or as many as were asked for.
        quality: float64 [images] in [0, 1], how far the model agrees with an image's labels, the worst ones
            weighing most.
        missing: how many labels the model finds and the data lack, in `found` or not.
        wrong: how many the data have and the model does not find, likewise.
        images_with_errors: likewise.
    """

    found: tuple[LabelError, ...]
    quality: PerImage
    missing: int
    wrong: int
    images_with_errors: int

    def issues(self) -> list[int]:
        """Return the rows of images with an error, the lowest quality first: cleanlab's `find_label_issues`."""
        rows = sorted({one.image for one in self.found})
        return sorted(rows, key=lambda row: (self.quality[row], row))


def label_errors(
    targets: Targets, probs: Float[np.ndarray, "rows columns"], *, most: int | None = None
) -> LabelErrors:
    """Find labels that the model disagrees with.

    A label given as absent is suspicious where p(label | image) reaches the mean p of the images that have it; one
    given as present where 1 - p reaches the mean 1 - p of those that have it not; where both are reached, the more
    probable counts.

    Args:
        targets: 1 present, 0 absent, -1 unknown (never an error).
        probs: p(label | image), out of sample.
        most: errors returned; None: all, of which there may be millions.

    Raises:
        InputError: probabilities of another shape, outside [0, 1], or NaN.

    Example:
        >>> targets = np.array([[1], [1], [0], [0], [0]], dtype=np.int8)
        >>> probs = np.array([[0.9], [0.8], [0.1], [0.2], [0.95]])
        >>> label_errors(targets, probs).found
        (LabelError(image=4, label=0, given=False, confidence=0.05),)
    """
    if probs.shape != targets.shape:
        raise InputError(f"labels {targets.shape} and probabilities {probs.shape} must be of the same shape.")
    if probs.size and not (probs.min() >= 0 and probs.max() <= 1):  # NaN fails both
        raise InputError(
            "probabilities must lie in [0, 1] and not be NaN. Scores of a ranking are none: calibrate them."
        )
    present, absent = targets == PRESENT, targets == ABSENT
    least_present, least_absent = _mean_of(probs, present), 1 - _mean_of(probs, absent)
    parts = []  # of each block: rows, columns, whether given, confidences
    quality = np.empty(len(targets))
    for start in range(0, len(targets), ROWS):
        rows = slice(start, start + ROWS)
        p = probs[rows].astype(np.float64)
        looks_present, looks_absent = p >= least_present, 1 - p >= least_absent
        missing = absent[rows] & looks_present & (~looks_absent | (p >= 0.5))
        wrong = present[rows] & looks_absent & (~looks_present | (p < 0.5))
        confidence = np.where(present[rows], p, np.where(absent[rows], 1 - p, 1.0))
        quality[rows] = _worst_weigh_most(confidence)
        i, j = np.nonzero(missing | wrong)
        parts.append((start + i, j, wrong[i, j], confidence[i, j].round(9)))
    if not parts:
        return LabelErrors((), quality, 0, 0, 0)
    image, label, given, at = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((label, image, at))[:most]
    found = map(LabelError, *(column[order].tolist() for column in (image, label, given, at)))
    wrongs = int(given.sum())
    return LabelErrors(tuple(found), quality, len(at) - wrongs, wrongs, len(np.unique(image)))


def cleanlab_values(
    errors: LabelErrors, targets: Targets, *, names: Sequence[str], images: Sequence[str]
) -> dict[str, Any]:
    """Return errors in the shapes of `cleanlab.multilabel_classification`, as plain values.

    `labels` is its list of lists of class numbers, `issues` what `find_label_issues` returns with
    `filter_by="confident_learning", return_indices_ranked_by="self_confidence"`, `label_quality_scores` what
    `get_label_quality_scores` returns.

    Args:
        targets: the labels; cleanlab knows no unknown labels: they stand as absent, and in `unknown`.
    """
    return {
        "classes": list(names),
        "images": list(images),
        "labels": [np.flatnonzero(row == PRESENT).tolist() for row in targets],
        "unknown": [np.flatnonzero(row == UNKNOWN).tolist() for row in targets],
        "issues": errors.issues(),
        "label_quality_scores": [round(float(score), 6) for score in errors.quality],
        "label_issues": [one.to_json(images, names) for one in errors.found],
    }


def fiftyone_samples(
    errors: LabelErrors,
    targets: Targets,
    probs: ByLabel,
    *,
    names: Sequence[str],
    paths: Sequence[str],
    least: float = 0.5,
) -> dict[str, Any]:
    """Return samples that `fiftyone.Sample.from_dict` takes, with fields to filter and sort by.

    Args:
        targets: the labels, shown as `ground_truth`.
        probs: p(label | image), shown as `predictions` from `least` on.
    """
    by_image: Mapping[int, list[LabelError]] = {one.image: [] for one in errors.found}
    for one in errors.found:
        by_image[one.image].append(one)
    samples = []
    for i, path in enumerate(paths):
        suspicious = by_image.get(i, [])
        samples.append(
            {
                "filepath": path,
                "tags": ["label_error"] if suspicious else [],
                "ground_truth": _classifications(
                    (names[j], None) for j in np.flatnonzero(targets[i] == PRESENT).tolist()
                ),
                "predictions": _classifications(
                    (names[j], float(probs[i, j])) for j in np.flatnonzero(probs[i] >= least).tolist()
                ),
                "possibly_wrong": _classifications(
                    (names[one.label], one.confidence) for one in suspicious if one.given
                ),
                "possibly_missing": _classifications(
                    (names[one.label], 1 - one.confidence) for one in suspicious if not one.given
                ),
                "label_quality": round(float(errors.quality[i]), 6),
            }
        )
    return {"samples": samples}


def _classifications(entries: Any) -> dict[str, Any]:
    return {
        "_cls": "Classifications",
        "classifications": [
            {"_cls": "Classification", "label": name}
            | ({} if confidence is None else {"confidence": round(confidence, 6)})
            for name, confidence in entries
        ],
    }


def _mean_of(probs: np.ndarray, chosen: np.ndarray) -> PerLabel:
    """Return the mean probability over the chosen images, by label; NaN, which nothing reaches, where there is none."""
    counts = chosen.sum(axis=0)
    sums = np.einsum("il,il->l", probs, chosen, dtype=np.float64)
    return np.divide(sums, counts, out=np.full(probs.shape[1], np.nan), where=counts > 0)


def _worst_weigh_most(confidence: ByLabel) -> PerImage:
    """Return the exponential moving average of each image's confidences, from the highest to the lowest."""
    falling = np.sort(confidence, axis=1)[:, ::-1]
    average = falling[:, 0].copy()
    for column in falling[:, 1:].T:
        average = ALPHA * column + (1 - ALPHA) * average
    return average


#     label_errors.json       every one, the strongest disagreement first, with the image and what the run says
#     cleanlab.json           labels as lists of class numbers, ranked issues, label quality scores
#     cleanlab_pred_probs.npy the probabilities [images classes], single precision
#     fiftyone.json           samples with fields to filter and sort by
#
# Honest only if the images had no part in the training of the run that scores them.

FILES = ("label_errors.json", "cleanlab.json", "cleanlab_pred_probs.npy", "fiftyone.json")


def probable_label_errors(evaluation: Evaluation, *, most: int | None = None) -> LabelErrors:
    """Find the labels of evaluated images that the run disagrees with.

    Args:
        evaluation: a run's answers for images that it was not trained on. Labels of the data that the run lacks are
            not looked at; labels of the run that the data lack are unknown.
        most: errors returned; None: all.

    Raises:
        InputError: the run's scores are a ranking, no probabilities.
    """
    answers = evaluation.answers
    if np.isnan(answers.log_probs).any() and not answers.calibrated:
        raise InputError(
            "the scores of this run rank labels; they are no probabilities, which finding label errors needs. Use a "
            "run of --head cnn-rnn or sigmoid, or one that was calibrated on validation images."
        )
    truth = evaluation.dataset.with_vocabulary(evaluation.vocabulary.names).targets
    return label_errors(truth, answers.scores, most=most)


def label_errors_dict(
    evaluation: Evaluation, errors: LabelErrors, *, most: int | None = None
) -> dict[str, Any]:
    """Return errors as plain values.

    Args:
        most: errors listed; None: all.
    """
    images, names = evaluation.dataset.images, evaluation.vocabulary.names
    return {
        "images": len(images),
        "images_with_errors": errors.images_with_errors,
        "count": errors.missing + errors.wrong,
        "missing": errors.missing,
        "wrong": errors.wrong,
        "errors": [one.to_json(images, names) for one in errors.found[:most]],
    }


def write_label_errors(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write the labels of evaluated images that the run disagrees with into a folder, in every shape.

    Args:
        folder: made if it is not there; files of earlier calls are replaced.

    Raises:
        InputError: the folder cannot be written; otherwise as `probable_label_errors`.
    """
    errors = probable_label_errors(evaluation)
    dataset, names = evaluation.dataset, evaluation.vocabulary.names
    truth, probs = dataset.with_vocabulary(names).targets, evaluation.answers.scores
    contents: dict[str, Callable[[], Any]] = {
        "label_errors.json": lambda: label_errors_dict(evaluation, errors),
        "cleanlab.json": lambda: cleanlab_values(errors, truth, names=names, images=dataset.images),
        "fiftyone.json": lambda: fiftyone_samples(
            errors, truth, probs, names=names, paths=[str(path.resolve()) for path in dataset.paths]
        ),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            with written_whole(folder / name) as part:
                if name in contents:
                    part.write_text(json.dumps(contents[name](), ensure_ascii=False) + "\n", encoding="utf-8")
                else:
                    with part.open("wb") as file:
                        np.save(file, probs.astype(np.float32), allow_pickle=False)
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}). Choose another folder.") from error
    return [folder / name for name in FILES]
