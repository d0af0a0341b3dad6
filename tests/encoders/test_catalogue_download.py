import hashlib
import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from labelbeam.encoders import catalogue
from labelbeam.encoders import networks as vgg16
from labelbeam.encoders.catalogue import download
from labelbeam.errors import InputError


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, with ranges; breaks off after `limit` bytes where told to."""

    limit: int | None = None
    asked: list[str | None] = []  # noqa: RUF012

    def do_GET(self) -> None:
        path = Path(self.directory) / self.path[1:]
        Server.asked.append(self.headers.get("Range"))
        if not path.exists():
            self.send_error(404)
            return
        body = path.read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = len(body) if Server.limit is None else start + Server.limit
        self.wfile.write(body[start:end])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    (tmp_path / "www").mkdir()
    Server.limit, Server.asked = None, []
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Server, directory=str(tmp_path / "www"))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield tmp_path / "www", f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_interrupted_download_goes_on_where_it_stopped(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    body = bytes(range(256)) * 50
    (folder / "w.pth").write_bytes(body)
    prefix = hashlib.sha256(body).hexdigest()[:8]
    Server.limit = 5000
    for _ in range(2):
        with pytest.raises(InputError, match=r"bytes are missing|broke off"):
            download(f"{url}/w.pth", tmp_path / "cache", sha256_prefix=prefix)
    Server.limit = None
    path = download(f"{url}/w.pth", tmp_path / "cache", sha256_prefix=prefix)
    assert path.read_bytes() == body
    assert Server.asked == [None, "bytes=5000-", "bytes=10000-"]
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["w.pth"]
    download(f"{url}/w.pth", tmp_path / "cache", sha256_prefix=prefix)
    assert len(Server.asked) == 3


def test_other_content_than_published_is_thrown_away(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = served
    (folder / "w.pth").write_bytes(b"an error page")
    with pytest.raises(InputError, match="other content than published"):
        download(f"{url}/w.pth", tmp_path / "cache", sha256_prefix="397923af")
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_network_and_a_refusal_say_how_to_give_weights(served: tuple[Path, str], tmp_path: Path) -> None:
    _, url = served
    with pytest.raises(InputError, match=r"answered 404.*--weights FILE"):
        download(f"{url}/absent.pth", tmp_path, sha256_prefix="00")
    with pytest.raises(InputError, match=r"no network.*--weights FILE"):
        download("http://127.0.0.1:9/w.pth", tmp_path, sha256_prefix="00")


def test_a_folder_that_cannot_be_written_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="LABELBEAM_CACHE"):
        download("http://127.0.0.1:9/w.pth", tmp_path / "file" / "cache", sha256_prefix="00")


def test_vgg16_fetches_checks_and_converts_its_published_file(
    served: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = served
    torch.manual_seed(0)
    state = vgg16.Vgg16(1).state_dict()
    torch.save(
        state | {"classifier.6.weight": torch.zeros(10, 64), "classifier.6.bias": torch.zeros(10)},
        folder / "v.pth",
    )
    prefix = hashlib.sha256((folder / "v.pth").read_bytes()).hexdigest()[:8]
    monkeypatch.setenv("LABELBEAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vgg16, "WEIGHTS_URL", f"{url}/v.pth")
    monkeypatch.setattr(vgg16, "WEIGHTS_SHA256_PREFIX", prefix)
    encoder = catalogue.build_encoder(catalogue.EncoderConfig("vgg16", width=1))
    assert encoder.preprocess.mean == (0.485, 0.456, 0.406)
    assert torch.equal(encoder.module.state_dict()["classifier.3.bias"], state["classifier.3.bias"])
