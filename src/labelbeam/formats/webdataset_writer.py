"""A data set to WebDataset shards: the same files, byte by byte, from the same data set.

Counterpart of `formats.webdataset`. Images go in as they are, one at a time. Knows nothing of pixels.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from labelbeam.data.dataset import Dataset
from labelbeam.data.image_bytes import image_bytes
from labelbeam.data.listing import SUFFIXES
from labelbeam.data.new_folder import new_folder
from labelbeam.errors import InputError
from labelbeam.formats.parts.placing import check_way
from labelbeam.formats.parts.writable import refuse_unwritable
from labelbeam.formats.shards.shard_files import CLASS_NAMES
from labelbeam.labels.targets import PRESENT, UNKNOWN

MOST_IMAGES = 1000
"""Images in a shard, at most."""

MOST_BYTES = 100_000_000
"""Bytes of a shard after which the next one begins."""


def write_webdataset(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a folder of shards, `SPLIT-000000.tar` and so on, and `classnames.txt`.

    Each sample is `0000000.jpg`, numbered through the data set, and `0000000.json` with `labels`, `unknown` where
    there are any, and `image`, the key it had. Nothing of the data set is lost but its folders.

    Args:
        dataset: what to write.
        path: the folder to appear; shards of another split may be in it, with the same `classnames.txt`.
        split: what shards are called, such as `train`; empty: `shard`.
        images: `link` or `copy`: the same here, an archive holds copies.

    Returns:
        Nothing: the format holds it all.

    Raises:
        InputError: `keep`; something is there already; a label or file name that is not text, or a label that
            would not fit in a line; an image that is missing, or whose suffix is none of an image.
    """
    spec = f"webdataset:{path}" + (f"#{split}" if split else "")
    check_way(images, keep=False, spec=spec)
    refuse_unwritable([*dataset.vocabulary, *([split] if split else [])], spec)
    if "/" in split or split.startswith("."):
        raise InputError(
            f"{spec}: shards cannot be called {split!r}. Choose a split without slashes and dots."
        )
    names = "".join(f"{name}\n" for name in dataset.vocabulary).encode()
    with _folder(path, split or "shard", names, spec) as folder:
        _write_shards(dataset, folder, split or "shard", spec)
    return ()


@contextmanager
def _folder(path: Path, prefix: str, names: bytes, spec: str) -> Iterator[Path]:
    """Yield a folder to fill that becomes `path`, or whose shards join those of other splits in `path`."""
    if not (path / CLASS_NAMES).is_file():
        with new_folder(path) as folder:
            (folder / CLASS_NAMES).write_bytes(names)
            yield folder
        return
    if there := sorted(path.glob(f"{prefix}-*.tar")):
        raise InputError(
            f"{spec}: {there[0]} is there already; nothing is overwritten. Give another split or folder."
        )
    if (path / CLASS_NAMES).read_bytes() != names:
        raise InputError(
            f"{spec}: {path / CLASS_NAMES} lists other labels than this data set, so ids would differ. Give "
            "another folder."
        )
    with new_folder(path / f".{prefix}.new") as folder:
        yield folder
        for shard in sorted(folder.iterdir()):
            shard.replace(path / shard.name)
    (path / f".{prefix}.new").rmdir()


def _write_shards(dataset: Dataset, folder: Path, prefix: str, spec: str) -> None:
    number = count = size = 0
    with ExitStack() as current:
        for i, key in enumerate(dataset.images):
            content = _image(dataset.path(i), spec)
            if number == 0 or count == MOST_IMAGES or size + len(content) > MOST_BYTES:
                current.close()
                place = folder / f"{prefix}-{number:06d}.tar"
                shard = current.enter_context(tarfile.open(place, "w", format=tarfile.PAX_FORMAT))
                number, count, size = number + 1, 0, 0
            _add(shard, f"{i:07d}{_suffix(key, spec)}", content)
            _add(shard, f"{i:07d}.json", _labels(dataset, i, spec))
            count, size = count + 1, size + len(content)


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    # A fresh TarInfo has time 0, no owner and mode 0644: the same bytes whoever writes and whenever.
    info = tarfile.TarInfo(name)
    info.size = len(content)
    shard.addfile(info, io.BytesIO(content))


def _image(path: Path, spec: str) -> bytes:
    try:
        return image_bytes(path)
    except OSError as error:
        raise InputError(
            f"{spec}: the image {path} cannot be read ({error.strerror or error}). Read with --missing skip to "
            "leave out what is missing."
        ) from None


def _suffix(key: str, spec: str) -> str:
    suffix = PurePosixPath(key).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{spec}: {key!r} has no suffix of an image, by which WebDataset finds decoders. Rename it."
        )
    return suffix


def _labels(dataset: Dataset, i: int, spec: str) -> bytes:
    row = dataset.targets[i]
    said: dict[str, object] = {"image": dataset.images[i]}
    said["labels"] = dataset.vocabulary.names_of(np.flatnonzero(row == PRESENT).tolist())
    if (row == UNKNOWN).any():
        said["unknown"] = dataset.vocabulary.names_of(np.flatnonzero(row == UNKNOWN).tolist())
    try:
        return json.dumps(said, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{spec}: the file name {dataset.images[i]!r} is not UTF-8 text. Rename it."
        ) from None
