"""Fetches one file over HTTP: resumed where it was interrupted, never taken for whole while it is not.

Used for data sets (`data.download`) and for encoders' weights (`encoders.catalogue`). Knows nothing of what is in a
file: the caller checks the content.
"""

import contextlib
import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from labelbeam.errors import InputError

BLOCK = 1 << 20
"""Bytes read at a time."""

AGAIN = frozenset({408, 429, 500, 502, 503, 504})
"""Answers of a server that may be another one in a moment."""

LONGEST_PAUSE = 30.0


class NotFetchedError(InputError):
    """A file could not be fetched; the message says why, the caller adds what to do instead."""


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        tries: attempts that bring nothing new; one that brought bytes starts the count again.
        pause: seconds before the second try, doubled before each further one, at most `LONGEST_PAUSE`.
        timeout: seconds without an answer before an attempt counts as failed.
        sleep: waits; replaced in tests.
    """

    tries: int = 1
    pause: float = 1.0
    timeout: float = 15.0
    sleep: Callable[[float], None] = time.sleep


def fetch(
    url: str,
    part: Path,
    *,
    size: int | None = None,
    checked: bool = False,
    patience: Patience | None = None,
    arrived: Callable[[int], None] = lambda count: None,
) -> None:
    """Fetch a file, or what is missing of it.

    What an interruption left is kept, with what the server called that version of the file (its ETag or date), and
    continued where the server says that the version is still the same. A server that sends the whole file instead
    is taken at its word.

    Args:
        url: where it is; http or https.
        part: where it goes; its folder exists. `part` with `.version` behind it holds the version.
        size: bytes it must have; None: as many as the server says.
        checked: the caller compares the content with a checksum, so what a nameless version left is continued too.
        patience: how long to try; None: once.
        arrived: called with how many bytes of the file are there, as they come; less than before when it starts anew.

    Raises:
        NotFetchedError: no network, a refusing server, another size than `size`, no space, or bytes that stay missing.
        OSError: the file cannot be written.
    """
    patience = patience or Patience()
    left, pause = patience.tries, patience.pause
    while True:
        before = _size_of(part)
        try:
            return _attempt(url, part, size, checked, patience.timeout, arrived)
        except _InterruptedError as error:
            left = patience.tries if _size_of(part) > before else left
            left -= 1
            if not left or (patience.tries == 1):
                raise NotFetchedError(str(error)) from error.__cause__
            patience.sleep(min(max(pause, error.wait), LONGEST_PAUSE))
            pause *= 2


class _InterruptedError(Exception):
    """An attempt that another may mend."""

    def __init__(self, message: str, *, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


def _attempt(
    url: str, part: Path, size: int | None, checked: bool, timeout: float, arrived: Callable[[int], None]
) -> None:
    version_file = _version_file(part)
    version = version_file.read_text(encoding="utf-8") if version_file.is_file() else ""
    have = _size_of(part)
    too_much = size is not None and have > size
    if have and (too_much or not (version or checked)):  # without either, the rest may be another version's
        _forget(part)
        have, version = 0, ""
    if have == size:
        arrived(have)
        return
    headers = {"Accept-Encoding": "identity"}  # a compressed answer has other bytes and no ranges
    if have:
        headers["Range"] = f"bytes={have}-"
        if version:
            headers["If-Range"] = version
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:
                if size is None and _number(r"bytes \*/(\d+)$", error.headers) in (have, None):
                    version_file.unlink(missing_ok=True)
                    return  # nothing is left to fetch
                _forget(part)
                raise _InterruptedError(f"{url}: what was there did not fit; starting anew") from error
            _refuse(url, error)
        raise
    except (OSError, http.client.HTTPException) as error:
        reason = str(error.reason if isinstance(error, urllib.error.URLError) else error)
        why = reason or type(error).__name__
        raise _InterruptedError(f"{url} could not be fetched: no network ({why})") from error
    with response:
        continued = response.status == 206
        start_sent = _number(r"bytes (\d+)-", response.headers)
        if continued and start_sent != have and not (start_sent is None and checked):
            _forget(part)
            raise _InterruptedError(f"{url}: the server sent another range than asked for; starting anew")
        start = have if continued else 0
        length = response.headers.get("Content-Length", "")
        whole = start + int(length) if length.isdigit() else None
        if size is not None and whole is not None and whole != size:
            raise NotFetchedError(
                f"{url} has {whole:,} bytes, where {size:,} were published: it is another file, or a page in its place."
            )
        _need_space(part, (whole or size or 0) - start)
        if not continued:
            _forget(part)
            if new_version := _version_of(response.headers):
                version_file.write_text(new_version, encoding="utf-8")
        ended = _receive(response, part, start, arrived)
    got = _size_of(part)
    wanted = size if whole is None else whole
    if not ended or (wanted is not None and got < wanted):
        missing = "some" if wanted is None else f"{wanted - got:,}"
        raise _InterruptedError(f"{url} broke off: {missing} bytes are missing; run again to continue")
    if wanted is not None and got > wanted:
        _forget(part)
        raise NotFetchedError(f"{url} sent more than the {wanted:,} bytes that it has.")
    version_file.unlink(missing_ok=True)


def _receive(
    response: http.client.HTTPResponse, part: Path, start: int, arrived: Callable[[int], None]
) -> bool:
    """Append what comes; return whether the connection ended in order."""
    count = start
    with part.open("ab" if start else "wb") as file:
        arrived(count)
        while True:
            try:
                block = response.read(BLOCK)
            except http.client.IncompleteRead as error:
                file.write(error.partial)
                return False
            except (OSError, http.client.HTTPException):
                return False
            if not block:
                return True
            count += file.write(block)
            arrived(count)


def _refuse(url: str, error: urllib.error.HTTPError) -> None:
    """Raise what an answer of a refusing server means."""
    message = f"{url} could not be fetched: the server answered {error.code} ({error.reason})"
    if error.code in AGAIN:
        wait = error.headers.get("Retry-After", "")
        raise _InterruptedError(message, wait=float(wait) if wait.isdigit() else 0.0) from error
    raise NotFetchedError(f"{message}.") from error


def _number(pattern: str, headers: Message) -> int | None:
    """Return a number of the header `Content-Range`; None where it does not say it."""
    match = re.match(pattern, headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def _version_of(headers: http.client.HTTPMessage) -> str:
    """Return what names this version of the file in `If-Range`; a weak ETag may not."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _need_space(part: Path, count: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if count > free:
        raise NotFetchedError(
            f"{part.parent} has {free / 1e9:,.1f} GB free, {count / 1e9:,.1f} GB are needed. Make room, or give "
            "another folder."
        )


def _size_of(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
