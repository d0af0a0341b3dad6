"""Do the tests notice? `python benchmarks/mutants.py [--sample 60] [--seed 0] [PACKAGE|FILE ...]`, or `make mutants`.

Draws single mutations of the source at random, one at a time: a comparison turned, a number moved by one, a condition
negated, an argument by name left out, a statement dropped, COMMIT in place of ROLLBACK. Each is put into a copy of the
tree, where the tests run until one fails: those that run the mutated function, the cheapest first. Which they are is
found once, in a run without a mutation, which `--map FILE` keeps. Prints the share killed in each package, and the
survivors. `--out FILE --until MINUTES` stops in between, and goes on the next time.

One process imports everything, and a fork of it tries each mutant: seconds on one core. A mutant on which the tests do
not end is killed; one that they do not notice within `--seconds` of tests has survived.
"""

import argparse
import ast
import gc
import importlib
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
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = Path("src/labelbeam")
USUAL = ("decoding", "heads", "training", "metrics", "features", "project", "service/access.py")
EVERYWHERE = ("test_learned_run.py", "test_frozen.py", "predict/test_*.py")
"""Tests that concern every package: those of a run that has learned, and of what is decided with one."""

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


class Test(NamedTuple):
    """What one test does without a mutation.

    Attributes:
        name: pytest's.
        seconds: of processor time, with its fixtures' where nothing else has made them before.
        reached: functions of the source that run in it or in its fixtures, as `file:name`.
    """

    name: str
    seconds: float
    reached: frozenset[str]


def preload(copy: Path) -> None:
    """Import what tests need, once: what is forked from here has it already."""
    import jaxtyping

    jaxtyping.install_import_hook = lambda *_: None  # shape checks double the time; they only kill more
    _fewer_examples(25)
    for library in ("torch", "numba", "beartype", "hypothesis", "fastapi", "accelerate", "sklearn", "pytest"):
        __import__(library)
    sys.path.insert(0, str(copy / "src"))
    for file in sorted((copy / SOURCE).rglob("*.py")):
        if file.name != "__main__.py":
            importlib.import_module(_module(file.relative_to(copy)))
    _imports(copy)
    gc.freeze()


def _fewer_examples(most: int) -> None:
    """Let property tests draw few examples: what those notice, more notice too."""
    import hypothesis

    made = hypothesis.settings.__init__

    def fewer(self: Any, *parents: Any, **asked: Any) -> None:
        if isinstance(asked.get("max_examples"), int):
            asked["max_examples"] = min(most, asked["max_examples"])
        made(self, *parents, **asked)

    hypothesis.settings.__init__ = fewer  # type: ignore[method-assign]


def _module(file: Path) -> str:
    parts = file.relative_to("src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _imports(copy: Path) -> dict[str, set[str]]:
    """Return which modules each module imports when it is imported."""
    found = {}
    for file in (copy / SOURCE).rglob("*.py"):
        name = _module(file.relative_to(copy))
        found[name] = set()
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found[name] |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
            elif isinstance(node, ast.Import):
                found[name] |= {one.name for one in node.names}
    return found


def forget(copy: Path, file: Path) -> None:
    """Take a mutated module, and whatever imported it, out of this process: the next import reads it anew."""
    imports = _imports(copy)
    stale, more = set(), {_module(file)}
    while more:
        stale |= more
        more = {name for name, needs in imports.items() if needs & more} - stale
    for name in stale & sys.modules.keys():
        above, _, last = name.rpartition(".")
        module = sys.modules.pop(name)
        if getattr(sys.modules.get(above), last, None) is module:
            delattr(sys.modules[above], last)


class _Reach:
    """A plugin that notes which functions of the source each test runs, its fixtures' included, and for how long."""

    def __init__(self, root: Path) -> None:
        self.root, self.codes, self.now = str(root / SOURCE), {}, set()
        self.fixtures: dict[str, tuple[set[str], float]] = {}
        self.tests: dict[str, tuple[float, set[str]]] = {}
        self.failed: set[str] = set()

    def trace(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code not in self.codes:
            inside = code.co_filename.startswith(self.root)
            file = f"{SOURCE}{code.co_filename[len(self.root) :]}"
            self.codes[code] = f"{file}:{code.co_qualname.split('.<locals>.<')[0]}" if inside else None
        if self.codes[code]:
            self.now.add(self.codes[code])

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        before, self.now, began = self.now, set(), time.process_time()
        yield
        self.fixtures[fixturedef.argname] = (self.now, time.process_time() - began)
        self.now = before | self.now

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self.now, began = set(), time.process_time()
        sys.settrace(self.trace), threading.settrace(self.trace)
        yield
        sys.settrace(None), threading.settrace(None)
        made = [self.fixtures[name] for name in getattr(item, "fixturenames", ()) if name in self.fixtures]
        seconds = max(time.process_time() - began, sum(one[1] for one in made))
        self.tests[item.nodeid] = seconds, self.now.union(*(one[0] for one in made))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed or report.skipped:
            self.failed.add(report.nodeid)


class _Ordered:
    """A plugin that runs some tests, in their order, until one fails."""

    def __init__(self, names: list[str]) -> None:
        self.place = {name: i for i, name in enumerate(names)}
        self.failed: str | None = None

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = sorted(
            (one for one in items if one.nodeid in self.place), key=lambda one: self.place[one.nodeid]
        )

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed and self.failed is None:
            self.failed = str(report.nodeid)


def forked(work: Callable[[], object], seconds: float) -> object:
    """Do something in a process of its own that has the imports already; what it returns, or how it ended."""
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)

    def run() -> None:
        os.setpgid(0, 0)
        limit = int(seconds) + 1  # of processor time, so that a busy machine kills no mutant
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0), os.dup2(nowhere, 1), os.dup2(nowhere, 2)
        theirs.send(work())
        os._exit(0)

    process = context.Process(target=run)
    process.start()
    theirs.close()
    answer = "it ended by itself"
    if not mine.poll(20 * seconds + 60):  # what waits for ever uses no processor
        answer = "hung"
    else:
        with suppress(EOFError):
            answer = mine.recv()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return "hung" if answer == "it ended by itself" and process.exitcode == -signal.SIGXCPU else answer


def _pytest(copy: Path, paths: list[str], plugin: object, *options: str) -> None:
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy / "src")
    usual = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", *options]
    pytest.main([*usual, *paths], plugins=[plugin])


def reach(copy: Path, paths: list[str]) -> list[Test]:
    """Run tests without a mutation; of those that pass, say what they reach."""

    def run() -> list[tuple[str, float, list[str]]]:
        plugin = _Reach(copy)
        _pytest(copy, paths, plugin)
        passed = {name: one for name, one in plugin.tests.items() if name not in plugin.failed}
        return [(name, seconds, sorted(reached)) for name, (seconds, reached) in passed.items()]

    found = forked(run, 3600)
    if isinstance(found, str):
        sys.exit(f"the tests {' '.join(paths)} cannot be run without a mutation: {found}.")
    return [Test(name, seconds, frozenset(reached)) for name, seconds, reached in found]


def mapped(copy: Path, paths: Iterable[str], known: dict[str, list], kept: Path | None) -> list[Test]:
    """Return the tests of some files, with what each reaches.

    Args:
        copy: of the tree.
        paths: files of tests, or of the source for its doctests.
        known: by path, what was found before; added to.
        kept: where that is written; None: nowhere.
    """
    rows = []
    for path in paths:
        if path not in known:
            known[path] = [(one.name, one.seconds, sorted(one.reached)) for one in reach(copy, [path])]
            seconds = sum(one[1] for one in known[path])
            print(f"{len(known[path]):5} tests in {path}, {seconds:.0f} s", flush=True)
            if kept:
                kept.write_text(json.dumps(known), "utf-8")
        rows += known[path]
    return [Test(name, seconds, frozenset(reached)) for name, seconds, reached in rows]


@cache
def rounds_of(file: Path) -> list[list[str]]:
    """Return the files of tests that may notice a mutation of a file, those that are most likely to first.

    Its mirror, its doctests and those of its package that name it; the others of its package; those of everything.
    """
    package, module = "tests" / file.parent.relative_to(SOURCE), ".".join(file.with_suffix("").parts[1:])
    every = [path.relative_to(ROOT) for path in sorted((ROOT / package).rglob("test_*.py"))]
    named = [
        path for path in every if re.search(rf"\b{re.escape(module)}\b", (ROOT / path).read_text("utf-8"))
    ]
    mirror = package / f"test_{file.name}"
    near = [*dict.fromkeys([path for path in every if path == mirror] + named)]
    rest = [path for path in every if path not in near and package.parts[1:] != ("service",)]
    far = [path.relative_to(ROOT) for name in EVERYWHERE for path in sorted((ROOT / "tests").glob(name))]
    return [[str(file), *map(str, near)], [*map(str, rest)], [*map(str, far)]]


def tests_of(mutant: Mutant, tests: list[Test]) -> list[Test]:
    """Return the tests that run the mutated function, the cheapest first; for a constant those that use its file."""
    place, name = f"{mutant.file}:", None
    tree = ast.parse((ROOT / mutant.file).read_bytes())
    for function, qualified in _functions(tree):
        if function.lineno <= mutant.line <= function.end_lineno:
            name = f"{place}{qualified}"  # the innermost comes last
    found = [one for one in tests if name in one.reached]
    found = found or [one for one in tests if any(function.startswith(place) for function in one.reached)]
    mirror = f"test_{mutant.file.name}"
    return sorted(found, key=lambda one: one.seconds * (0.5 if mirror in one.name else 1.0))


def _functions(node: ast.AST, inside: str = "") -> Iterator[tuple[ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child, f"{inside}{child.name}"
            yield from _functions(child, f"{inside}{child.name}.<locals>.")
        else:
            yield from _functions(
                child, f"{inside}{child.name}." if isinstance(child, ast.ClassDef) else inside
            )


def killed_by(copy: Path, mutant: Mutant, tests: list[Test], seconds: float) -> str | None:
    """Return the test that notices a mutant, "hung" where they do not end; None where none does."""
    chosen, left = [], seconds
    for one in tests_of(mutant, tests):
        chosen.append(one.name)
        left -= one.seconds
        if left < 0:
            break
    if not chosen:
        return None
    original = (ROOT / mutant.file).read_text("utf-8")

    def put(text: str) -> None:
        (copy / mutant.file).write_text(text, "utf-8")
        for old in (copy / mutant.file.parent).glob(f"__pycache__/{mutant.file.stem}.*"):
            old.unlink()

    def run() -> str | None:
        forget(copy, mutant.file)
        plugin = _Ordered(chosen)
        _pytest(copy, list(dict.fromkeys(name.split("::")[0] for name in chosen)), plugin, "-x")
        return plugin.failed

    put(mutant.text)
    try:
        return forked(run, 3 * seconds + 30)
    finally:
        put(original)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(USUAL), help="packages or files below src/labelbeam")
    parser.add_argument("--sample", type=int, default=60, help="mutants drawn over all of them")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of tests for a mutant, the cheapest first"
    )
    parser.add_argument(
        "--until", type=float, default=float("inf"), help="minutes after which no other is begun"
    )
    parser.add_argument(
        "--out", type=Path, help="JSON Lines, a line for each mutant; those in it are not tried again"
    )
    parser.add_argument(
        "--map", type=Path, help="what each test reaches; read where it is there, else written"
    )
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
    done = {}
    if options.out and options.out.exists():
        rows = map(json.loads, options.out.read_text("utf-8").splitlines())
        done = {(row["where"], row["before"], row["after"]): (row["killed_by"], row["round"]) for row in rows}
    until = time.monotonic() + 60 * options.until
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder).resolve()
        listed = subprocess.run(
            ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True
        )
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        preload(copy)
        known = json.loads(options.map.read_text("utf-8")) if options.map and options.map.exists() else {}
        for last in range(3):  # what the nearest tests leave over, others try
            for mutant in drawn:
                key = (f"{mutant.file}:{mutant.line}", mutant.before, mutant.after)
                killer, before = done.get(key, (None, -1))
                if killer is not None or before >= last or time.monotonic() > until:
                    continue
                at = time.monotonic()
                tests = mapped(copy, rounds_of(mutant.file)[last], known, options.map)
                killer = killed_by(copy, mutant, tests, options.seconds)
                done[key] = killer, last
                outcome = "killed  " if killer else ("left    ", "left    ", "survived")[last]
                line = f"{key[0]}: {mutant.before[:70]}  ->  {mutant.after[:70]}"
                print(f"{outcome} {time.monotonic() - at:4.0f} s {line}", flush=True)
                if options.out:
                    row = dict(zip(("where", "before", "after"), key, strict=True))
                    with options.out.open("a", encoding="utf-8") as out:
                        out.write(json.dumps({**row, "killed_by": killer, "round": last}) + "\n")
    tried, killed, survivors = Counter(), Counter(), []
    for (where, before, after), (killer, last) in done.items():
        if killer is not None or last == 2:
            package = Path(where).relative_to(SOURCE).parts[0].partition(":")[0]
            tried[package] += 1
            killed[package] += killer is not None
            if killer is None:
                survivors.append(f"{where}: {before[:70]}  ->  {after[:70]}")
    print("\n| package | tried | killed | share |\n|---|---|---|---|")
    for package in [*sorted(tried), "all"]:
        n, k = (sum(c.values()) if package == "all" else c[package] for c in (tried, killed))
        print(f"| {package} | {n} | {k} | {100 * k / max(1, n):.0f} % |")
    print(f"\n{len(survivors)} survived" + (":" if survivors else ""), *survivors, sep="\n  ")


if __name__ == "__main__":
    main()
