"""How fast labelbeam starts: `--help` under 0.3 s, `score` without any heavy package, one picture tagged soon.

Runs each command in a fresh interpreter, in turn, and prints the medians; then says which heavy packages the
command line and `score` have imported (none may be).

    python benchmarks/start.py --rounds 11
    python benchmarks/start.py --run runs/voc --exported exported --image one.jpg

With a run (and the same one exported), also how long `tag one.jpg` takes against what cannot be left out with
PyTorch: importing torch, loading the encoder and running it once; the target is 1.5 times that. Processor seconds
stand beside the clock's, because a busy machine stretches the clock. Takes about ten seconds, with a run a minute.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from measuring import Figure, save

HEAVY = (
    *(
        "torch",
        "torchvision",
        "timm",
        "accelerate",
        "safetensors",
        "transformers",
        "sklearn",
        "scipy",
        "numba",
    ),
    *("matplotlib", "PIL", "pandas", "huggingface_hub"),
)
COMMANDS = {
    "python, nothing imported": ["-c", "pass"],
    "import labelbeam": ["-c", "import labelbeam"],
    "labelbeam --help": ["-m", "labelbeam", "--help"],
    "labelbeam train --help": ["-m", "labelbeam", "train", "--help"],
    "what `score` imports": ["-c", "import labelbeam.metrics.evaluation, labelbeam.metrics.intervals"],
}
UNAVOIDABLE = """
import sys
from pathlib import Path
import torch
from labelbeam.encoders.catalogue import load_encoder
from labelbeam.data.images import read_rgb
encoder = load_encoder(Path(sys.argv[1]) / "encoder.safetensors").ready("cpu")
encoder.encode(encoder.preprocess.resized(read_rgb(sys.argv[2]))[None])
"""
LOADED = "import sys; from labelbeam import Tagger; Tagger.load(sys.argv[1])"
WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["accelerate"] = None
from labelbeam.cli import main
main()
"""
LISTED = """
import json, sys
from labelbeam.cli import app
import labelbeam.metrics.score_table, labelbeam.metrics.evaluation, labelbeam.metrics.intervals
import labelbeam.metrics.file_comparison
print(json.dumps(sorted(sys.modules)))
"""


def timed(command: list[str]) -> tuple[float, float]:
    """Return seconds on the clock and of the processor that a command takes in a fresh interpreter."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands_of(run: str | None, exported: str | None, image: str | None) -> dict[str, list[str]]:
    """Return what is timed: the commands without a run, and those with the runs that were given."""
    commands = dict(COMMANDS)
    if run and image:
        commands["import torch, load and run the encoder"] = ["-c", UNAVOIDABLE, run, image]
        commands["labelbeam tag one.jpg"] = ["-m", "labelbeam", "tag", run, image]
        commands["Tagger.load"] = ["-c", LOADED, run]
    if exported and image:
        commands["labelbeam tag one.jpg, exported"] = ["-c", WITHOUT_TORCH, "tag", exported, image]
        commands["Tagger.load, exported"] = ["-c", LOADED, exported]
    return commands


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--run", help="a trained run with its encoder")
    parser.add_argument("--exported", help="the same run, exported to onnx or openvino")
    parser.add_argument("--image", help="a picture")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON, for all.py")
    asked = parser.parse_args()
    commands = commands_of(asked.run, asked.exported, asked.image)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(asked.rounds):  # interleaved, so that a busy machine is as unfair to each
        for name, command in commands.items():
            times[name].append(timed(command))
    print(
        f"python {platform.python_version()}, {platform.machine()}, medians of {asked.rounds} rounds (fastest)"
    )
    for name, taken in times.items():
        clock, processor = zip(*taken, strict=True)
        print(f"  {name:40} {median(clock):.3f} s ({min(clock):.3f}), processor {median(processor):.3f} s")
    help_seconds = median(clock for clock, _ in times["labelbeam --help"])
    told = f"{help_seconds:.2f} s"
    figures = [Figure("labelbeam --help", "0.3 s", help_seconds / 0.3, most=1.0, measured=told)]
    if asked.run and asked.image:
        tagged, needed = times["labelbeam tag one.jpg"], times["import torch, load and run the encoder"]
        for kind, column in (("on the clock", 0), ("of the processor", 1)):
            ratio = median(a[column] / b[column] for a, b in zip(tagged, needed, strict=True))
            print(f"tag one.jpg is {ratio:.2f} times what it cannot do without, {kind}")
            figures.append(Figure(f"tag one.jpg, {kind}", "torch, encoder loaded and run", ratio, most=1.5))
    save(asked.out, figures, seconds=times)
    listed = subprocess.run([sys.executable, "-c", LISTED], check=True, capture_output=True, text=True)
    imported = {module.partition(".")[0] for module in json.loads(listed.stdout)}
    found = [name for name in HEAVY if name in imported]
    print(
        f"heavy packages not imported by the command line and `score`: {', '.join(sorted(set(HEAVY) - set(found)))}"
    )
    if found:
        sys.exit(f"imported, though heavy: {', '.join(found)}")


if __name__ == "__main__":
    main()
