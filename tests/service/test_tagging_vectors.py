"""Feature vectors that are kept for later clicks."""

import numpy as np

from labelbeam.service.tagging import VectorStore


def test_the_longest_unused_go_first_and_the_bound_is_kept() -> None:
    store = VectorStore(most_bytes=3 * (200 + 300))
    for i in range(3):
        store.put(str(i), np.full(100, i, dtype=np.float16))
    assert store.get("0") is not None
    store.put("3", np.zeros(100, dtype=np.float16))
    assert store.get("1") is None
    assert [store.get(name) is not None for name in "023"] == [True, True, True]
    store.put("0", np.ones(100, dtype=np.float16))
    assert len(store) == 3


def test_a_vector_larger_than_the_store_is_let_go() -> None:
    store = VectorStore(most_bytes=100)
    store.put("a", np.zeros(1000, dtype=np.float16))
    assert store.get("a") is None
    assert len(store) == 0


def test_an_id_is_the_content_s_and_the_process_s() -> None:
    one, other = VectorStore(most_bytes=100), VectorStore(most_bytes=100)
    assert one.id_of(b"a") == one.id_of(b"a") != one.id_of(b"b")
    assert one.id_of(b"a") != other.id_of(b"a")


def test_what_is_kept_cannot_be_changed_by_whoever_gets_it() -> None:
    store, batch = VectorStore(most_bytes=10_000), np.zeros((16, 4), dtype=np.float16)
    store.put("a", batch[3])
    batch[3] = 1
    found = store.get("a")
    assert found is not None
    assert found.tolist() == [0, 0, 0, 0]
    assert found.base is None
    assert not found.flags.writeable
