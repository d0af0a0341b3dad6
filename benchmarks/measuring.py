"""What the benchmarks of speed share: rivals take turns, medians, the machine's description, one form of result.

Knows no model and no data. A benchmark prints its figures, and with `--out` writes one JSON object with
"machine" and "figures", which `all.py` gathers.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("numpy", "torch", "numba", "pillow", "onnxruntime", "openvino")


@dataclass(frozen=True)
class Figure:
    """One ratio.

    Attributes:
        what: what was measured.
        against: the reference, measured in the same run.
        ratio: how many times the reference; above 1 is better, unless `most` says otherwise.
        least: the ratio that the project aims at, at least.
        most: or at most.
        measured: the value behind the ratio, with its unit.
    """

    what: str
    against: str
    ratio: float | None
    least: float | None = None
    most: float | None = None
    measured: str = ""

    @property
    def aim(self) -> str:
        """The aim and whether it was reached."""
        if self.ratio is None or (self.least is None and self.most is None):
            return ""
        if self.least is not None:
            return f">= {self.least:g} {'reached' if self.ratio >= self.least else 'MISSED'}"
        return f"<= {self.most:g} {'reached' if self.ratio <= (self.most or 0) else 'MISSED'}"


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor, cores, load, versions, commit."""
    asked = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "omp_threads": os.environ.get("OMP_NUM_THREADS", "as many as cores"),
        "system": platform.platform(),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in PACKAGES if _installed(name)},
        "commit": subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip(),
    }  # fmt: skip


def interleaved(
    ways: Mapping[str, Callable[[], object]], *, rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Time each way once a round, beginning with another one each round, so that a busy machine is fair to all.

    Args:
        ways: name and what is timed; setting up and warming up are the caller's.
        rounds: how many.
        clock: `time.process_time` counts processor time, of all threads, which a busy machine does not stretch.

    Returns:
        Seconds of every round.
    """
    names = list(ways)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            taken[name].append(seconds(ways[name], clock=clock))
    return taken


def seconds(work: Callable[[], object], *, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how long one call takes."""
    begun = clock()
    work()
    return clock() - begun


def medians(taken: Mapping[str, Iterable[float]]) -> dict[str, float]:
    """Return the median of each way's seconds."""
    return {name: median(values) for name, values in taken.items()}


def show(figures: Iterable[Figure]) -> None:
    """Print figures as a table."""
    rows = [("what", "against", "times", "aim", "measured")]
    for figure in figures:
        ratio = "-" if figure.ratio is None else f"{figure.ratio:.3g}"
        rows.append((figure.what, figure.against, ratio, figure.aim, figure.measured))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        sys.stdout.write("  ".join([*cells, row[4]]).rstrip() + "\n")


def save(path: Path | None, figures: Iterable[Figure], **more: object) -> None:
    """Write machine, figures and whatever else was measured as JSON; nothing without a path."""
    if path is None:
        return
    result = {"machine": machine(), "figures": [asdict(figure) for figure in figures], **more}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
