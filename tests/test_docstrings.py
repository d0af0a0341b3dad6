"""What docstrings and comments of the source name is there: files of the project, its modules and what is in them."""

import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

import labelbeam

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "labelbeam"
MODULES = [path for path in sorted(SOURCE.rglob("*.py")) if path.stem != "__init__"]
PACKAGES = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
FORMER = {"verbs", "joints", "answers", "models", "pages", "analysis", "rivals"}
"""Packages that were dissolved; no other word of the code stands before a dot under their names."""
LIBRARIES = {"numpy", "fiftyone"}
FOREIGN = {
    *("average_precision_score", "check_estimator", "class_id_map_file", "data_prefix", "find_label_issues"),
    *("get_label_quality_scores", "image_root", "img2label_paths", "MAX_IMAGE_PIXELS", "tags_images"),
    *("_compute_index_ranges_int16_weights", "check_det_dataset", "not_exhaustive_category_ids"),
    *("ClassLabel", "MultiLabelDataset", "verify_image_label"),
}
"""Words in backticks that belong to other software and occur in no code of ours."""

FILE = re.compile(
    r"(?<![\w/.-])((?:src|tests|docs|benchmarks|research|examples)/[\w./-]+\.(?:py|md|ipynb))\b"
)
PAGE = re.compile(r"(?<![\w/.*-])([a-z_]+\.md)\b")
DOTTED = re.compile(r"`([a-z_]\w*(?:\.\w+)+)(?:\(\))?`")
WORD = re.compile(r"`(\w*_\w*|(?:[A-Z][a-z]+){2,})(?:\(\))?`")
SUFFIXES = (".json", ".jsonl", ".yaml", ".csv", ".txt", ".py", ".md", ".parquet", ".safetensors")


def pieces(source: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the comments and docstrings of a file with their lines, and the text of its other tokens."""
    prose, code = [], []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.string.endswith('"""')):
            prose.append((token.start[0], token.string))
        elif token.type in (tokenize.NAME, tokenize.STRING):
            code.append(token.string)
    return prose, code


@cache
def pieces_of(module: Path) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the pieces of a module."""
    return pieces(module.read_text(encoding="utf-8"))


@cache
def words_of_the_code() -> set[str]:
    """Return the words of all code, those inside strings and of the settings included."""
    texts = [" ".join(pieces_of(path)[1]) for path in MODULES]
    texts += [path.read_text(encoding="utf-8") for path in (*SOURCE.rglob("*.js"), ROOT / "pyproject.toml")]
    return set(re.findall(r"\w+", " ".join(texts))) | {path.stem for path in MODULES}


@cache
def defined_in(module: Path) -> set[str]:
    """Return the names that a module defines, in its classes and functions too."""
    return set(re.findall(r"\w+", " ".join(pieces_of(module)[1])))


@cache
def places() -> dict[str, set[str]]:
    """Return, for each public function and class at the top of a module, the words that may stand before it."""
    found: dict[str, set[str]] = {}
    for path in MODULES:
        for name in re.findall(
            r"^(?:class|def) ([A-Za-z]\w*)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            found.setdefault(name, set()).update((path.stem, path.parent.name))
    return found


def is_there(reference: str) -> bool:
    """Tell whether `package.module`, a name behind it, or a name that the package exports exist."""
    first, second, *rest = reference.split(".")
    if first == "labelbeam":
        return second in {*labelbeam.__all__, *PACKAGES} or (SOURCE / f"{second}.py").is_file()
    if first in FORMER:
        return False
    if first in PACKAGES:
        module = SOURCE / first / f"{second}.py"
        if (SOURCE / first / second).is_dir():
            return True
        return module.is_file() and all(name in defined_in(module) for name in rest)
    return first in LIBRARIES or first in places().get(second, {first})


def missing_in(prose: list[tuple[int, str]], own: str = "") -> list[str]:
    """Return the references of comments and docstrings that lead nowhere or to the module itself, with lines."""
    found = []
    for line, text in prose:
        wrong = [name for name in FILE.findall(text) if not (ROOT / name).is_file()]
        wrong += [name for name in PAGE.findall(text) if not any(ROOT.glob(f"*/{name}"))]
        dotted = [name for name in DOTTED.findall(text) if not name.endswith(SUFFIXES)]
        wrong += [name for name in dotted if name == own or not is_there(name)]
        wrong += [name for name in WORD.findall(text) if name not in words_of_the_code() | FOREIGN]
        found += [f"line {line}: {name}" for name in wrong]
    return found


@pytest.mark.parametrize("package", ["labelbeam", *sorted(PACKAGES)])
def test_what_docstrings_and_comments_name_is_there(package: str) -> None:
    files = [path for path in MODULES if path.relative_to(SOURCE.parent).parts[-2] == package]
    assert files
    missing = {path.name: missing_in(pieces_of(path)[0], f"{package}.{path.stem}") for path in files}
    assert {name: wrong for name, wrong in missing.items() if wrong} == {}


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ('"""Read by `formats.coco`; see tests/test_docs.py and `labelbeam.decode`."""', []),
        ('"""See `heads.registry.HEADS` and `registry.HeadRow`."""', []),
        ('"""Read by `formats.coca`."""', ["line 1: formats.coca"]),
        ("x = 1\n# `heads.registry.HEADER` says", ["line 2: heads.registry.HEADER"]),
        ("# `batch.HeadRow`", ["line 1: batch.HeadRow"]),
        ("# `joints.tuning`", ["line 1: joints.tuning"]),
        ("# Counterpart of `formats.voc`.", ["line 1: formats.voc"]),
        ("# paper.md, part C", ["line 1: paper.md"]),
        ("# with `csv_cells` (names)", ["line 1: csv_cells"]),
        (
            '"""See docs/nowhere.md and\n    research/nowhere.py."""',
            ["docs/nowhere.md", "research/nowhere.py"],
        ),
    ],
)
def test_a_reference_that_leads_nowhere_is_found(text: str, missing: list[str]) -> None:
    found = missing_in(pieces(text + "\n")[0], own="formats.voc")
    assert [one.endswith(name) for one, name in zip(found, missing, strict=True)] == [True] * len(missing)
