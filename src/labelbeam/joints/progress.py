"""Progress bars: on standard error, and only to a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(task: str, total: int | None, *, shown: bool = True) -> Iterator[Callable[[int], None]]:
    """Show a progress bar while the block runs.

    Args:
        task: what is going on, a few words.
        total: how many items there are; None where nobody knows.
        shown: False where something else on the terminal says how far things are.

    Yields:
        A function that is told how many more items are done.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, disable=not (shown and sys.stderr.isatty()), transient=True
    ) as bar:
        number = bar.add_task(task, total=total)
        yield lambda done: bar.advance(number, done)
