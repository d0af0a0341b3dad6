"""Every fenced block of README.md and docs/*.md runs, section by section, in the order in which it stands.

A section (second-level heading) is one test: its blocks share a temporary folder that holds `photos/` and
`tags.csv`, drawn by examples/own_csv.py. Two kinds of line are looked at instead of run, because they set up
what is running here or take minutes: `make TARGET` and `pip`. What fetches an encoder must say, without a
network, what the page says it does, and is then run with an encoder that needs none.
"""

import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "research").glob("*.md")),
]
RUNNABLE = ("bash", "console", "python")
SHOWN = ("csv", "text", "json")
"""Kinds of block that hold no command; csv is read all the same."""
FETCHED, STAND_IN = "--encoder dinov2", "--encoder tiny --finetune --size 32 --epochs 2"
TIMEOUT = 600  # seconds of one block: the first to need features computes them, on a slow machine


@dataclass(frozen=True)
class Block:
    language: str
    text: str


@dataclass(frozen=True)
class Section:
    page: Path
    heading: str
    blocks: tuple[Block, ...]


def sections_of(page: Path, text: str) -> list[Section]:
    """Return the sections of a page that have fenced blocks."""
    found = []
    for part in re.split(r"^(?=## )", text, flags=re.MULTILINE):
        heading = part.split("\n", 1)[0].lstrip("# ").strip()
        fences = re.findall(r"^```(\w*)\n(.*?)^```$", part, flags=re.MULTILINE | re.DOTALL)
        if blocks := tuple(Block(language, body) for language, body in fences):
            found.append(Section(page, heading, blocks))
    return found


SECTIONS = [section for page in PAGES for section in sections_of(page, page.read_text(encoding="utf-8"))]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The variables of a user's shell with the project's environment active, one thread, and no network."""
    changed = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "LABELBEAM_CACHE": str(tmp_path_factory.mktemp("cache")),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(tmp_path_factory.mktemp("hub")),  # nothing fetched earlier may help
    }
    return {**os.environ, **changed}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: f"{one.page.name}: {one.heading}")
def test_every_block_of_a_section_runs(
    section: Section, environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    runpy.run_path(str(ROOT / "examples" / "own_csv.py"))["draw_pictures"](tmp_path, 60)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for block in section.blocks:
        if "LABELBEAM_DATA" in block.text:
            folder = request.getfixturevalue("labelbeam_data")  # skips, with the reason, where there is none
            environment = {**environment, "LABELBEAM_DATA": str(folder)}
        try_block(block, environment, tmp_path)


def try_block(block: Block, environment: dict[str, str], folder: Path) -> None:
    """Run a block or look at it; an unknown kind of block fails."""
    assert block.language in RUNNABLE + SHOWN, (
        f"a block of kind {block.language!r} says nothing that is tested"
    )
    if block.language == "csv":
        from labelbeam.data.dataset import ReadOptions
        from labelbeam.formats.registry import open_dataset

        (folder / "shown.csv").write_text(block.text, encoding="utf-8")
        open_dataset(f"csv:{folder / 'shown.csv'}", options=ReadOptions(missing="keep"))
    elif block.language == "python":
        # Doctests are run where their page says; see test_docs.py.
        if not block.text.startswith(">>>"):
            run([sys.executable, "-c", block.text], environment, folder)
    elif block.language == "console":
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, flags=re.MULTILINE):
            assert run(["bash", "-c", command], environment, folder).stdout == shown, command
    elif block.language == "bash":
        whole = block.text.replace("\\\n", " ").splitlines()
        lines = [line for line in whole if not is_setup(line)]
        if FETCHED in block.text:
            first = next(line for line in lines if FETCHED in line)
            refused = run(["bash", "-c", first], environment, folder, status=2)
            assert "--weights FILE" in refused.stderr
        script = "\n".join(lines).replace(FETCHED, STAND_IN)
        run(["bash", "-euo", "pipefail", "-c", script], environment, folder)


def run(
    command: list[str], environment: dict[str, str], folder: Path, *, status: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command and require its exit status."""
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == status, f"{command[-1]}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done


def is_setup(line: str) -> bool:
    """Tell whether a line sets the project up; such a line must name what is there."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["make"]:
        subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, check=True, capture_output=True)
        return True
    if "pip" not in " ".join(words[:3]) and "venv" not in words:
        return False
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for flag, value in pairwise(words):
        if flag == "-c":
            assert (ROOT / value).is_file(), line
        if flag == "-e":
            named = re.fullmatch(r"\.(?:\[(.*)\])?", value)
            assert named, line
            assert set((named[1] or "").split(",")) <= {*extras, ""}, line
    return True


def test_the_readme_s_sections_are_found() -> None:
    headings = [section.heading for section in SECTIONS if section.page.name == "README.md"]
    assert {"Start", "Your own photographs"} <= set(headings)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (Block("bash", "labelbeam tag runs/nowhere .\n"), "not a run directory"),
        (Block("bash", "false | true\n"), "false | true"),
        (Block("console", "$ echo 1\n2\n"), "echo 1"),
        (Block("python", "import labelbeam.nothing\n"), "ModuleNotFoundError"),
        (Block("csv", "picture,size\na.jpg,3\n"), "picture"),
        (Block("sh", "true\n"), "kind 'sh'"),
        (Block("bash", "pip install -c nothing.txt -e .\n"), "nothing.txt"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_false_block_is_found(
    block: Block, words: str, environment: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises((AssertionError, ValueError), match=re.escape(words)):
        try_block(block, environment, tmp_path)


def test_a_target_that_the_makefile_lacks_is_found() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        is_setup("make coffee")
