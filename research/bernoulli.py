"""Independent labels: the model of label sets that knows how frequent each label is, and nothing else.

The floor under every other model of label sets. Knows target matrices; knows no pixels, features or heads.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int8

from labelbeam.heads.chow_liu import check_evidence, check_smoothing, pair_counts
from labelbeam.labels.vocabulary import ABSENT, PRESENT


@dataclass(frozen=True)
class IndependentLabels:
    """p(set) = product over labels of p(y_l).

    Attributes:
        marginals: p(y_l = 1), strictly between 0 and 1.
    """

    marginals: Float[np.ndarray, " labels"]

    @classmethod
    def fit(
        cls, targets: Int8[np.ndarray, "images labels"], *, smoothing: float = 1.0
    ) -> "IndependentLabels":
        """Count: (present + s/2) / (known + s).

        Args:
            targets: 1 present, 0 absent, -1 unknown.
            smoothing: s, imagined images in which a label is as often present as absent; above 0.

        Raises:
            InputError: no image or label, other values, or smoothing that is not above 0.

        Example:
            >>> IndependentLabels.fit(np.array([[1, 0], [1, -1]], dtype=np.int8), smoothing=2.0).marginals.tolist()
            [0.75, 0.3333333333333333]
        """
        check_smoothing(smoothing)
        counts = pair_counts(targets)
        present, known = counts.both.diagonal(), counts.images.diagonal()
        return cls((present + smoothing / 2) / (known + smoothing))

    def log_prob(self, known: Int8[np.ndarray, "images labels"]) -> Float[np.ndarray, " images"]:
        """Return log p(known) in nats: of a whole set where nothing is unknown, else summed over what is.

        Raises:
            InputError: evidence that does not fit.
        """
        check_evidence(known, len(self.marginals))
        present, absent = (known == PRESENT).astype(np.float64), (known == ABSENT).astype(np.float64)
        log_probs: np.ndarray = present @ np.log(self.marginals) + absent @ np.log1p(-self.marginals)
        return log_probs
