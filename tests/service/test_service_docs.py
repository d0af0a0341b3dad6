"""docs/service.md, examples/client.py and the Containerfile: what they say works, and is so."""

import importlib.util
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import httpx
import pytest

from labelbeam.cli.serve import serve
from labelbeam.service.admission import Limits

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
CURL = [
    line.strip() for line in PAGE.splitlines() if line.startswith("    curl ") and "192.0.2.7" not in line
]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("line", CURL)
def test_every_curl_line_is_answered(
    line: str, address: str, photographs: list[Path], tmp_path: Path
) -> None:
    picture = photographs[0].read_bytes()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(picture)
    tagged = httpx.post(f"{address}/v1/tag", files={"images": picture}).json()["predictions"][0]
    line = line.replace("http://127.0.0.1:8000", address).replace("2f6ab9…", tagged["vector"])
    line = line.replace("sheep", "cow").replace("dog", "sky")
    done = subprocess.run(
        [*shlex.split(line), "--silent", "--fail-with-body"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert {"predictions", "suggestions", "labels", "neighbors"} & set(told)
    if "threshold=0.3" in line:
        (one,) = told["predictions"]
        assert [label["label"] for label in one["labels"]] == [
            name for name, score in sorted(one["scores"].items(), key=lambda row: -row[1]) if score >= 0.3
        ]


def test_the_client_tags_and_suggests(address: str, photographs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "examples" / "client.py"),
            address,
            str(photographs[0]),
            str(tmp_path / "c.jpg"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    first, click, broken = done.stdout.splitlines()
    assert first.startswith(f"{photographs[0].name}: ")
    assert re.fullmatch(r"  once '.*' is accepted: .* 0\.\d\d", click)
    assert "c.jpg: not an image" in broken


def test_the_client_s_lines_of_the_page_work(address: str, photographs: list[Path]) -> None:
    spec = importlib.util.spec_from_file_location("client", ROOT / "examples" / "client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    block = re.search(r"^    client = Client.*?\n\n", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert block is not None
    lines = [line.strip() for line in block[0].strip().splitlines()]
    lines = [line.replace("sheep", "cow").replace("dog", "sky") for line in lines]
    names = {"Client": lambda _: module.Client(address), "Path": lambda _: photographs[0]}
    exec("\n".join(lines[:-1]), names)
    assert len(eval(lines[-1], names)) == 5


def test_the_table_of_limits_is_the_defaults() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, flags=re.MULTILINE))
    assert told == {one.name: str(one.default) for one in fields(Limits)}


def test_the_container_runs_without_root_and_its_options_are_the_command_s() -> None:
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    last = lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]
    kinds = [line.split(" ", 1)[0] for line in last]
    user = next(line for line in last if line.startswith("USER "))
    assert re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", user)
    assert kinds.index("USER") < kinds.index("ENTRYPOINT")
    assert not {"RUN", "ADD"} & set(kinds[kinds.index("USER") :])
    entry = json.loads(last[kinds.index("ENTRYPOINT")].split(" ", 1)[1])
    parameters = inspect.signature(serve).parameters
    options = [word for word in entry if word.startswith("--")]
    assert options
    assert {word[2:].replace("-", "_") for word in options} <= set(parameters)
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line
