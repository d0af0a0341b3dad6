"""Features of images inside shards: those of the plain files, in memory that does not grow with the shards."""

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.features.extract import extract


def photographs(folder: Path, count: int, *, side: int = 48) -> list[Path]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = [folder / f"{i:04d}.png" for i in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)
    return paths


def shards(paths: list[Path], folder: Path, *, each: int) -> list[Path]:
    found = []
    for number, start in enumerate(range(0, len(paths), each)):
        archive = folder / f"{number:06d}.tar"
        with tarfile.open(archive, "w") as tar:
            for path in paths[start : start + each]:
                tar.add(path, arcname=path.name)
                found.append(archive / path.name)
    return found


def test_features_from_shards_are_those_of_the_plain_files(tmp_path):
    plain = photographs(tmp_path / "photos", 20)
    inside = shards(plain, tmp_path, each=7)
    encoder = build_encoder(EncoderConfig("tiny"))
    np.testing.assert_array_equal(extract(inside, encoder).values, extract(plain, encoder).values)


def test_the_cache_knows_a_picture_in_a_shard_and_in_a_folder_as_one(tmp_path):
    plain = photographs(tmp_path / "photos", 3)
    inside = shards(plain, tmp_path, each=2)
    encoder = build_encoder(EncoderConfig("tiny"))
    first = extract(plain, encoder, cache=tmp_path / "cache").values
    size = sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*") if file.is_file())
    np.testing.assert_array_equal(extract(inside, encoder, cache=tmp_path / "cache").values, first)
    assert size == sum(file.stat().st_size for file in (tmp_path / "cache").rglob("*") if file.is_file())


def test_a_picture_that_a_shard_lacks_is_an_error_of_its_own(tmp_path):
    inside = shards(photographs(tmp_path / "photos", 2), tmp_path, each=2)
    found = extract(
        [inside[0], tmp_path / "000000.tar/lost.png"], build_encoder(EncoderConfig("tiny")), on_error="keep"
    )
    assert list(found.errors) == [1]
    assert "no such file" in str(found.errors[1])


MEASURE = """
import resource, sys
from pathlib import Path
from labelbeam.data.image_bytes import image_bytes
archive = Path(sys.argv[1])
image_bytes(archive / "0000.bin")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = sum(len(image_bytes(archive / f"{i:04d}.bin")) for i in range(200))
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_memory_stays_flat_while_a_large_shard_is_read(tmp_path):
    big = tmp_path / "big.tar"
    content = tmp_path / "content.bin"
    content.write_bytes(bytes(1_000_000))
    with tarfile.open(big, "w") as tar:
        for i in range(200):
            tar.add(content, arcname=f"{i:04d}.bin")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(big)], capture_output=True, text=True, check=True
    )
    total, grown = map(int, done.stdout.split())
    assert total == 200_000_000
    assert grown < 10_000, f"{grown} KiB more for 200 MB"
