"""Runs that answer as one: an ensemble as a tagger. Where models of the same labels and encoder meet."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelbeam.answers.decision import Decision
from labelbeam.answers.ensemble import EnsembleAnswerer, Member
from labelbeam.errors import InputError
from labelbeam.joints.build import build_answerer
from labelbeam.joints.run_directory import load_run
from labelbeam.joints.tagger import Tagger


def load_ensemble(folders: Sequence[Path], *, decision: Decision | None = None) -> Tagger:
    """Load some runs as one tagger: it tags and is evaluated as a single run's; labels in the first run's order.

    Args:
        folders: run directories, at least one.
        decision: how sets are decided; None: as the first run's configuration says.

    Raises:
        InputError: no folder, not finished runs, other labels, or other encoders.
    """
    if not folders:
        raise InputError("an ensemble needs at least one run. Give their folders.")
    runs = [load_run(folder) for folder in folders]
    first, vocabulary = runs[0], runs[0].vocabulary
    for folder, run in zip(folders, runs, strict=True):
        if sorted(run.vocabulary) != sorted(vocabulary):
            raise InputError(
                f"{folder} has other labels than {folders[0]}; an ensemble is of the same labels."
            )
        if (run.encoder.identity, run.encoder.preprocess) != (
            first.encoder.identity,
            first.encoder.preprocess,
        ):
            raise InputError(
                f"{folder} has another encoder than {folders[0]}, so its features are others. Train both with the "
                "same --encoder or --weights, not finetuned."
            )
    # Each run was calibrated for itself; the mixture's scores are others.
    tagger = Tagger(replace(first, calibration=None), decision=decision)
    tagger.answerer = EnsembleAnswerer(
        [
            Member(
                build_answerer(run.head, run.config),
                np.array([run.vocabulary.id_of(one) for one in vocabulary]),
            )
            for run in runs
        ]
    )
    return tagger
