"""Who may ask: the key, the rate, sessions of browsers, and headers that say what a browser may do."""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie

from fastapi import APIRouter, Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from labelbeam.errors import InputError
from labelbeam.service.admission import Refusal

# A service on one's own machine is reached by every page that its browser shows; so a request that another site made
# (its `Origin`), or that came under a name other than the machine's own (its `Host`: DNS rebinding), is refused.

COOKIE = "labelbeam_session"
OPEN = ("/", "/healthz", "/readyz", "/favicon.ico")
"""Paths that need no key: they say nothing of labels or images. So do the page's own files, under `/page/`."""
SAFE = ("GET", "HEAD")
LEAST_KEY = 16
"""Characters of a key."""
WRONG_AT_ONCE = 30.0
"""Wrong keys that a client may send before it is slowed down: a page that still has an old one sends some."""
MOST_CLIENTS = 10_000
"""Clients whose rate is remembered."""


class Session:
    """A key, and the cookie by which a browser shows that it had the key.

    Raises:
        InputError: a key that is too short, or that no header can carry.
    """

    def __init__(self, api_key: str) -> None:
        require_strong_key(api_key)
        self._key = api_key.encode()
        self.cookie = hashlib.blake2b(self._key, key=secrets.token_bytes(32)).hexdigest()

    def admits(self, headers: dict[bytes, bytes]) -> bool:
        """Tell whether a request carries the key or the cookie; takes as long whatever is wrong."""
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        bearer = given.strip() if kind.lower() == b"bearer" else b""
        given_keys = (bearer, headers.get(b"x-api-key", b""))
        by_key = [hmac.compare_digest(one, self._key) for one in given_keys]
        cookie = _cookie(headers.get(b"cookie", b"")).encode()
        return any([*by_key, hmac.compare_digest(cookie, self.cookie.encode())])


def require_strong_key(api_key: str) -> None:
    """Refuse a key that is easily guessed.

    Raises:
        InputError: a key that is too short, or that no header can carry.
    """
    if len(api_key) < LEAST_KEY or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise InputError(
            f"the API key must be {LEAST_KEY} or more printable ASCII characters without spaces; given "
            f"{len(api_key)}. Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'."
        )


class Access:
    """Lets in those who may ask."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        session: Session | None = None,
        hosts: Collection[str] | None = None,
        rate: float = 0.0,
        wrong_keys: float = 1.0,
    ) -> None:
        """Make it.

        Args:
            session: the key; None: none is needed.
            hosts: names under which the service may be asked, without ports; None: any.
            rate: requests per second of one client; 0: no limit.
            wrong_keys: wrong keys per second of one client.
        """
        self._wrong_keys = Rates(wrong_keys, at_once=WRONG_AT_ONCE)
        self._app = app
        self._session = session
        self._hosts = None if hosts is None else {host.lower() for host in hosts}
        self._rates = Rates(rate) if rate else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        refusal = self._refusal_of(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        response = refusal.response()
        response.headers["Connection"] = "close"
        await response(scope, receive, send)

    def _refusal_of(self, scope: Scope) -> Refusal | None:
        headers, path = dict(scope["headers"]), scope["path"]
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self._hosts is not None and _without_port(host) not in self._hosts:
            return Refusal(403, f"the service is not called {host[:100]!r}; ask it as {min(self._hosts)}.")
        if scope["method"] not in SAFE and not _same_site(headers, host):
            return Refusal(403, "another web site made this request; only the service's own page may.")
        is_open = path in OPEN or path.startswith("/page/")
        client = (scope.get("client") or ("", 0))[0]
        if self._rates is not None and not is_open and (wait := self._rates.wait(client)):
            return Refusal(429, "more requests than allowed. Slow down.", retry_after=wait)
        if self._session is not None and not is_open and not self._session.admits(headers):
            if _shows_a_key(headers) and (wait := self._wrong_keys.wait(client)):
                return Refusal(429, "too many wrong API keys. Slow down.", retry_after=wait)
            return Refusal(401, "the API key is missing or wrong. Send it: Authorization: Bearer KEY.")
        return None


def _shows_a_key(headers: dict[bytes, bytes]) -> bool:
    return (
        b"authorization" in headers
        or b"x-api-key" in headers
        or COOKIE.encode() in headers.get(b"cookie", b"")
    )


class Rates:
    """A rate for each client: two seconds' worth at once, then so many per second.

    Example:
        >>> rates = Rates(1.0)
        >>> [rates.wait("a", now=0.0) for _ in range(3)]
        [0.0, 0.0, 1.0]
    """

    def __init__(self, per_second: float, *, at_once: float = 0.0) -> None:
        self._per_second = per_second
        self._burst = max(1.0, 2 * per_second, at_once)
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, *, now: float | None = None) -> float:
        """Return the seconds to wait before the next request of a client; 0: it may come now, and counts."""
        now = time.monotonic() if now is None else now
        left, since = self._clients.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_second)
        allowed = left >= 1
        self._clients[client] = (left - allowed, now)
        while len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_second


def _cookie(header: bytes) -> str:
    try:
        found = SimpleCookie(header.decode("latin-1")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""


def _without_port(host: str) -> str:
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


def _same_site(headers: dict[bytes, bytes], host: str) -> bool:
    """Tell whether a request comes from the service's own page, or from no page at all."""
    if headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin"):
        return False
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    return not origin or origin.partition("://")[2] == host


# `POST /v1/session`: a browser shows the API key once and gets a cookie, since pictures carry no headers.


def session_routes(session: Session) -> APIRouter:
    """Return the route; that the key is right was seen before the request came here."""
    router = APIRouter()

    @router.post("/v1/session", status_code=204, summary="Sign a browser in")
    async def sign_in(request: Request) -> Response:
        """Set a cookie that stands for the key until the service ends or the browser closes."""
        response = Response(status_code=204)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, session.cookie, httponly=True, samesite="strict", secure=secure)
        return response

    return router


# Scripts and styles come from files of the service only, so that a label named `<script>` stays a text even where a
# page forgot to treat it as one.

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class SecureHeaders:
    """Adds the headers; a response's own `Cache-Control` stays, otherwise nothing is stored."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add headers to its response."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)
