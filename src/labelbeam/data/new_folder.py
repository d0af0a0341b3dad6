"""Folders appear whole or not at all: filled under another name beside the place, then renamed."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelbeam.errors import InputError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to fill; when the block ends it becomes `path`, and when it fails nothing is left.

    Args:
        path: the folder to appear; an empty folder may be there, its parents are made.

    Yields:
        An empty folder beside `path`, hidden, that no other process uses.

    Raises:
        InputError: something is at `path` already, or its parent cannot be made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     with new_folder(Path(parent) / "tags") as part:
        ...         _ = (part / "a.txt").write_text("sheep")
        ...     [file.name for file in (Path(parent) / "tags").iterdir()]
        ['a.txt']
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(
            f"{path} is there already; nothing is overwritten. Give another place, or remove it."
        )
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"the folder {path} cannot be made ({error.strerror}). Give another place."
        ) from error
    try:
        yield part
        part.replace(path)  # an empty folder is replaced too
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
