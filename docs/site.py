"""What mkdocs needs beside mkdocs.yml: pages outside docs/ as pages of the site, and the reference of public names.

README.md becomes the first page; CONTRIBUTING.md, CHANGELOG.md, research/ and examples/ keep their place beside it, so
that links between them hold. The reference is made of the docstrings of the names in `labelbeam.__all__`. A name that
has none stops the build, as does any link that leads nowhere (`strict`).
"""

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "CITATION.cff", "research/*.md", "examples/*.py")
REFERENCE = "reference.md"


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    added = {"index.md": ROOT / "README.md"}
    for pattern in BESIDE:
        added |= {str(path.relative_to(ROOT)): path for path in sorted(ROOT.glob(pattern))}
    for name, path in added.items():
        # A script or a text without a suffix is shown as a page; links to it go there.
        text = path.read_text(encoding="utf-8")
        if path.suffix != ".md":
            name, text = f"{name}.md", f"# {path.name}\n\n```{path.suffix.removeprefix('.')}\n{text}```\n"
        files.append(File.generated(config, name, content=text))
    listing = "".join(f"- [{path.name}]({path.name}.md)\n" for path in sorted(ROOT.glob("examples/*.py")))
    files.append(File.generated(config, "examples/index.md", content=f"# Examples\n\n{listing}"))
    files.append(File.generated(config, REFERENCE, content=reference()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Let links lead where the pages are on the site."""
    at = page.file.src_uri

    def moved(found: re.Match[str]) -> str:
        target, rest = found[1], found[2]
        if "://" in target or target.startswith(("#", "mailto:")):
            return found[0]
        here = Path() if is_beside(at) else Path("docs")
        path = _normal(here / Path(at).parent / target)
        if path.parts[:1] == ("docs",):
            path = Path(*path.parts[1:])
        elif str(path) == "README.md":
            path = Path("index.md")
        elif (ROOT / path).is_dir():
            path = path / "index.md"
        elif path.suffix != ".md":
            path = Path(f"{path}.md")
        up = "../" * (len(Path(at).parts) - 1)
        return f"]({up}{path.as_posix()}{rest})"

    return re.sub(r"\]\(([^)\s#]+)([^)]*)\)", moved, markdown)


def is_beside(name: str) -> bool:
    """Return whether a page of the site comes from beside docs/, not from it."""
    top = name.split("/")[0]
    return (
        top in ("index.md", REFERENCE, "research", "examples")
        or {top, top.removesuffix(".md")} & {*BESIDE} != set()
    )


def _normal(path: Path) -> Path:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return Path(*parts)


def public_names() -> dict[str, str]:
    """Return the names that `import labelbeam` gives, each with its module."""
    tree = ast.parse((ROOT / "src" / "labelbeam" / "__init__.py").read_text(encoding="utf-8"))
    return {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labelbeam.")
        for alias in node.names
        if alias.asname == alias.name
    }


def reference() -> str:
    """Return the page of the public names.

    Raises:
        PluginError: a name has no docstring, or is not where `labelbeam` says it is.
    """
    parts = ["# Reference\n\nEverything that `import labelbeam` gives; nothing else is promised to stay.\n"]
    for name, module in sorted(public_names().items(), key=lambda pair: pair[0].casefold()):
        file = ROOT / "src" / Path(*module.split("."))
        tree = ast.parse(file.with_suffix(".py").read_text(encoding="utf-8"))
        kinds = (ast.ClassDef, ast.FunctionDef)
        found = [node for node in tree.body if isinstance(node, kinds) and node.name == name]
        if not found or not ast.get_docstring(found[0]):
            raise PluginError(f"the public name labelbeam.{name} has no docstring in {module}.")
        parts.append(f"::: {module}.{name}\n")
    return "\n".join(parts)
