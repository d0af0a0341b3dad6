"""Training the label model at COCO's scale: distinct prefixes against a packed, length-sorted `nn.LSTM`.

Real label sets (82,081 images of train2014, 80 labels), 4,096 made-up features per image that carry signal, LSTM of
512 units, embedding of 64, batch 512. Rivals take turns on the same batches; whole steps are timed: features in half
precision to single, scaling, forward, backward, clipping, AdamW. Then gradients are compared with dropout off, their
variance with dropout on, and a training of some epochs runs through `labelbeam.training.loop.fit`.

    python benchmarks/training.py                 # 5 to 10 minutes on 2 cores, with the whole 10 epochs
    python benchmarks/training.py --epochs 1      # one epoch only
    python benchmarks/training.py --quick         # a minute: few rounds, an eighth of the images, one epoch

Needs the label sets of $LABELBEAM_DATA, and 1.5 GiB of memory.
"""

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from coco_like import load_label_sets
from measuring import Figure, interleaved, medians, save, show
from packed_lstm import PackedLSTM
from torch import Tensor, nn

from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.options import LabelModelOptions
from labelbeam.heads.sequences_torch import PAD, distinct_prefixes, sequences_of
from labelbeam.runs.recipe import Recipe, build_optimiser
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.loop import fit, mean_nats

FEATURES, BATCH, NOISE = 4096, 512, 40.0
"""With this noise each feature says little and all together much: about 8 nats per image stay after training."""


def made_up_features(targets: np.ndarray, *, seed: int) -> np.ndarray:
    """Return float16 [images 4096]: a fixed random projection of the set, plus noise, cut off as ReLU does."""
    projection = np.random.default_rng(0).standard_normal((targets.shape[1], FEATURES), dtype=np.float32)
    random = np.random.default_rng(seed)
    features = np.empty((len(targets), FEATURES), dtype=np.float16)
    for first in range(0, len(targets), 2048):
        block = targets[first : first + 2048].astype(np.float32) @ projection
        block += NOISE * random.standard_normal(block.shape, dtype=np.float32)
        features[first : first + 2048] = np.maximum(block, 0.0, out=block)
    return features


def build(features: np.ndarray, num_labels: int, **options: Any) -> CNNRNN:
    """Return a paper-sized label model, its scaling fitted."""
    torch.manual_seed(0)
    model = CNNRNN(num_labels, FEATURES, LabelModelOptions(**options), scaling="standardize")
    model.scaling.fit(features[:4096])
    return model


class Trainer:
    """One way of training: each call is one step on the next batch."""

    def __init__(self, model: nn.Module, batches: FeatureBatches, *, precision: str = "no") -> None:
        self.model, self.precision = model.train(), precision
        self.optimiser = build_optimiser(Recipe(), model)
        self.batches = self._endless(batches)

    def __call__(self) -> float:
        """Train one step; return its loss."""
        features, targets = next(self.batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            loss = self.model(features, targets).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return float(loss.detach())

    @staticmethod
    def _endless(batches: FeatureBatches) -> Iterator[tuple[Tensor, Tensor]]:
        epoch = 0
        while True:
            for features, targets in batches.epoch(epoch):
                if len(features) == batches.batch_size:
                    yield features, targets
            epoch += 1


def steps(features: np.ndarray, targets: np.ndarray, *, rounds: int) -> tuple[list[Figure], dict[str, Any]]:
    """Time one training step of each way, on the same batches."""
    batches = FeatureBatches(features[:, None], targets, BATCH, seed=1)
    model = build(features, targets.shape[1])
    ways = {
        "packed_lstm": Trainer(PackedLSTM(model), batches),
        "packed_lstm_bf16": Trainer(PackedLSTM(model), batches, precision="bf16"),
        "distinct_prefixes_bf16": Trainer(copy.deepcopy(model), batches, precision="bf16"),
        "distinct_prefixes": Trainer(model, batches),
    }
    for way in ways.values():
        way()
        way()
    taken = interleaved(ways, rounds=rounds)
    middle = medians(taken)
    sequences = sequences_of(torch.from_numpy(targets[:BATCH]))
    shared = distinct_prefixes(sequences, targets.shape[1]).count / int((sequences != PAD).sum())
    ours = middle["distinct_prefixes"]
    return [
        Figure("training step, batch 512", "packed, length-sorted nn.LSTM",
               middle["packed_lstm"] / ours, least=2.0, measured=f"{ours * 1000:.0f} ms a step"),
        Figure("the same in bfloat16", "packed nn.LSTM in bfloat16",
               middle["packed_lstm_bf16"] / middle["distinct_prefixes_bf16"],
               measured=f"{middle['distinct_prefixes_bf16'] * 1000:.0f} ms a step"),
        Figure("training step in bfloat16", "the same in single precision",
               ours / middle["distinct_prefixes_bf16"]),
    ], {"milliseconds": {name: value * 1000 for name, value in middle.items()},
        "distinct_share_of_tokens": shared}  # fmt: skip


def gradients(features: np.ndarray, targets: np.ndarray) -> tuple[list[Figure], dict[str, Any]]:
    """Compare loss and gradients of one batch with dropout off, in single and in double precision."""
    told: dict[str, Any] = {}
    inputs, wanted = torch.from_numpy(features[:BATCH].astype(np.float32)), torch.from_numpy(targets[:BATCH])
    for name, dtype in (("single", torch.float32), ("double", torch.float64)):
        model = build(features, targets.shape[1]).to(dtype)
        scaled = model.scaling.float()(inputs).to(dtype)
        model.scaling = AlreadyScaled()  # the scaling works in single precision
        rival = PackedLSTM(model)
        loss, rivals = model(scaled, wanted).mean(), rival(scaled, wanted)
        loss.backward()
        rivals.backward()
        ours = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        told[name] = {
            "loss": abs(float(loss.detach() - rivals.detach())),
            "largest_gradient_difference": max(
                float((ours[key] - grad).abs().max()) for key, grad in rival.gradients().items()
            ),
            "largest_gradient": max(float(grad.abs().max()) for grad in ours.values()),
        }
    worst = told["single"]["largest_gradient_difference"]
    return [
        Figure("largest difference of a gradient, single precision", "1e-6", worst / 1e-6, most=1.0,
               measured=f"{worst:.1e}; double precision {told['double']['largest_gradient_difference']:.1e}")
    ], told  # fmt: skip


class AlreadyScaled(nn.Module):
    """In place of the scaling."""

    feature_size = FEATURES

    def forward(self, features: Tensor) -> Tensor:
        """Return the features."""
        return features


class DropoutBeforeSharing(CNNRNN):
    """What not to do: one dropout mask per distinct prefix, shared by every image that says it."""

    def prefix_vectors(self, levels: list[tuple[Tensor, Tensor]]) -> Tensor:
        """Return the prefixes' vectors, dropped out before images gather them."""
        return nn.functional.dropout(super().prefix_vectors(levels), 0.5, self.training)

    def image_vectors(self, features: Tensor) -> Tensor:
        """Return the images' vectors, dropped out once an image, as always."""
        return nn.functional.dropout(super().image_vectors(features), 0.5, self.training)


def variances(
    features: np.ndarray, targets: np.ndarray, *, draws: int
) -> tuple[list[Figure], dict[str, Any]]:
    """Compare the variance of the recurrent matrix's gradient over dropout's draws, the batch fixed."""
    model = build(features, targets.shape[1], projection_dropout=0.5)
    early = DropoutBeforeSharing(
        model.num_labels, FEATURES, LabelModelOptions(projection_dropout=0.0), scaling="standardize"
    )
    early.load_state_dict(model.state_dict())
    ways = {"distinct prefixes": model, "packed nn.LSTM": PackedLSTM(model), "dropout before sharing": early}
    inputs, wanted = torch.from_numpy(features[:BATCH].astype(np.float32)), torch.from_numpy(targets[:BATCH])
    told = {}
    for name, way in ways.items():
        torch.manual_seed(1)
        way.train()
        first, second = torch.zeros(()), torch.zeros(())
        for _ in range(draws):
            way.zero_grad()
            way(inputs, wanted).mean().backward()
            flat = way.cell.from_state.weight.grad if isinstance(way, CNNRNN) else way.lstm.weight_hh_l0.grad
            assert flat is not None
            flat = flat.double()
            first, second = first + flat, second + flat**2
        mean = first / draws
        told[name] = float((second / draws - mean**2).sum()) * draws / (draws - 1)
    rival = told["packed nn.LSTM"]
    return [
        Figure("variance of the recurrent gradient, dropout 0.5", "packed nn.LSTM",
               told["distinct prefixes"] / rival, most=1.1),
        Figure("the same, dropout before sharing (not done)", "packed nn.LSTM", told["dropout before sharing"] / rival),
    ], {"draws": draws, "total_variance": told}  # fmt: skip


def epochs(
    features: np.ndarray, targets: np.ndarray, *, count: int, precision: str
) -> tuple[list[Figure], dict[str, Any]]:
    """Train as `labelbeam train` does, checkpoints and validation included; the last 2,000 images are held out."""
    recipe = Recipe(epochs=count, batch_size=BATCH, learning_rate=2e-3, precision=precision)
    batches = FeatureBatches(features[:-2000, None], targets[:-2000], BATCH, seed=1)
    held_out = FeatureBatches(features[-2000:, None], targets[-2000:], BATCH, seed=1)
    model = build(features, targets.shape[1], projection_dropout=0.2)
    ends, processor = [time.perf_counter()], time.process_time()

    def told(row: dict[str, int | float]) -> None:
        ends.append(time.perf_counter())
        numbers = "  ".join(f"{name} {value:.3f}" for name, value in row.items())
        sys.stderr.write(f"{numbers}  {ends[-1] - ends[-2]:.1f} s\n")

    with tempfile.TemporaryDirectory() as folder:
        progress = fit(
            model, build_optimiser(recipe, model), batches, recipe=recipe,
            validate=lambda net: {"val_nats": mean_nats(net, held_out, device=torch.device("cpu"))},
            folder=Path(folder), seed=0, settings="benchmark", after_epoch=told,
            accelerator=Accelerator(cpu=True, mixed_precision=precision),
        )  # fmt: skip
    whole, processor = ends[-1] - ends[0], time.process_time() - processor
    return [
        Figure(f"{count} epochs of {len(batches.features):,} images, minutes", "10 minutes", whole / 600, most=1.0,
               measured=f"{whole:.0f} s, {processor:.0f} s of processor time")
    ], {"processor_seconds": processor, "seconds_of_epochs": np.diff(ends).round(2).tolist(),
        "history": progress.history}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    parser.add_argument("--rounds", type=int, default=21, help="timed steps of each way")
    parser.add_argument("--draws", type=int, default=50, help="of dropout")
    parser.add_argument("--epochs", type=int, default=10, help="of the whole training; 0 leaves it out")
    parser.add_argument("--precision", default="no", choices=("no", "bf16"), help="of the whole training")
    parser.add_argument("--quick", action="store_true", help="5 rounds, 10 draws, 1 epoch of 10,240 images")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.draws, options.epochs = 5, 10, min(options.epochs, 1)
    targets = load_label_sets()[0][: 12_240 if options.quick else None]
    features = made_up_features(targets, seed=1)
    figures: list[Figure] = []
    more: dict[str, Any] = {}
    for name, measure in {
        "steps": lambda: steps(features, targets, rounds=options.rounds),
        "gradients": lambda: gradients(features, targets),
        "variances": lambda: variances(features, targets, draws=options.draws),
        "epochs": lambda: epochs(features, targets, count=options.epochs, precision=options.precision),
    }.items():
        if name == "epochs" and not options.epochs:
            continue
        found, more[name] = measure()
        show(found)
        figures += found
    sys.stdout.write(f"{more['steps']}\n")
    save(options.out, figures, **more)


if __name__ == "__main__":
    main()
