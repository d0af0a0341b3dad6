"""An order of labels in which those that go together stand side by side, for a picture of their pairs."""

import numpy as np
from jaxtyping import Float, Int


def side_by_side(likeness: Float[np.ndarray, "labels labels"]) -> Int[np.ndarray, " labels"]:
    """Return an order in which labels that go together are neighbours.

    The two groups that are most alike on average are joined until one is left; of the ways to lay two groups
    end to end, the one is taken whose ends that touch are most alike.

    Args:
        likeness: symmetric; greater is more alike. For some dozens of labels: the time grows with their cube.

    Returns:
        A permutation; ties go to the labels that come first.

    Example:
        >>> chain = np.array([[0, 0, 1, 0], [0, 0, 2, 3], [1, 2, 0, 0], [0, 3, 0, 0]], dtype=float)
        >>> side_by_side(chain).tolist()
        [0, 2, 1, 3]
    """
    groups = [[i] for i in range(len(likeness))]
    while len(groups) > 1:
        means = np.array(
            [[likeness[np.ix_(a, b)].mean() if a is not b else -np.inf for b in groups] for a in groups]
        )
        i, j = sorted(divmod(int(means.argmax()), len(groups)))
        second = groups.pop(j)
        first = groups[i]
        ways = [(a, b) for a in (first, first[::-1]) for b in (second, second[::-1])]
        ways += [(b, a) for a, b in ways]
        a, b = max(ways, key=lambda way: likeness[way[0][-1], way[1][0]])
        groups[i] = a + b
    order = np.array(groups[0] if groups else [], dtype=np.int64)
    return order if len(order) < 2 or order[0] < order[-1] else order[::-1].copy()
