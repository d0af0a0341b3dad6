"""Probable label errors of a data set as files: a table for people, and what cleanlab and FiftyOne take.

    label_errors.json       every error, the most probable first, with the image and what is probably right
    cleanlab.json           labels as lists of class numbers, ranked issues, label quality scores
    cleanlab_pred_probs.npy the probabilities [images classes], single precision
    fiftyone.json           samples with fields to filter and sort by

Honest only if the images had no part in the training of the run that scores them.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.analysis.label_errors import LabelErrors, cleanlab_values, fiftyone_samples, label_errors
from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError
from labelbeam.joints.evaluation import Evaluation

FILES = ("label_errors.json", "cleanlab.json", "cleanlab_pred_probs.npy", "fiftyone.json")


def probable_label_errors(evaluation: Evaluation, *, most: int | None = None) -> LabelErrors:
    """Find the labels of evaluated images that are probably wrong.

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


def label_errors_told(
    evaluation: Evaluation, errors: LabelErrors, *, most: int | None = None
) -> dict[str, Any]:
    """Return errors as plain values.

    Args:
        evaluation: what they were found in.
        errors: as found.
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
    """Write the probable label errors of evaluated images into a folder, in every shape.

    Args:
        evaluation: as `probable_label_errors`.
        folder: made if it is not there; files of earlier calls are replaced.

    Returns:
        The files, `FILES`.

    Raises:
        InputError: the folder cannot be written; otherwise as `probable_label_errors`.
    """
    errors = probable_label_errors(evaluation)
    dataset, names = evaluation.dataset, evaluation.vocabulary.names
    truth, probs = dataset.with_vocabulary(names).targets, evaluation.answers.scores
    contents: dict[str, Callable[[], Any]] = {
        "label_errors.json": lambda: label_errors_told(evaluation, errors),
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
