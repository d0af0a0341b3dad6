"""Answers of a sigmoid head, or of nearest neighbours: every label by itself, so everything is exact at once."""

import numpy as np
import torch
from jaxtyping import Float, Int8

from labelbeam.answers.answers import Answers
from labelbeam.models.nearest_neighbours import NearestNeighbours
from labelbeam.models.sigmoid_head import SigmoidHead

BLOCK = 8192  # images at a time: bounds the memory of single-precision copies


class SigmoidAnswerer:
    """Answers from a head that gives independent log-odds; the most probable set holds the labels with p >= 1/2."""

    def __init__(self, head: SigmoidHead | NearestNeighbours) -> None:
        self.head = head.eval()

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

    @torch.inference_mode()
    def _log_probs(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log p(present) and log p(absent), float64 [images labels]."""
        device = self.head.scaling.mean.device
        blocks = [
            self.head.logits(torch.from_numpy(features[first : first + BLOCK].astype(np.float32)).to(device))
            for first in range(0, len(features), BLOCK)
        ]
        logits = torch.cat(blocks).double().cpu()
        return (
            torch.nn.functional.logsigmoid(logits).numpy(),
            torch.nn.functional.logsigmoid(-logits).numpy(),
        )
