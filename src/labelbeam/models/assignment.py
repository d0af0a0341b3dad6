"""The cheapest one-to-one assignment of rows to columns, exact (the Hungarian method).

Some labels to as many steps: a few rows at most, so an import of scipy is not worth it. Knows only numbers.
"""

import numpy as np
from jaxtyping import Float, Int


def cheapest_assignment(costs: Float[np.ndarray, "rows rows"]) -> Int[np.ndarray, " rows"]:
    """Return each row's column, so that the sum of the costs is the least possible.

    Rows are added one by one; each takes the shortest augmenting path under costs reduced by the prices of rows and
    columns, which keeps them from being negative. Time grows with the cube of the rows.

    Args:
        costs: finite.

    Source:
        Kuhn 1955, in the form of Jonker and Volgenant 1987.

    Example:
        >>> cheapest_assignment(np.array([[4.0, 1.0], [2.0, 3.0]])).tolist()
        [1, 0]
    """
    size = len(costs)
    row_prices, column_prices = np.zeros(size), np.zeros(size)
    row_of = np.full(size, -1)
    for added in range(size):
        distance, before = np.full(size, np.inf), np.full(size, -1)
        done = np.zeros(size, dtype=bool)
        row, last, length = added, -1, 0.0
        while True:
            through = length + costs[row] - row_prices[row] - column_prices
            nearer = ~done & (through < distance)
            distance[nearer], before[nearer] = through[nearer], last
            last = int(np.where(done, np.inf, distance).argmin())
            length = distance[last]
            done[last] = True
            if row_of[last] < 0:
                break
            row = row_of[last]
        # Prices along the tree of shortest paths; the free column's own does not change.
        row_prices[added] += length
        for column in np.flatnonzero(done):
            gain = length - distance[column]
            column_prices[column] -= gain
            if row_of[column] >= 0:
                row_prices[row_of[column]] += gain
        while last >= 0:
            earlier = before[last]
            row_of[last] = row_of[earlier] if earlier >= 0 else added
            last = earlier
    columns = np.empty(size, dtype=np.int64)
    columns[row_of] = np.arange(size)
    return columns
