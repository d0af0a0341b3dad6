"""Fixtures of the service's tests: a trained run, the application around it, a client."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parent.parent))

from labelbeam.predict.answers import Answers
from labelbeam.predict.decision import Decision
from labelbeam.project.project_file import temporary_project
from labelbeam.runs.build import build_answerer
from labelbeam.runs.choices import with_promises
from labelbeam.runs.run_directory import load_run
from labelbeam.runs.tagger import Tagger
from labelbeam.service.admission import Limits
from labelbeam.service.answering import UploadEncoder
from labelbeam.service.server import LOOPBACK, bound_socket, create_app, web_server
from labelbeam.service.uploads import Upload
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


@pytest.fixture
def promising(finished: Path, photographs: list[Path]) -> Tagger:  # noqa: F811
    """A tagger that promises images which nobody looks at: of its calibration images every set was right."""
    run = load_run(finished)
    features = np.random.default_rng(0).normal(size=(80, run.encoder.num_features)).astype(np.float16)
    truth = build_answerer(run.head, run.config).answer(features.astype(np.float32)).path_sets()
    run = with_promises(run, features.astype(np.float32), truth.astype(np.int8), data="made up")
    usual = [replace(one, fits=np.full(len(one), 0.5)) for one in (run.promises.sample, run.promises.guide)]
    run = replace(run, promises=replace(run.promises, sample=usual[0], guide=usual[1]))
    tagger = Tagger(run, decision=Decision(unseen=0.8))
    answer = tagger.answer

    def answered(values: np.ndarray) -> Answers:
        """Answer as if only the first picture were odd."""
        odd = np.isclose(np.asarray(values, dtype=np.float32), tagger.odd, atol=1e-3).all(axis=1)
        return replace(answer(values), fits=np.where(odd, 0.01, 0.5))

    picture = read_features(tagger, photographs[0])
    tagger.odd, tagger.answer = picture, answered  # type: ignore[attr-defined,method-assign]
    return tagger


def read_features(tagger: Tagger, file: Path) -> np.ndarray:
    """The features of a picture as the service computes them."""
    encoder = UploadEncoder(tagger.run.encoder, Limits(), device="cpu")
    return np.asarray(encoder([Upload(file.name, file.read_bytes())])[0], dtype=np.float32)
