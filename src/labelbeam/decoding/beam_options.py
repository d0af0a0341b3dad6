"""How a beam search searches: the points that the paper leaves open, by name.

Knows no trie and no arithmetic; `beam` and its two backends read it.
"""

from dataclasses import dataclass

import numpy as np

from labelbeam.errors import InputError, unknown_name

END_RULES = ("always", "competes")
STOP_RULES = ("best", "worst")


@dataclass(frozen=True)
class BeamOptions:
    """How a beam search searches; where the paper leaves a point open, both readings by name.

    Attributes:
        width: N, live paths kept per image.
        end: `always` (default): ending is tried for every live path and takes no place in the beam.
            `competes`: END is one of the outcomes that compete for the N places (the paper, literally).
        stop: `best` (default): stop when no live path is more probable than the best finished one, enough
            for the first path. `worst`: than the worst of the N best finished ones, enough for all N.
            Either way a live path that fails the test is dropped at once, which changes no answer.
        length_penalty: 0 (default): paths are compared by log-probability, as in the paper; a > 0:
            finished ones by log-probability / ((5 + steps) / 6) ** a.

    Raises:
        InputError: a width below 1, a negative penalty, an unknown name.

    Source:
        Paper section 3.3; its open points 9 to 12. The penalty is Wu et al. 2016 (arXiv 1609.08144), eq. 14.
    """

    width: int = 10
    end: str = "always"
    stop: str = "best"
    length_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.width < 1:
            raise InputError(f"the beam width must be at least 1, given {self.width}.")
        if not 0 <= self.length_penalty < np.inf:
            raise InputError(f"the length penalty must be 0 or more, given {self.length_penalty}.")
        for kind, given, allowed in (
            ("end rule", self.end, END_RULES),
            ("stop rule", self.stop, STOP_RULES),
        ):
            if given not in allowed:
                raise unknown_name(kind, str(given), allowed)

    def penalty(self, steps: int) -> float:
        """Return what the log-probability of a path of so many steps, END included, is divided by."""
        return float(((5 + steps) / 6) ** self.length_penalty)
