"""The application, its routes and what stands in front of them; the web server around it; its log and `/metrics`."""

import asyncio
import errno
import ipaddress
import re
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import accumulate
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import APIRouter, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from labelbeam import __version__
from labelbeam.errors import InputError
from labelbeam.project.schema import Unavailable
from labelbeam.runs.tagger import Tagger
from labelbeam.service.access import HEADERS, Access, SecureHeaders, Session, session_routes
from labelbeam.service.admission import BUSY_SECONDS, Admission, Limits, Refusal, refused
from labelbeam.service.answering import Closed, Full
from labelbeam.service.routes import REFUSALS, health_routes, label_routes, suggest_routes, tag_routes
from labelbeam.service.tagging import TaggingService

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What is taken over as a request's id; anything else gets one of ours."""

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the latency histogram, seconds."""

METRICS = "/metrics"

Log = Callable[[str], None]


class Counts:
    """Requests by route, method and status, their latencies by route, and how many are under way."""

    def __init__(self, run: str, fingerprint: str) -> None:
        self.run, self.fingerprint = run, fingerprint
        self.under_way = 0
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, tuple[list[int], list[float]]] = {}

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        key = (route, method, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        buckets, total = self._seconds.setdefault(route, ([0] * (len(BUCKETS) + 1), [0.0]))
        buckets[next((i for i, end in enumerate(BUCKETS) if seconds <= end), len(BUCKETS))] += 1
        total[0] += seconds

    def text(self, waiting: int) -> str:
        """Return all of it in Prometheus' text format, version 0.0.4.

        Args:
            waiting: images that wait for the encoder now.
        """
        of = f'version="{__version__}",run="{_escaped(self.run)}",fingerprint="{self.fingerprint}"'
        lines = [*_head("labelbeam_info", "gauge", "What runs here."), f"labelbeam_info{{{of}}} 1"]
        lines += _head("labelbeam_requests_under_way", "gauge", "Requests that are not answered yet.")
        lines.append(f"labelbeam_requests_under_way {self.under_way}")
        lines += _head("labelbeam_images_waiting", "gauge", "Images that wait for the encoder.")
        lines.append(f"labelbeam_images_waiting {waiting}")
        lines += _head("labelbeam_requests_total", "counter", "Answered requests.")
        for (route, method, status), count in sorted(self._requests.items()):
            names = f'route="{_escaped(route)}",method="{method}",status="{status}"'
            lines.append(f"labelbeam_requests_total{{{names}}} {count}")
        lines += _head(
            "labelbeam_request_seconds", "histogram", "Seconds from a request's head to its answer's end."
        )
        for route, (buckets, total) in sorted(self._seconds.items()):
            name = f'route="{_escaped(route)}"'
            ends = (*(f"{end:g}" for end in BUCKETS), "+Inf")
            for end, below in zip(ends, accumulate(buckets), strict=True):
                lines.append(f'labelbeam_request_seconds_bucket{{{name},le="{end}"}} {below}')
            lines.append(f"labelbeam_request_seconds_sum{{{name}}} {total[0]:.6f}")
            lines.append(f"labelbeam_request_seconds_count{{{name}}} {sum(buckets)}")
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, words: str) -> list[str]:
    return [f"# HELP {name} {words}", f"# TYPE {name} {kind}"]


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


class Monitoring:
    """Counts requests and logs them; gives every answer its id, and the run's name and fingerprint."""

    def __init__(self, app: ASGIApp, counts: Counts, log: Log | None = None) -> None:
        self._app, self._counts, self._log = app, counts, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        began, status, counts = time.perf_counter(), 500, self._counts

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = name
                headers["X-Labelbeam-Run"] = f"{_ascii(counts.run)}@{counts.fingerprint}"
            await send(message)

        counts.under_way += 1
        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.perf_counter() - began
            counts.under_way -= 1
            method = scope["method"] if scope["method"] in METHODS else "other"
            counts.add(getattr(scope.get("route"), "path", "other"), method, status, seconds)
            if self._log is not None:
                self._log(_line(scope, status, seconds, name, counts))


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def _line(scope: Scope, status: int, seconds: float, name: str, counts: Counts) -> str:
    """Return a request's line of the log; without its query, which may hold anything."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    path = _plain(scope["path"][:200])
    client = (scope.get("client") or ("-",))[0]
    return (
        f"{now} {scope['method']} {path} {status} {1000 * seconds:.1f}ms id={name} client={client} "
        f"run={_plain(counts.run)}@{counts.fingerprint}"
    )


def _plain(text: str) -> str:
    """Return a text without anything that would end a line, a field, or move a terminal's cursor."""
    return "".join(char if char.isprintable() and char != " " else "_" for char in text)


def _ascii(text: str) -> str:
    """Return a name as a header may hold it."""
    return "".join(char if char.isascii() and char.isprintable() else "_" for char in text)


def metrics_route(counts: Counts, waiting: Callable[[], int]) -> APIRouter:
    """Return the route `GET /metrics`."""
    router = APIRouter(include_in_schema=False)

    @router.get(METRICS, response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(counts.text(waiting()), media_type="text/plain; version=0.0.4")

    return router


if TYPE_CHECKING:
    from labelbeam.project.project_file import Project

# The application: routes, and what stands in front of them.

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, or of a limit on what one holds."""

DESCRIPTION = "Photographs in, label sets with scores out; suggestions that follow what was accepted so far."


def create_app(
    tagger: Tagger,
    *,
    limits: Limits | None = None,
    api_key: str | None = None,
    hosts: Collection[str] | None = None,
    project: "Project | None" = None,
    saved: bool = True,
    run: str = "run",
    fingerprint: str = "",
    log: Log | None = None,
) -> FastAPI:
    """Return the service of a run as an ASGI application.

    Args:
        limits: what is taken from clients; None: the defaults.
        api_key: what clients must know; None: nothing.
        hosts: names under which it may be asked, against other web sites that reach it through a name of their
            own; None: any.
        project: what the page at `/` keeps photographs and decisions in; None: no page.
        saved: whether the project stays when the service ends; the page says so.
        run: its name, for logs, metrics and `/readyz`.
        fingerprint: of what its answers depend on (`runs.run_directory.fingerprint`); empty: not given.
        log: what is called with a line for each request; None: nothing is.

    Raises:
        InputError: the key is too short, or a limit is not positive.
    """
    limits = limits or Limits()
    session = Session(api_key) if api_key is not None else None
    service = TaggingService(tagger, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(service.close)

    # The interactive pages that the framework offers load scripts from elsewhere; the description itself stays.
    app = FastAPI(
        title="labelbeam",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=REFUSALS,
    )
    for router in (tag_routes, suggest_routes, label_routes):
        app.include_router(router(service))
    counts = Counts(run, fingerprint)
    app.include_router(health_routes(service, run=run, fingerprint=fingerprint))
    app.include_router(metrics_route(counts, lambda: service.waiting))
    if session is not None:
        app.include_router(session_routes(session))
    if project is not None:
        from labelbeam.service import project_routes

        project_routes.add(app, service, project, saved=saved)
    _describe_errors(app)
    # The last one added comes first.
    app.add_middleware(Admission, limits=limits)
    app.add_middleware(Access, session=session, hosts=hosts, rate=limits.rate, wrong_keys=limits.wrong_keys)
    app.add_middleware(SecureHeaders)
    app.add_middleware(Monitoring, counts=counts, log=log)
    return app


def _describe_errors(app: FastAPI) -> None:
    """Give every error the same form: `{"error": …}`."""

    @app.exception_handler(Refusal)
    async def refusal(request: Request, error: Refusal) -> JSONResponse:
        return error.response()

    @app.exception_handler(Unavailable)
    async def unavailable(request: Request, error: Unavailable) -> JSONResponse:
        return refused(507 if error.full else 503, str(error), retry_after=BUSY_SECONDS)

    @app.exception_handler(OSError)
    async def disk(request: Request, error: OSError) -> JSONResponse:
        if error.errno not in NO_ROOM:
            raise error
        return refused(
            507, "there is no room on the disk. Make room, and try again.", retry_after=BUSY_SECONDS
        )

    @app.exception_handler(InputError)
    async def wrong_input(request: Request, error: InputError) -> JSONResponse:
        return refused(422, str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"][1:])[:100]
        return refused(422, f"{where + ': ' if where else ''}{problem['msg']}")

    @app.exception_handler(Full)
    async def full(request: Request, error: Full) -> JSONResponse:
        return refused(503, "too many images wait already. Try again.", retry_after=error.seconds)

    @app.exception_handler(Closed)
    async def closed(request: Request, error: Closed) -> JSONResponse:
        return refused(503, "the service is ending. Try again.", retry_after=BUSY_SECONDS)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        response = refused(error.status_code, str(error.detail))
        response.headers.update(error.headers or {})
        return response

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        # The web server logs the traceback; the client learns nothing of the inside. The framework puts this
        # answer outside of everything that is added below.
        response = refused(500, "a defect of the service; its log says more.")
        response.headers.update(HEADERS)
        return response


# Uvicorn, with a time limit for a request's head and for connections that say nothing (its own limits begin after
# that).

HEAD_SECONDS = 10.0
"""From a connection's beginning to the end of its first request's head."""
LONGEST_HEAD = 16_384
"""Bytes of a request's head."""
MOST_CONNECTIONS = 1000
"""Connections at once, idle ones among them; beyond that they are closed as they come."""
KEEP_ALIVE_SECONDS = 5
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names of one's own machine."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 whose patience with silent connections is limited."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer; refuse one connection too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Read what came; a whole head stops the timer, half of a later one starts it again."""
        super().handle_events()
        under_way = self.cycle is not None and not self.cycle.response_complete
        if under_way:
            self._stop_timer()
        elif self._head_timer is None and self.conn.trailing_data[0]:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine only; unknown names count as public.

    Example:
        >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "example.org")]
        [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens at an address, so that a taken port is an error before anything is loaded.

    Raises:
        InputError: the port is taken or not allowed, or the host has no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"--host {host} --port {port} is no address of this machine ({error}).") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise InputError(
                f"port {port} of {host} is taken by another program. Give another --port, or 0 for any free one."
            ) from error
        raise InputError(f"{host} port {port} cannot be used: {error.strerror}. Give another.") from error
    return listening


def web_server(app: FastAPI, *, drain_seconds: float, log: str) -> uvicorn.Server:
    """Return the server of an application; `run(sockets=[…])` serves.

    Args:
        drain_seconds: how long what is under way may take when it is asked to stop.
        log: least level of what the web server itself logs; a line per request is `Log`'s.
    """
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_level=log,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(drain_seconds),
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )
    return uvicorn.Server(config)


def serve_until_stopped(server: uvicorn.Server, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; then take nothing new, finish what is under way, and return.

    Raises:
        KeyboardInterrupt: it was Ctrl-C, and all is finished.
    """
    # The server raises SIGTERM once more when it has drained; that this ended well must show in the exit status.
    before = signal.signal(signal.SIGTERM, _drained)
    try:
        server.run(sockets=[listening])
    finally:
        signal.signal(signal.SIGTERM, before)


def _drained(number: int, frame: FrameType | None) -> None:
    """Do nothing: the signal was obeyed already."""
