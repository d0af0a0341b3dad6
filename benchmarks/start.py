"""How fast labelbeam starts: `--help` under 0.3 s, and `score` without any heavy package.

Runs each command in a fresh interpreter, in turn, and prints the medians; then says which heavy packages the
command line and `score` have imported (none may be).

    python benchmarks/start.py --rounds 11

Takes about ten seconds.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from statistics import median

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
    "labelbeam --help": ["-m", "labelbeam", "--help"],
    "labelbeam train --help": ["-m", "labelbeam", "train", "--help"],
    "what `score` imports": ["-c", "import labelbeam.metrics.evaluation, labelbeam.metrics.bootstrap"],
}
LISTED = """
import json, sys
from labelbeam.cli import app
import labelbeam.joints.score_table, labelbeam.metrics.evaluation, labelbeam.metrics.bootstrap
import labelbeam.metrics.file_comparison
print(json.dumps(sorted(sys.modules)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds):  # interleaved, so that a busy machine is as unfair to each
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            times[name].append(time.perf_counter() - started)
    print(f"python {platform.python_version()}, {platform.machine()}, medians of {rounds} rounds (fastest)")
    for name, seconds in times.items():
        print(f"  {name:26} {median(seconds):.3f} s  ({min(seconds):.3f})")
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
