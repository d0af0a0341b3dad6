"""Answers of a head whose scores rank labels: a ranking and a set by convention, no probabilities.

`scores` are comparable over images and say which label comes first; none is p(label | image) until a calibration on
validation images makes it one. The path is the head's conventional set, best first; it has no probability (NaN), and
nothing certifies it.
"""

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.answers.answers import Answers
from labelbeam.errors import InputError
from labelbeam.heads.label_scores import RankingHead


class RankingAnswerer:
    """Answers from a `RankingHead`."""

    def __init__(self, head: RankingHead) -> None:
        self.head = head

    def answer(self, features: Float[np.ndarray, "images features"]) -> Answers:
        """Return ranking scores (their own bounds), and as path the labels that the head decides, by falling score."""
        scores = self.head.scores(features)
        decided = self.head.decided(scores)
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(decided, np.argsort(-scores, axis=1, kind="stable"), strict=True)
        ]
        return Answers(
            scores,
            scores,
            scores,
            np.zeros_like(scores),
            paths,
            np.full(len(scores), np.nan),
            np.zeros(len(scores), dtype=bool),
        )

    def set_log_prob(
        self, features: Float[np.ndarray, "images features"], targets: Int8[np.ndarray, "images labels"]
    ) -> Float[np.ndarray, " images"]:
        """Refuse: a ranking has no probability of a set.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"the head {self.head.name!r} ranks labels; its scores are not p(label | image), so a set has no "
            "probability. For one, train --head sigmoid."
        )
