"""Shares of counts with their 95 % intervals: recalls, precisions, rates.

Under the analyses of failures. Knows counts; knows nothing of what was counted.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from labelbeam.analysis.cooccurrence import NORMAL_975


@dataclass(frozen=True, eq=False)
class Shares:
    """Shares of hits in trials.

    Attributes:
        value: hits / trials; NaN where there was no trial.
        low: lower end of the 95 % interval; 0 where there was no trial.
        high: upper end; 1 where there was no trial.
    """

    value: Float[np.ndarray, " shares"]
    low: Float[np.ndarray, " shares"]
    high: Float[np.ndarray, " shares"]

    def told(self, i: int) -> dict[str, float | None]:
        """Return one of them as plain values; null where there was no trial."""
        value = None if np.isnan(self.value[i]) else round(float(self.value[i]), 6)
        return {"value": value, "low": round(float(self.low[i]), 6), "high": round(float(self.high[i]), 6)}


def shares_of(hits: Int[np.ndarray, " shares"], trials: Int[np.ndarray, " shares"]) -> Shares:
    """Return shares with Wilson's intervals.

    Args:
        hits: at most `trials`.
        trials: 0 or more.

    Source:
        Wilson 1927; unlike the normal interval it stays within [0, 1] and does not shrink to a point at 0 and 1.

    Example:
        >>> found = shares_of(np.array([50, 0]), np.array([50, 0]))
        >>> found.value.tolist(), found.low.round(3).tolist(), found.high.tolist()
        ([1.0, nan], [0.929, 0.0], [1.0, 1.0])
    """
    z2 = NORMAL_975**2
    n = np.maximum(trials, 1).astype(np.float64)
    share = hits / n
    middle = share + z2 / (2 * n)
    half = NORMAL_975 * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2))
    none = trials == 0
    low = np.where(none | (hits == 0), 0.0, (middle - half) / (1 + z2 / n))
    high = np.where(none | (hits == trials), 1.0, (middle + half) / (1 + z2 / n))
    return Shares(np.where(none, np.nan, share), np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0))
