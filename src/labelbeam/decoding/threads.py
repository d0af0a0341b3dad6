"""Parts of a batch on several threads, for kernels that leave the interpreter's lock alone.

Images of a batch do not know of each other, so how they are parted changes no answer. Knows neither searches
nor tries; `beam_kernel` uses it.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

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
