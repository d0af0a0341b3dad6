"""A mixture of independent labels: images come in kinds, and within a kind labels are independent.

Fitted by expectation maximisation. Knows target matrices; knows no pixels, features or heads.
"""

from dataclasses import dataclass

import numpy as np
from bernoulli import IndependentLabels
from jaxtyping import Float, Int8

from labelbeam.errors import InputError
from labelbeam.heads.chow_liu import check_evidence, check_smoothing
from labelbeam.labels.vocabulary import ABSENT, PRESENT


@dataclass(frozen=True)
class BernoulliMixture:
    """p(set) = sum over components of share times product over labels of p(y_l | component).

    Attributes:
        shares: p(component), sum 1.
        marginals: p(y_l = 1 | component), strictly between 0 and 1.
        history: mean log p(set) of the training images before each step, nats.
    """

    shares: Float[np.ndarray, " components"]
    marginals: Float[np.ndarray, "components labels"]
    history: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls,
        targets: Int8[np.ndarray, "images labels"],
        components: int,
        *,
        generator: np.random.Generator,
        smoothing: float = 1.0,
        steps: int = 200,
        tolerance: float = 1e-4,
    ) -> "BernoulliMixture":
        """Climb from random responsibilities until a step gains less than `tolerance`, or `steps` are done.

        Args:
            targets: 1 present, 0 absent, -1 unknown; an unknown label says nothing of its image's component.
            components: how many, at least 1.
            generator: draws where the climb starts.
            smoothing: imagined images in each component, their labels independent and as frequent as in training.
            steps: of expectation and maximisation, at most.
            tolerance: nats per image.

        Raises:
            InputError: no image or label, other values, no component, or smoothing that is not above 0.

        Source:
            Dempster, Laird, Rubin 1977, Maximum likelihood from incomplete data via the EM algorithm. The smoothing is
            ours and makes it maximum a posteriori.
        """
        if components < 1:
            raise InputError(f"a mixture needs at least 1 component, given {components}.")
        check_smoothing(smoothing)
        overall = IndependentLabels.fit(targets).marginals
        # Images with the same labels move together: each distinct row is kept once, with its count.
        rows, counts = np.unique(targets, axis=0, return_counts=True)
        present, absent = (rows == PRESENT).astype(np.float64), (rows == ABSENT).astype(np.float64)
        responsibility = generator.dirichlet(np.full(components, 0.1), size=len(rows))
        history: list[float] = []
        while True:
            weight = counts[:, None] * responsibility  # [rows components]
            p, n = weight.T @ present, weight.T @ absent  # [components labels]
            mixture = cls(
                (weight.sum(axis=0) + smoothing) / (counts.sum() + smoothing * components),
                (p + smoothing * overall) / (p + n + smoothing),
                tuple(history),
            )
            if len(history) >= steps or (len(history) > 1 and history[-1] - history[-2] < tolerance):
                return mixture
            log_probs, responsibility = mixture._posterior(present, absent)
            history.append(float(counts @ log_probs / counts.sum()))

    def log_prob(self, known: Int8[np.ndarray, "images labels"]) -> Float[np.ndarray, " images"]:
        """Return log p(known) in nats: of a whole set where nothing is unknown, else summed over what is.

        Raises:
            InputError: evidence that does not fit.
        """
        check_evidence(known, self.marginals.shape[1])
        return self._posterior((known == PRESENT).astype(np.float64), (known == ABSENT).astype(np.float64))[0]

    def _posterior(
        self, present: Float[np.ndarray, "images labels"], absent: Float[np.ndarray, "images labels"]
    ) -> tuple[Float[np.ndarray, " images"], Float[np.ndarray, "images components"]]:
        """Return log p(known) and p(component | known)."""
        joint = (
            present @ np.log(self.marginals).T + absent @ np.log1p(-self.marginals).T + np.log(self.shares)
        )
        highest = joint.max(axis=1, keepdims=True)
        joint = np.exp(joint - highest)
        total = joint.sum(axis=1, keepdims=True)
        log_probs: np.ndarray = (np.log(total) + highest)[:, 0]
        return log_probs, joint / total
