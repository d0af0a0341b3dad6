"""The thresholds of a run, tuned on its validation images: one set for each thing they can be tuned for.

`f1_thresholds` and `whole_set_thresholds` tune; a `Decision` says which are used. Knows no file.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.answers.f1_thresholds import example_f1_threshold, label_f1_thresholds, of1_threshold
from labelbeam.answers.stored import stored_numbers, stored_part
from labelbeam.answers.whole_set_thresholds import whole_set_thresholds
from labelbeam.errors import InputError, unknown_name

OBJECTIVES = ("of1", "example-f1", "label-f1", "subset-accuracy")
"""What thresholds can be tuned for: `of1`, one threshold for the F1 of all decisions pooled; `example-f1`,
one for the mean of the images' F1s; `label-f1`, one per label for its own F1 (so for C-F1), rare labels drawn
towards one for all; `subset-accuracy`, one per label for the share of images whose whole set is right."""

MOST = 1.1
"""A threshold above 1 decides a label never."""


@dataclass(frozen=True)
class TunedThresholds:
    """Thresholds by what they are tuned for, one per label (all the same where there is one for all).

    Attributes:
        of1, example_f1, label_f1, subset_accuracy: see `OBJECTIVES`; in [0, 1.1].

    Raises:
        InputError: lists of different lengths.
    """

    of1: tuple[float, ...]
    example_f1: tuple[float, ...]
    label_f1: tuple[float, ...]
    subset_accuracy: tuple[float, ...]

    def __post_init__(self) -> None:
        if len({len(self.of1), len(self.example_f1), len(self.label_f1), len(self.subset_accuracy)}) > 1:
            raise InputError("tuned thresholds must be as many for each of the things they are tuned for.")

    def of(self, objective: str) -> Float[np.ndarray, " labels"]:
        """Return the thresholds tuned for a name of `OBJECTIVES`.

        Raises:
            InputError: another name.
        """
        if objective not in OBJECTIVES:
            raise unknown_name("thing to tune thresholds for", objective, OBJECTIVES)
        return np.array(getattr(self, _attribute(objective)))

    def to_json(self) -> dict[str, object]:
        """Return plain values for a file."""
        return {objective: list(getattr(self, _attribute(objective))) for objective in OBJECTIVES}

    @classmethod
    def from_json(cls, values: object, *, num_labels: int) -> "TunedThresholds":
        """Read back what `to_json` gave.

        Raises:
            InputError: damaged values, or another number of labels.
        """
        part = stored_part(values, part="thresholds", keys=OBJECTIVES)
        return cls(
            *(
                stored_numbers(part[name], what=f"thresholds: {name}", least=0.0, most=MOST, count=num_labels)
                for name in OBJECTIVES
            )
        )


def fit_thresholds(
    scores: Float[np.ndarray, "images labels"], targets: Int8[np.ndarray, "images labels"], *, seed: int = 0
) -> TunedThresholds:
    """Tune for everything.

    Args:
        scores: of validation images, calibrated if decisions will see them calibrated.
        targets: 1 present, 0 absent, -1 unknown (left out).
        seed: of folds.

    Raises:
        InputError: no image, or scores and targets of different shapes.
    """
    whole_sets = whole_set_thresholds(scores, targets, seed=seed)
    labels = scores.shape[1]
    return TunedThresholds(
        of1=(of1_threshold(scores, targets),) * labels,
        example_f1=(example_f1_threshold(scores, targets),) * labels,
        label_f1=tuple(label_f1_thresholds(scores, targets, seed=seed)[0].tolist()),
        subset_accuracy=tuple(whole_sets.tolist()),
    )


def _attribute(objective: str) -> str:
    return objective.replace("-", "_")
