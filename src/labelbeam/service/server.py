"""The web server around the application: the address, slow clients, the end.

Uvicorn, with a time limit for a request's head and for connections that say nothing (its own limits begin after
that). Knows nothing of labels.
"""

import asyncio
import errno
import ipaddress
import signal
import socket
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from labelbeam.errors import InputError

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
    """Return a socket that listens at an address, so that a taken port is told before anything is loaded.

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
        drain_seconds: how long what is under way may take when it is told to stop.
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
