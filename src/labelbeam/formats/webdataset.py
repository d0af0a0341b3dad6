"""WebDataset shards: tar files of samples, `key.jpg` beside its labels, read and written byte for byte alike.

Image keys name members of the shards (`train-000000.tar/0007.jpg`), which `data.image_bytes` reads; here only headers
and label members are looked at.
"""

import io
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from glob import glob
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.image_bytes import image_bytes
from labelbeam.data.listing import SUFFIXES
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import new_folder
from labelbeam.formats.label_members import LabelSource, choose_source, read_samples
from labelbeam.formats.labelled_images import labelled_dataset
from labelbeam.formats.placing import check_way, refuse_unwritable, require_own_image
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

CLASS_NAMES = "classnames.txt"
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_SHARDS = 1_000_000


def find_shards(path: Path, split: str, spec: str) -> tuple[Path, list[Path]]:
    """Return the folder that image keys are relative to, and the shards in order.

    Raises:
        InputError: nothing fits; a shard of a numbered pattern is missing; an unknown split.
    """
    if path.is_dir():
        return path, _in_folder(path, split, spec)
    if split not in {"", "all"}:
        raise InputError(
            f"{spec}: {path} names the shards themselves. Leave #{split} away, or give their folder."
        )
    if path.is_file():
        return path.parent, [path]
    shards = list(dict.fromkeys(shard for name in expand_braces(str(path)) for shard in _matches(name)))
    if missing := [shard for shard in shards if not shard.is_file()]:
        shown = ", ".join(str(shard) for shard in missing[:5])
        raise InputError(
            f"{spec}: {len(missing)} of {len(shards)} shards are missing: {shown}. Check the pattern."
        )
    if not shards:
        raise InputError(
            f"{spec}: no file matches {str(path)!r} (looked from {Path.cwd()}). Check the pattern."
        )
    root = shards[0].parent
    while not all(shard.is_relative_to(root) for shard in shards):
        root = root.parent
    return root, shards


def expand_braces(text: str) -> Iterator[str]:
    """Yield what a pattern with ranges stands for, as a shell and WebDataset write them.

    Raises:
        InputError: more than a million names, or a range that runs backwards.

    Example:
        >>> list(expand_braces("a-{08..10}.tar"))
        ['a-08.tar', 'a-09.tar', 'a-10.tar']
    """
    ranges = [(int(low), int(high), len(low)) for low, high in _RANGE.findall(text)]
    count = 1
    for low, high, _ in ranges:
        count *= max(0, high - low + 1)
    if not 0 < count <= _MOST_SHARDS:
        raise InputError(
            f"the pattern {text!r} stands for {count:,} shards. Write {{000000..000009}}, low to high."
        )
    between = _RANGE.split(text)[::3]
    for numbers in product(
        *([f"{n:0{width}d}" for n in range(low, high + 1)] for low, high, width in ranges)
    ):
        yield between[0] + "".join(number + rest for number, rest in zip(numbers, between[1:], strict=True))


def class_names(root: Path, shards: Sequence[Path]) -> list[str] | None:
    """Return the lines of `classnames.txt` beside the shards, in their folder or the one above; None without.

    Raises:
        InputError: the file is not UTF-8 or has an empty line inside.
    """
    for folder in dict.fromkeys((shards[0].parent, root, shards[0].parent.parent)):
        file = folder / CLASS_NAMES
        if file.is_file():
            try:
                names = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n").split("\n")
            except UnicodeDecodeError as error:
                raise InputError(f"{file} is not UTF-8 ({error.reason}, byte {error.start}).") from None
            if "" in map(str.strip, names):
                number = [name.strip() for name in names].index("") + 1
                raise InputError(f"{file}, line {number} is empty. Line n names the label with id n - 1.")
            return names
    return None


def shard_notes(shards: Sequence[Path], without_image: int) -> list[str]:
    """Return notes about shards that are not there and samples without an image."""
    notes = []
    for folder in dict.fromkeys(shard.parent for shard in shards):
        stated = folder / "nshards.txt"
        here = sum(shard.parent == folder for shard in shards)
        text = stated.read_bytes()[:20].strip() if stated.is_file() else b""
        if text.isdigit() and int(text) != here:
            notes.append(f"{stated} says {int(text)} shards, {here} were read.")
    if without_image:
        notes.append(f"{without_image:,} samples have no image and were left out.")
    return notes


def _in_folder(folder: Path, split: str, spec: str) -> list[Path]:
    """Return the shards of a folder that belong to the split."""
    everything = _numbered([*folder.glob("*.tar"), *folder.glob("*/*.tar")])
    if not everything:
        raise InputError(
            f"{spec}: no *.tar in {folder} nor in a folder in it. Give the folder of the shards."
        )
    if split in {"", "all"}:
        return everything
    if (folder / split).is_dir() and (inside := _numbered((folder / split).glob("*.tar"))):
        return inside
    fits = [shard for shard in everything if shard.parent == folder and shard.name.startswith(f"{split}-")]
    if not fits:
        splits = {
            shard.parent.name if shard.parent != folder else shard.name.rpartition("-")[0] or shard.stem
            for shard in everything
        }
        raise InputError(f"{spec}: {unknown_name('split', split, splits)}")
    return fits


def _numbered(shards: Iterable[Path]) -> list[Path]:
    """Return shards sorted by name, numbers by value: CLIP-benchmark's `10.tar` comes after `9.tar`."""
    return sorted(
        shards, key=lambda shard: [(text, int(n or -1)) for text, n in re.findall(r"(\D*)(\d*)", str(shard))]
    )


def _matches(name: str) -> list[Path]:
    if Path(name).is_file() or not re.search(r"[*?\[]", name):
        return [Path(name)]
    return _numbered(map(Path, glob(name, recursive=True)))  # noqa: PTH207  (absolute patterns too)


def read_webdataset(path: Path, split: str, *, options: ReadOptions = DEFAULTS) -> Dataset:
    """Read shards.

    `path` is a shard, a pattern of shards (`train-{000000..000009}.tar`, `train-*.tar`), or the folder of them,
    in which a split is a subfolder, or the shards whose name starts with it and a hyphen. `tags_column` says which
    member or JSON field holds the labels (`cls`, `txt`, `npy`, `json` or a field's name) where several do; the field
    `unknown` of a JSON member is what is unknown. Image keys are `SHARD/MEMBER`; labels are in the order of
    `classnames.txt`, otherwise sorted.

    Raises:
        InputError: no shard; one that is compressed, damaged or cut short; samples with two images; no member
            that holds labels, or several; ids without `classnames.txt`; text whose delimiter is ambiguous.

    Source:
        webdataset's format description (the first dot of a file's name ends the key); CLIP-benchmark's
        `classnames.txt`, `nshards.txt` and multi-hot `npy` members.
    """
    spec = f"webdataset:{path}" + (f"#{split}" if split else "")
    root, shards = find_shards(path, split, spec)
    classes = class_names(root, shards)
    source: LabelSource | None = None
    keys: list[str] = []
    values: list[object] = []
    lost = 0
    for shard in shards:  # one at a time: a shard's samples are let go before the next
        samples = read_samples(shard, spec)
        source = source or choose_source(samples, shard, wanted=options.tags_column, spec=spec)
        start = shard.relative_to(root).as_posix()
        with shard.open("rb") as file:
            for sample in samples:
                if sample.image is None:
                    lost += 1
                else:
                    keys.append(f"{start}/{sample.image}")
                    values.append(source.value(sample, file))
    if source is None or not keys:
        raise InputError(f"{spec}: no sample with an image in {len(shards)} shards. Give other shards.")
    labelled, style = source.labels(values, classes, delimiter=options.delimiter, spec=spec, keys=keys)
    bare = sum(value is None for value in values)
    silent = f"{bare:,} samples have no labels in {source}; they were read as images without a label."
    return labelled_dataset(
        list(zip(keys, labelled, strict=True)),
        spec=spec,
        root=root,
        names=classes,
        unsaid=ABSENT,
        layout=f"labels in {source}{style}",
        options=replace(options, missing="keep"),  # every image was just seen in its shard
        notes=[*shard_notes(shards, lost), *([silent] if bare else [])],
    )


MOST_IMAGES = 1000
"""Images in a shard, at most."""

MOST_BYTES = 100_000_000
"""Bytes of a shard after which the next one begins."""


def write_webdataset(dataset: Dataset, path: Path, *, split: str, images: str) -> tuple[str, ...]:
    """Write a folder of shards, `SPLIT-000000.tar` and so on, and `classnames.txt`.

    Each sample is `0000000.jpg`, numbered through the data set, and `0000000.json` with `labels`, `unknown` where
    there are any, and `image`, the key it had. Nothing of the data set is lost but its folders.

    `path` may hold shards of another split, with the same `classnames.txt`. `link` and `copy` are the same here: an
    archive holds copies.
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
            content = _image(dataset.path(i), spec, dataset.root)
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


def _image(path: Path, spec: str, within: Path) -> bytes:
    try:
        require_own_image(path, within)
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
    content: dict[str, object] = {"image": dataset.images[i]}
    content["labels"] = dataset.vocabulary.names_of(np.flatnonzero(row == PRESENT).tolist())
    if (row == UNKNOWN).any():
        content["unknown"] = dataset.vocabulary.names_of(np.flatnonzero(row == UNKNOWN).tolist())
    try:
        return json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{spec}: the file name {dataset.images[i]!r} is not UTF-8 text. Rename it."
        ) from None
