"""Where networks run: the first accelerator that torch sees, else the processor."""

import os
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from labelbeam.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator


def best_device() -> str:
    """Return the device for frozen encoders, as torch names it; the processor where nothing has needed torch yet."""
    return "cuda" if sys.modules.get("torch") is not None and _has_cuda() else "cpu"


def accelerator_for(precision: str) -> "Accelerator":
    """Return Accelerate's view of devices, processes and precision.

    Raises:
        InputError: a launcher started several processes, but Accelerate did not join them: each would
            take itself for the only one and write the same files.
    """
    from accelerate import Accelerator, InitProcessGroupKwargs

    launched = int(os.environ.get("WORLD_SIZE", "1"))
    accelerator = Accelerator(
        mixed_precision=precision,
        cpu=launched > 1
        and not _has_cuda(),  # else Accelerate does not join processes without an accelerator
        # The first process makes the features of all images while the others wait.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=7))],
    )
    if launched > 1 and accelerator.num_processes == 1:
        raise InputError(
            f"{launched} processes were launched, but they are not joined. Launch them with torchrun, or launch one "
            "process."
        )
    return accelerator


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
