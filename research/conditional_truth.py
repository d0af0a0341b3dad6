"""True conditionals of the scenes: p(label | everything seen in a picture, known labels), by enumeration."""

from collections.abc import Sequence
from math import comb

import numpy as np

from labelbeam.labels.vocabulary import ABSENT, PRESENT
from labelbeam.scenes.world import Cues, label_distribution

TRUE, AWARE = "true conditional", "true, told how the known were drawn"


class SceneConditionals:
    """Conditionals of pictures whose cues are known; labels in a run's order."""

    def __init__(self, cues: Sequence[Cues], order: Sequence[int]) -> None:
        self.cues, self.order = cues, list(order)

    def __call__(self, rows: np.ndarray, known: np.ndarray, *, frequent_first: bool) -> dict[str, np.ndarray]:
        """Return p(l | picture, evidence) and the same for somebody who knows how the evidence was drawn.

        The condition of the first is that the finished set holds the accepted labels and no rejected one. The second
        also weighs each set by the chance that this evidence is drawn from it: known labels drawn at random come
        rather from small sets; the most frequent first say that no other frequent label is there.
        """
        plain, aware = np.zeros(known.shape), np.zeros(known.shape)
        for i, (row, given) in enumerate(zip(rows, known, strict=True)):
            sets, probs = label_distribution(self.cues[row])
            sets = sets[:, self.order]
            agrees = sets[:, given == PRESENT].all(axis=1) & ~sets[:, given == ABSENT].any(axis=1)
            weights = np.where(agrees, probs, 0.0)
            plain[i] = weights @ sets / weights.sum()
            weights = weights * [drawn(one, given, frequent_first=frequent_first) for one in sets]
            aware[i] = weights @ sets / weights.sum()
        return {TRUE: plain.clip(0, 1), AWARE: aware.clip(0, 1)}


def drawn(has: np.ndarray, given: np.ndarray, *, frequent_first: bool) -> float:
    """Return the chance that `drawn_evidence` reveals this of a set."""
    accepted, rejected = np.flatnonzero(given == PRESENT), int((given == ABSENT).sum())
    if has.sum() < len(accepted):
        return 0.0
    chance = 1 / comb(int((~has).sum()), rejected)
    if frequent_first:
        return chance * float(np.array_equal(np.flatnonzero(has)[: len(accepted)], accepted))
    return chance / comb(int(has.sum()), len(accepted))
