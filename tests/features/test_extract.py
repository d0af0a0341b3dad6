import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from labelbeam.data.images import UnreadableImage
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError
from labelbeam.features import extract as batch_worker
from labelbeam.features.extract import extract, stream_features


def pictures(folder: Path, count: int, *, first: int = 0) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for i in range(first, first + count):
        values = np.random.default_rng(i).integers(0, 256, (12, 12, 3), dtype=np.uint8)
        paths.append(folder / f"{i:04}.png")
        Image.fromarray(values).resize((40 + i % 5, 30)).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def encoder() -> ImageEncoder:
    return build_encoder(EncoderConfig("tiny", width=16, size=32))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each pass through the network had."""
    sizes: list[int] = []
    original = batch_worker.BatchWorker._encode

    def counting(self: batch_worker.BatchWorker, images: list) -> object:
        sizes.append(len(images))
        return original(self, images)

    monkeypatch.setattr(batch_worker.BatchWorker, "_encode", counting)
    return sizes


def test_features_are_the_encoders_own_of_each_picture(tmp_path: Path, encoder: ImageEncoder) -> None:
    """Twin: one picture at a time, no threads, no cache."""
    paths = pictures(tmp_path, 7)
    features = extract(paths, encoder, batch_size=3, workers=2)
    with torch.inference_mode():
        twin = [
            encoder.module(encoder.preprocess(np.array(Image.open(p).convert("RGB")))[None])[0] for p in paths
        ]
    assert features.values.dtype == np.float16
    assert np.allclose(features.values, torch.stack(twin).numpy(), rtol=2e-3, atol=1e-4)
    assert features.readable.all()


def test_any_batch_size_and_number_of_workers_gives_the_same_rows(
    tmp_path: Path, encoder: ImageEncoder
) -> None:
    paths = pictures(tmp_path, 11)
    reference = extract(paths, encoder, batch_size=1, workers=1).values.astype(float)
    for batch_size, workers in ((4, 1), (3, 3), (64, 2)):
        got = extract(paths, encoder, batch_size=batch_size, workers=workers).values
        assert np.allclose(got, reference, rtol=2e-3, atol=1e-4)


def test_a_second_extraction_is_served_from_the_cache_to_the_bit(
    tmp_path: Path, encoder: ImageEncoder, counted: list[int]
) -> None:
    paths = pictures(tmp_path / "p", 9)
    first = extract(paths, encoder, cache=tmp_path / "c")
    assert sum(counted) == 9
    again = extract(paths[::-1], encoder, cache=tmp_path / "c")
    assert sum(counted) == 9
    assert np.array_equal(again.values[::-1], first.values)


@pytest.mark.parametrize("cached", [True, False])
def test_copies_of_a_picture_are_computed_once(
    tmp_path: Path, encoder: ImageEncoder, counted: list[int], cached: bool
) -> None:
    paths = pictures(tmp_path / "p", 3)
    copies = [tmp_path / "p" / f"copy{i}.png" for i in range(3)]
    for path, copy in zip(paths, copies, strict=True):
        copy.write_bytes(path.read_bytes())
    order = (paths + copies[::-1]) * 4
    cache = tmp_path / "c" if cached else None
    values = extract(order, encoder, cache=cache, batch_size=2, workers=3).values
    assert sum(counted) == 3
    assert np.array_equal(values[:3], values[3:6][::-1])


def test_a_changed_picture_is_never_served_from_a_stale_entry(tmp_path: Path, encoder: ImageEncoder) -> None:
    [path] = pictures(tmp_path / "p", 1)
    status = path.stat()
    before = extract([path], encoder, cache=tmp_path / "c").values
    [other] = pictures(tmp_path / "q", 1, first=5)
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the date alone must not be trusted
    after = extract([path], encoder, cache=tmp_path / "c").values
    assert not np.array_equal(before, after)
    assert np.array_equal(after, extract([other], encoder).values)


def test_changed_weights_or_settings_are_never_served_from_a_stale_entry(
    tmp_path: Path, counted: list[int]
) -> None:
    paths = pictures(tmp_path / "p", 2)
    configs = [
        EncoderConfig("tiny", width=16, size=32),
        EncoderConfig("tiny", width=16, size=32, seed=1),
        EncoderConfig("tiny", width=16, size=48),
        EncoderConfig("tiny", width=16, size=32, horizontal_flip=True),
        EncoderConfig("tiny", width=16, size=32, mean=(0.4, 0.5, 0.5)),
        EncoderConfig("tiny", width=32, pooling="max", size=32),
    ]
    for n, config in enumerate(configs, start=1):
        fresh = extract(paths, build_encoder(config))
        assert np.array_equal(
            extract(paths, build_encoder(config), cache=tmp_path / "c").values, fresh.values
        )
        assert len(list((tmp_path / "c").iterdir())) == n
    trained = build_encoder(configs[0])
    with torch.no_grad():
        next(trained.module.parameters()).mul_(1.5)
    done = sum(counted)
    extract(paths, trained, cache=tmp_path / "c")
    assert sum(counted) == done + 2


def test_an_unreadable_file_is_reported_and_the_rest_goes_on(tmp_path: Path, encoder: ImageEncoder) -> None:
    paths = pictures(tmp_path, 5)
    paths[1].write_bytes(b"not an image")
    paths[3] = tmp_path / "absent.png"
    (tmp_path / "copy.png").write_bytes(b"not an image")
    paths.append(tmp_path / "copy.png")
    features = extract(paths, encoder, on_error="keep")
    assert sorted(features.errors) == [1, 3, 5]
    assert features.readable.tolist() == [True, False, True, False, True, False]
    assert np.isnan(features.values[1]).all()
    assert "no such file" in str(features.errors[3])
    assert "copy.png" in str(features.errors[5])
    with pytest.raises(UnreadableImage, match=r"0001\.png"):
        extract(paths, encoder)


def test_a_file_that_changes_while_it_is_read_is_filed_under_the_content_that_was_decoded(
    tmp_path: Path, encoder: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    [path, other] = pictures(tmp_path / "p", 2)
    (tmp_path / "q").mkdir()
    (before := tmp_path / "q" / "before.png").write_bytes(path.read_bytes())
    original = batch_worker.image_content
    reads = []

    def meddling(file: Path) -> bytes:
        content = original(file)
        reads.append(file)
        path.write_bytes(other.read_bytes())
        return content

    monkeypatch.setattr(batch_worker, "image_content", meddling)
    first = extract([path], encoder, cache=tmp_path / "c").values
    assert reads == [path]  # once, for its digest and its pixels
    assert np.array_equal(first, extract([before], encoder).values)
    assert np.array_equal(
        extract([path], encoder, cache=tmp_path / "c").values, extract([other], encoder).values
    )


def test_the_encoder_is_left_as_it_was_and_used_as_in_evaluation(tmp_path: Path) -> None:
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    paths = pictures(tmp_path, 4)
    expected = extract(paths, encoder).values
    encoder.module.train()
    identity, threads = encoder.identity, torch.get_num_threads()
    assert np.array_equal(extract(paths, encoder).values, expected)
    assert encoder.module.training
    assert encoder.identity == identity
    assert torch.get_num_threads() == threads


def test_progress_counts_every_file_in_order(tmp_path: Path, encoder: ImageEncoder) -> None:
    seen: list[tuple[int, int]] = []
    extract(pictures(tmp_path, 5), encoder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 5) for i in range(1, 6)]


def test_streaming_keeps_the_order_and_takes_paths_only_as_they_are_needed(
    tmp_path: Path, encoder: ImageEncoder
) -> None:
    paths = pictures(tmp_path, 6)
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield paths[taken % 6]

    stream = stream_features(endless(), encoder, batch_size=4, workers=2)
    got = [next(stream).path for _ in range(40)]
    stream.close()
    assert got == [paths[i % 6] for i in range(1, 41)]
    assert taken <= 40 + 4 * 2 * 2 + 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]


def test_memory_does_not_grow_with_the_number_of_files(tmp_path: Path, encoder: ImageEncoder) -> None:
    paths = pictures(tmp_path, 8)

    def peak(count: int) -> int:
        tracemalloc.start()
        for _ in stream_features((paths[i % 8] for i in range(count)), encoder, batch_size=8, workers=2):
            pass
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(64)
    # How far decoding runs ahead depends on what else the machine does; 1,920 pictures that stay are 6 MB.
    assert peak(1920) < 1.5 * peak(160) + 1_500_000


def test_bfloat16_is_close_and_cached_apart(tmp_path: Path, encoder: ImageEncoder) -> None:
    paths = pictures(tmp_path / "p", 2)
    exact = extract(paths, encoder, cache=tmp_path / "c").values
    rough = extract(paths, replace(encoder, precision="bfloat16"), cache=tmp_path / "c").values
    assert not np.array_equal(exact, rough)
    assert np.allclose(exact, rough, rtol=0.05, atol=0.05)


def test_bad_options_are_refused(tmp_path: Path, encoder: ImageEncoder) -> None:
    with pytest.raises(InputError, match=r"on_error is 'skip'.*'keep'"):
        extract([], encoder, on_error="skip")
    with pytest.raises(InputError, match="at least 1, given 1 and 0"):
        extract(pictures(tmp_path, 1), encoder, batch_size=4, workers=0)


@pytest.mark.parametrize("device", ["cudda", "cuda:99", "meta"])
def test_a_device_that_cannot_be_used_is_refused(encoder: ImageEncoder, device: str) -> None:
    with pytest.raises(InputError, match=f"device '{device}' cannot be used") as error:
        extract([], encoder, device=device)
    assert "cpu" in str(error.value)


def test_a_cache_that_cannot_be_written_stops_the_extraction_and_names_the_variable(
    tmp_path: Path, encoder: ImageEncoder
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="LABELBEAM_CACHE"):
        extract(pictures(tmp_path / "p", 3), encoder, cache=tmp_path / "file")


def test_a_feature_too_large_for_half_precision_stops_the_extraction(tmp_path: Path) -> None:
    encoder = build_encoder(EncoderConfig("tiny", width=16, size=32))
    with torch.no_grad():
        list(encoder.module.parameters())[-1].fill_(1e6)
    with pytest.raises(InputError, match="half precision"):
        extract(pictures(tmp_path, 9), encoder, batch_size=2, workers=3)


KILLED = """
import sys, time
from pathlib import Path
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.features import cache, extract
original = extract.BatchWorker._encode
def slow(self, images):
    time.sleep(0.05)
    return original(self, images)
extract.BatchWorker._encode = slow
cache.FeatureCache.__init__.__kwdefaults__["rows_per_chunk"] = 8
paths = sorted(Path(sys.argv[1]).glob("*.png"))
extract.extract(paths, build_encoder(EncoderConfig("tiny", width=16, size=32)), cache=Path(sys.argv[2]),
    batch_size=2, progress=lambda done, total: print(done, flush=True))
"""


def test_a_killed_extraction_loses_at_most_one_chunk_and_resumes(
    tmp_path: Path, encoder: ImageEncoder, counted: list[int]
) -> None:
    paths = pictures(tmp_path / "p", 60)
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "p"), str(tmp_path / "c")]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    done = 0
    deadline = time.monotonic() + 240
    while done < 25 and time.monotonic() < deadline:
        done = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().split()
    process.wait()
    process.stdout.close()
    done = max([done, *map(int, rest)])
    assert 25 <= done < 60
    values = extract(paths, encoder, cache=tmp_path / "c").values
    assert sum(counted) <= 60 - (done - 8)
    assert np.array_equal(values, extract(paths, encoder, cache=tmp_path / "c").values)
    assert np.allclose(values, extract(paths, encoder).values, rtol=2e-3, atol=1e-4)


def test_real_photographs_go_through_the_real_encoder(labelbeam_data: Path, tmp_path: Path) -> None:
    weights = labelbeam_data / "weights/mobilenetv2_100.tf_in1k.safetensors"
    encoder = build_encoder(EncoderConfig("", weights, size=96))
    paths = sorted((labelbeam_data / "VOCdevkit/VOC2007/JPEGImages").glob("*.jpg"))[:6]
    features = extract(paths, encoder, cache=tmp_path)
    assert features.values.shape == (6, 1280)
    assert np.array_equal(features.values, extract(paths, encoder, cache=tmp_path).values)
