"""Imports point one way: each package only to packages before it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "labelbeam"

PAGE = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"
FOLDERS = PAGE.read_text(encoding="utf-8").split("\n## Folders\n")[1].split("\n## ")[0]
ORDER = [
    re.findall(r"`(\w+)`", line.split("|")[1]) for line in FOLDERS.splitlines() if line.startswith("| `")
]
"""The table of folders in docs/architecture.md, the one place where the order stands: a module may import from its own
package and from packages on lines above its own."""

RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}


def package_of(file: Path) -> str:
    parts = file.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else file.stem


def imports_of(text: str) -> Iterator[str]:
    """Packages of labelbeam that a module imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(text)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "labelbeam":
                names = [f"labelbeam.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("labelbeam.") and name != "labelbeam.__version__":
                yield name.split(".")[1]


FILES = sorted(file for file in SOURCE.rglob("*.py") if file != SOURCE / "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_a_module_imports_only_from_packages_before_its_own(file: Path) -> None:
    here = package_of(file)
    assert here in RANK, f"{here} has no place in the order of packages"
    for there in imports_of(file.read_text(encoding="utf-8")):
        assert there == here or RANK[there] < RANK[here], f"{file.name}: {here} must not import {there}"


def test_the_table_names_every_package_once() -> None:
    there = {package_of(file) for file in FILES}
    assert sorted(name for names in ORDER for name in names) == sorted(there)


def test_the_check_sees_an_import_in_the_wrong_direction() -> None:
    assert list(imports_of("def f():\n    from labelbeam.cli.train import train\n")) == ["cli"]


def test_every_folder_holds_modules_and_none_is_a_bag() -> None:
    stems = {file.stem for file in FILES} | {file.parent.name for file in FILES}
    assert stems.isdisjoint({"utils", "util", "helpers", "misc", "common"})
