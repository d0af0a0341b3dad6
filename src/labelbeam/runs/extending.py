"""More labels for a trained run, without training it anew: old rows stay, each new label is one regression.

Images on which nobody looked for the new label do not count for it (it is unknown there, not absent). Old labels that
are unknown on the new images are taken as the run itself would decide them. Labels are added one after the other, each
the last in label order; `heads.new_label` says why that is all there is to learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.features.extract import readable_features
from labelbeam.heads.label_scores import TrainedAnySubset
from labelbeam.heads.new_label import OffsetRegression, fit_offset_regression, with_own_score
from labelbeam.heads.registry import HEADS, Head, require
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, Vocabulary
from labelbeam.metrics.ranking import average_precision, sort_label
from labelbeam.predict.calibration import RunCalibration
from labelbeam.predict.score_maps import PlattMaps
from labelbeam.predict.thresholds import OBJECTIVES, TunedThresholds
from labelbeam.runs.build import build_answerer, stored_head
from labelbeam.runs.config import RunConfig
from labelbeam.runs.run_directory import Run, suggester_config
from labelbeam.suggest import ANY_SUBSET

THRESHOLD = 0.5
"""Of a new label, whatever thresholds are tuned for: too few images have it to tune one."""


@dataclass(frozen=True)
class AddedLabel:
    """How well a new label was learned, judged on fifths of the images that its fit did not see.

    Attributes:
        images: on which it is labelled.
        present: of those, with it.
        penalty: chosen by cross-validation.
        log_loss: mean nats per decision, held out.
        base_log_loss: of its frequency alone.
        average_precision: of held-out scores, in [0, 1]; the frequency is `present / images`.
    """

    label: str
    images: int
    present: int
    penalty: float
    log_loss: float
    base_log_loss: float
    average_precision: float


@dataclass(frozen=True)
class Extended:
    """A run with more labels.

    Attributes:
        added: what was learned.
        moved: mean absolute change of the old labels' scores on the images given.
        notes: sentences for the user.
    """

    run: Run
    added: tuple[AddedLabel, ...]
    moved: float
    notes: tuple[str, ...]


def extend_run(run: Run, dataset: Dataset, labels: Sequence[str] = (), *, seed: int = 0) -> Extended:
    """Add labels to a run.

    Args:
        run: of a label model, or of a head with a sigmoid per label.
        dataset: images on which the new labels are present or absent.
        labels: the new ones, in the order in which they are added; none: all that the run does not have.

    Raises:
        InputError: a head that cannot be extended, a label that the run has or the data lack, none to add, or fewer
            than five images with or without one.
    """
    require(run.config.head, "extends", "more labels")
    row, loss = HEADS[run.config.head], run.config.label_model.loss
    if row.ordered and loss != "sequence":
        raise InputError(f"a model of the loss {loss!r} has no label order to add to. Train anew.")
    labels = _new_labels(run, dataset, labels)
    dataset, features, notes = readable_features(dataset, run.encoder, flips=False)
    rows, before, added = features[:, 0].astype(np.float32), run, []
    for label in labels:
        run, one = _with_label(run, dataset, rows, label, seed=seed)
        added.append(one)
    old = len(before.vocabulary)
    asked = [replace(one.config, search=run.config.search) for one in (before, run)]
    scores = [
        build_answerer(one.head, config).answer(rows).scores[:, :old]
        for one, config in zip((before, run), asked, strict=True)
    ]
    if row.conditions or run.suggester is not None:
        notes = [
            *notes,
            "suggestions of the other labels do not change when a new label is accepted or rejected.",
        ]
    return Extended(run, tuple(added), float(np.abs(scores[1] - scores[0]).mean()), tuple(notes))


def _new_labels(run: Run, dataset: Dataset, labels: Sequence[str]) -> Sequence[str]:
    strangers = [name for name in dataset.vocabulary if name not in run.vocabulary.names]
    if old := [name for name in labels if name in run.vocabulary.names]:
        raise InputError(f"the run has the label {old[0]!r} already. Name labels that it does not have.")
    for name in labels:
        dataset.vocabulary.id_of(name)
    if not (labels or strangers):
        raise InputError(
            f"{dataset.spec} has no label that the run does not have, so there is nothing to add."
        )
    return labels or strangers


def _with_label(
    run: Run, dataset: Dataset, features: Float[np.ndarray, "images features"], label: str, *, seed: int
) -> tuple[Run, AddedLabel]:
    """Add one label."""
    column = dataset.targets[:, dataset.vocabulary.id_of(label)]
    labelled = np.flatnonzero(column != UNKNOWN)
    truth, features = column[labelled] == PRESENT, features[labelled]
    given = dataset.with_vocabulary(run.vocabulary.names).targets[labelled]
    answers = build_answerer(run.head, run.config).answer(features)
    old = np.where(given == UNKNOWN, answers.path_sets(), given == PRESENT).astype(np.int8)
    config = run.config
    try:
        arrays, found, judged = _taught(
            config.head, run.head, features, old=old, given=given, truth=truth, seed=seed
        )
    except InputError as error:
        raise InputError(f"label {label!r}: {error}") from error
    if "U_l" in arrays:
        wider = replace(config.label_model, embedding_size=arrays["U_l"].shape[1])
        config = replace(config, label_model=wider)
    suggester = run.suggester
    if suggester is not None:
        more, _, _ = _taught(
            ANY_SUBSET, suggester.head, features, old=old, given=given, truth=truth, seed=seed
        )
        suggester = replace(
            suggester, head=cast(TrainedAnySubset, _grown(more, suggester_config(config), run))
        )
    once = np.ones((1, len(truth)), dtype=np.int64)
    one = AddedLabel(
        label,
        len(labelled),
        int(truth.sum()),
        found.penalty,
        found.log_loss,
        found.base_log_loss,
        float(average_precision(sort_label(truth.astype(np.int8), found.held_out[judged]), once)["area"][0]),
    )
    return (
        replace(
            run,
            config=config,
            vocabulary=Vocabulary((*run.vocabulary.names, label)),
            counts=(*run.counts, one.present),
            head=_grown(arrays, config, run),
            suggester=suggester,
            calibration=None if run.calibration is None else _grown_calibration(run.calibration),
            promises=None,  # proven for the labels before
        ),
        one,
    )


def _taught(
    name: str,
    head: Head,
    features: Float[np.ndarray, "images features"],
    *,
    old: Int8[np.ndarray, "images labels"],
    given: Int8[np.ndarray, "images labels"],
    truth: np.ndarray,
    seed: int,
) -> tuple[dict[str, np.ndarray], OffsetRegression, np.ndarray]:
    """Return a head's arrays with the new label, the fit, and the one decision per image that it is judged by."""
    way = HEADS[name].new_label
    if way is None:
        raise TypeError(f"no label can be added to the head {name!r}")
    decisions = way.decisions(head, features, old, given)
    found = fit_offset_regression(
        decisions.inputs,
        decisions.offsets,
        decisions.last & truth[decisions.image],
        groups=decisions.image,
        bias=way.bias,
        seed=seed,
    )
    arrays = way.grown(head, found.weights, found.bias)
    own = way.own_inputs(head, features)
    if own is not None:
        rows, none = np.arange(len(own)), np.zeros(len(own))
        score = fit_offset_regression(own, none, truth, groups=rows, bias=True, seed=seed)
        arrays = with_own_score(arrays, score.weights, score.bias)
    return arrays, found, decisions.judged


def _grown(arrays: dict[str, np.ndarray], config: RunConfig, run: Run) -> Head:
    return stored_head(
        arrays, config, num_labels=len(run.vocabulary) + 1, num_features=run.encoder.num_features
    )


def _grown_calibration(calibration: RunCalibration) -> RunCalibration:
    """Return a calibration in which the new label's scores stay as they are."""
    maps = calibration.scores.maps
    if isinstance(maps, PlattMaps):
        grown = replace(maps, slopes=(*maps.slopes, 1.0), offsets=(*maps.offsets, 0.0))
    else:
        grown = replace(maps, scores=(*maps.scores, ()), values=(*maps.values, ()))  # type: ignore[assignment]
    thresholds = TunedThresholds(
        *((*calibration.thresholds.of(objective).tolist(), THRESHOLD) for objective in OBJECTIVES)
    )
    return replace(calibration, scores=replace(calibration.scores, maps=grown), thresholds=thresholds)
