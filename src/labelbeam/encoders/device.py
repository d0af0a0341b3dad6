"""Where networks run: the first accelerator that torch sees, else the processor."""

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from labelbeam.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator


MEMORY_OF_A_PICTURE = 64 * 2**20
"""Bytes that a picture takes on its way through an encoder, generously: a ViT-B at 224 pixels takes about 20 MB."""

ON_PROCESSOR, MOST_TOGETHER = 16, 256
"""Pictures that go through a network together: on a processor (more would only wait), and at most."""


@dataclass(frozen=True)
class Place:
    """Where a network runs, and how.

    Attributes:
        device: as torch names it.
        batch_size: pictures together.
        precision: of training an encoder there, as `runs.recipe.Recipe` names it: mixed where it is as exact in effect
            and several times as fast.
    """

    device: str
    batch_size: int
    precision: str

    def __str__(self) -> str:
        mixed = "" if self.precision == "no" else f", training in {self.precision}"
        return f"{self.device}, {self.batch_size} pictures together{mixed}"


@dataclass(frozen=True)
class Accelerators:
    """What torch sees on a machine.

    Attributes:
        cuda: free bytes of the first CUDA device; None: there is none.
        bf16: whether it computes in bfloat16.
        mps: whether Apple's Metal can be used.
    """

    cuda: int | None = None
    bf16: bool = False
    mps: bool = False


def place_on(seen: Accelerators) -> Place:
    """Choose the device, how many pictures go together and the precision of fine-tuning.

    Features are computed in single precision everywhere: rounded ones would be other features than those of the machine
    that tags later (`Encoder.key`); `--precision bfloat16` asks for them.

    Example:
        >>> place_on(Accelerators(cuda=8 * 2**30, bf16=True)), place_on(Accelerators()).device
        (Place(device='cuda', batch_size=64, precision='bf16'), 'cpu')
    """
    if seen.cuda is not None:
        fitting = max(1, seen.cuda // 2 // MEMORY_OF_A_PICTURE)
        together = 2 ** (min(MOST_TOGETHER, fitting).bit_length() - 1)
        return Place("cuda", together, "bf16" if seen.bf16 else "fp16")
    if seen.mps:
        return Place(
            "mps", 2 * ON_PROCESSOR, "no"
        )  # Accelerate mixes no precision there that torch trains in
    return Place("cpu", ON_PROCESSOR, "no")


def accelerators() -> Accelerators:
    """Ask torch what there is; nothing where nobody has needed torch yet."""
    torch = sys.modules.get("torch")
    if torch is None:
        return Accelerators()
    if torch.cuda.is_available():
        return Accelerators(torch.cuda.mem_get_info()[0], torch.cuda.is_bf16_supported())
    return Accelerators(mps=torch.backends.mps.is_available())


def best_device() -> str:
    """Return the device for frozen encoders, as torch names it; the processor where nothing has needed torch yet."""
    return place_on(accelerators()).device


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
