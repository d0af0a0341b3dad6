"""Do the tests notice? `python benchmarks/mutants.py [--sample 60] [--seed 0] [PACKAGE|FILE ...]`, or `make mutants`.

Draws single mutations of the source at random, one at a time: a comparison turned, a number moved by one, a condition
negated, an argument by name left out, a statement dropped, COMMIT in place of ROLLBACK. Each is put into a copy of the
tree, where the tests run until one fails: those that run the mutated function, the nearest and cheapest first. Which
they are is found once, in a run without a mutation, which `--map FILE` keeps. Prints the share killed in each package,
and the survivors. `--out FILE --until MINUTES` stops in between, and goes on the next time; `--again` tries the
survivors in it once more, in the tree as it is now.

One process imports everything, and a fork of it tries each mutant: seconds on one core. A test that takes five times
its own time kills a mutant as one that fails does. Left out are tests of the page in a browser and those above
`SLOW`, and what comes after `--seconds` of tests: how many is printed. At the end each test that killed runs without a
mutation: one that fails then has killed nothing.
"""

import argparse
import ast
import gc
import hashlib
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

SLOW = 20.0
"""Seconds of processor time above which a test is left out, where another reaches the mutated function."""

LONGER = 5
"""By what a test may take longer on a mutant than without."""

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

MEMORY = 10 << 30
"""Bytes of addresses that a fork may have; a mutant that wants more is killed."""

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
        case ast.If(test=ast.Name("TYPE_CHECKING")):
            pass  # never so where tests run; a type checker notices
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
        seconds: of processor time, its own and its fixtures'.
        shared: the seconds of each fixture that other tests use too.
        reached: functions of the source that run in it or in its fixtures, as `file:name`.
    """

    name: str
    seconds: float
    shared: dict[str, float]
    reached: frozenset[str]


def preload(copy: Path, examples: int) -> None:
    """Import what tests need, once: what is forked from here has it already."""
    import jaxtyping

    jaxtyping.install_import_hook = lambda *_: None  # shape checks double the time; they only kill more
    _fewer_examples(examples)
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
        asked["phases"] = (hypothesis.Phase.explicit, hypothesis.Phase.generate)  # no time for small examples
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
        self.shared = 0.0
        self.tests: dict[str, Test] = {}
        self.failed: set[str] = set()
        self.slow = False

    def trace(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code not in self.codes:
            inside = code.co_filename.startswith(self.root)
            file = f"{SOURCE}{code.co_filename[len(self.root) :]}"
            self.codes[code] = f"{file}:{code.co_qualname.split('.<locals>.<')[0]}" if inside else None
        if self.codes[code]:
            self.now.add(self.codes[code])

    def cut(self, signum: int, frame: FrameType | None) -> None:
        self.slow = True
        raise TimeoutError

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        before, self.now, began = self.now, set(), time.process_time()
        yield
        if fixturedef.scope != "function":
            seconds = time.process_time() - began
            self.fixtures[fixturedef.argname] = (self.now, seconds)
            self.shared += seconds
        self.now = before | self.now

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self.now, self.shared, self.slow, began = set(), 0.0, False, time.process_time()
        sys.settrace(self.trace), threading.settrace(self.trace)
        signal.signal(signal.SIGPROF, self.cut)
        signal.setitimer(signal.ITIMER_PROF, 1.5 * SLOW)  # what it reaches is known by then
        yield
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.settrace(None), threading.settrace(None)
        own = time.process_time() - began - self.shared
        made = [name for name in getattr(item, "fixturenames", ()) if name in self.fixtures]
        shared = {name: round(self.fixtures[name][1], 3) for name in made}
        reached = frozenset(self.now.union(*(self.fixtures[name][0] for name in made)))
        self.tests[item.nodeid] = Test(item.nodeid, own + sum(shared.values()), shared, reached)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if (report.failed or report.skipped) and not self.slow:
            self.failed.add(report.nodeid)


class _Ordered:
    """A plugin that runs some tests, in their order, until one fails or takes too long.

    Args:
        chosen: by name, the seconds that each may take, in order.
        say: told the name of each test, and the seconds, before it runs.
    """

    def __init__(self, chosen: dict[str, int], say: Callable[[object], None]) -> None:
        self.chosen, self.say = chosen, say
        self.failed: list[str] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        place = {name: i for i, name in enumerate(self.chosen)}
        items[:] = sorted((one for one in items if one.nodeid in place), key=lambda one: place[one.nodeid])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.say((nodeid, self.chosen[nodeid]))
        used = int(time.process_time())  # of processor time, so that a busy machine kills no mutant
        resource.setrlimit(resource.RLIMIT_CPU, (used + self.chosen[nodeid], resource.RLIM_INFINITY))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(str(report.nodeid))


def forked(work: Callable[[Callable[[object], None]], object], seconds: float) -> object:
    """Do something in a process of its own that has the imports already.

    Args:
        work: called with a function that says `(what, seconds)`: what is done next, and how long it may take.
        seconds: of processor time until it says something.

    Returns:
        What it returns; where it takes too long, or ends by itself, `(what, "hung")` or `(what, "ended")`.
    """
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)

    def run() -> None:
        os.setpgid(0, 0)
        limit = int(time.process_time() + seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 0), os.dup2(nowhere, 1), os.dup2(nowhere, 2)
        theirs.send(("done", work(theirs.send)))
        os._exit(0)

    process = context.Process(target=run)
    process.start()
    theirs.close()
    what, limit, answer = "the start", seconds, None
    while answer is None:
        before = used_by(process.pid)
        if not mine.poll(60):
            if used_by(process.pid) - before < 0.2:  # what waits for ever uses no processor
                answer = what, "hung"
            continue
        try:
            what, limit = mine.recv()
        except EOFError:
            process.join()
            answer = what, "hung" if process.exitcode == -signal.SIGXCPU else "ended"
            break
        if what == "done":
            answer = limit
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return answer


def used_by(group: int) -> float:
    """Return the seconds of processor time that a group of processes has used."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:13])) * (int(fields[2]) == group)
    return ticks / os.sysconf("SC_CLK_TCK")


def _pytest(copy: Path, paths: list[str], plugin: object, *options: str) -> None:
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy / "src")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = (
        "1"  # plugins of others took a second, a test some hundredths
    )
    usual = ["-q", "-p", "no:cacheprovider", "--no-header", *options]
    pytest.main([*usual, *paths], plugins=[plugin])


def reach(copy: Path, paths: list[str]) -> list[Test]:
    """Run tests without a mutation; of those that pass, say what they reach."""

    def run(say: Callable[[object], None]) -> list[Test]:
        plugin = _Reach(copy)
        _pytest(copy, paths, plugin)
        return [one for name, one in plugin.tests.items() if name not in plugin.failed]

    found = forked(run, 3600)
    if isinstance(found, tuple):
        sys.exit(f"the tests {' '.join(paths)} cannot be run without a mutation: {found}.")
    return found


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
        content = hashlib.sha256((ROOT / path).read_bytes()).hexdigest()[:8]
        key = f"{path} {content}"
        if key not in known:
            known[key] = [(*one[:3], sorted(one.reached)) for one in reach(copy, [path])]
            seconds = sum(one[1] - sum(one[2].values()) for one in known[key])
            print(f"{len(known[key]):5} tests in {path}, {seconds:.0f} s", flush=True)
            if kept:
                kept.write_text(json.dumps(known), "utf-8")
        rows += known[key]
    return [Test(name, seconds, shared, frozenset(reached)) for name, seconds, shared, reached in rows]


@cache
def rounds_of(file: Path) -> list[list[str]]:
    """Return the files of tests that may notice a mutation of a file, those that are most likely to first.

    Its mirror, its doctests and those of its package that name it; the others of its package; those of everything and
    those that name it elsewhere.
    """
    package, module = "tests" / file.parent.relative_to(SOURCE), ".".join(file.with_suffix("").parts[1:])
    texts = {
        path.relative_to(ROOT): path.read_text("utf-8")
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
    }
    every = [path for path, text in texts.items() if "playwright" not in text]
    named = [path for path in every if re.search(rf"\b{re.escape(module)}\b", texts[path])]
    inside = [path for path in every if path.is_relative_to(package)]
    mirror = package / f"test_{file.name}"
    near = [path for path in inside if path == mirror or path in named]
    near.sort(key=lambda path: path != mirror)
    rest = [path for path in inside if path not in near and package.parts[1:] != ("service",)]
    far = [path.relative_to(ROOT) for name in EVERYWHERE for path in sorted((ROOT / "tests").glob(name))]
    far += [path for path in named if path not in near + rest + far]
    return [[str(file), *map(str, near)], [*map(str, rest)], [*map(str, far)]]


def tests_of(mutant: Mutant, tests: list[Test]) -> list[Test]:
    """Return the tests that run the mutated function, or, for a constant, use its file; what is likely to kill first.

    That is what costs little, is near and runs little else.
    """
    place, name = f"{mutant.file}:", None
    tree = ast.parse((ROOT / mutant.file).read_bytes())
    for function, qualified in _functions(tree):
        if function.lineno <= mutant.line <= function.end_lineno:
            name = f"{place}{qualified}"  # the innermost comes last
    found = [one for one in tests if name in one.reached]
    found = found or [one for one in tests if any(function.startswith(place) for function in one.reached)]
    near = f"test_{mutant.file.name}::", f"{mutant.file}::"

    def order(one: Test) -> float:
        return (
            (one.seconds + 0.02)
            * (1 + len(one.reached) / 50)
            * (0.25 if any(n in one.name for n in near) else 1)
        )

    return sorted([one for one in found if one.seconds <= SLOW] or found, key=order)


def _functions(node: ast.AST, inside: str = "") -> Iterator[tuple[ast.AST, str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child, f"{inside}{child.name}"
            yield from _functions(child, f"{inside}{child.name}.<locals>.")
        else:
            yield from _functions(
                child, f"{inside}{child.name}." if isinstance(child, ast.ClassDef) else inside
            )


class Outcome(NamedTuple):
    """What became of a mutant.

    Attributes:
        killed_by: the test that noticed it; None: it survived.
        how: "failed", "hung" (took too long), "ended" (the process did); "" where it survived.
        tests: how many ran or were to run.
        left_off: how many more reach the mutated function, and were not run for want of `--seconds`.
        seconds: that all took.
    """

    killed_by: str | None
    how: str
    tests: int
    left_off: int
    seconds: float


def tried(
    copy: Path, mutant: Mutant, mapped: Callable[[list[str]], list[Test]], seconds: float, rounds: int = 3
) -> Outcome:
    """Try a mutant, the nearest tests first: those that name its file, of its package, of everything."""
    began, left, ran, left_off = time.monotonic(), seconds, 0, 0
    for paths in rounds_of(mutant.file)[:rounds]:
        chosen: dict[str, int] = {}
        made: set[str] = set()
        before = time.monotonic()
        tests = tests_of(mutant, mapped(paths))
        began += time.monotonic() - before  # what is found once is not this mutant's
        for one in tests:
            costs = one.seconds - sum(seconds for name, seconds in one.shared.items() if name in made)
            if left < costs and ran:
                left_off += 1
                continue
            chosen[one.name] = int(LONGER * one.seconds + 4)
            left, ran = left - costs, ran + 1
            made |= one.shared.keys()
        answer = _noticed(copy, mutant, chosen) if chosen else None
        if answer:
            return Outcome(*answer, ran, 0, time.monotonic() - began)
    return Outcome(None, "", ran, left_off, time.monotonic() - began)


def _noticed(copy: Path, mutant: Mutant, chosen: dict[str, int]) -> tuple[str, str] | None:
    """Return the first of some tests that notices a mutant, and how; None where none does."""
    target = copy / mutant.file
    original, stamp = target.read_bytes(), target.stat()
    # Kernels are compiled anew where one, or a constant of theirs, is another: what is stored knows its own file only.
    compiled = _kernels(mutant)
    with tempfile.TemporaryDirectory(prefix="kernels-") as folder:

        def run(say: Callable[[object], None]) -> tuple[str, str] | None:
            sys.dont_write_bytecode = True
            os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            if compiled:
                import numba

                os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = folder
            forget(copy, mutant.file)
            plugin = _Ordered({name: most + 60 * compiled for name, most in chosen.items()}, say)
            _pytest(copy, list(dict.fromkeys(name.split("::")[0] for name in chosen)), plugin, "-x")
            return (plugin.failed[0], "failed") if plugin.failed else None

        target.write_text(mutant.text, "utf-8")
        try:
            return forked(run, 60)
        finally:
            target.write_bytes(original)
            os.utime(target, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # so that what is compiled still is


def _kernels(mutant: Mutant) -> bool:
    """Tell whether compiled functions hold what a mutant changes: their own lines, or a constant that they import."""
    if "numba.njit" in mutant.text:
        return True
    inside = any(
        function.lineno <= mutant.line <= function.end_lineno
        for function, _ in _functions(ast.parse((ROOT / mutant.file).read_bytes()))
    )
    module = f"labelbeam.decoding.{mutant.file.stem}"
    kernels = (ROOT / SOURCE / "decoding").glob("*_kernel.py")
    return not inside and any(f"from {module} import" in kernel.read_text("utf-8") for kernel in kernels)


def innocent(copy: Path, killers: list[str]) -> set[str]:
    """Return those of some tests that fail without a mutation too, run in the order given."""

    def run(say: Callable[[object], None]) -> list[str]:
        plugin = _Ordered(dict.fromkeys(killers, 600), say)
        _pytest(copy, list(dict.fromkeys(name.split("::")[0] for name in killers)), plugin)
        return plugin.failed

    found = forked(run, 600)
    return {found[0]} if isinstance(found, tuple) else set(found)


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
    parser.add_argument("--examples", type=int, default=25, help="that a property test draws, at most")
    parser.add_argument(
        "--again", action="store_true", help="try the survivors in --out, in the tree as it is now"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="2: without the tests outside the package, which cost most"
    )
    parser.add_argument("--list", action="store_true", help="say what would be tried, and try nothing")
    options = parser.parse_args()
    rows = []
    if options.out and options.out.exists():
        rows = [*map(json.loads, options.out.read_text("utf-8").splitlines())]
    drawn = survivors(rows) if options.again else sample(options.names, options.sample, options.seed)
    if options.list:
        for where, mutant in drawn:
            print(f"{where}: {mutant.before[:70]}  ->  {mutant.after[:70]}")
        return
    done = set() if options.again else {(row["where"], row["before"], row["after"]) for row in rows}
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
        for kernel in (ROOT / SOURCE / "decoding/__pycache__").glob("*.nb[ci]"):  # compiled before
            (copy / SOURCE / "decoding/__pycache__").mkdir(exist_ok=True)
            shutil.copy2(kernel, copy / SOURCE / "decoding/__pycache__")
        preload(copy, options.examples)
        known = json.loads(options.map.read_text("utf-8")) if options.map and options.map.exists() else {}
        for where, mutant in drawn:
            key = where, mutant.before, mutant.after
            if key in done or time.monotonic() > until:
                continue
            outcome = tried(
                *(copy, mutant, lambda paths: mapped(copy, paths, known, options.map)),
                *(options.seconds, options.rounds),
            )
            row = dict(zip(("where", "before", "after"), key, strict=True)) | outcome._asdict()
            rows.append(row | {"again": options.again})
            if options.out:
                with options.out.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(rows[-1]) + "\n")
            print(
                f"{outcome.how or 'SURVIVED':8} {outcome.seconds:4.0f} s {outcome.tests:4} tests {where}: "
                f"{mutant.before[:70]}  ->  {mutant.after[:70]}",
                flush=True,
            )
        killers = sorted(
            {row["killed_by"] for row in rows if row["how"] == "failed" and "::" in row["killed_by"]}
        )
        wrong = innocent(copy, killers) if killers and time.monotonic() < until else set()
    for name in wrong:
        print(f"{name} fails without a mutation too: what it killed is not counted", flush=True)
    told(rows, wrong)


def sample(names: list[str], count: int, seed: int) -> list[tuple[str, Mutant]]:
    """Draw mutants of packages and files; each with its place."""
    every = [mutant for file in files_of(names) for mutant in mutants_of(file)]
    random.Random(seed).shuffle(every)
    drawn = list(islice(filter(parses, every), count))
    print(f"{len(drawn)} of {len(every)} mutants, seed {seed}", flush=True)
    return [(f"{one.file}:{one.line}", one) for one in drawn]


def survivors(rows: list[dict[str, Any]]) -> list[tuple[str, Mutant]]:
    """Return what survived, with its place then, in the tree as it is now: the same change, on the nearest line."""
    last = {(row["where"], row["before"], row["after"]): row for row in rows}
    found = []
    for where, before, after in (key for key, row in last.items() if row["killed_by"] is None):
        file, _, line = where.partition(":")
        same = [one for one in mutants_of(Path(file)) if (one.before, one.after) == (before, after)]
        if same:
            found.append((where, min(same, key=lambda one: abs(one.line - int(line)))))
        else:
            print(f"{where}: {before[:70]}: is no longer there")
    return found


def told(rows: list[dict[str, Any]], wrong: set[str]) -> None:
    """Print the share killed by package, and what survived."""
    counts, left = {}, []
    for row in rows:
        if not row["again"]:
            n, k = counts.setdefault(Path(row["where"]).relative_to(SOURCE).parts[0], [0, 0])
            killed = row["killed_by"] is not None and row["killed_by"] not in wrong
            counts[Path(row["where"]).relative_to(SOURCE).parts[0]] = [n + 1, k + killed]
            if not killed:
                more = f" ({row['left_off']} tests left off)" if row["left_off"] else ""
                left.append(f"{row['where']}: {row['before'][:70]}  ->  {row['after'][:70]}{more}")
    counts["all"] = [sum(column) for column in zip(*counts.values(), strict=True)] or [0, 0]
    print("\n| package | tried | killed | share |\n|---|---|---|---|")
    for package, (n, k) in counts.items():
        print(f"| {package} | {n} | {k} | {100 * k / max(1, n):.0f} % |")
    seconds = [row["seconds"] for row in rows]
    print(
        f"\n{sum(seconds) / max(1, len(seconds)):.1f} s a mutant; {len(left)} survived"
        + (":" if left else "")
    )
    print(*(f"  {line}" for line in left), sep="\n")


if __name__ == "__main__":
    main()
