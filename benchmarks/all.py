"""Every benchmark of speed, one after the other; one JSON file and one table, with machine, versions and commit.

Every figure is a ratio to a reference that was measured in the same run, in turns with what is measured; medians.
The references are what a competent user would write: an eager PyTorch loop over the same encoder with Pillow, a
batched LSTM beam search in which finished images leave the batch, a Python loop over the beams, a length-sorted
packed `nn.LSTM`.

    python benchmarks/all.py --out speed.json      # about 14 minutes on 2 cores
    python benchmarks/all.py --quick               # about four minutes: fewer rounds, images and sizes
    python benchmarks/all.py --only decoding,start

Each runs in a process of its own; one that fails is told in the table, the others go on, and the exit status is 1.
Needs the photographs, label sets and weights of $LABELBEAM_DATA.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Figure, machine, save, show

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Benchmark:
    """A script that takes `--out FILE` and writes JSON there.

    Attributes:
        script: its file.
        quick: its arguments under `--quick`.
        one_thread: for those that count processor time, which threads spend on waiting too.
    """

    script: str
    quick: tuple[str, ...] = ("--quick",)
    one_thread: bool = False


BENCHMARKS = {
    "start": Benchmark("start.py", quick=("--rounds", "3")),
    "pixels": Benchmark("pixels.py", quick=("--rounds", "2")),
    "features": Benchmark("features.py", quick=("--images", "128", "--rounds", "2")),
    "encoders": Benchmark("encoders.py", quick=("--images", "32", "--rounds", "1", "--networks", "resnet50")),
    "decoding": Benchmark("decoding.py"),
    "scale": Benchmark("scale.py", one_thread=True),
    "training": Benchmark("training.py"),
}


def run(benchmark: Benchmark, *, quick: bool, out: Path) -> tuple[str, dict[str, Any]]:
    """Run a benchmark.

    Returns:
        What went wrong, empty where nothing did, and the benchmark's JSON.
    """
    command = [sys.executable, str(FOLDER / benchmark.script), *(benchmark.quick if quick else ())]
    threads = {"OMP_NUM_THREADS": "1"} if benchmark.one_thread else {}
    done = subprocess.run(
        [*command, "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, **threads},
    )
    if done.returncode or not out.exists():
        said = done.stderr.strip().splitlines()
        return f"exit status {done.returncode}: {said[-1] if said else 'nothing said'}", {}
    return "", json.loads(out.read_text(encoding="utf-8"))


def figures_of(name: str, result: dict[str, Any]) -> list[Figure]:
    """Return a result's figures; `features.py` has a single ratio."""
    if "figures" in result:
        return [Figure(**figure) for figure in result["figures"]]
    if "ratio" in result:
        measured = f"{result['images_per_second']['pipeline']:.0f} images/s"
        return [Figure("files to features", "1 / (1/decoding + 1/encoder)", result["ratio"], least=result["target"],
                       measured=measured)]  # fmt: skip
    return [Figure(name, "see its JSON", None)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write every benchmark's JSON there, in one object")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, images and sizes")
    parser.add_argument("--only", help=f"some of {','.join(BENCHMARKS)}")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(BENCHMARKS)
    if unknown := sorted(set(names) - set(BENCHMARKS)):
        parser.error(f"--only {','.join(unknown)}: there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    results: dict[str, Any] = {}
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            sys.stdout.write(f"\n{name}: {BENCHMARKS[name].script}\n")
            sys.stdout.flush()
            begun = time.perf_counter()
            failure, result = run(BENCHMARKS[name], quick=options.quick, out=Path(folder) / f"{name}.json")
            if failure:
                failures[name] = failure
                figures.append(Figure(name, "FAILED", None, measured=failure))
                continue
            results[name] = result | {"seconds": round(time.perf_counter() - begun, 1)}
            figures += figures_of(name, result)
    on = machine()
    sys.stdout.write("\n")
    for key, value in on.items():
        sys.stdout.write(f"{key:12} {value}\n")
    sys.stdout.write("\n")
    show(figures)
    save(options.out, figures, quick=options.quick, failures=failures, benchmarks=results)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
