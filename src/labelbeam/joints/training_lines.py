"""Lines that a person reads of a training: one per epoch, and those on top of a run's config.yaml."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from labelbeam.joints.run_directory import versions

SHOWN = ("mAP_area", "OF1", "CF1", "subset_accuracy", "log_likelihood")
"""Validation scores that a run's config.yaml opens with."""


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """Return what an epoch says of itself.

    Args:
        row: of log.csv.
        epochs: how many there will be at most.

    Example:
        >>> epoch_line({"epoch": 2, "train_nats": 1.5}, 10)
        'epoch 2/10  train_nats 1.500'
    """
    numbers = "  ".join(f"{name} {value:.3f}" for name, value in row.items() if name != "epoch")
    return f"epoch {row['epoch']}/{epochs}  {numbers}"


def opening_lines(command: str, epochs: int, best: int, metrics: Mapping[str, Any]) -> Sequence[str]:
    """Return command, machine, versions, epochs and validation scores of a finished training.

    Args:
        command: how the user called it; may be empty.
        epochs: trained.
        best: the one that was kept.
        metrics: validation scores; may be empty.
    """
    lines = [f"command: {command}"] if command else []
    told = versions()
    lines.append(
        f"machine: {told['machine']}, {told['threads']} threads, python {told['python']}, "
        f"torch {told['torch']}"
    )
    lines.append(f"epochs: {epochs}, best {best}")
    shown = [
        f"{name} {metrics[name]:.3f}"
        for name in SHOWN
        if isinstance(metrics.get(name), float) and math.isfinite(metrics[name])
    ]
    return [*lines, f"validation: {', '.join(shown)}"] if shown else lines
