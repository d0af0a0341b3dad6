"""Do the tests notice? `python benchmarks/mutants.py [--sample 60] [--seed 0] [PACKAGE|FILE ...]`, or `make mutants`.

Draws single mutations of the source at random, one at a time: a comparison turned, a number moved by one, a condition
negated, an argument by name left out, a statement dropped, COMMIT in place of ROLLBACK. Each is put into a copy of the
tree; the tests that belong to the file run there until one fails: its mirror, those that name it, those of its
package, and the doctests of the file. Prints the share killed in each package, and the survivors.

A mutant that no test kills within `--minutes` or that hangs counts as what it is: "survived", or "hung" (killed). A
failure counts only where the same test passes without the mutation. About 20 s for each mutant on one core.
"""

import argparse
import ast
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TESTS = Path("src/labelbeam"), Path("tests")
USUAL = ("decoding", "heads", "training", "metrics", "features", "project", "service/access.py")

TURNED = {
    **{
        ast.Lt: ast.LtE,
        ast.LtE: ast.Lt,
        ast.Gt: ast.GtE,
        ast.GtE: ast.Gt,
        ast.Eq: ast.NotEq,
        ast.NotEq: ast.Eq,
    },
    **{
        ast.Is: ast.IsNot,
        ast.IsNot: ast.Is,
        ast.In: ast.NotIn,
        ast.NotIn: ast.In,
        ast.And: ast.Or,
        ast.Or: ast.And,
    },
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Break: ast.Continue},
}
WORDS = {
    "ROLLBACK": "COMMIT",
    "COMMIT": "ROLLBACK",
    " AND ": " OR ",
    "undone = 0": "undone = 1",
    "max(": "min(",
}
"""Words of SQL and what stands in their place."""

UNMUTATED = ("slots", "strict", "fused", "non_blocking", "cache", "nogil", "fastmath", "boundscheck", "dtype")
"""Arguments by name that change no result, or whose absence a type checker notices."""


class Mutant(NamedTuple):
    """One change of one file.

    Attributes:
        file: below the root.
        line: where.
        before: the words that are replaced, on one line.
        after: what stands there instead.
        text: the whole file with it.
    """

    file: Path
    line: int
    before: str
    after: str
    text: str


def mutants_of(file: Path, root: Path = ROOT) -> list[Mutant]:
    """Return every mutant of a file."""
    source = (root / file).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for node, after in _changes(ast.parse(source)):
        first = starts[node.lineno - 1] + node.col_offset
        last = starts[node.end_lineno - 1] + node.end_col_offset
        text = (source[:first] + after.encode() + source[last:]).decode()
        before = " ".join(source[first:last].decode().split())
        found.append(Mutant(file, node.lineno, before, " ".join(after.split()), text))
    return found


def parses(mutant: Mutant) -> bool:
    """Tell whether a mutant is a program at all, such as not `pass` where a value must be."""
    try:
        compile(mutant.text, str(mutant.file), "exec")
    except SyntaxError:
        return False
    return True


def _changes(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Yield what may be replaced, and by what; not in messages of errors, annotations and docstrings."""
    yield from _changes_here(node)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.Raise | ast.JoinedStr):
                if isinstance(child, ast.Raise):
                    yield child, "pass"
                continue
            if isinstance(child, ast.AST):
                yield from _changes(child)


def _changes_here(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in TURNED:
            yield node, _bracketed(ast.Compare(node.left, [TURNED[type(op)]()], node.comparators))
        case ast.BoolOp(op=op):
            yield node, _bracketed(ast.BoolOp(TURNED[type(op)](), node.values))
        case ast.BinOp(op=op) if type(op) in TURNED:
            yield node, _bracketed(ast.BinOp(node.left, TURNED[type(op)](), node.right))
        case ast.AugAssign(op=op) if type(op) in TURNED:
            yield node, ast.unparse(ast.AugAssign(node.target, TURNED[type(op)](), node.value))
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node, _bracketed(node.operand)
        case ast.Constant(value=bool()):
            yield node, str(not node.value)
        case ast.Constant(value=int() | float()):
            yield node, repr(node.value + 1)
        case ast.Constant(value=str()):
            for word, other in WORDS.items():
                if word in node.value:
                    yield node, repr(node.value.replace(word, other, 1))
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield test, f"(not {_bracketed(test)})"
        case ast.Expr(value=ast.Call()) | ast.Break() | ast.Continue():
            yield node, "pass"
        case ast.Return(value=ast.expr()):
            yield node, "return None"
        case ast.Call(keywords=keywords):
            for keyword in keywords:
                if keyword.arg and keyword.arg not in UNMUTATED:
                    rest = [one for one in keywords if one is not keyword]
                    yield node, ast.unparse(ast.Call(node.func, node.args, rest))
        case _:
            pass


def _bracketed(node: ast.expr) -> str:
    return f"({ast.unparse(node)})"


def files_of(names: list[str]) -> list[Path]:
    """Return the source files of packages and files that are named below `src/labelbeam`."""
    found: list[Path] = []
    for name in names:
        path = ROOT / SOURCE / name
        if not path.exists():
            sys.exit(
                f"there is no {path}. Name a package or a file below {SOURCE}, such as: {', '.join(USUAL)}."
            )
        paths = [path] if path.is_file() else sorted(path.rglob("*.py"))
        found += [one.relative_to(ROOT) for one in paths if one.name != "__init__.py"]
    return found


def tests_of(file: Path) -> list[list[str]]:
    """Return the tests that belong to a file, in the order in which they are tried.

    First its mirror, its doctests and the tests whose text names it; then all of its package.
    """
    package, module = file.parent.relative_to(SOURCE), ".".join(file.with_suffix("").parts[1:])
    every = (
        sorted(TESTS.rglob("test_*.py")) if Path.cwd() == ROOT else sorted((ROOT / TESTS).rglob("test_*.py"))
    )
    every = [path if not path.is_absolute() else path.relative_to(ROOT) for path in every]
    named = [
        path for path in every if re.search(rf"\b{re.escape(module)}\b", (ROOT / path).read_text("utf-8"))
    ]
    mirror = [path for path in every if path == TESTS / package / f"test_{file.name}"]
    near = [path for path in named if path not in mirror and path.parent == TESTS / package]
    far = [path for path in named if path not in mirror and path not in near]
    rest = [path for path in every if path.is_relative_to(TESTS / package) and path not in named + mirror]
    rounds = [[*map(str, mirror + near), str(file)], [*map(str, rest)], [*map(str, far)]]
    return [one for one in rounds if one]


def failing_test(copy: Path, tests: list[str], seconds: float) -> str | None:
    """Run tests in a copy of the tree, in a process that has the large libraries already.

    Returns:
        The first that fails, "hung" where they take too long, None where all pass.
    """
    report = copy / "mutants.json"
    report.unlink(missing_ok=True)
    runner = multiprocessing.get_context("fork").Process(target=_run, args=(copy, tests, report, seconds))
    runner.start()
    runner.join(10 * seconds)  # what waits for ever uses no processor
    if runner.is_alive():
        os.killpg(runner.pid, 9)
        runner.join()
        return "hung"
    if runner.exitcode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "hung"
    if not report.exists():
        return "the test run ended by itself"
    return json.loads(report.read_text("utf-8"))


class _First:
    """Keeps the first failure of a pytest run."""

    failed: str | None = None

    def pytest_runtest_logreport(self, report: object) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: object) -> None:
        if report.failed and self.failed is None:
            self.failed = str(report.nodeid)


def _run(copy: Path, tests: list[str], report: Path, seconds: float) -> None:
    import pytest

    os.setpgid(0, 0)
    resource.setrlimit(
        resource.RLIMIT_CPU, (int(seconds), int(seconds))
    )  # so that a busy machine kills no mutant
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy / "src")
    sys.path.insert(0, str(copy / "src"))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1), os.dup2(nowhere, 2)
    first = _First()
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header"]
    pytest.main([*options, *tests], plugins=[first])
    report.write_text(json.dumps(first.failed))
    os._exit(0)


def killed_by(copy: Path, mutant: Mutant, seconds: float, sound: dict[str, bool]) -> str | None:
    """Return the test that notices a mutant; None where none does.

    Args:
        copy: the tree it is put into, and taken out of again.
        mutant: what to try.
        seconds: of processor time until a run of tests counts as hung.
        sound: tests that failed, and whether they pass without a mutation; filled on the way.
    """
    original = (ROOT / mutant.file).read_text("utf-8")

    def put(text: str) -> None:
        (copy / mutant.file).write_text(text, "utf-8")
        for old in (copy / mutant.file.parent).glob(f"__pycache__/{mutant.file.stem}.*"):
            old.unlink()

    try:
        for tests in tests_of(mutant.file):
            while True:
                unsound = [f"--deselect={test}" for test, passes in sound.items() if not passes]
                put(mutant.text)
                failed = failing_test(copy, [*tests, *unsound], seconds)
                if failed is None:
                    break
                if failed == "hung" or "::" not in failed:
                    return failed
                put(original)
                if failed not in sound:
                    sound[failed] = failing_test(copy, [failed], seconds) is None
                if sound[failed]:
                    return failed
    finally:
        put(original)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(USUAL), help="packages or files below src/labelbeam")
    parser.add_argument("--sample", type=int, default=60, help="mutants drawn over all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--minutes", type=float, default=3.0, help="of processor time until a run of tests counts as hung"
    )
    parser.add_argument(
        "--until", type=float, default=float("inf"), help="minutes after which no other is begun"
    )
    parser.add_argument("--out", type=Path, help="JSON Lines: a line for each mutant tried")
    parser.add_argument("--list", action="store_true", help="say what would be tried, and try nothing")
    options = parser.parse_args()
    every = [mutant for file in files_of(options.names) for mutant in mutants_of(file)]
    random.Random(options.seed).shuffle(every)
    drawn = list(islice(filter(parses, every), options.sample))
    print(f"{len(drawn)} of {len(every)} mutants, seed {options.seed}", flush=True)
    if options.list:
        for mutant in drawn:
            print(f"{mutant.file}:{mutant.line}: {mutant.before[:70]}  ->  {mutant.after[:70]}")
        return
    for library in ("torch", "numba", "beartype", "hypothesis", "fastapi", "accelerate", "sklearn", "pytest"):
        __import__(library)  # forked runs have them already
    started, tried, killed, sound = time.monotonic(), Counter(), Counter(), {}
    survivors = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        listed = subprocess.run(
            ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        for mutant in drawn:
            if time.monotonic() - started > 60 * options.until:
                break
            at = time.monotonic()
            killer = killed_by(copy, mutant, 60 * options.minutes, sound)
            package = mutant.file.relative_to(SOURCE).parts[0]
            tried[package] += 1
            killed[package] += killer is not None
            where = f"{mutant.file}:{mutant.line}"
            line = f"{where}: {mutant.before[:70]}  ->  {mutant.after[:70]}"
            if killer is None:
                survivors.append(line)
            print(
                f"{'SURVIVED' if killer is None else 'killed  '} {time.monotonic() - at:4.0f} s {line}",
                flush=True,
            )
            if options.out:
                row = {"where": where, "before": mutant.before, "after": mutant.after, "killed_by": killer}
                with options.out.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(row) + "\n")
    print("\n| package | tried | killed | share |\n|---|---|---|---|")
    for package in [*sorted(tried), "all"]:
        n, k = (sum(c.values()) if package == "all" else c[package] for c in (tried, killed))
        print(f"| {package} | {n} | {k} | {100 * k / max(1, n):.0f} % |")
    if broken := [test for test, passes in sound.items() if not passes]:
        print("\nleft out, for they fail without a mutation too:", *broken, sep="\n  ")
    print(f"\n{len(survivors)} survived" + (":" if survivors else ""), *survivors, sep="\n  ")


if __name__ == "__main__":
    main()
