"""The service against the offline tagger, under load and overload: `python benchmarks/service.py [--encoder vgg16]`.

Runs `labelbeam serve` in a process of its own and asks it over loopback:

- processor seconds per image of `POST /v1/tag`, one image per request from several clients, against `Tagger.tag` on
  the same photographs in another process; interleaved rounds, medians. The target is a ratio of at most 1.15.
- milliseconds of `POST /v1/suggest` for a stored vector, alone and while others tag; the target is a median below 20.
- memory of the process (resident set) while it is asked for some minutes with ever new images.
- slow: clients that never end their head or their body, and bodies without end, beside one that clicks; when each is
  cut off, and how long the clicks took meanwhile.
- overload: far more clients than the service takes; what is not answered must say when to come again.

The encoder has random weights (speed does not depend on them), the head is trained on a few drawn scenes. Needs the
photographs of $LABELBEAM_DATA. Takes about --seconds and four minutes more on 2 cores.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from features import ROOT, commit

CLIENTS = 32
OVERLOADED = 96
SERVE = """
import pathlib, sys
from labelbeam.cli.serve import serve
serve(pathlib.Path(sys.argv[1]), port=0, limit=sys.argv[2:])
"""
OFFLINE = """
import json, sys, time
from labelbeam.runs.tagger import Tagger
tagger = Tagger.load(sys.argv[1])
list(tagger.tag(sys.argv[2:4]))
begun, wall = time.process_time(), time.perf_counter()
count = sum(1 for _ in tagger.tag(sys.argv[2:]))
print(json.dumps([(time.process_time() - begun) / count, (time.perf_counter() - wall) / count]))
"""


def make_run(folder: Path, encoder_name: str) -> Path:
    """Train a head on 48 drawn scenes' features by an encoder with random weights."""
    sys.path.insert(0, str(ROOT / "examples"))
    from own_csv import draw_pictures  # type: ignore[import-not-found]

    from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
    from labelbeam.encoders.image_encoder import save_encoder

    draw_pictures(folder, 60)
    options: dict[str, Any] = {"tiny": {"width": 32}}.get(encoder_name, {"pretrained": False})
    weights = save_encoder(build_encoder(EncoderConfig(encoder_name, **options)), folder / "e.safetensors")
    train = [sys.executable, "-m", "labelbeam", "train", "--data", f"csv:{folder / 'tags.csv'}"]
    train += ["--weights", str(weights), "--epochs", "4", "--out", str(folder / "run")]
    subprocess.run(train, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return folder / "run"


class Service:
    """A running service."""

    def __init__(self, address: str, pid: int) -> None:
        self.address, self.pid = address, pid

    def processor_seconds(self) -> float:
        """Return what it has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self) -> float:
        """Return its resident set."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def serving(run: Path, *limits: str) -> Iterator[Service]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(run), *limits], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "http://" in line)
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield Service("http://" + line.split("http://")[1].split("/")[0], process.pid)
    finally:
        process.terminate()
        process.wait()


def tag_all(service: Service, contents: list[bytes], clients: int) -> None:
    with httpx.Client(base_url=service.address, timeout=600) as client, ThreadPoolExecutor(clients) as pool:

        def tag(content: bytes) -> None:
            answer = client.post("/v1/tag", files={"images": content})
            assert answer.status_code == 200, answer.text
            assert "labels" in answer.json()["predictions"][0], answer.text

        list(pool.map(tag, contents))


def cost(run: Path, paths: list[Path], rounds: int) -> dict[str, Any]:
    """Compare processor seconds per image."""
    contents = [path.read_bytes() for path in paths]
    taken: dict[str, list[float]] = {"offline": [], "service": []}
    with serving(run, "vector_bytes=1") as service:
        tag_all(service, contents, CLIENTS)
        for _ in range(rounds):
            done = subprocess.run(
                [sys.executable, "-c", OFFLINE, str(run), *map(str, paths)],
                check=True,
                capture_output=True,
                text=True,
            )
            taken["offline"].append(json.loads(done.stdout)[0])
            before = service.processor_seconds()
            tag_all(service, contents, CLIENTS)
            taken["service"].append((service.processor_seconds() - before) / len(contents))
    middle = {name: median(values) for name, values in taken.items()}
    return {**middle, "ratio": middle["service"] / middle["offline"], "target": 1.15, "rounds": taken}


def clicks(service: Service, vector: str, count: int) -> dict[str, float]:
    milliseconds: list[float] = []
    before = service.processor_seconds()
    with httpx.Client(base_url=service.address, timeout=60) as client:
        *labels, last = [row["label"] for row in client.get("/v1/labels").json()["labels"]]
        for i in range(count):
            question = {"vector": vector, "accepted": labels[i % 5 : i % 5 + i % 3], "rejected": [last]}
            begun = time.perf_counter()
            answer = client.post("/v1/suggest", json=question)
            milliseconds.append(1e3 * (time.perf_counter() - begun))
            assert answer.status_code == 200, answer.text
    cuts = quantiles(milliseconds[5:], n=20)
    spent = 1e3 * (service.processor_seconds() - before) / count
    return {
        "median": round(median(milliseconds[5:]), 1),
        "p95": round(cuts[18], 1),
        "processor": round(spent, 1),  # of whatever the service did meanwhile
    }


def latency(run: Path, paths: list[Path]) -> dict[str, Any]:
    """Measure clicks alone and beside clients that tag."""
    contents = [path.read_bytes() for path in paths]
    with serving(run, "vector_bytes=100000") as service:
        with httpx.Client(base_url=service.address, timeout=600) as client:
            answer = client.post("/v1/tag", files={"images": contents[0]})
            (tagged,) = answer.json()["predictions"]
        told: dict[str, Any] = {"alone": clicks(service, tagged["vector"], 105)}
        tagging = threading.Thread(target=tag_all, args=(service, contents, 4))
        tagging.start()
        told["while 4 clients tag"] = clicks(service, tagged["vector"], 55)
        tagging.join()
    return told | {"target": "median below 20 alone"}


def new_images(content: bytes) -> Iterator[bytes]:
    """Yield ever new files with the same picture: a comment behind its end is nobody's pixels."""
    number = 0
    while True:
        number += 1
        yield content + number.to_bytes(8, "big")


def memory(run: Path, paths: list[Path], seconds: float) -> dict[str, Any]:
    """Ask with new images, clicks and rubbish for some minutes; report the resident set, tenth by tenth."""
    streams = [new_images(path.read_bytes()) for path in paths]
    sizes: list[float] = []
    asked = 0
    with (
        serving(run, "vector_bytes=1000000") as service,
        httpx.Client(base_url=service.address, timeout=60) as client,
    ):
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < seconds:
            content = next(streams[asked % len(streams)])
            tagged = client.post("/v1/tag?all_scores=true", files={"images": content}).json()["predictions"][
                0
            ]
            client.post("/v1/suggest", json={"vector": tagged["vector"]})
            client.post("/v1/tag", files={"images": content[:500]})
            client.post("/v1/suggest", content=content[:500])
            asked += 1
            if len(sizes) < 1 + int(10 * now / seconds):
                sizes.append(round(service.megabytes(), 1))
        sizes.append(round(service.megabytes(), 1))
    return {"megabytes": sizes, "images": asked, "growth_of_the_second_half": round(sizes[-1] - sizes[5], 1)}


def overload(run: Path, paths: list[Path]) -> dict[str, Any]:
    """Ask with far more clients than are served."""
    content = paths[0].read_bytes()
    statuses: Counter[int] = Counter()
    without_advice = 0
    with serving(run, "waiting_images=8", "requests=32") as service:
        limits = httpx.Limits(max_connections=OVERLOADED)
        with httpx.Client(base_url=service.address, timeout=600, limits=limits) as client:
            lock, stream = threading.Lock(), new_images(content)

            def ask(_: int) -> None:
                nonlocal without_advice
                with lock:
                    own = next(stream)
                answer = client.post("/v1/tag", files={"images": own})
                with lock:
                    statuses[answer.status_code] += 1
                    without_advice += answer.status_code != 200 and "retry-after" not in answer.headers

            with ThreadPoolExecutor(OVERLOADED) as pool:
                list(pool.map(ask, range(4 * OVERLOADED)))
            ready = client.get("/readyz").status_code
    return {
        "statuses": dict(statuses),
        "refused_without_retry_after": without_advice,
        "ready_afterwards": ready,
    }


def slow(run: Path, paths: list[Path]) -> dict[str, Any]:
    """Let slow and endless clients come, more than there are places, and click meanwhile."""
    ends: dict[str, list[tuple[float, str]]] = {"head": [], "body": [], "endless": []}
    with serving(run, "receive_seconds=20") as service:
        with httpx.Client(base_url=service.address, timeout=600) as client:
            (tagged,) = client.post("/v1/tag", files={"images": paths[0].read_bytes()}).json()["predictions"]
        host, _, port = service.address.removeprefix("http://").partition(":")
        asked = f"POST /v1/tag HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        part = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'

        def come(kind: str) -> None:
            begun, said = time.monotonic(), b""
            with socket.create_connection((host, int(port)), timeout=0.5) as connection:
                connection.sendall(asked.encode())
                if kind == "body":
                    connection.sendall(b"Content-Length: 1000000\r\n\r\n" + part)
                elif kind == "endless":
                    size = f"{len(part):x}\r\n".encode()
                    connection.sendall(b"Transfer-Encoding: chunked\r\n\r\n" + size + part + b"\r\n")
                while time.monotonic() - begun < 60:
                    try:
                        connection.sendall(
                            b"10000\r\n" + bytes(0x10000) + b"\r\n" if kind == "endless" else b"x"
                        )
                        if kind == "endless":
                            connection.settimeout(0.001)
                        said = connection.recv(1000)
                        break
                    except TimeoutError:
                        connection.settimeout(0.5)
                    except OSError:
                        break
            ends[kind].append((time.monotonic() - begun, said[9:12].decode() or "closed"))

        kinds = ["head"] * 100 + ["body"] * 100 + ["endless"] * 3
        with ThreadPoolExecutor(len(kinds)) as pool:
            coming = [pool.submit(come, kind) for kind in kinds]
            time.sleep(2)
            told: dict[str, Any] = {"clicks meanwhile": clicks(service, tagged["vector"], 55)}
            for one in coming:
                one.result()
    for kind, ended in ends.items():
        seconds = [round(one, 1) for one, _ in ended]
        told[kind] = {
            "clients": len(ended),
            "told": dict(Counter(said for _, said in ended)),
            "cut_off_after_seconds": [min(seconds), max(seconds)],
        }
    return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("LABELBEAM_DATA", ROOT.parent / "shared/data")
    )
    parser.add_argument("--encoder", default="resnet50", help="resnet50, vgg16 or another of timm's")
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the memory measurement")
    parser.add_argument("--only", choices=("cost", "latency", "slow", "memory", "overload"), help="one part")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    paths = sorted((options.data / "VOCdevkit/VOC2007/JPEGImages").glob("*.jpg"))[: options.images]
    told: dict[str, Any] = {"encoder": options.encoder, "images": len(paths), "commit": commit()}
    with tempfile.TemporaryDirectory() as large, tempfile.TemporaryDirectory() as small:
        run = make_run(Path(large), options.encoder)
        light = make_run(Path(small), "tiny")
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "cost": lambda: cost(run, paths, options.rounds),
            "latency": lambda: latency(run, paths),
            "slow": lambda: slow(light, paths),
            "memory": lambda: memory(light, paths, options.seconds),
            "overload": lambda: overload(light, paths),
        }
        for name, part in parts.items():
            if options.only in (None, name):
                told[name] = part()
                print(json.dumps({name: told[name]}), flush=True)
    told["cores"], told["load_average"] = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    text = json.dumps(told, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
