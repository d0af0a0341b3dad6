"""Answers of a sigmoid head, or of nearest neighbours: every label by itself, so everything is exact at once."""

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.answers.answers import Answers
from labelbeam.heads.label_scores import SigmoidHead, log_sigmoid
from labelbeam.heads.nearest_neighbours import NearestNeighbours


class SigmoidAnswerer:
    """Answers from a head that gives independent log-odds; the most probable set holds the labels with p >= 1/2."""

    def __init__(self, head: SigmoidHead | NearestNeighbours) -> None:
        self.head = head

    def answer(self, features: Float[np.ndarray, "images features"]) -> Answers:
        """Return probabilities (their own bounds), and as path the most probable set, by falling score."""
        log_present, log_absent = self._log_probs(features)
        scores = np.exp(log_present).astype(np.float32)
        decided = log_present >= log_absent
        paths = [
            tuple(int(label) for label in order[row[order]])
            for row, order in zip(decided, np.argsort(-scores, axis=1, kind="stable"), strict=True)
        ]
        log_probs = np.where(decided, log_present, log_absent).sum(axis=1)
        nothing = np.zeros_like(scores)
        return Answers(scores, scores, scores, nothing, paths, log_probs, np.ones(len(scores), dtype=bool))

    def set_log_prob(
        self, features: Float[np.ndarray, "images features"], targets: Int8[np.ndarray, "images labels"]
    ) -> Float[np.ndarray, " images"]:
        """Return the log-probability of the true sets, nats; unknown labels are summed out exactly."""
        log_present, log_absent = self._log_probs(features)
        terms = np.where(targets == 1, log_present, np.where(targets == 0, log_absent, 0.0))
        return terms.sum(axis=1)

    def _log_probs(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log p(present) and log p(absent), float64 [images labels]."""
        logits = self.head.logits(features).astype(np.float64)
        return log_sigmoid(logits), log_sigmoid(-logits)
