"""Does what `Containerfile.onnx` says work, without a container: `python benchmarks/containerfile.py EXPORTED PHOTO`.

Its COPY, RUN, ENV and ENTRYPOINT lines are carried out one after another in a temporary folder that stands for the
container's root: the files that are copied, a fresh virtual environment, the service over an exported run with the
container's environment and nothing else of this one. Then the service is asked for a photograph's labels. What only an
engine can show stays unshown: the base image, the user, the read-only file system.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent
KEY = "a-key-for-this-check-alone"


def lines_of(containerfile: Path) -> list[tuple[str, str]]:
    """Return instructions with their arguments, lines that go on joined."""
    text = re.sub(r"\\\n\s*", " ", containerfile.read_text(encoding="utf-8"))
    found = (line.partition(" ") for line in text.splitlines() if line and not line.startswith("#"))
    return [(name, rest.strip()) for name, _, rest in found if name.isupper()]


def build(lines: list[tuple[str, str]], root: Path) -> tuple[list[str], dict[str, str]]:
    """Carry out what makes the container; return its command and its environment."""
    source, command, environment = root / "source", [], {}
    source.mkdir()
    for name, rest in lines:
        if name == "COPY" and not rest.startswith("--from"):
            *files, target = rest.split()
            for file in files:
                place = source / target if len(files) == 1 else source / target / file
                copy = shutil.copytree if (ROOT / file).is_dir() else shutil.copyfile
                copy(ROOT / file, place)
        elif name == "RUN":
            words = rest.replace("python -m venv", f"{sys.executable} -m venv").replace(
                "/opt/labelbeam", str(root / "venv")
            )
            print(f"$ {words}", flush=True)
            subprocess.run(words, shell=True, check=True, cwd=source, stdout=subprocess.DEVNULL)
        elif name == "ENV":
            environment |= dict(pair.split("=", 1) for pair in rest.split())
        elif name == "ENTRYPOINT":
            command = json.loads(rest)
    place = {"/opt/labelbeam": str(root / "venv"), "/tmp": str(root), "$PATH": "/usr/bin:/bin"}
    for old, new in place.items():
        environment = {name: value.replace(old, new) for name, value in environment.items()}
    return command, environment


def ask(address: str, *, photo: bytes = b"") -> bytes:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'
        + photo
        + b"\r\n--x--\r\n"
    )
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "multipart/form-data; boundary=x"}
    request = urllib.request.Request(address, form if photo else None, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("exported", type=Path, help="what labelbeam export --to onnx wrote")
    parser.add_argument("photo", type=Path)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        command, environment = build(lines_of(ROOT / "Containerfile.onnx"), root)
        python = root / "venv" / "bin" / "python"
        torch = "import importlib.util as u; print([n for n in ('torch', 'timm', 'torchvision') if u.find_spec(n)])"
        there = subprocess.run(
            [python, "-c", torch], capture_output=True, text=True, check=True
        ).stdout.strip()
        size = sum(file.stat().st_size for file in (root / "venv").rglob("*") if file.is_file())
        print(f"of PyTorch there is {there}; the environment takes {size / 1e6:,.0f} MB")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [str(asked.exported.resolve()) if word == "/srv/run" else word for word in command]
        command[0] = str(root / "venv" / "bin" / command[0])
        environment |= {"LABELBEAM_API_KEY": KEY, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
        start = time.perf_counter()
        service = subprocess.Popen([*command, "--port", str(port)], env=environment, cwd=root)
        try:
            while True:
                try:
                    ask(f"http://127.0.0.1:{port}/healthz")
                    break
                except urllib.error.URLError:
                    if service.poll() is not None or time.perf_counter() - start > 120:
                        raise SystemExit("the service did not start") from None
                    time.sleep(0.1)
            print(f"healthy after {time.perf_counter() - start:.1f} s")
            print(ask(f"http://127.0.0.1:{port}/v1/tag", photo=asked.photo.read_bytes()).decode())
        finally:
            service.terminate()
            print(f"ended with status {service.wait(30)}")


if __name__ == "__main__":
    main()
