"""Work from many clients done together: a bounded queue, and threads that take what has gathered.

A thread waits for the first item, then a few milliseconds for one more, and so on while more comes, then does them
all at once. While it works the next batch gathers, so that batches grow with the load by themselves; where several
threads share the work, one that becomes free while others are busy waits longer. Knows nothing of what the work is.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


PATIENCE = 0.05
"""Most seconds that a thread waits for one more item while others are busy: at most what one item takes.

Those whose answers the last batch was come back one after the other: who went on without the late ones would do
small batches for ever, which cost up to a third more of the processor each.
"""

MOST_PATIENCE = 0.25
"""Most seconds of waiting together, however much comes."""


class Full(Exception):  # noqa: N818  (named for what it is)
    """The queue cannot take what was to be added.

    Attributes:
        seconds: after which there is probably room.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the queue is full for about {seconds:.1f} s")
        self.seconds = seconds


class Closed(Exception):  # noqa: N818
    """The queue takes nothing any more."""


@dataclass
class _Entry(Generic[Item, Result]):
    item: Item
    urgent: bool
    future: "Future[Result]" = field(default_factory=Future)


class Batches(Generic[Item, Result]):
    """A bounded queue in front of work that is cheaper, or only possible, in batches.

    Example:
        >>> batches = Batches(lambda items: [item * 2 for item in items], most_together=8, most_waiting=100)
        >>> [future.result() for future in batches.submit([1, 2, 3])]
        [2, 4, 6]
        >>> batches.close()
    """

    def __init__(
        self,
        work: Callable[[list[Item]], Sequence[Result | Exception]],
        *,
        most_together: int,
        most_waiting: int,
        wait_seconds: float = 0.004,
        threads: int = 1,
        name: str = "batches",
        starting: Callable[[], object] = lambda: None,
    ) -> None:
        """Start the threads.

        Args:
            work: from items to one result, or one exception, for each; called in the queue's own threads. What it
                raises itself becomes the result of every item of the batch.
            most_together: items of a batch, at most.
            most_waiting: items that wait, at most; more only where nothing waited.
            wait_seconds: how long the items of a batch wait for one more.
            threads: how many batches are under way at once.
            name: of the threads.
            starting: called once in each thread before its first batch.
        """
        self._starting = starting
        self._work = work
        self._most_together, self._most_waiting = most_together, most_waiting
        self._wait = wait_seconds
        self._entries: deque[_Entry[Item, Result]] = deque()
        self._under_way = 0
        self._seconds_each = 0.05  # of one item; learned from what was done
        self._open = True
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def alive(self) -> bool:
        """Whether it takes work and all its threads run."""
        return self._open and all(thread.is_alive() for thread in self._threads)

    @property
    def waiting(self) -> int:
        """Items that wait now."""
        return len(self._entries)

    @property
    def has_room(self) -> bool:
        """Whether one more item could be added."""
        return len(self._entries) < self._most_waiting

    def submit(self, items: Sequence[Item], *, urgent: bool = False) -> "list[Future[Result]]":
        """Add items, all of them or none.

        Args:
            items: what to do.
            urgent: whether they go before everything that waits, and wait for nothing themselves.

        Returns:
            A future for each; one that is cancelled before its turn costs nothing.

        Raises:
            Full: there is no room for all of them.
            Closed: after `close`.
        """
        entries: list[_Entry[Item, Result]] = [_Entry(item, urgent) for item in items]
        with self._changed:
            if not self._open:
                raise Closed
            waiting = len(self._entries)
            if waiting and waiting + len(entries) > self._most_waiting:
                raise Full(waiting * self._seconds_each / len(self._threads))
            if urgent:
                self._entries.extendleft(reversed(entries))
            else:
                self._entries.extend(entries)
            self._changed.notify_all()
        return [entry.future for entry in entries]

    def close(self) -> None:
        """Do what waits, then end the threads."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        self._starting()
        while batch := self._take():
            began = time.perf_counter()
            try:
                results: Sequence[Result | Exception] = self._work([entry.item for entry in batch])
            except Exception as error:
                # Whatever it is belongs to those who asked, where it is answered and logged; the thread must go on.
                results = [error] * len(batch)
            took = (time.perf_counter() - began) / len(batch)
            self._seconds_each = 0.8 * self._seconds_each + 0.2 * took
            for entry, result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    entry.future.set_exception(result)
                else:
                    entry.future.set_result(result)
            with self._changed:
                self._under_way -= 1

    def _take(self) -> list[_Entry[Item, Result]]:
        """Wait for a batch; empty when the queue is closed and done."""
        with self._changed:
            while True:
                while self._open and not self._entries:
                    self._changed.wait()
                if not self._entries:
                    return []
                self._gather()
                if batch := self._popped():
                    self._under_way += 1
                    return batch

    def _gather(self) -> None:
        """Wait for one more item, and for another, until none comes for a while or there are enough."""
        begun = came = time.monotonic()
        gathered = len(self._entries)
        while self._gathers():
            patience = min(PATIENCE, self._seconds_each) if self._under_way else 0.0
            until = min(came + max(self._wait, patience), begun + MOST_PATIENCE)
            if (left := until - time.monotonic()) <= 0:
                return
            self._changed.wait(left)
            if len(self._entries) > gathered:
                came = time.monotonic()
            gathered = len(self._entries)

    def _gathers(self) -> bool:
        """Tell whether it is worth waiting for more."""
        few = 0 < len(self._entries) < self._most_together
        return self._open and few and not self._entries[0].urgent

    def _popped(self) -> list[_Entry[Item, Result]]:
        batch: list[_Entry[Item, Result]] = []
        while self._entries and len(batch) < self._most_together:
            entry = self._entries.popleft()
            if entry.future.set_running_or_notify_cancel():
                batch.append(entry)
        return batch
