"""Training over several processes: the same losses as one process with the same batches, one run written, told once."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_runs import SMALL

SURE = [f"--set=label_model.{name}_dropout=0" for name in ("feature", "projection", "image_hidden")]
"""What is drawn at random for each image is another thing in another process."""


def log_of(run: Path) -> list[list[float]]:
    with (run / "log.csv").open(encoding="utf-8") as file:
        return [[float(value) for value in row.values()] for row in csv.DictReader(file)]


def test_two_processes_train_as_one_with_the_same_batches(drawn, encoder_file, own_cache, tmp_path):
    """Odd numbers on purpose: 41 images in batches of 15, so that parts differ and the last batch is small."""
    alike = ["train", "--data", f"csv:{drawn / 'tags.csv'}#train", "--weights", str(encoder_file)]
    alike += ["--epochs", "3", "--batch-size", "15", *SMALL, *SURE]
    one, two = tmp_path / "one", tmp_path / "two"
    environment = {**os.environ, "LABELBEAM_CACHE": str(own_cache), "OMP_NUM_THREADS": "1"}
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    both = [
        subprocess.run(
            [*launcher, "-m", "labelbeam", *alike, "--out", str(out)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        for launcher, out in (([sys.executable], one), (launched, two))
    ]
    for done in both:
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(" of 3 kept") == 1
        assert done.stderr.count("epoch 2/3") == 1
    ours, theirs = log_of(one), log_of(two)
    assert len(ours) == 3
    for row, other in zip(ours, theirs, strict=True):
        assert other == pytest.approx(row, rel=1e-5)
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())
