"""Fixtures of the service's tests: a trained run, the application around it, a client."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent.parent))

from labelbeam.project.project_file import temporary_project
from labelbeam.runs.tagger import Tagger
from labelbeam.service.server import LOOPBACK, bound_socket, create_app, web_server
from tiny_runs import (  # noqa: F401
    _cache,
    command,
    copied,
    drawn,
    encoder_file,
    finished,
    own_cache,
    train,
)

HERE = "http://127.0.0.1:8000"


@pytest.fixture(scope="session")
def tagger(finished: Path) -> Tagger:  # noqa: F811
    """The finished run's tagger, shared by all services of the session: one at a time."""
    return Tagger.load(finished)


@pytest.fixture
def client_of(tagger: Tagger) -> Iterator[Callable[..., TestClient]]:
    """Make a client of a service with some options; it ends with the test."""
    clients = []

    def make(*, tagger: Tagger = tagger, raising: bool = True, **options: object) -> TestClient:
        app = create_app(tagger, **options)  # type: ignore[arg-type]
        client = TestClient(app, base_url=HERE, raise_server_exceptions=raising)
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(client_of: Callable[..., TestClient]) -> TestClient:
    """A client of a service as it is without options."""
    return client_of()


@pytest.fixture(scope="session")
def photographs(drawn: Path) -> list[Path]:  # noqa: F811
    """The drawn pictures' files."""
    return sorted(path for path in drawn.iterdir() if path.suffix != ".csv")


@pytest.fixture(scope="session")
def address(tagger: Tagger) -> Iterator[str]:
    """The address of a real server with a page, in a thread of this process."""
    with temporary_project() as project, bound_socket("127.0.0.1", 0) as listening:
        app = create_app(tagger, hosts=LOOPBACK, project=project, saved=False)
        server = web_server(app, drain_seconds=5.0, log="warning")
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()
