"""For whoever watches over the service: a number per request, a line in the log, and `/metrics` for Prometheus.

Stands outside of everything else, so that what was refused is counted too. Knows nothing of what is asked.
"""

import re
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import accumulate

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelbeam import __version__

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
