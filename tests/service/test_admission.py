"""Limits of bytes, time and number, on an application that does nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from labelbeam.service import admission
from labelbeam.service.admission import Admission, Limits, Refusal

SMALL = Limits(body_bytes=1000, requests=2, held_bytes=1500)
QUICK = replace(SMALL, receive_seconds=0.3, answer_seconds=0.3)
"""Where a limit of time is what is asked; elsewhere a busy machine would be refused."""


async def counting(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the number of bytes; a refusal as the framework does."""
    size, more = 0, True
    try:
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        status, body = 200, str(size).encode()
    except Refusal as refused:
        status, body = refused.status, refused.reason.encode()
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def sleeping(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(60)


async def until(done: Callable[[], bool]) -> None:
    """Let the others go on until something is so."""
    async with asyncio.timeout(60):
        while not done():
            await asyncio.sleep(0.001)


def client(app: object, limits: Limits = SMALL) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Admission(app, limits))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://a")


def test_a_body_within_the_limit_arrives_and_a_larger_one_is_refused_at_its_head() -> None:
    async def ask() -> None:
        async with client(counting) as one:
            assert (await one.post("/", content=b"a" * 1000)).text == "1000"
            refused = await one.post("/", content=b"a" * 1001)
            assert refused.status_code == 413
            assert "1,000 bytes" in refused.json()["error"]
            assert refused.headers["connection"] == "close"
            assert (await one.get("/")).text == "0"

    asyncio.run(ask())


def test_an_endless_stream_ends_at_the_limit() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000_000):
            sent += 100
            yield b"a" * 100

    async def ask() -> None:
        async with client(counting) as one:
            assert (await one.post("/", content=endless())).status_code == 413

    asyncio.run(ask())
    assert sent < 10_000_000


def test_a_client_that_sends_too_slowly_is_given_up() -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(1000):
            yield b"a"
            await asyncio.sleep(0.05)

    async def ask() -> None:
        async with client(counting, QUICK) as one:
            refused = await one.post("/", content=slow())
            assert refused.status_code == 408
            assert "0.3 s" in refused.json()["error"]

    asyncio.run(ask())


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    async def ask() -> None:
        async with client(sleeping, QUICK) as one:
            refused = await one.get("/")
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) >= 1

    asyncio.run(ask())


def test_more_requests_than_allowed_are_told_to_come_again_and_health_still_answers() -> None:
    here, gate = [], asyncio.Event()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            here.append(scope)
            await gate.wait()
        await counting(scope, receive, send)

    async def ask() -> None:
        async with client(waiting) as one:
            busy = [asyncio.create_task(one.get("/slow")) for _ in range(2)]
            await until(lambda: len(here) == 2)
            refused = await one.get("/slow")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert (await one.get("/healthz")).status_code == 200
            gate.set()
            assert [(await task).status_code for task in busy] == [200, 200]
            assert (await one.get("/slow")).status_code == 200

    asyncio.run(ask())


def test_bodies_together_stay_below_what_may_be_held() -> None:
    answering, gate = asyncio.Event(), asyncio.Event()

    async def slow_reader(scope: Scope, receive: Receive, send: Send) -> None:
        await counting(scope, receive, lambda message: late(message, send))

    async def late(message: Message, send: Send) -> None:
        answering.set()
        await gate.wait()
        await send(message)

    async def ask() -> None:
        async with client(slow_reader, replace(SMALL, requests=100)) as one:
            first = asyncio.create_task(one.post("/", content=b"a" * 1000))
            await answering.wait()
            assert (await one.post("/", content=b"a" * 1000)).status_code == 503
            gate.set()
            assert (await first).text == "1000"
            assert (await one.post("/", content=b"a" * 1000)).text == "1000"

    asyncio.run(ask())


def test_work_for_a_client_that_has_gone_is_dropped() -> None:
    dropped = asyncio.Event()

    async def working(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            dropped.set()
            raise

    async def ask() -> None:
        messages = [{"type": "http.request", "body": b"a"}, {"type": "http.disconnect"}]

        async def receive() -> Message:
            await asyncio.sleep(0.01)
            return messages.pop(0)

        async def send(message: Message) -> None:
            raise AssertionError("nobody is there")

        scope = {"type": "http", "path": "/", "headers": [(b"content-length", b"1")]}
        await Admission(working, SMALL)(scope, receive, send)
        assert dropped.is_set()

    asyncio.run(ask())


def test_a_client_that_does_not_take_its_answer_is_given_up() -> None:
    async def ask() -> None:
        async def receive() -> Message:
            await asyncio.sleep(60)
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body":
                await asyncio.sleep(60)

        with pytest.raises(TimeoutError):
            await Admission(counting, QUICK)({"type": "http", "path": "/", "headers": []}, receive, send)

    asyncio.run(ask())


def test_what_is_no_request_passes() -> None:
    seen = []

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    asyncio.run(Admission(noting, QUICK)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]


def test_clients_that_stand_still_take_no_place_and_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "PACE_SECONDS", 1.0)

    sent = []

    async def halting() -> AsyncIterator[bytes]:
        yield b"a"
        sent.append("a")
        await asyncio.sleep(60)

    async def ask() -> None:
        async with client(counting) as one:
            halted = [asyncio.create_task(one.post("/", content=halting())) for _ in range(10)]
            await until(lambda: len(sent) == 10)
            assert (await one.post("/", content=b"aa")).text == "2"
            assert [(await refused).status_code for refused in halted] == [408] * 10

    asyncio.run(ask())


def test_a_body_that_arrives_when_all_places_are_taken_is_told_to_come_again() -> None:
    arrived, gate, here = asyncio.Event(), asyncio.Event(), []

    async def late() -> AsyncIterator[bytes]:
        yield b"a"
        await arrived.wait()
        yield b"b"

    async def hiding(scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, or read the body and make another status of a refusal, as the framework does for JSON."""
        here.append(scope)
        if scope["method"] == "GET":
            await gate.wait()
        try:
            while scope["method"] == "POST" and (await receive()).get("more_body"):
                pass
            status = 200
        except Refusal:
            status = 400
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ask() -> None:
        async with client(hiding) as one:
            posted = asyncio.create_task(one.post("/", content=late()))
            busy = [asyncio.create_task(one.get("/")) for _ in range(2)]
            await until(lambda: len(here) == 3)
            arrived.set()
            refused = await posted
            gate.set()
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert [(await answer).status_code for answer in busy] == [200, 200]

    asyncio.run(ask())
