"""How a label model is searched: the choices and their defaults, NumPy or Numba (extra `fast`), how many threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import pairwise

from labelbeam.errors import InputError, unknown_name

METHODS = ("exact", "beam", "greedy")
SCORES = ("marginal", "per-label", "beam", "max-step", "first-step")


@dataclass(frozen=True)
class Search:
    """Choices of the search; what the paper leaves open has a name here.

    Raises:
        InputError: an unknown name or a number outside what is allowed; all numbers at once.

    Source:
        Paper section 3.3; its open points 9 to 12. The length penalty is Wu et al. 2016 (arXiv 1609.08144), eq. 14.
    """

    method: str = "exact"
    """`exact` (default): best-first, with a certificate. `beam`: the paper's. `greedy`: label by label."""
    beam_width: int = 10
    """N, live paths kept per image by the paper's beam search, which does not say what it was."""
    stop: str = "best"
    """`best` (default): no live path beats the best finished one. `worst`: the literal reading, none beats
    any of the N best finished ones, enough for all N. Both give the same first path; a live path that fails the
    test is dropped at once, which changes no answer."""
    end: str = "always"
    """`always` (default): END of every live path is tried and takes no place in the beam. `competes`: END is one of
    the outcomes that compete for the N places (the literal reading)."""
    length_penalty: float = 0.0
    """a: finished paths are ranked by log-probability / ((5 + steps) / 6) ** a; 0 (default): as they are, as in the
    paper."""
    min_labels: int = 0
    """END is not allowed before this many labels (the paper's protocol for NUS-WIDE: k)."""
    max_labels: int | None = None
    """Paths end at this many labels; with min_labels the same, every path has exactly so many ("path-k")."""
    nothing: float | None = None
    """Share of the images that show none of the labels, by which p(empty set) is shifted; None: the training's.
    For runs whose training images all show something."""
    estimate_nothing: bool = False
    """Whether, where `nothing` is not given, `tag` and `evaluate` find that share from the images, if they are many.
    Training decides it by validation images: `runs.choices`."""
    score: str = "marginal"
    """What a label's score is; the paper does not say. `marginal` (default): p(label | image), with bounds.
    `per-label`: p(label | image) by the label's own logit, a matrix product, where the model has one
    (`label_model.per_label`); under rules and forced numbers of labels, which condition it, `marginal` is taken.
    `beam`: the share of the beam's finished paths that hold it. `max-step`: the highest probability it had at
    any step of the path. `first-step`: the probability at the first step."""
    expansions: int = 200
    """Prefixes expanded per image, at most, for marginals and for the exact search."""
    samples: int = 200
    """Continuations sampled per image, at most, for what was not expanded."""
    stderr: float | None = 0.01
    """Nothing more is sampled for an image when no label's standard error is above this, nor expanded when its
    bounds are that close and its path is certified. None: both budgets are spent."""
    trie_bytes: int = 512_000_000
    """Most bytes the prefix trie holds; results do not depend on it."""
    seed: int = 0
    """Decides the samples."""

    def __post_init__(self) -> None:
        names = (
            ("method", METHODS),
            ("stop", ("best", "worst")),
            ("end", ("always", "competes")),
            ("score", SCORES),
        )
        for name, allowed in names:
            if getattr(self, name) not in allowed:
                raise unknown_name(f"search {name}", getattr(self, name), allowed)
        problems = [
            f"{name} is {getattr(self, name)}, must be at least {least}"
            for name, least in (
                ("beam_width", 1),
                ("min_labels", 0),
                ("expansions", 1),
                ("samples", 0),
                ("trie_bytes", 1),
                ("seed", 0),
            )
            if getattr(self, name) < least
        ]
        if self.nothing is not None and not 0 < self.nothing < 1:
            problems.append(f"nothing is {self.nothing}, must lie between 0 and 1")
        if not 0 <= self.length_penalty < float("inf"):
            problems.append(f"length_penalty is {self.length_penalty}, must be 0 or more")
        if self.stderr is not None and not 0 < self.stderr < 1:
            problems.append(f"stderr is {self.stderr}, must lie between 0 and 1 (null: spend the budgets)")
        if self.max_labels is not None and self.max_labels < self.min_labels:
            problems.append(f"max_labels is {self.max_labels}, below min_labels ({self.min_labels})")
        if problems:
            raise InputError("search: " + "; ".join(problems) + ".")

    def penalty(self, steps: int) -> float:
        """Return what the log-probability of a path of so many steps, END included, is divided by."""
        return float(((5 + steps) / 6) ** self.length_penalty)


BACKENDS = ("numpy", "numba")


@cache
def has_numba() -> bool:
    """Tell whether Numba is installed, without importing it."""
    return find_spec("numba") is not None


def choose_backend(asked: str | None, *, compiled: bool) -> str:
    """Return the backend that was asked for; None: `numba` where it is installed and can do the model, else `numpy`.

    Both give the same answers. `compiled` is whether Numba can do the label model; searches differ in that.

    Raises:
        InputError: an unknown name, Numba asked for and not installed, or a model that it cannot do.

    Example:
        >>> choose_backend(None, compiled=False)
        'numpy'
    """
    if asked is None:
        return "numba" if compiled and has_numba() else "numpy"
    if asked not in BACKENDS:
        raise unknown_name("backend", str(asked), BACKENDS)
    if asked == "numba" and not compiled:
        raise InputError("backend 'numba' needs an additive label model (h = identity). Use 'numpy'.")
    if asked == "numba" and not has_numba():
        raise InputError("backend 'numba' needs Numba. Install labelbeam[fast], or use 'numpy'.")
    return asked


LEAST_WORK = 100_000
"""Numbers to look at in a part; below, waking a thread takes longer than it saves (20 microseconds or so)."""


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_count() -> int:
    """Return how many threads to use: the processors this process may use, no more than OMP_NUM_THREADS says."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores(), int(asked)) if asked.isdigit() and int(asked) else cores()


def in_parts(work: Callable[[slice], object], count: int, *, size: int, threads: int | None = None) -> None:
    """Call `work` for parts that together are all of `count` items, at the same time; return when all are done.

    For kernels that leave the interpreter's lock alone; items do not know of each other, so parting changes no answer.

    Args:
        work: does the items of a slice; writes to what no other item's work touches.
        size: numbers that an item's work looks at; little work stays on the calling thread.
        threads: parts at most; None: `thread_count()`.

    Example:
        >>> done = [0] * 5
        >>> def work(part: slice) -> None:
        ...     for item in range(5)[part]:
        ...         done[item] += 1
        >>> in_parts(work, 5, size=10**6, threads=2)
        >>> done
        [1, 1, 1, 1, 1]
    """
    parts = max(1, min(threads or thread_count(), count, count * size // LEAST_WORK))
    bounds = [count * part // parts for part in range(parts + 1)]
    # The calling thread does the first part itself. By process id: threads do not survive a fork.
    others = [_pool(os.getpid()).submit(work, slice(first, last)) for first, last in pairwise(bounds[1:])]
    work(slice(0, bounds[1]))
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count(), thread_name_prefix="labelbeam-search")
