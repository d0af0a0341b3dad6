"""Progress of long work, on standard error: a bar with rate and remaining time, or a line now and then in a log."""

import importlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

CELL_SECONDS = 0.2
"""Between two updates of a notebook's line, at least."""


@contextmanager
def progress_bar(
    task: str, total: int | None, *, shown: bool = True, done: int = 0, log_every: float | None = None
) -> Iterator[Callable[[int], None]]:
    """Show a progress bar while the block runs, where standard error is a terminal, and in notebooks.

    Args:
        task: what is going on, a few words.
        total: how many items there are; None: unknown.
        shown: False where something else on the terminal says how far things are.
        done: items that were done before; they are no part of the rate.
        log_every: seconds after which a line is printed where standard error is not a terminal; None: never.

    Yields:
        A function to call with how many more items are done.
    """
    if shown and in_notebook():
        with _Cell(task, total, done) as cell:
            yield cell
        return
    if not sys.stderr.isatty():
        yield (lambda items: None) if log_every is None else _Log(task, total, done, log_every)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown, transient=True) as bar:
        number = bar.add_task(task, total=total, completed=done)
        yield lambda items: bar.advance(number, items)


def in_notebook() -> bool:
    """Tell whether this runs in a notebook, where bars are shown though standard error is no terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


class _Rate(ProgressColumn):
    """Items a second, of the last half minute."""

    def render(self, task: Task) -> Text:
        return Text(_rate(task.speed) if task.speed else "")


class _Cell:
    """A line below a notebook's cell that says how far things are; needs no widgets, and goes at the end."""

    def __init__(self, task: str, total: int | None, done: int) -> None:
        self._task, self._total = task, total
        self._before = self._done = done
        self._start, self._shown = time.monotonic(), -math.inf

    def __enter__(self) -> "_Cell":
        display = importlib.import_module("IPython.display").display
        self._line = display({"text/plain": f"{self._task} …"}, raw=True, display_id=True)
        return self

    def __call__(self, items: int) -> None:
        self._done += items
        now = time.monotonic()
        if now - self._shown >= CELL_SECONDS:
            self._shown = now
            line = progress_line(self._task, self._done, self._total, self._before, now - self._start)
            self._line.update({"text/plain": line}, raw=True)

    def __exit__(self, *of_error: object) -> None:
        self._line.update({"text/plain": ""}, raw=True)


class _Log:
    """Lines for a log: how many items are done, how fast, and how long the others will take."""

    def __init__(self, task: str, total: int | None, done: int, every: float) -> None:
        self._task, self._total, self._every = task, total, every
        self._before = self._done = done
        self._start = self._told = time.monotonic()

    def __call__(self, items: int) -> None:
        self._done += items
        now = time.monotonic()
        if now - self._told < self._every:
            return
        self._told = now
        print(
            progress_line(self._task, self._done, self._total, self._before, now - self._start),
            file=sys.stderr,
        )


def progress_line(task: str, done: int, total: int | None, before: int, seconds: float) -> str:
    """Return how far things are, in a sentence.

    Args:
        done: items done, those of earlier calls too.
        total: items in all; None: unknown.
        before: items that earlier calls did.

    Example:
        >>> progress_line("tagging", 1500, 61_500, before=500, seconds=10.0)
        'tagging: 1,500 of 61,500, 100/s, 10 min left'
    """
    speed = (done - before) / seconds if seconds else 0.0
    parts = [f"{task}: {done:,}" + (f" of {total:,}" if total is not None else ""), _rate(speed)]
    if total is not None and speed:
        parts.append(f"{_time((total - done) / speed)} left")
    return ", ".join(parts)


def _rate(speed: float) -> str:
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
