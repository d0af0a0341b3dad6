"""What the pages say of the code is so: folders, options and their defaults, links, versions."""

import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import labelbeam
from labelbeam.errors import InputError
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import order_labels
from labelbeam.runs.build import build_head
from labelbeam.runs.config import RECIPES, configure, to_plain

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "research").glob("*.md"))


def section(page: str, heading: str) -> str:
    """Return a second-level section of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def value_of(key: str, values: dict[str, Any]) -> Any:
    """Return the value under `a.b`; an unknown key is a KeyError."""
    found: Any = values
    for part in key.split("."):
        found = found[part]
    return found


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested differences as `a.b` -> value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


# --- files that pages name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_source_files_that_a_page_names_are_there(page: Path) -> None:
    assert missing_files(page.read_text(encoding="utf-8")) == []


def missing_files(text: str) -> list[str]:
    """Return the Python files that a text names in backticks and that are nowhere in the project."""
    named = set(
        re.findall(
            r"`((?:[\w.-]+/)*[\w-]+\.py)(?::\w+)?`", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
        )
    )
    return sorted(name for name in named if not any(f"/{path}".endswith(f"/{name}") for path in PYTHON))


PYTHON = [
    str(path.relative_to(ROOT))
    for folder in ("src", "benchmarks", "research", "tests", "examples", "docs")
    for path in (ROOT / folder).rglob("*.py")
]


def test_a_file_that_is_gone_would_be_seen() -> None:
    assert missing_files(
        "`beam.py`, `decoding/beam.py`, `decoding/gone.py`, `gone.py`\n```\n`other.py`\n```"
    ) == [
        "decoding/gone.py",
        "gone.py",
    ]


def test_every_file_of_decoding_has_a_place_in_its_table() -> None:
    text = (ROOT / "docs" / "decoding.md").read_text(encoding="utf-8").split("\n## ", 1)[0]
    files = {path.name for path in (ROOT / "src" / "labelbeam" / "decoding").glob("[a-z]*.py")}
    assert set(re.findall(r"`([a-z_]+\.py)`", text)) == files


# --- reproduction.md

POINTS = table_rows(section("docs/reproduction.md", "Open points"))


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def arguments_of(cell: str) -> tuple[list[str], dict[str, str]]:
    """Return the `--set` texts and the other options of an "instead" cell."""
    words = [shlex.split(span) for span in spans(cell)]
    assert all(len(pair) == 2 for pair in words), cell
    return [value for flag, value in words if flag == "--set"], {
        flag.removeprefix("--"): value for flag, value in words if flag != "--set"
    }


def test_the_open_points_are_numbered_through() -> None:
    assert [row[0] for row in POINTS] == [str(number) for number in range(1, 29)]
    assert all(len(row) == 5 and row[4] for row in POINTS)


@pytest.mark.parametrize("row", POINTS, ids=lambda row: row[0])
def test_a_point_s_options_have_the_default_that_the_table_states(row: list[str]) -> None:
    if row[2] in ("fixed", "not there"):
        assert not row[3]
        return
    defaults = to_plain(configure())
    stated = {key: yaml.safe_load(value) for key, value in (span.split(" = ") for span in spans(row[2]))}
    assert stated
    assert {key: value_of(key, defaults) for key in stated} == stated


@pytest.mark.parametrize("row", POINTS, ids=lambda row: row[0])
def test_a_point_s_other_readings_are_accepted(row: list[str]) -> None:
    settings, named = arguments_of(row[3])
    for upto in range(1, len(settings) + 1):
        config = configure(settings=settings[:upto])
        build_head(config, num_labels=3, feature_size=4)  # cell and scaling are checked when they are built
        order_labels(np.eye(3, dtype=np.int8), config.order)
        chosen = to_plain(config)
        key, _, value = settings[upto - 1].partition("=")
        assert value_of(key, chosen) == yaml.safe_load(value)
        assert value_of(key, chosen) != value_of(key, to_plain(configure()))
    assert set(named) <= {"head", "recipe"}
    assert named.get("head", "cnn-rnn") in HEADS
    assert named.get("recipe", "default") in RECIPES


def test_an_option_that_is_not_there_would_be_found() -> None:
    with pytest.raises(KeyError):
        value_of("search.width", to_plain(configure()))
    with pytest.raises(InputError):
        configure(settings=["search.width=3"])


def test_the_paper_s_recipe_is_stated_whole() -> None:
    text = section("docs/reproduction.md", "`--recipe paper`")
    stated = {key: yaml.safe_load(value) for key, value in re.findall(r"(\w+(?:\.\w+)*) = (\S+)", text)}
    assert stated == flat(dict(RECIPES["paper"]["any"]))
    assert set(RECIPES["paper"]) == {"any"}


def test_the_nearest_thing_to_the_print_is_accepted() -> None:
    text = section("docs/reproduction.md", "`--recipe paper`")
    command = shlex.split(text[text.index("labelbeam train") :].replace("\\\n", " "))
    settings = [value for flag, value in pairwise(command) if flag == "--set"]
    config = configure(recipe="paper", settings=settings, options={"encoder": {"name": "vgg16"}})
    assert len(settings) == 5
    assert (config.label_model.cell, config.search.method) == ("paper-gated", "beam")


# --- training.md


def test_the_page_on_training_states_the_defaults_that_there_are() -> None:
    text = " ".join((ROOT / "docs" / "training.md").read_text(encoding="utf-8").split())
    config, mlp = configure(), configure(head="sigmoid-mlp").sigmoid
    for stated in (
        f"{config.validation_fraction:.0%} of the training images".replace("%", " %"),
        f"after {config.recipe.patience} epochs without a better one",
        f"`sigmoid-mlp` ({mlp.hidden_size} hidden units, dropout {mlp.hidden_dropout})",
    ):
        assert stated in text
    assert config.recipe.encoder_rate == 0.1
    assert "at a tenth of the head's rate" in text
    assert (config.recipe.optimiser, config.recipe.schedule) == ("adamw", "cosine")
    assert "`--recipe default` is AdamW with a cosine schedule" in text


def test_every_setting_that_a_page_names_is_accepted() -> None:
    for page in PAGES:
        for setting in re.findall(r"--set ([\w.]+=[\w.-]+)", page.read_text(encoding="utf-8")):
            if setting != "order=shuffle":  # only with no-repeat; the table of open points tests it
                configure(settings=[setting])


def test_every_option_that_a_page_names_is_one_of_the_command_line_s() -> None:
    from typer.main import get_command

    from labelbeam.cli.app import app

    def flags_of(command: Any) -> set[str]:
        below = [flags_of(one) for one in getattr(command, "commands", {}).values()]
        own = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
        return own.union(*below)

    known = flags_of(get_command(app))
    known |= {"--help", "--standalone", "--nproc_per_node", "--check", "--dry-run"}
    for benchmark in [*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "research").glob("*.py")]:
        known |= set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', benchmark.read_text(encoding="utf-8")))
    for page in PAGES:
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text(encoding="utf-8")))
        assert sorted(named - known) == [], page.name


# --- all pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [to for to in targets if "://" not in to and not (page.parent / to).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_nothing_outside_the_project(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for outside in ("../shared", "/work/", "design.md", "paper.md", "peers.md", "formats.md"):
        assert outside not in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_with_doctests_has_a_test_that_runs_them(page: Path) -> None:
    if ">>> " in page.read_text(encoding="utf-8"):
        tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
        assert any("doctest.testfile" in text and f'"{page.name}"' in text for text in tests)


def test_all_pages_are_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "docs").glob("*.md") if f"(docs/{page.name})" not in text] == []


def test_the_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = re.search(r"^## \[(\S+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert changes is not None
    assert {project["version"], citation["version"], changes[1]} == {labelbeam.__version__}
    assert citation["references"][0]["doi"] == "10.1109/CVPR.2016.251"


def test_the_hooks_run_what_make_test_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0][
        "hooks"
    ]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [" ".join(hook["entry"].split()[:2]) in makefile for hook in hooks] == [True, True]


def test_the_extras_that_a_page_explains_are_those_there_are() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    rows = table_rows(section("docs/deployment.md", "Setting up"))
    assert {spans(row[0])[0] for row in rows} == set(extras["optional-dependencies"])
