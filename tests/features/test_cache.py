import errno
import json
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labelbeam.errors import InputError
from labelbeam.features.cache import Chunk, FeatureCache, image_digest, to_half

KEY = {"encoder": "tiny:abc", "transform": "{}"}


def opened(root: Path, key: dict[str, str] = KEY, **options: float) -> FeatureCache:
    return FeatureCache(root, key, num_features=3, **options)


def digest(i: int) -> bytes:
    return image_digest(str(i).encode())


def row(i: int) -> np.ndarray:
    return np.array([i, i / 2, -i], dtype=np.float16)


def fill(root: Path, numbers: range, **options: float) -> None:
    with opened(root, **options) as cache:
        for i in numbers:
            cache.put(digest(i), row(i))


def test_what_was_put_is_there_before_and_after_it_is_written(tmp_path: Path) -> None:
    cache = opened(tmp_path, rows_per_chunk=4)
    for i in range(10):
        cache.put(digest(i), row(i))
        assert np.array_equal(cache.get(digest(i)), row(i))
    assert len(list(cache.folder.glob("chunk-*"))) == 2
    cache.flush()
    again = opened(tmp_path)
    assert len(again) == 10
    assert all(np.array_equal(again.get(digest(i)), row(i)) for i in range(10))
    assert again.get(digest(10)) is None


@settings(max_examples=20, deadline=None)
@given(arrays.arrays(np.float16, (5, 3), elements=st.floats(-65504, 65504, width=16)))
def test_every_finite_half_survives_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: np.ndarray
) -> None:
    root = tmp_path_factory.mktemp("cache")
    with opened(root) as cache:
        for i, values in enumerate(rows):
            cache.put(digest(i), values)
    again = opened(root)
    assert all(again.get(digest(i)).tobytes() == rows[i].tobytes() for i in range(5))


def test_another_encoder_or_transform_is_another_cache(tmp_path: Path) -> None:
    fill(tmp_path, range(3))
    assert json.loads((opened(tmp_path).folder / "key.json").read_text(encoding="utf-8")) == KEY
    for key in (KEY | {"encoder": "tiny:abd"}, KEY | {"transform": "{1}"}, KEY | {"precision": "bfloat16"}):
        assert opened(tmp_path, key).get(digest(1)) is None


def test_a_full_chunk_or_passing_time_writes(tmp_path: Path) -> None:
    cache = opened(tmp_path, seconds=-1.0)
    cache.put(digest(0), row(0))
    assert len(list(cache.folder.glob("chunk-*"))) == 1


@pytest.mark.parametrize("position", [0.0, 0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_chunk_with_a_changed_byte_is_reported_rebuilt_and_never_served(
    tmp_path: Path, position: float
) -> None:
    fill(tmp_path, range(40))
    [path] = opened(tmp_path).folder.glob("chunk-*")
    content = bytearray(path.read_bytes())
    content[int(position * len(content))] ^= 0x41
    path.write_bytes(content)
    cache = opened(tmp_path)
    served = [(i, cache.get(digest(i))) for i in range(40)]
    assert all(values is None or np.array_equal(values, row(i)) for i, values in served)
    if any(values is None for _, values in served):
        assert "damaged" in cache.problems[0]
        assert not path.exists()
    fill(tmp_path, range(40))
    again = opened(tmp_path)
    assert all(np.array_equal(again.get(digest(i)), row(i)) for i in range(40))


@pytest.mark.parametrize("kept", [0, 4, 100, 300])
def test_a_chunk_cut_short_is_reported_and_rebuilt(tmp_path: Path, kept: int) -> None:
    fill(tmp_path, range(40))
    [path] = opened(tmp_path).folder.glob("chunk-*")
    path.write_bytes(path.read_bytes()[:kept])
    cache = opened(tmp_path)
    assert len(cache) == 0
    assert "damaged" in cache.problems[0]
    assert str(path) in cache.problems[0]


def test_a_chunk_of_another_width_is_not_served(tmp_path: Path) -> None:
    fill(tmp_path, range(4))
    assert len(FeatureCache(tmp_path, KEY, num_features=2)) == 0


def test_several_processes_write_and_read_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    jobs = [
        context.Process(target=fill, args=(tmp_path, range(start, start + 60)), kwargs={"rows_per_chunk": 7})
        for start in (0, 30, 60)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
        assert job.exitcode == 0
    cache = opened(tmp_path)
    assert len(cache) == 120
    assert all(np.array_equal(cache.get(digest(i)), row(i)) for i in range(120))
    assert not cache.problems
    assert not list(cache.folder.glob(".*"))


def test_a_chunk_that_another_process_takes_away_is_no_error(tmp_path: Path) -> None:
    fill(tmp_path, range(4))
    reader = opened(tmp_path)
    for path in reader.folder.glob("chunk-*"):
        path.unlink()
    assert np.array_equal(reader.get(digest(1)), row(1))
    assert len(opened(tmp_path)) == 0


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "No space left"), (errno.EROFS, "Read-only"), (errno.EACCES, "denied")],
)
def test_a_full_or_read_only_disk_names_the_variable_and_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    cache = opened(tmp_path)
    cache.flush()
    cache.put(digest(1), row(1))

    def refuse(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[:10])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(InputError, match="LABELBEAM_CACHE") as error:
        cache.flush()
    assert words in str(error.value)
    assert sorted(path.name for path in cache.folder.iterdir()) == ["key.json"]
    assert np.array_equal(cache.get(digest(1)), row(1))
    monkeypatch.undo()
    cache.flush()
    assert len(opened(tmp_path)) == 1


def test_a_root_that_is_a_file_is_refused_on_writing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = opened(tmp_path / "file")
    cache.put(digest(1), row(1))
    with pytest.raises(InputError, match="LABELBEAM_CACHE"):
        cache.flush()


def test_the_first_error_is_the_one_that_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = opened(tmp_path / "file")
    cache.put(digest(1), row(1))
    with pytest.raises(KeyError), cache:
        raise KeyError("first")


@pytest.mark.parametrize("value", [65520.0, -1e9, float("inf"), float("nan")])
def test_a_feature_that_half_precision_cannot_hold_is_an_error_not_a_saturated_number(value: float) -> None:
    with pytest.raises(InputError, match="half precision holds up to 65504"):
        to_half(np.array([[1.0, value]], dtype=np.float32))


def test_the_largest_half_is_kept() -> None:
    assert to_half(np.array([[65504.0]], dtype=np.float32)).tolist() == [[65504.0]]


def test_a_chunk_is_mapped_to_be_read_not_to_be_changed(tmp_path: Path) -> None:
    fill(tmp_path, range(3))
    [path] = opened(tmp_path).folder.glob("chunk-*")
    assert not Chunk(path, num_features=3).features.flags.writeable
