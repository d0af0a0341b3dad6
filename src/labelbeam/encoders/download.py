"""Fetches a published weights file once: resumed where it was interrupted, checked, never half there.

Knows nothing of what is in the file. The caller passes the digits of its sha256 that the publisher states.
"""

import hashlib
from pathlib import Path

from labelbeam.data.fetching import NotFetchedError, Patience, fetch
from labelbeam.errors import InputError


def download(url: str, folder: Path, *, sha256_prefix: str, timeout: float = 15.0) -> Path:
    """Return the local copy of a published file, fetched if it is not there yet.

    Args:
        url: where it is.
        folder: where it goes; made if missing. What was fetched before an interruption is kept in
            `NAME.part` and continued.
        sha256_prefix: hexadecimal digits its sha256 must begin with.
        timeout: seconds without an answer before the network counts as missing.

    Returns:
        `folder`/NAME, whose content has been checked.

    Raises:
        InputError: no network, a refusing server, other content than published, or a folder that cannot
            be written.
    """
    name = url.rsplit("/", 1)[-1]
    whole, part = folder / name, folder / f"{name}.part"
    if whole.is_file():
        return whole
    instead = f"Fetch {url} by other means and give it with --weights FILE."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(url, part, checked=True, patience=Patience(timeout=timeout))
    except NotFetchedError as error:
        raise InputError(f"{error}{'' if str(error).endswith('.') else '.'} {instead}") from error
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}). Set LABELBEAM_CACHE to a folder with "
            f"space. {instead}"
        ) from error
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256_prefix):
        part.unlink()
        raise InputError(
            f"{url} gave other content than published: its sha256 begins with {found[:8]}, not "
            f"{sha256_prefix}. Try again. {instead}"
        )
    part.replace(whole)
    return whole
