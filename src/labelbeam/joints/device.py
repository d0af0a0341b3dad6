"""Where networks run: the first accelerator that torch sees, else the processor."""

import os

import torch
from accelerate import Accelerator

from labelbeam.errors import InputError


def best_device() -> str:
    """Return the device for frozen encoders, as torch names it."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def accelerator_for(precision: str) -> Accelerator:
    """Return Accelerate's view of devices, processes and precision.

    Raises:
        InputError: a launcher started several processes, but Accelerate did not join them: each would
            take itself for the only one and write the same files.
    """
    accelerator = Accelerator(mixed_precision=precision)
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched > 1 and accelerator.num_processes == 1:
        raise InputError(
            f"{launched} processes were launched, but they are not joined. On processors without an accelerator "
            "set ACCELERATE_USE_CPU=true, or launch one process."
        )
    return accelerator
