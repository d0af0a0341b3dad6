"""What training needs to go on after a kill: one safetensors file, replaced whole after every epoch.

Tensors of the model, of the best model so far and of the optimiser; everything else is JSON in the file's
metadata. Nothing is pickled. Random numbers need no state: every epoch draws from (seed, epoch).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from labelbeam.data.whole_file import written_whole
from labelbeam.errors import InputError


@dataclass
class Progress:
    """How far training has come; changes as it goes on.

    Attributes:
        epoch: epochs done.
        best_epoch: the epoch (from 1) with the best validation score; 0 before the first.
        best_score: its score, lower is better.
        history: one row per epoch, as in `log.csv`.
        best: the best model's tensors, on the CPU.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = float("inf")
    history: list[dict[str, int | float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


def save_checkpoint(
    path: Path,
    progress: Progress,
    model: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    *,
    settings: str,
) -> None:
    """Write the checkpoint, replacing the last one whole.

    Args:
        path: the file; a temporary neighbour is renamed to it.
        progress: how far training has come.
        model: the model's state dict as it is now.
        optimiser: its state goes in as tensors.
        settings: text that must be the same for a checkpoint to be continued (data, configuration, versions).
    """
    tensors = {f"model/{name}": tensor for name, tensor in model.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in progress.best.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{name}": value for name, value in state.items() if value is not None}
    told = {
        "epoch": progress.epoch,
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
        "history": progress.history,
        "settings": settings,
    }
    # A copy each: safetensors refuses tensors that share memory, and the best may be the present one.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with written_whole(path) as part:
        save_file(tensors, part, metadata={"progress": json.dumps(told)})


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, *, settings: str
) -> Progress:
    """Put a checkpoint's tensors into the model and the optimiser and return how far training had come.

    Raises:
        InputError: the checkpoint was made with other settings, or is not one.
    """
    with safe_open(path, framework="pt") as file:
        told = json.loads((file.metadata() or {}).get("progress", "{}"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    if told.get("settings") != settings:
        raise InputError(
            f"{path} was made with other settings (data, options or versions) than this run's, so going on "
            "from it would give a mixture. Use the settings it was made with, or train into a new folder."
        )
    model.load_state_dict(_under(tensors, "model/"))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under(tensors, "optimiser/").items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return Progress(
        told["epoch"], told["best_epoch"], told["best_score"], told["history"], _under(tensors, "best/")
    )


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
