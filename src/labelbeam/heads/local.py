"""Local evidence as arrays: a score of each label at each place of the encoder's last map, and from them one an image.

A row of an encoder with a map holds its pooled vector, then the map place by place (`encoders.last_map`). The twin of
`heads.local_torch`, which trains it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from labelbeam.heads.local_csra import csra
from labelbeam.heads.local_log_sum_exp import log_sum_exp
from labelbeam.heads.options import LocalOptions
from labelbeam.heads.tensors import Tensors

TOGETHER = 64
"""Maps multiplied at a time: bounds the memory of single-precision copies."""

PARTS: Mapping[str, Callable[[np.ndarray, LocalOptions], np.ndarray]] = {
    "csra": csra,
    "log-sum-exp": log_sum_exp,
}
"""By name, from scores [images places labels] to what each place adds."""


@dataclass(frozen=True)
class Local:
    """Local evidence, trained.

    Attributes:
        weight: of a place's numbers in each label's score there, [channels labels]; their scaling is in it.
        offset: added to each label's score at every place: what scaling takes away.
        options: how places are pooled.
        after: numbers of the pooled vector, behind which a row's map begins.
    """

    weight: Float32[np.ndarray, "channels labels"]
    offset: Float32[np.ndarray, " labels"]
    options: LocalOptions
    after: int

    @classmethod
    def of(cls, tensors: Tensors, options: LocalOptions, num_labels: int, *, after: int) -> "Local | None":
        """Take the arrays; None where the options name no local evidence.

        Raises:
            InputError: an array is missing or of another shape.
        """
        if options.name == "none":
            return None
        weight = tensors.take("local.weight", num_labels, None)
        channels = weight.shape[1]
        mean, deviation = (tensors.take(f"local.{name}", channels) for name in ("mean", "deviation"))
        weight = weight / deviation
        return cls(np.ascontiguousarray(weight.T), -weight @ mean, options, after)

    def at_places(self, rows: Float[np.ndarray, "images row"]) -> Float32[np.ndarray, "images places labels"]:
        """Return what each place of the map adds to each label's score."""
        maps = rows[:, self.after :].astype(np.float32).reshape(len(rows), -1, len(self.weight))
        return PARTS[self.options.name](maps @ self.weight + self.offset, self.options)

    def scores(self, rows: Float[np.ndarray, "images row"]) -> Float32[np.ndarray, "images labels"]:
        """Return each label's local score: the sum of what the places add."""
        blocks = [rows[first : first + TOGETHER] for first in range(0, max(1, len(rows)), TOGETHER)]
        return np.concatenate([self.at_places(block).sum(axis=1) for block in blocks])
