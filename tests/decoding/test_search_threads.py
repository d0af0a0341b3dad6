"""Threads: parts cover everything once, searches on several threads give what one gives, a trie may be shared."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from enumeration import random_rows

from labelbeam.decoding import search as threads
from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.search import Search, in_parts, thread_count
from labelbeam.decoding.step import TableStep
from labelbeam.decoding.trie import PrefixTrie


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 64])
@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_parts_are_every_item_once(count: int, parts: int) -> None:
    done, lock = np.zeros(count, dtype=int), threading.Lock()

    def work(part: slice) -> None:
        with lock:
            done[part] += 1

    in_parts(work, count, size=threads.LEAST_WORK, threads=parts)
    assert done.tolist() == [1] * count


def test_an_error_in_any_part_reaches_the_caller() -> None:
    def work(part: slice) -> None:
        if part.start:
            raise ValueError("second part")

    with pytest.raises(ValueError, match="second part"):
        in_parts(work, 2, size=threads.LEAST_WORK, threads=2)


def test_little_work_stays_on_the_calling_thread() -> None:
    seen: set[str] = set()
    in_parts(lambda part: seen.add(threading.current_thread().name), 100, size=10, threads=4)
    assert seen == {threading.current_thread().name}


@pytest.mark.parametrize(("asked", "count"), [("1", 1), ("0", 2), ("", 2), ("many", 2), ("64", 2)])
def test_threads_are_as_many_as_processors_or_fewer_where_asked(
    asked: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    assert thread_count() == count


@pytest.mark.parametrize("rule", ["canonical", "no-repeat"])
def test_a_beam_in_parts_is_bit_for_bit_the_beam_in_one(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    rows, found = random_rows(50, 10, 3, 2.0), []
    monkeypatch.setattr(threads, "LEAST_WORK", 1)  # even so little work is parted
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "thread_count", lambda count=count: count)
        trie = PrefixTrie(TableStep({}, num_labels=9, allowed=rule, seed=5, scale=1.5))
        found.append(beam_search(trie, rows, Search(beam_width=4), backend="numba"))
    for other in found[1:]:
        np.testing.assert_array_equal(other.labels, found[0].labels)
        np.testing.assert_array_equal(other.log_probs, found[0].log_probs)


class SlowStep(TableStep):
    """Gives the interpreter to other threads in the middle of a batch."""

    def step(self, states, labels):
        threading.Event().wait(0.0005)
        return super().step(states, labels)


def test_threads_that_share_a_small_trie_get_what_they_would_get_alone() -> None:
    step = SlowStep({}, num_labels=7, allowed="no-repeat", seed=5, scale=1.5)
    shared = PrefixTrie(step, byte_limit=60 * PrefixTrie(step).bytes_per_node)
    batches = [random_rows(6, 8, seed, 2.0) for seed in range(8)]

    def answer(trie: PrefixTrie, rows: np.ndarray) -> tuple:
        beam = beam_search(trie, rows, Search(beam_width=3))
        return beam.labels, label_marginals(trie, rows, expansions=8, samples=10, stderr=None).score

    alone = [answer(PrefixTrie(step), rows) for rows in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda rows: answer(shared, rows), batches))
    assert shared.evictions > 0
    for (paths, scores), (shared_paths, shared_scores) in zip(alone, together, strict=True):
        np.testing.assert_array_equal(shared_paths, paths)
        np.testing.assert_allclose(shared_scores, scores, atol=1e-5)
