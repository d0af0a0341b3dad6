"""One image's explanation: a target per step of the path, a map per target, the captions' numbers."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from labelbeam.encoders.preprocess import MAX_ASPECT, Preprocess
from labelbeam.errors import InputError

END = "END"
"""Name of the step that ends a path."""


@dataclass(frozen=True)
class Region:
    """The part of a photograph that the encoder sees, in the photograph's pixels.

    Attributes:
        left: of the region's left edge.
        top: of its upper edge.
    """

    left: float
    top: float
    width: float
    height: float

    def place(self, row: int, column: int, *, size: int) -> tuple[float, float]:
        """Return x and y in the photograph of the middle of a map's cell.

        Example:
            >>> Region(10.0, 0.0, 100.0, 100.0).place(0, 1, size=2)
            (85.0, 25.0)
        """
        return (self.left + (column + 0.5) / size * self.width, self.top + (row + 0.5) / size * self.height)


def seen_region(preprocess: Preprocess, *, height: int, width: int) -> Region:
    """Return which part of a photograph a transform keeps (its mirroring is left to the caller).

    Args:
        height: of the photograph, pixels.
        width: likewise.

    Example:
        >>> seen_region(Preprocess(size=100, resize="center"), height=100, width=200)
        Region(left=50.0, top=0.0, width=100.0, height=100.0)
    """
    if preprocess.resize == "squash":
        return Region(0.0, 0.0, float(width), float(height))
    kept_height, kept_width = min(height, MAX_ASPECT * width), min(width, MAX_ASPECT * height)
    short = min(kept_height, kept_width)
    side = short * preprocess.size / (preprocess.resize_to or preprocess.size)
    return Region((width - side) / 2, (height - side) / 2, side, side)


@dataclass(frozen=True)
class StepMap:
    """What in the image speaks for one label, given the labels before it.

    Attributes:
        label: its name, or `END`.
        given: the labels before it.
        prob: p(label | image, labels before it).
        value: the target's value.
        supporting: what raises the target, at least 0, in the method's own unit.
        opposing: what lowers it, at least 0, in the same unit.
    """

    label: str
    given: tuple[str, ...]
    prob: float
    value: float
    supporting: Float[np.ndarray, "size size"]
    opposing: Float[np.ndarray, "size size"]

    @property
    def signed(self) -> Float[np.ndarray, "size size"]:
        """`supporting` less `opposing`, scaled so that absolute values sum to 1: where, not how strongly."""
        difference = self.supporting.astype(np.float64) - self.opposing
        total = np.abs(difference).sum()
        return difference / total if total > 0 else difference

    @property
    def peak(self) -> tuple[int, int]:
        """Row and column where support exceeds opposition most."""
        row, column = np.unravel_index(int(self.signed.argmax()), self.signed.shape)
        return int(row), int(column)


@dataclass(frozen=True)
class Explanation:
    """A picture with its maps.

    Attributes:
        image: the image as it was named.
        picture: what the encoder sees, before normalisation.
        region: where that is in the photograph.
        method: how the maps were made.
        target: what they explain.
        steps: one map per label, in path order.
        joint: whether labels are predicted one after the other; False where each stands by itself.
        logits_depend_on_given: whether a map of a logit may change with the labels before it (h not the identity).
        note: what a reader should know, empty where there is nothing.

    Raises:
        InputError: no step, or maps of another size than the picture.
    """

    image: str
    picture: UInt8[np.ndarray, "size size 3"]
    region: Region
    method: str
    target: str
    steps: tuple[StepMap, ...]
    joint: bool
    logits_depend_on_given: bool
    note: str = ""

    def __post_init__(self) -> None:
        if not self.steps:
            raise InputError("an explanation needs at least one step; name labels with --labels.")
        if any(step.supporting.shape != self.picture.shape[:2] for step in self.steps):
            raise InputError("maps and picture are of different sizes.")

    def moved(self, step: int) -> Float[np.ndarray, "size size"]:
        """Return a step's signed map less that of the step before: where attention went to, and from."""
        return self.steps[step].signed - self.steps[step - 1].signed

    @property
    def caption(self) -> str:
        """What the maps show, in sentences."""
        if self.method == "local":
            return (
                "What each place of the picture adds to (orange) and takes from (blue) a label's score: no account of "
                "the model afterwards, but the numbers that it added up."
            )
        return " ".join(part for part in (_TARGETS[self.target, self.joint], self._steps_differ()) if part)

    def _steps_differ(self) -> str:
        if not self.joint or self.target != "logit":
            return ""
        if self.logits_depend_on_given:
            return "The labels before it enter through the ReLU of the joint embedding."
        return (
            "In this model the image and the labels before it add up, so this map is the same whatever labels come "
            "before; maps of log_prob and expected are not."
        )


_TARGETS = {
    (
        "log_prob",
        True,
    ): "What raises (orange) and lowers (blue) the log-probability of each label, against the "
    "labels that were still in play after those before it.",
    (
        "logit",
        True,
    ): "What raises (orange) and lowers (blue) the score of each label by itself, before the softmax.",
    (
        "expected",
        True,
    ): "What raises (orange) and lowers (blue) the average score of the labels still in play, "
    "weighted by their probabilities: what the model looks at just before it says the label.",
    (
        "log_prob",
        False,
    ): "What raises (orange) and lowers (blue) the log-probability of each label; a sigmoid "
    "head says each by itself.",
    (
        "logit",
        False,
    ): "What raises (orange) and lowers (blue) the score of each label; a sigmoid head says each by itself.",
}
