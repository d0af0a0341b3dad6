"""Folders of a split each: which there are, and a new one beside them.

Used by the formats whose splits are folders. Knows nothing of labels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelbeam.data.new_folder import new_folder
from labelbeam.errors import InputError, unknown_name


def folders_in(folder: Path) -> dict[str, Path]:
    """Return the folders in a folder by their names, sorted, without hidden ones and macOS's copies.

    Raises:
        InputError: the folder cannot be listed.
    """
    try:
        found = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({error.strerror}). Give a folder.") from None
    return {
        entry.name: entry for entry in found if not entry.name.startswith(".") and entry.name != "__MACOSX"
    }


def split_folder(path: Path, split: str, spec: str) -> Path:
    """Return the folder of a split.

    Raises:
        InputError: no folder of that name; those that there are are named.
    """
    folders = folders_in(path)
    if split not in folders:
        raise InputError(f"{spec}: {unknown_name('split', split, folders)} A split is a folder in {path}.")
    return folders[split]


@contextmanager
def new_split_folder(path: Path, split: str, spec: str) -> Iterator[Path]:
    """Yield a folder to fill that becomes `path`, or the folder of a split in `path`, which may be there.

    Raises:
        InputError: something is there already, or the split cannot be a folder's name.
    """
    if split and (split.startswith(".") or "/" in split or "\\" in split or split in {"all", "__MACOSX"}):
        raise InputError(
            f"{spec}: {split!r} cannot be the name of a split's folder. Choose another, such as train."
        )
    with new_folder(path / split if split else path) as folder:
        yield folder
