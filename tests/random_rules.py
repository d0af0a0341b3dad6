"""Random limits, and the slow twin of everything that keeps them: all sets, one by one."""

from itertools import product

import numpy as np

from labelbeam.labels.rules import Limit


def random_limits(generator: np.random.Generator, num_labels: int, most: int = 4) -> list[Limit]:
    """One to `most` limits of every form that a line of rules may have; often none can be kept."""
    found = []
    for _ in range(generator.integers(1, most + 1)):
        size = min(num_labels, int(generator.integers(2, 5)))
        some = sorted(generator.choice(num_labels, size=size, replace=False).tolist())
        a, b = generator.permutation(some[:2]).tolist()
        low, high = sorted(generator.integers(0, num_labels + 1, size=2).tolist())
        forms = {
            "exactly one": Limit(tuple(some), (), 1, 1),
            "at most": Limit(tuple(some), (), 0, int(generator.integers(0, size))),
            "at least": Limit(tuple(some), (), int(generator.integers(1, size)), size),
            "implies": Limit((a,), (b,), 0, 1),
            "together": Limit((a,), (b,), 0, 0),
            "never": Limit((a,), (), 0, 0),
            "size": Limit(tuple(range(num_labels)), (), low, high),
        }
        found.append(forms[str(generator.choice(list(forms)))])
    return found


def kept_sets(limits: list[Limit], num_labels: int) -> set[tuple[int, ...]]:
    """Every set that keeps limits, as ids in ascending order."""
    sets = np.array(list(product([False, True], repeat=num_labels)))
    kept = ~np.any([limit.broken_by(sets) for limit in limits], axis=0)
    return {tuple(np.flatnonzero(one).tolist()) for one in sets[kept]}
