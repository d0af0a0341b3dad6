"""In front of everything: how many requests, how large, for how long; and what a refusal says."""

import asyncio
import math
import re
from contextlib import suppress
from dataclasses import dataclass, fields

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelbeam.errors import InputError

# How much the service takes from whoever asks, and what a refusal says.


MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What is taken; beyond it a request is refused, never the process.

    Raises:
        InputError: a number that is not positive (`rate`: negative).
    """

    body_bytes: int = 64 * MEGABYTE
    """Bytes of a request's body: a few dozen photographs from phones."""
    json_bytes: int = 512_000
    """Bytes of a body that is no form of photographs: a question with the features of one image at most."""
    step_bytes: int = 8 * MEGABYTE
    """Bytes of a step in a project: a decision on each of 100,000 photographs."""
    files: int = 32
    """Images of a request."""
    pixels: int = 64 * MEGABYTE
    """Pixels of an image; cameras of phones have up to 50 million."""
    scans: int = 64
    """Scans of a JPEG: cameras write 1, progressive ones about 10; a decoder goes over the whole picture for each."""
    receive_seconds: float = 60.0
    """From a request's first byte to its last, and again for the client to take the response."""
    answer_seconds: float = 60.0
    """From the whole request to its answer, waiting included."""
    requests: int = 64
    """Requests under way at once."""
    held_bytes: int = 256 * MEGABYTE
    """Bytes of bodies in memory, of all requests together."""
    waiting_images: int = 256
    """Images that wait for the encoder."""
    vector_bytes: int = 64 * MEGABYTE
    """Bytes of the feature vectors that are kept for later clicks; those longest not used go first."""
    wrong_keys: float = 1.0
    """Wrong API keys of one client per second, thirty at once."""
    rate: float = 0.0
    """Requests per second of one client, bursts of two seconds' worth allowed; 0: no limit."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not (0 < value < math.inf or (value == 0 and one.name == "rate")):
                least = "0 (no limit) or more" if one.name == "rate" else "more than 0"
                raise InputError(
                    f"the service's limit {one.name} is {value}; it must be {least}, and finite."
                )


# Every refusal has the same form: `{"error": "what is wrong and what to do"}`.


class Refusal(Exception):  # noqa: N818  (named for what it is)
    """A request is refused.

    Attributes:
        reason: what is wrong and what to do.
        retry_after: seconds after which it may be tried again; None where that would not help.
    """

    def __init__(self, status: int, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        """Return it as the client gets it."""
        return refused(self.status, self.reason, retry_after=self.retry_after)


def without_places(reason: str) -> str:
    """Return a sentence without the folders of this machine: what a client may read names files only.

    Example:
        >>> without_places("/home/me/photos/a.jpg cannot be read. Look into '/tmp/x/'.")
        "a.jpg cannot be read. Look into ''."
    """
    return re.sub(r"(?<![\w.:/])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+", "", reason)


def refused(status: int, reason: str, *, retry_after: float | None = None) -> JSONResponse:
    """Return the response for a request that is not answered.

    Example:
        >>> refused(503, "too busy", retry_after=0.2).headers["retry-after"]
        '1'
    """
    headers = {} if retry_after is None else {"Retry-After": str(max(1, math.ceil(retry_after)))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": without_places(reason)}, status_code=status, headers=headers)


# Counts bytes as they come in, so that an endless stream ends at the limit and not in memory; one timer goes over
# receiving, answering and sending, so that a slow client holds its place only so long; work for a client that has gone
# is dropped.

ALWAYS = ("/healthz", "/readyz", "/metrics")
"""Paths that answer however busy the service is."""

FORMS = ("/v1/tag", "/v1/suggest", "/v1/project/photographs")
"""Paths that take photographs."""

STEPS = tuple(f"/v1/project/{name}" for name in ("decisions", "complete", "remove", "stacks"))
"""Paths that take a list of changes, or of all photographs."""

BUSY_SECONDS = 1.0
"""After which a refused client may try again, where nothing better is known."""

PACE_BYTES, PACE_SECONDS = 64_000, 10.0
"""A body must grow by as much in as many seconds until it is whole: nobody keeps memory by standing still."""

LINGER_BYTES, LINGER_SECONDS = 8_000_000, 2.0
"""What is read and thrown away of a refused body: a client that is still sending would else never read why."""


@dataclass
class _Progress:
    """How far one request is."""

    received: int = 0
    paced: int = 0
    placed: bool = False
    refusal: Refusal | None = None
    whole: bool = False
    started: bool = False
    finished: bool = False
    gone: bool = False


class Admission:
    """Lets requests in within the limits."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._under_way = 0
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or scope["path"] in ALWAYS:
            await self._app(scope, receive, send)
            return
        refusal = self._refusal_of(scope)
        if refusal is not None:
            if dict(scope["headers"]).get(b"expect", b"").lower() != b"100-continue":
                await _linger(receive)
            await _refuse(refusal, scope, receive, send)
            return
        names = {name for name, _ in scope["headers"]}
        progress = _Progress(whole=names.isdisjoint({b"content-length", b"transfer-encoding"}))
        if progress.whole:
            self._place(progress)
        try:
            await self._serve(scope, receive, send, progress)
        finally:
            self._under_way -= progress.placed
            self._held -= progress.received

    def _refusal_of(self, scope: Scope) -> Refusal | None:
        limits = self._limits
        declared, most = dict(scope["headers"]).get(b"content-length", b"0"), _most_bytes(scope, limits)
        size = int(declared[:20]) if declared.isdigit() else 0
        if size > most:
            return _too_large(most)
        if self._under_way >= limits.requests or (self._held and self._held + size > limits.held_bytes):
            return _too_many()
        return None

    def _place(self, progress: _Progress) -> None:
        """Give a request its place; one that is still coming in has none, or slow clients would take them all.

        Raises:
            Refusal: there is none left.
        """
        if self._under_way >= self._limits.requests:
            progress.refusal = _too_many()
            raise progress.refusal
        self._under_way += 1
        progress.placed = True

    async def _serve(self, scope: Scope, receive: Receive, send: Send, progress: _Progress) -> None:
        limits, clock = self._limits, asyncio.get_running_loop().time
        most = _most_bytes(scope, limits)
        main = asyncio.current_task()
        never = asyncio.Event()
        # A request without a body is whole at once.
        empty: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}] * progress.whole
        watcher: asyncio.Task[None] | None = None
        last = clock() + limits.receive_seconds

        async def watch() -> None:
            """Stop the work when the client hangs up."""
            while (await receive())["type"] != "http.disconnect":
                pass
            if not progress.finished and main is not None:
                progress.gone = True
                main.cancel()

        async def counted() -> Message:
            nonlocal watcher
            if empty:
                return empty.pop()
            if progress.whole:
                await never.wait()
            message = await receive()
            size = len(message.get("body", b""))
            progress.received += size
            self._held += size
            if progress.received > most:
                raise _too_large(most)
            if self._held > limits.held_bytes:
                raise Refusal(503, "too much is being sent at once. Try again.", retry_after=BUSY_SECONDS)
            if message["type"] == "http.request" and not message.get("more_body", False):
                progress.whole = True
                self._place(progress)
                timer.reschedule(clock() + limits.answer_seconds)
                watcher = asyncio.create_task(watch())
            elif progress.received - progress.paced >= PACE_BYTES:
                progress.paced = progress.received
                timer.reschedule(min(last, clock() + PACE_SECONDS))
            return message

        async def watched(message: Message) -> None:
            if progress.refusal is not None:
                return  # the framework may have made something else of it
            if message["type"] == "http.response.start":
                progress.started = True
                timer.reschedule(clock() + limits.receive_seconds)
                if not progress.whole:
                    # The rest of the body is not wanted: this connection cannot serve another request.
                    message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
                    await _linger(receive)
            progress.finished = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            seconds = limits.answer_seconds if progress.whole else min(limits.receive_seconds, PACE_SECONDS)
            async with asyncio.timeout(seconds) as timer:
                if progress.whole:
                    watcher = asyncio.create_task(watch())
                await self._app(scope, counted, watched)
                if progress.refusal is not None:
                    await _refuse(progress.refusal, scope, receive, send)
        except TimeoutError:
            if progress.started:
                raise
            await _refuse(_too_slow(limits, progress), scope, receive, send)
        except asyncio.CancelledError:
            if not progress.gone or main is None:
                raise
            main.uncancel()
        finally:
            if watcher is not None:
                watcher.cancel()


def _too_many() -> Refusal:
    return Refusal(503, "too many requests are under way. Try again.", retry_after=BUSY_SECONDS)


def _most_bytes(scope: Scope, limits: Limits) -> int:
    """Return how large a request's body may be: photographs come as forms, and only where they are wanted."""
    kind = dict(scope["headers"]).get(b"content-type", b"").lower()
    if scope["path"] in STEPS:
        return min(limits.step_bytes, limits.body_bytes)
    if kind.startswith(b"multipart/form-data") and scope["path"] in FORMS:
        return limits.body_bytes
    return min(limits.json_bytes, limits.body_bytes)


def _too_large(most: int) -> Refusal:
    return Refusal(
        413, f"the request is larger than {most:,} bytes. Send fewer or smaller images, or less, at a time."
    )


def _too_slow(limits: Limits, progress: _Progress) -> Refusal:
    if progress.whole:
        return Refusal(
            503, f"no answer within {limits.answer_seconds:g} s. Try again.", retry_after=BUSY_SECONDS
        )
    return Refusal(
        408, f"the request did not arrive within {limits.receive_seconds:g} s, or stood still on its way."
    )


async def _linger(receive: Receive) -> None:
    thrown = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while thrown < LINGER_BYTES:
                message = await receive()
                thrown += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return


async def _refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    response = refusal.response()
    response.headers["Connection"] = "close"
    await response(scope, receive, send)
