"""A local HTTP server that serves files with ranges, and misbehaves as it is told to."""

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Site:
    """What a server has and how it behaves.

    Attributes:
        files: path (with its slash) to content.
        faults: path to what goes wrong in its next answers, one after the other: a status, `drop N` (N bytes,
            then the connection ends), `whole` (ranges are ignored), `shift` (another range than asked for),
            `short N` (says that N bytes are all), `nolength N` (chunked; ends without its last chunk),
            `long` (a few bytes too many, without saying so).
        version: the ETag of every file; empty: none.
        asked: (path, Range, If-Range) of every request.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    version: str = '"one"'
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    address: str = ""


@contextmanager
def served() -> Iterator[Site]:
    """Serve a site while the block runs."""
    site = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            given, condition = self.headers.get("Range"), self.headers.get("If-Range")
            site.asked.append((self.path, given, condition))
            faults = site.faults.get(self.path, [])
            fault, _, number = (faults.pop(0) if faults else "").partition(" ")
            if fault.isdigit() or self.path not in site.files:
                self.send_response(int(fault or 404))
                self.send_header("Content-Length", "0")
                if number:
                    self.send_header("Retry-After", number)
                self.end_headers()
                return
            body = site.files[self.path]
            start = int(re.fullmatch(r"bytes=(\d+)-", given)[1]) if given else 0  # type: ignore[index]
            if fault == "whole" or (condition and condition != site.version):
                start = 0
            if start >= len(body) and start:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if site.version:
                self.send_header("ETag", site.version)
            if start:
                said = start + 1 if fault == "shift" else start
                self.send_header("Content-Range", f"bytes {said}-{len(body) - 1}/{len(body)}")
            rest = body[start:]
            if fault == "short":
                rest = rest[: int(number)]
            if fault == "nolength":
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(f"{int(number):x}\r\n".encode() + rest[: int(number)] + b"\r\n")
                return
            if fault == "long":
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(rest + b"more")
                return
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: int(number)] if fault == "drop" else rest)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
