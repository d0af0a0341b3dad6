"""Which files the shards of a data set are, and what lies beside them.

Under the reader of WebDataset shards. Opens no shard.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from glob import glob
from itertools import product
from pathlib import Path

from labelbeam.errors import InputError, unknown_name

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
        splits = {shard.parent.name if shard.parent != folder else _prefix(shard) for shard in everything}
        raise InputError(f"{spec}: {unknown_name('split', split, splits)}")
    return fits


def _numbered(shards: Iterable[Path]) -> list[Path]:
    """Return shards sorted by name, numbers by value: CLIP-benchmark's `10.tar` comes after `9.tar`."""
    return sorted(
        shards, key=lambda shard: [(text, int(n or -1)) for text, n in re.findall(r"(\D*)(\d*)", str(shard))]
    )


def _prefix(shard: Path) -> str:
    return shard.name.rpartition("-")[0] or shard.stem


def _matches(name: str) -> list[Path]:
    if Path(name).is_file() or not re.search(r"[*?\[]", name):
        return [Path(name)]
    return _numbered(map(Path, glob(name, recursive=True)))  # noqa: PTH207  (absolute patterns too)
