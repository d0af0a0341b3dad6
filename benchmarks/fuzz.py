"""Every parser on damaged inputs: `python benchmarks/fuzz.py [--inputs 10000] [--only NAME,…] [--keep]`.

Hypothesis draws the damage: bytes that are changed, cut out, doubled, moved from another input; numbers of thousands of
digits, brackets inside brackets, odd characters in place of a value. A parser may answer or refuse with an
`InputError`; what else it raises, what takes more than five seconds of processor time and how much its peak memory
grew is printed. `--keep` puts an input of each kind of defect into `tests/fuzz_inputs/`, where the tests find it.

Each parser runs in a process of its own, which is forked from one that has the imports. Needs no data. An input of a
text costs 0.5 to 1.5 ms; of what is slow (whole runs, large pictures) as many are tried as fit into `--seconds`.
"""

import argparse
import hashlib
import multiprocessing
import queue
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"
sys.path.insert(0, str(TESTS))

from fuzzing import KEPT, Parser, parsers  # noqa: E402

PATIENCE, WAITING = 5, 60
"""Seconds of processor time of one input, and by the clock, on a machine that does other things too; more is a hang."""

MEMORY = 6 << 30
"""Bytes that a parser's process may have."""

IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where inputs are written: on a disk, opening a file to write it anew took nine tenths of an input's time."""

PIECES = (
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        "\ufeff".encode(),
        "\u200b".encode(),
        b"\r",
        b"\x1b[2J",
        b"%s",
        b"../",
    ),
    *(b"null", b"true", b"{}", b"[]", b'""', b"-1", b"0", b"1e999", b"NaN", b"9" * 30, b"9" * 5000, b"-0.0"),
    *(b"[" * 200, b'{"a":' * 200, b"<a>" * 200, b'"\\ud800"', b'"\\u0000"', b"/etc/passwd", b"\x7f" * 9),
)


class Hang(BaseException):
    """An input took too long."""


def damaged(number: int, seeds: list[bytes]) -> bytes:
    """Return an input: one that is in order, with one to six edits, as a number says.

    Hypothesis draws the number alone: of draws for each edit, most of the time went into drawing.
    """
    random = Random(number)
    raw = bytearray(random.choice(seeds))
    for _ in range(random.randint(1, 6)):
        # Heads decide more than tails: half of the edits fall into the first 300 bytes.
        last = len(raw) if random.random() < 0.5 else min(len(raw), 300)
        at = random.randint(0, last)
        kind = random.choice(("flip", "set", "piece", "cut", "double", "splice", "value"))
        if kind == "flip" and at < len(raw):
            raw[at] ^= 1 << random.randint(0, 7)
        elif kind == "set" and at < len(raw):
            raw[at] = random.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, random.randint(0, 255)))
        elif kind == "piece":
            raw[at:at] = random.choice(PIECES)
        elif kind == "cut":
            del raw[at : at + random.randint(1, 60)]
        elif kind == "double":
            raw[at:at] = raw[at : at + random.randint(1, 400)]
        elif kind == "splice":
            other = random.choice(seeds)
            raw[at:] = other[random.randint(0, len(other)) :]
        elif kind == "value":  # something else in place of a whole number, name or quoted text
            end = at
            while end < len(raw) and raw[end] not in b",:]}>\n;\t ":
                end += 1
            raw[at:end] = random.choice(PIECES)
    return bytes(raw)


def fuzz(
    make: Callable[[], Parser], inputs: int, seconds: float, number: int, answer: Any, current: Any
) -> None:
    """Give a parser its inputs, or as many as fit into some seconds of processor time, in a process of its own."""
    from labelbeam.errors import InputError

    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    found: dict[str, tuple[str, bytes]] = {}
    counts = {"read": 0, "refused": 0}
    slowest = 0.0

    def too_long(signum: int, frame: FrameType | None) -> None:
        raise Hang

    for kind in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(kind, too_long)

    def watch(patience: float, waiting: float) -> None:
        # Again every second: what is raised in a callback of Python's own is swallowed there.
        signal.setitimer(signal.ITIMER_PROF, patience, 1)
        signal.setitimer(signal.ITIMER_REAL, waiting, 1)

    parser = make()
    for whole in parser.seeds[:1]:  # what is imported at the first input is not its own time
        with suppress(InputError):
            parser.run(whole)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    until = time.process_time() + seconds

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**64 - 1))
    def every(drawn: int) -> None:
        nonlocal slowest
        if time.process_time() > until:
            return
        raw, began = damaged(drawn, parser.seeds), time.process_time()
        current.value = drawn
        watch(PATIENCE, WAITING)
        try:
            parser.run(raw)
            counts["read"] += 1
        except InputError:
            counts["refused"] += 1
        except (Exception, Hang) as error:
            text = "".join(traceback.format_exception(error))
            ours = [line for line in text.splitlines() if "labelbeam/" in line and "File" in line]
            found.setdefault(f"{type(error).__name__} {ours[-1].strip() if ours else ''}", (text, raw))
        finally:
            watch(0, 0)
        slowest = max(slowest, time.process_time() - began)

    every()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    answer.put((counts, found, slowest, grown))


def tried(
    make: Callable[[], Parser], inputs: int, seconds: float, number: int
) -> tuple[dict[str, int], dict[str, tuple[str, bytes]], float, int]:
    """Give a parser its inputs in a process of its own.

    Returns:
        How many inputs were read and refused; traceback and input by kind of defect; the slowest in seconds; kilobytes
        by which its memory grew.
    """
    context = multiprocessing.get_context("fork")  # what is imported and made is so once
    answer: Any = context.Queue()
    current: Any = context.Value("Q", 0, lock=False)
    process = context.Process(target=fuzz, args=(make, inputs, seconds, number, answer, current))
    process.start()
    while True:
        with suppress(queue.Empty):
            found = answer.get(timeout=5)
            break
        if not process.is_alive():  # killed: by memory, or by a decoder's own fault
            kind = f"the process ended with status {process.exitcode}"
            raw = damaged(current.value, make().seeds)
            found = {"read": 0, "refused": 0}, {kind: ("", raw)}, 0.0, 0
            break
    process.join()
    return found


def main() -> int:
    """Run the command line."""
    parsed = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parsed.add_argument("--inputs", type=int, default=10_000)
    parsed.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="of processor time for each; what is slow gets fewer inputs",
    )
    parsed.add_argument("--only", help="parsers, separated by commas; patterns such as sigmoid/*")
    parsed.add_argument("--seed", type=int, default=0)
    parsed.add_argument(
        "--keep", action="store_true", help="put inputs that are defects into tests/fuzz_inputs"
    )
    asked = parsed.parse_args()
    defects = 0
    print(
        f"{'parser':24} {'read':>7} {'refused':>8} {'defects':>8} {'slowest (s)':>12} {'memory grew (MB)':>17}"
    )
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        work, whole = Path(folder, "work"), Path(folder, "whole")
        work.mkdir()
        made = parsers(work)
        shutil.copytree(work, whole, symlinks=True)
        for name, make in made.items():
            if asked.only and not any(fnmatch(name, one) for one in asked.only.split(",")):
                continue
            counts, found, slowest, grown = tried(make, asked.inputs, asked.seconds, asked.seed)
            print(
                f"{name:24} {counts['read']:7,} {counts['refused']:8,} {len(found):8} {slowest:12.2f} "
                f"{grown / 1024:17.0f}",
                flush=True,
            )
            for kind, (text, raw) in found.items():
                defects += 1
                print(f"\n{kind}: {len(raw):,} bytes, {raw[:80]!r}\n{text}", file=sys.stderr)
                if asked.keep and raw:
                    place = KEPT / name.replace("/", " ") / f"{hashlib.sha256(raw).hexdigest()[:12]}.bin"
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(raw)
            shutil.rmtree(work)  # what one parser's inputs were is nothing to the next
            shutil.copytree(whole, work, symlinks=True)
    print(f"{defects} kinds of defects")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())
