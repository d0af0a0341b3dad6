"""The web server: silent clients, taken ports, the end."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from labelbeam.errors import InputError
from labelbeam.service import server
from labelbeam.service.server import bound_socket


def connected(address: str) -> socket.socket:
    host, _, port = address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


@pytest.mark.parametrize("said", [b"", b"GET /healthz HTTP/1.1\r\nHost: 127"])
def test_a_client_that_never_ends_its_head_is_dropped(
    address: str, said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with connected(address) as connection:
        connection.sendall(said)
        with suppress(ConnectionResetError):
            assert connection.recv(1000) == b""


def test_a_client_that_stops_within_its_second_head_is_dropped(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    host = address.removeprefix("http://").encode()
    with connected(address) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(10_000)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHo")
        with suppress(ConnectionResetError):
            assert connection.recv(1000) == b""


def test_one_connection_serves_several_requests(address: str) -> None:
    with httpx.Client(base_url=address) as client:
        assert "connection" not in client.get("/v1/labels").headers
        assert client.get("/v1/labels").status_code == 200


def test_a_head_without_end_is_refused(address: str) -> None:
    with connected(address) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        answer = b""
        try:
            for _ in range(100):
                connection.sendall(b"A: " + b"b" * 1000 + b"\r\n")
            answer = connection.recv(1000)
        except (ConnectionResetError, BrokenPipeError):
            return
        assert answer[9:10] == b"4"


def test_a_body_that_is_too_large_is_told_so_though_the_client_still_sends(address: str) -> None:
    refused = httpx.post(f"{address}/v1/tag", files={"images": bytes(66_000_000)}, timeout=30)
    assert refused.status_code == 413


def test_the_server_says_nothing_of_itself(address: str) -> None:
    assert "server" not in httpx.get(f"{address}/healthz").headers


def test_a_port_that_is_taken_is_told(address: str) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(InputError, match=f"port {port} of 127.0.0.1 is taken"):
        bound_socket("127.0.0.1", port)


@pytest.mark.parametrize("host", ["203.0.113.1", "no-such-host.invalid"])
def test_an_address_that_is_not_this_machine_s_is_told(host: str) -> None:
    with pytest.raises(InputError, match=r"Give another|no address of this machine"):
        bound_socket(host, 0)


def test_sigterm_finishes_what_is_under_way_and_ends_well(finished: Path, photographs: list[Path]) -> None:
    program = (
        "import sys, pathlib, labelbeam.cli.serve as verb; verb.serve(pathlib.Path(sys.argv[1]), port=0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(finished)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = "http://" + line.split("http://")[1].split("/")[0]
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{address}/readyz").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        request = httpx.Request("POST", f"{address}/v1/tag", files={"images": photographs[0].read_bytes()})
        body = request.read()
        request.headers["expect"] = "100-continue"
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        with connected(address) as connection:
            connection.sendall(f"POST /v1/tag HTTP/1.1\r\n{head}\r\n".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 100"), "it does not wait for the body"
            connection.sendall(body[:50])
            process.send_signal(signal.SIGTERM)
            while time.monotonic() < deadline:
                try:
                    connected(address).close()
                except ConnectionRefusedError:
                    break
                time.sleep(0.02)
            else:
                pytest.fail("it takes new connections")
            connection.sendall(body[50:])
            answer = b"".join(iter(lambda: connection.recv(100_000), b""))
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert b'"predictions"' in answer
        assert process.wait(timeout=120) == 0
    finally:
        process.kill()
        process.communicate()
