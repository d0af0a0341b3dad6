"""Fetches a published weights file once: resumed where it was interrupted, checked, never half there.

Knows nothing of what is in the file. The caller passes the digits of its sha256 that the publisher states.
"""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from labelbeam.errors import InputError

_BLOCK = 1 << 20


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
        _fetch(url, part, timeout=timeout)
    except urllib.error.HTTPError as error:
        raise InputError(
            f"{url} could not be fetched: the server answered {error.code}. {instead}"
        ) from error
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        raise InputError(
            f"{url} could not be fetched: no network, or it broke off ({error}). {instead}"
        ) from error
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


def _fetch(url: str, part: Path, *, timeout: float) -> None:
    """Append to `part` what is still missing, or start again where the server cannot continue."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if (
            error.code == 416
        ):  # nothing is left to fetch: the part is whole (or wrong, which its sha256 tells)
            return
        raise
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        wanted = int(response.headers.get("Content-Length") or 0)
        written = 0
        while block := response.read(_BLOCK):
            written += file.write(block)
        if written < wanted:
            raise ConnectionError(f"{wanted - written} bytes are missing; run again to continue")
