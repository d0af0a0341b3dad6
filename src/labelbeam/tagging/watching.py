"""`labelbeam watch`: a folder's photographs tagged as they arrive, by the job that `labelbeam tag` does."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

from labelbeam.data.listing import LeftOut, list_images
from labelbeam.errors import InputError
from labelbeam.runs.tagger import asked_tagger
from labelbeam.tagging.job import tag_images
from labelbeam.tagging.request import TagRequest


def watch(
    request: TagRequest,
    asked: Mapping[str, Any],
    *,
    every: float = 10.0,
    settled: float = 5.0,
    rounds: int | None = None,
    report: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Tag what is new in folders, again and again; what is done already is not done again.

    Args:
        request: a run, folders, and where answers go: something that can be added to.
        asked: how labels are decided, as `tag_images` takes it.
        every: seconds between looks at the folders.
        settled: seconds since a file was changed after which it counts as complete.
        rounds: looks; None: until interrupted.
        report: called with each sentence that a person may want to read.
        wait: sleeps.

    Raises:
        InputError: nothing that can be added to, or as `tag_images`.
    """
    if (
        request.where is None
        or request.cluster is not None
        or request.vectors is not None
        or "-" in request.images
    ):
        raise InputError(
            "watch looks at folders and adds to --out. Give both, without --cluster and lists on stdin."
        )
    request = replace(request, update=True)
    tagger = asked_tagger([request.run], asked)
    seen: set[bytes] = set()
    look = 0
    while rounds is None or look < rounds:
        if look:
            wait(every)
        look += 1
        try:
            ready = {_digest(path) for path in _ready(request, settled)}
        except InputError as error:  # a disk that is not there now
            report(f"{error} Looking again.")
            continue
        if ready <= seen:
            continue
        counts = tag_images(
            request, asked, shown=False, report=report, tagger=tagger, paths=_ready(request, settled)
        )
        report(f"{counts.images:,} photographs are tagged.")
        seen |= ready


def _ready(request: TagRequest, settled: float) -> Iterator[Path]:
    """Yield the images whose files are complete."""
    now = time.time()
    for path in list_images(request.images, left_out=LeftOut(request.exclude)):
        try:
            changed = path.stat().st_mtime
        except OSError:
            continue
        if now - changed >= settled:
            yield path


def _digest(path: Path) -> bytes:
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0
    return blake2b(bytes(path) + changed.to_bytes(16, "big", signed=True), digest_size=8).digest()
