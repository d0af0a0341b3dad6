"""Whether something is at a path that somebody typed or a file names: where no file can be, there is none.

`Path.exists` and its like raise an error for a name that is longer than the disk allows, and others for a folder
that may not be looked into. Under everything in `data` that looks paths up. Opens nothing.
"""

from pathlib import Path


def exists(path: Path) -> bool:
    """Return whether a file or folder is there.

    Example:
        >>> exists(Path(300 * "x")), exists(Path())
        (False, True)
    """
    try:
        return path.exists()
    except (OSError, ValueError):  # the second: a NUL in the name
        return False


def is_file(path: Path) -> bool:
    """Return whether a file is there."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Return whether a folder is there."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
