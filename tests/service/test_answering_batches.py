"""The queue in front of the model."""

import threading
import time

import pytest

from labelbeam.service.answering import Batches, Closed, Full


def test_items_of_several_submissions_are_done_together() -> None:
    gate, sizes = threading.Event(), []

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        gate.wait()
        return [item + 1 for item in items]

    batches = Batches(work, most_together=4, most_waiting=100)
    first = batches.submit([0])
    while not sizes:
        time.sleep(0.001)
    others = [batches.submit([i]) for i in range(1, 7)]
    gate.set()
    assert [future.result() for one in [first, *others] for future in one] == list(range(1, 8))
    assert sizes == [1, 4, 2]
    batches.close()


def test_the_first_item_waits_for_others_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelbeam.service.answering.MOST_PATIENCE", 60.0)
    sizes: list[int] = []

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return items

    batches = Batches(work, most_together=3, most_waiting=100, wait_seconds=60.0)
    futures = [future for i in range(3) for future in batches.submit([i])]
    assert [future.result(timeout=50) for future in futures] == [0, 1, 2]
    assert sizes == [3]
    batches.close()


def test_a_full_queue_refuses_all_of_a_submission_and_says_when_to_come_again() -> None:
    gate = threading.Event()
    started = threading.Event()

    def work(items: list[int]) -> list[int]:
        started.set()
        gate.wait()
        return items

    batches = Batches(work, most_together=1, most_waiting=3)
    running = batches.submit([0])
    started.wait()
    waiting = batches.submit([1, 2])
    with pytest.raises(Full) as refused:
        batches.submit([3, 4])
    assert refused.value.seconds > 0
    assert batches.has_room
    last = batches.submit([3])
    assert not batches.has_room
    gate.set()
    assert [future.result() for future in running + waiting + last] == [0, 1, 2, 3]
    batches.close()


def test_what_is_urgent_goes_first() -> None:
    gate, started, order = threading.Event(), threading.Event(), []

    def work(items: list[str]) -> list[str]:
        started.set()
        gate.wait()
        order.extend(items)
        return items

    batches = Batches(work, most_together=1, most_waiting=10)
    futures = batches.submit(["running"])
    started.wait()
    futures += batches.submit(["slow 1", "slow 2"]) + batches.submit(["click"], urgent=True)
    gate.set()
    for future in futures:
        future.result()
    assert order == ["running", "click", "slow 1", "slow 2"]
    batches.close()


def test_an_item_s_own_error_is_its_own_and_a_failed_batch_fails_all_and_the_thread_goes_on() -> None:
    def work(items: list[int]) -> list[int | Exception]:
        if 9 in items:
            raise ZeroDivisionError
        return [ValueError(str(item)) if item == 2 else item for item in items]

    batches: Batches[int, int] = Batches(work, most_together=3, most_waiting=10)
    one, two = batches.submit([1, 2])
    assert one.result() == 1
    assert isinstance(two.exception(), ValueError)
    (nine,) = batches.submit([9])
    assert isinstance(nine.exception(), ZeroDivisionError)
    assert batches.submit([3])[0].result() == 3
    assert batches.alive
    batches.close()


def test_what_was_cancelled_before_its_turn_is_not_done() -> None:
    gate, started, done = threading.Event(), threading.Event(), []

    def work(items: list[int]) -> list[int]:
        started.set()
        gate.wait()
        done.extend(items)
        return items

    batches = Batches(work, most_together=2, most_waiting=10)
    batches.submit([0])
    started.wait()
    (one,), (two,) = batches.submit([1]), batches.submit([2])
    assert one.cancel()
    gate.set()
    assert two.result() == 2
    assert done == [0, 2]
    batches.close()


def test_closing_does_what_waits_and_takes_nothing_new() -> None:
    batches = Batches(lambda items: [item * 2 for item in items], most_together=2, most_waiting=10)
    futures = batches.submit([1, 2, 3])
    batches.close()
    assert [future.result() for future in futures] == [2, 4, 6]
    assert not batches.alive
    with pytest.raises(Closed):
        batches.submit([4])


def test_a_free_thread_waits_for_those_that_come_one_after_the_other_while_others_are_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labelbeam.service.answering.PATIENCE", 1.5)
    monkeypatch.setattr("labelbeam.service.answering.MOST_PATIENCE", 60.0)
    gate, started, done = threading.Event(), threading.Event(), []

    def work(items: list[int]) -> list[int]:
        if items == [0]:
            started.set()
            gate.wait()
        done.append(items)
        return items

    batches = Batches(work, most_together=5, most_waiting=10, threads=2)
    batches._seconds_each = 5.0  # of slow work
    batches.submit([0])
    started.wait()
    last = []
    for item in range(1, 6):
        last = batches.submit([item])
        time.sleep(0.35)  # all of them take longer than the patience with one
    assert last[0].result() == 5
    gate.set()
    batches.close()
    assert done[0] == [1, 2, 3, 4, 5]


def test_nobody_waits_longer_than_is_said_however_much_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelbeam.service.answering.MOST_PATIENCE", 0.05)
    batches = Batches(lambda items: items, most_together=1000, most_waiting=1000, wait_seconds=60.0)
    assert batches.submit([1])[0].result(timeout=50) == 1
    batches.close()
