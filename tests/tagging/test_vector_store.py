"""Stored vectors: found as they were kept, readable by NumPy, whole after a kill, refused for another encoder."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelbeam.errors import InputError
from labelbeam.tagging.vector_store import VectorStore

KEY = {"encoder": "tiny"}


def opened(folder: Path, **options: object) -> VectorStore:
    return VectorStore(folder, KEY, **{"num_features": 3, **options})


def vector(number: float) -> np.ndarray:
    return np.full(3, number, dtype=np.float16)


def fill(folder: Path, names: list[str]) -> None:
    with opened(folder, write=True) as store:
        for number, name in enumerate(names):
            store.add(name, (number, 10), vector(number))


@settings(deadline=None)
@given(st.lists(st.text(max_size=5), max_size=9), st.lists(st.text(max_size=5), max_size=9))
def test_what_is_found_is_what_a_dictionary_would_hold(first: list[str], second: list[str]) -> None:
    kept = {}
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "vectors"
        for names in (first, second):
            fill(folder, names)
            kept.update({name: number for number, name in enumerate(names)})
        with opened(folder) as store:
            assert list(store.names()) == list(kept)
            for name, number in kept.items():
                found = store.find(name, (number, 10))
                assert isinstance(found, np.ndarray)
                assert found.tolist() == [number] * 3
                assert store.find(name, (number, 11)) is None
            assert store.find("never added", (0, 10)) is None
        rows = np.load(folder / "vectors.npy")
        assert rows[:, 0].tolist() == [*range(len(first)), *range(len(second))]


@given(st.integers(0, 400), st.integers(0, 400))
def test_after_a_kill_at_any_byte_the_rows_that_have_both_halves_are_there(names: int, vectors: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "vectors"
        fill(folder, [f"{number}.jpg" for number in range(6)])
        lines = (folder / "names.jsonl").read_bytes()
        values = (folder / "vectors.npy").read_bytes()
        (folder / "names.jsonl").write_bytes(lines[:names])
        (folder / "vectors.npy").write_bytes(values[: max(128, vectors)])
        whole = min(lines[:names].count(b"\n"), (min(max(128, vectors), len(values)) - 128) // 6)
        with opened(folder, write=True) as store:
            assert list(store.names()) == [f"{number}.jpg" for number in range(whole)]
            store.add("after.jpg", (0, 0), vector(7))
        with opened(folder) as store:
            assert len(store) == whole + 1
            assert store.find("after.jpg").tolist() == [7, 7, 7]  # type: ignore[union-attr]
        assert np.load(folder / "vectors.npy").shape == (whole + 1, 3)


def test_why_a_file_could_not_be_read_is_kept_too_and_its_row_is_no_number(tmp_path: Path) -> None:
    with opened(tmp_path / "v", write=True) as store:
        store.add("a.jpg", (1, 1), "damaged")
        store.add("b.jpg", (1, 1), vector(2))
    with opened(tmp_path / "v") as store:
        assert list(dict(store.items(["a.jpg"])).values()) == ["damaged"]
        with pytest.raises(InputError, match=r"has no vector of c\.jpg"):
            list(store.items(["c.jpg"]))
    assert np.isnan(np.load(tmp_path / "v" / "vectors.npy")).all(axis=1).tolist() == [True, False]


def test_names_that_are_not_utf8_are_kept(tmp_path: Path) -> None:
    fill(tmp_path / "v", ["caf\udce9.jpg", "人.jpg"])
    with opened(tmp_path / "v") as store:
        assert list(store.names()) == ["caf\udce9.jpg", "人.jpg"]


def other_encoder(folder: Path) -> None:
    fill(folder, ["a"])
    VectorStore(folder, {"encoder": "vgg16"}, num_features=3)


def other_length(folder: Path) -> None:
    fill(folder, ["a"])
    opened(folder, num_features=4)


def damaged(folder: Path) -> None:
    fill(folder, ["a"])
    (folder / "names.jsonl").write_text("{}\n")
    opened(folder)


def damaged_key(folder: Path) -> None:
    fill(folder, ["a"])
    (folder / "encoder.json").write_text("{")
    opened(folder)


def other_things(folder: Path) -> None:
    folder.mkdir()
    (folder / "photo.jpg").write_bytes(b"")
    opened(folder, write=True)


def below_nothing(folder: Path) -> None:
    opened(folder / "deeper", write=True)


def two_writers(folder: Path) -> None:
    pytest.importorskip("fcntl")
    with opened(folder, write=True):
        opened(folder, write=True)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_encoder, "another encoder than this run's"),
        (other_length, "another encoder than this run's"),
        (damaged, r"names\.jsonl, line 1, is damaged"),
        (damaged_key, r"encoder\.json"),
        (other_things, "holds other things"),
        (below_nothing, "cannot be made"),
        (opened, "holds no vectors"),
        (two_writers, "another call is writing"),
    ],
)
def test_a_store_that_cannot_be_used_says_why(spoil, words, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        spoil(tmp_path / "v")


def test_the_key_is_there_for_people(tmp_path: Path) -> None:
    fill(tmp_path / "v", [])
    assert json.loads((tmp_path / "v" / "encoder.json").read_text()) == {**KEY, "num_features": 3}
