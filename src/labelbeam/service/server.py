"""The application, its routes and what stands in front of them; the web server around it."""

import asyncio
import errno
import ipaddress
import signal
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from uvicorn.protocols.http.h11_impl import H11Protocol

from labelbeam import __version__
from labelbeam.errors import InputError
from labelbeam.project.schema import Unavailable
from labelbeam.runs.tagger import Tagger
from labelbeam.service.access import HEADERS, Access, SecureHeaders, Session, session_routes
from labelbeam.service.admission import BUSY_SECONDS, Admission, Limits, Refusal, refused
from labelbeam.service.batches import Closed, Full
from labelbeam.service.descriptions import REFUSALS
from labelbeam.service.monitoring import Counts, Log, Monitoring, metrics_route
from labelbeam.service.routes import health_routes, label_routes, suggest_routes, tag_routes
from labelbeam.service.tagging import TaggingService

if TYPE_CHECKING:
    from labelbeam.project.project_file import Project

# The application: routes, and what stands in front of them.

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a full disk."""

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
        tagger: the run.
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


# The web server around the application: the address, slow clients, the end.
#
# Uvicorn, with a time limit for a request's head and for connections that say nothing (its own limits begin
# after that). Knows nothing of labels.

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
        app: the application.
        drain_seconds: how long what is under way may take when it is asked to stop.
        log: least level of what the web server itself logs; a line per request is `service.monitoring`'s.
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
