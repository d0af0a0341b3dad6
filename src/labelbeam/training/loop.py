"""The training loop over a model whose forward is nats per image, and what it needs to go on after a kill."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from labelbeam.errors import InputError
from labelbeam.files import written_whole
from labelbeam.parsing import parse_json
from labelbeam.runs.recipe import Recipe
from labelbeam.runs.run_directory import LOG, write_log

# What training needs to go on after a kill: one safetensors file, replaced whole after every epoch.
#
# Tensors of the model, of the best model so far and of the optimiser; everything else is JSON in the file's
# metadata. Nothing is pickled. Random numbers need no state: every epoch draws from (seed, epoch).


@dataclass
class Progress:
    """How far training has come; changes as it goes on.

    Attributes:
        best_epoch: the epoch (from 1) with the best validation score; 0 before the first.
        best_score: its score, lower is better.
        history: one row per epoch, as in `log.csv`.
        best: the best model's tensors, on the CPU.
        average: the running average of the model's tensors (`Recipe.average`); empty without one.
    """

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = float("inf")
    history: list[dict[str, int | float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)


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
    tensors |= {f"average/{name}": tensor for name, tensor in progress.average.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{name}": value for name, value in state.items() if value is not None}
    stored = {
        "epoch": progress.epoch,
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
        "history": progress.history,
        "settings": settings,
    }
    # A copy each: safetensors refuses tensors that share memory, and the best may be the present one.
    tensors = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    with written_whole(path) as part:
        save_file(tensors, part, metadata={"progress": json.dumps(stored)})


def load_checkpoint(
    path: Path, model: torch.nn.Module, optimiser: torch.optim.Optimizer, *, settings: str
) -> Progress:
    """Put a checkpoint's tensors into the model and the optimiser and return how far training had come.

    Raises:
        InputError: the checkpoint was made with other settings, or is not one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            stored = parse_json((file.metadata() or {}).get("progress", "{}"), f"{path}, its metadata")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a dict
    except SafetensorError as error:
        raise _damaged(path, error) from None
    if not isinstance(stored, dict) or stored.get("settings") != settings:
        raise InputError(
            f"{path} was made with other settings (data, options or versions) than this run's, so going on "
            "from it would give a mixture. Use the settings it was made with, or train into a new folder."
        )
    try:
        model.load_state_dict(_under(tensors, "model/"))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under(tensors, "optimiser/").items():
            index, key = name.split("/")
            state.setdefault(int(index), {})[key] = tensor
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        numbers = stored["epoch"], stored["best_epoch"], stored["best_score"]
        if not all(isinstance(number, int | float) for number in numbers) or not isinstance(
            stored["history"], list
        ):
            raise TypeError("progress that is no numbers")
        return Progress(*numbers, stored["history"], _under(tensors, "best/"), _under(tensors, "average/"))
    except (RuntimeError, KeyError, ValueError, TypeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return InputError(
        f"{path} is damaged ({reason[:200]}), so nobody can go on from it. Start anew with --overwrite."
    )


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


# The training loop over a model whose forward is nats per image; knows neither labels nor pixels.

RESUME = "resume.safetensors"


@runtime_checkable
class Batches(Protocol):
    """Training data: the same batches for the same epoch, always."""

    def __len__(self) -> int:
        """Return the number of batches of an epoch."""
        ...

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs, targets) of an epoch, drawn from (seed, epoch) alone."""
        ...

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every image once, in the order given, without augmentation."""
        ...


def fit(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    batches: Batches,
    *,
    recipe: Recipe,
    validate: Callable[[nn.Module], dict[str, float]] | None,
    folder: Path | None,
    seed: int,
    settings: str,
    accelerator: Accelerator,
    learned: bool = False,
    after_epoch: Callable[[dict[str, int | float]], None] = lambda row: None,
) -> Progress:
    """Train a model; go on where an interrupted training of the same settings stopped.

    Args:
        model: `model(inputs, targets)` returns nats per image [batch]; ends with the best epoch's parameters.
        optimiser: over the model's parameters (`runs.recipe.build_optimiser`).
        validate: returns named scores of the model; the first is what early stopping lowers. None trains
            for `recipe.epochs` and keeps the last epoch.
        folder: where `resume.safetensors` and `log.csv` are written, whole, after every epoch; None: nowhere.
        seed: with the epoch's number, decides every random number of that epoch.
        settings: what must not differ between the two halves of a resumed training.
        learned: whether the model has learned something already, which is kept where no epoch is better (epoch 0).
        after_epoch: called with each epoch's row of the log.

    Returns:
        The progress at the end.

    Raises:
        InputError: the loss is not finite, or a checkpoint of other settings lies in `folder`.
    """
    # Resume before prepare(), which may wrap the model and move the optimiser's state.
    bare, bare_optimiser = model, optimiser
    progress = Progress()
    if folder is not None and (folder / RESUME).exists():
        progress = load_checkpoint(folder / RESUME, bare, bare_optimiser, settings=settings)
    model, optimiser = accelerator.prepare(model, optimiser)
    steps_in_all = recipe.epochs * len(batches)
    if learned and validate is not None and not progress.epoch:
        scores = broadcast_object_list([validate(bare.eval())])[0]
        progress.best_score, progress.best = next(iter(scores.values())), copied(bare.state_dict())
        if accelerator.is_main_process:
            after_epoch({"epoch": 0, **scores})
    if recipe.average:
        started = progress.average or bare.state_dict()
        progress.average = {name: t.detach().clone() for name, t in started.items()}
    while progress.epoch < recipe.epochs and not _stalled(progress, recipe, validate is not None):
        step, losses = progress.epoch * len(batches), []
        model.train()
        with torch.random.fork_rng():  # dropout draws from (seed, epoch): a resumed epoch is the same epoch
            torch.manual_seed(_dropout_seed(seed, progress.epoch, accelerator.process_index))
            for inputs, targets in batches.epoch(progress.epoch):
                for group in optimiser.param_groups:
                    group["lr"] = recipe.learning_rate * group["share"] * recipe.rate_at(step, steps_in_all)
                with accelerator.autocast():
                    nats = model(inputs.to(accelerator.device), targets.to(accelerator.device))
                    loss = _mean_over_processes(nats, accelerator)
                accelerator.backward(loss)
                if recipe.clip_norm:
                    accelerator.clip_grad_norm_(model.parameters(), recipe.clip_norm)
                optimiser.step()
                optimiser.zero_grad()
                _add_to_average(progress.average, bare, recipe.average)
                losses.append(loss.detach())
                step += 1
        train_nats = float(accelerator.reduce(torch.stack(losses).mean(), reduction="mean"))
        if not math.isfinite(train_nats):
            raise InputError(
                f"training diverged in epoch {progress.epoch + 1}: the loss is {train_nats}. Lower the "
                f"learning rate (now {recipe.learning_rate}) or set clip_norm (now {recipe.clip_norm})."
            )
        bare.eval()
        trained = copied(bare.state_dict()) if recipe.average else {}
        if recipe.average:  # what is judged and kept is the average; what learns on is not
            bare.load_state_dict(progress.average)
        # Batch statistics differ a little between processes; all must stop at the same epoch.
        scores = broadcast_object_list([validate(bare) if validate else {}])[0]
        progress.epoch += 1
        # Without validation the last epoch is the best.
        score = next(iter(scores.values()), -float(progress.epoch))
        if score < progress.best_score:
            progress.best_score, progress.best_epoch = score, progress.epoch
            progress.best = copied(bare.state_dict())
        if trained:
            bare.load_state_dict(trained)
        progress.history.append({"epoch": progress.epoch, "train_nats": train_nats, **scores})
        if accelerator.is_main_process:
            if folder is not None:
                save_checkpoint(
                    folder / RESUME, progress, bare.state_dict(), bare_optimiser, settings=settings
                )
                write_log(folder / LOG, progress.history)
            after_epoch(progress.history[-1])
    bare.load_state_dict(progress.best)
    bare.eval()
    return progress


@torch.inference_mode()
def mean_nats(model: nn.Module, batches: Batches, *, device: torch.device) -> float:
    """Return the mean of -log p(set | image) over held-out images, in nats."""
    nats = [
        model(inputs.to(device), targets.to(device)).double().cpu() for inputs, targets in batches.in_order()
    ]
    return float(torch.cat(nats).mean())


@torch.no_grad()
def _add_to_average(average: dict[str, Tensor], model: nn.Module, kept: float) -> None:
    """Move a running average towards the model; whole numbers (counts of batches) are taken as they are."""
    if not average:
        return
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            average[name] = average[name].to(tensor.device).lerp_(tensor, 1 - kept)
        else:
            average[name] = tensor.clone()


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a copy of a state dict on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _mean_over_processes(nats: Float[Tensor, " batch"], accelerator: Accelerator) -> Float[Tensor, ""]:
    """Return what, averaged over processes, is the mean of all their nats: their parts of a batch may differ by one."""
    if accelerator.num_processes == 1:
        return nats.mean()
    images = accelerator.reduce(torch.tensor(float(len(nats)), device=nats.device), reduction="sum")
    return nats.sum() * accelerator.num_processes / images


def _dropout_seed(seed: int, epoch: int, process: int) -> int:
    """Return what an epoch's dropout is drawn from: another thing in every process, each having other images."""
    return int(np.random.SeedSequence([seed, epoch, *([process] if process else [])]).generate_state(1)[0])


def _stalled(progress: Progress, recipe: Recipe, validated: bool) -> bool:
    return validated and 0 < recipe.patience <= progress.epoch - progress.best_epoch
