"""The structure of the source: how many files and lines, how large, and how far a call walks through them.

    python benchmarks/structure.py                          # files, lines, median, share of imports
    python benchmarks/structure.py --src OTHER/src          # of another checkout
    python benchmarks/structure.py --walk tag RUN IMAGE     # any command: files, functions and depth it goes through

A walk counts the files and functions of labelbeam that a command enters, and how deep its own frames are nested.
The command runs twice and the second time counts, so that imports do not (give `train` its --overwrite).
"""

import argparse
import ast
import contextlib
import io
import json
import statistics
import sys
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent


def shape_of(source: Path) -> dict[str, float]:
    """Count files, lines, import lines, and files that define one public thing."""
    files = sorted((source / "labelbeam").rglob("*.py"))
    sizes, imports, single = [], 0, 0
    for file in files:
        text = file.read_text(encoding="utf-8")
        sizes.append(text.count("\n"))
        body = ast.parse(text).body
        nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
        imports += sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in nodes)
        public = [
            node
            for node in body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        ]
        single += len(public) == 1
    return {
        "files": len(files),
        "lines": sum(sizes),
        "median lines of a file": statistics.median(size for size in sizes if size > 5),
        "longest file": max(sizes),
        "share of import lines (%)": round(100 * imports / sum(sizes), 1),
        "files with one public definition": single,
    }


def walk_of(arguments: list[str]) -> dict[str, object]:
    """Run a command in this process and count what it goes through."""
    import labelbeam

    home = str(Path(labelbeam.__file__).parent)
    try:
        from labelbeam.cli.app import main
    except ImportError:  # the layout before packages by capability
        from labelbeam.cli import main
    functions, depth, deepest = set(), 0, 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal depth, deepest
        code = frame.f_code
        if not code.co_filename.startswith(home) or code.co_name in ("<module>", "<genexpr>", "<listcomp>"):
            return
        if event == "call":
            functions.add((code.co_filename, code.co_name))
            depth += 1
            deepest = max(deepest, depth)
        elif event == "return":
            depth -= 1

    sys.argv = ["labelbeam", *arguments]
    for watched in (None, profile):
        sys.setprofile(watched)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                main()
        except SystemExit as end:
            if end.code not in (0, None):
                raise
        finally:
            sys.setprofile(None)
    return {"files": len({file for file, _ in functions}), "functions": len(functions), "depth": deepest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--src", type=Path, default=ROOT / "src", help="folder that holds labelbeam/")
    parser.add_argument("--walk", nargs=argparse.REMAINDER, help="a command of labelbeam and its arguments")
    asked = parser.parse_args()
    sys.path.insert(0, str(asked.src))
    print(json.dumps(walk_of(asked.walk) if asked.walk else shape_of(asked.src), indent=2))


if __name__ == "__main__":
    main()
