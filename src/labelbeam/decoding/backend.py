"""Which arithmetic a search uses, plain NumPy or Numba kernels (extra `fast`), and on how many threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import pairwise

from labelbeam.errors import InputError, unknown_name

# Which arithmetic a search uses: plain NumPy, or Numba kernels where Numba is installed (extra `fast`).
#
# Both give the same answers; tests compare them. Knows nothing of what is computed.

BACKENDS = ("numpy", "numba")


@cache
def has_numba() -> bool:
    """Tell whether Numba is installed, without importing it."""
    return find_spec("numba") is not None


def choose_backend(asked: str | None, *, compiled: bool) -> str:
    """Return the backend to use.

    Args:
        asked: its name; None: `numba` where it is installed and can do the model, else `numpy`.
        compiled: whether Numba can do the label model; searches differ in that.

    Returns:
        The backend's name.

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


# Parts of a batch on several threads, for kernels that leave the interpreter's lock alone.
#
# Images of a batch do not know of each other, so how they are parted changes no answer. Knows neither
# searches nor tries; `beam_kernel` uses it.

LEAST_WORK = 100_000
"""Numbers to look at in a part; below, waking a thread takes longer than it saves (20 microseconds or so)."""


def thread_count() -> int:
    """Return how many threads to use: the processors this process may use, no more than OMP_NUM_THREADS says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(asked)) if asked.isdigit() and int(asked) else cores


def in_parts(work: Callable[[slice], object], count: int, *, size: int, threads: int | None = None) -> None:
    """Call `work` for parts that together are all of `count` items, at the same time; return when all are done.

    Args:
        work: does the items of a slice; writes to what no other item's work touches.
        count: items.
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
