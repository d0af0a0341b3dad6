"""The four sources of `conditional.py`: held-out images, and the heads that were trained for them.

voc, scenes: features of a frozen encoder, default recipes and the demo's. coco80, nuswide81: label sets alone, every
image's features being one 0; each head gets the same processor time.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from labelbeam.data.stratified import folds, split
from labelbeam.demo import TEST_SEED, encoder_config, head_config
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.encoder import accelerator_for
from labelbeam.features.extract import readable_features
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_scores_torch import SigmoidHead
from labelbeam.labels.vocabulary import order_labels
from labelbeam.runs.build import Head, build_head
from labelbeam.runs.config import RunConfig, configure
from labelbeam.runs.recipe import build_optimiser
from labelbeam.scenes.files import read_scenes, scene_cues
from labelbeam.scenes.world import VOCABULARY
from labelbeam.training.batches import FeatureBatches
from labelbeam.training.loop import fit, mean_nats
from labelbeam.training.train import train_run

HEADS = ("cnn-rnn", "any-subset", "sigmoid", "sigmoid-mlp")
LABEL_HEADS = ("cnn-rnn", "any-subset")
NUM_FOLDS, SEEDS = 5, (0, 1, 2)
RATE, CPU_SECONDS, BATCH = 4e-3, 100.0, 256
"""The rate was the better one of 1e-3 and 4e-3 for both heads, on COCO's validation sets after 20 seconds."""

JUDGED, HELD_BACK = 1500, 4000


@dataclass(frozen=True)
class Part:
    """Held-out images and what was trained without them; targets in label order, features [images features]."""

    names: tuple[str, ...]
    train_targets: np.ndarray
    val_features: np.ndarray
    val_targets: np.ndarray
    features: np.ndarray
    targets: np.ndarray
    images: np.ndarray  # numbers of the held-out images, over all parts
    heads: dict[str, Head]
    seed: int = 0
    more: int = 4  # times a click's budget, for the large one
    true_conditionals: Callable[..., dict[str, np.ndarray]] | None = None
    told: dict[str, Any] = field(default_factory=dict)


def data_root() -> Path:
    """Return the folder of real data."""
    return Path(os.environ.get("LABELBEAM_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def voc(*, quick: bool) -> Iterator[Part]:
    """Yield the folds of `sub_trainval`, seed by seed; 15 percent of a fold's training part stop the training."""
    data = open_dataset(f"voc2007:{data_root() / 'VOCdevkit'}#sub_trainval")
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    encoder = build_encoder(
        EncoderConfig("", data_root() / "weights" / "mobilenetv2_100.tf_in1k.safetensors")
    )
    data, features, _ = readable_features(data, encoder, flips=True)
    settings = ["recipe.epochs=4"] if quick else []
    for seed in SEEDS[:1] if quick else SEEDS:
        for fitted, held_out in folds(data.targets, NUM_FOLDS, seed=0):
            learned, judged = (fitted[part] for part in split(data.targets[fitted], (0.85, 0.15), seed=seed))
            heads = {
                name: fitted_head(
                    replace(configure(head=name, settings=settings), seed=seed),
                    features[learned], data.targets[learned], features[judged], data.targets[judged],
                )
                for name in HEADS
            }  # fmt: skip
            yield Part(
                data.vocabulary.names, data.targets[learned], features[judged, 0], data.targets[judged],
                features[held_out, 0], data.targets[held_out], held_out, heads, seed, more=16,
            )  # fmt: skip


def fitted_head(
    config: RunConfig,
    features: np.ndarray,
    targets: np.ndarray,
    val_features: np.ndarray,
    val_targets: np.ndarray,
) -> Head:
    """Train a head on features [images views features] as `labelbeam train` does."""
    head = build_head(config, num_labels=targets.shape[1], feature_size=features.shape[2])
    head.scaling.fit(features.reshape(-1, features.shape[2]))
    if isinstance(head, SigmoidHead):
        head.start_from(torch.from_numpy(targets.copy()))
    accelerator = accelerator_for(config.recipe.precision)
    batch_size = config.recipe.batch_size
    validation = FeatureBatches(val_features[:, :1], val_targets, batch_size, config.seed)
    with TemporaryDirectory() as folder:
        fit(
            head,
            build_optimiser(config.recipe, head),
            FeatureBatches(features, targets, batch_size, config.seed),
            recipe=config.recipe,
            validate=lambda model: {"val_nats": mean_nats(model, validation, device=accelerator.device)},
            folder=Path(folder),
            seed=config.seed,
            settings="",
            accelerator=accelerator,
        )
    return trained(head)


def scenes(out: Path, *, quick: bool) -> Iterator[Part]:
    """Yield the scenes' test pictures and the demo's heads; any-subset is trained as the demo's two-layer head is."""
    from conditional_truth import SceneConditionals

    configs = {"encoder": encoder_config()} | {name: head_config(name, out / "encoder") for name in HEADS}
    configs["any-subset"] = replace(configs["sigmoid-mlp"], head="any-subset")
    runs = {}
    for name, config in configs.items():
        if quick:
            config = replace(config, recipe=replace(config.recipe, epochs=1))
        runs[name] = train_run(config, out / name, command="research/conditional.py scenes", anew=True).run
    names, encoder = runs["cnn-rnn"].vocabulary.names, runs["cnn-rnn"].encoder
    order = [VOCABULARY.id_of(name) for name in names]
    columns = {}
    for which, seed in (("train", 0), ("val", 0), ("test", TEST_SEED)):
        count = 300 if quick and which == "test" else None
        data, features, _ = readable_features(
            read_scenes(which, seed=seed, count=count), encoder, flips=False
        )
        columns[which] = features[:, 0], data.targets[:, order]
    for name in HEADS:  # all heads say labels in the same order
        assert runs[name].vocabulary.names == names
    yield Part(
        names, columns["train"][1], *columns["val"], *columns["test"], np.arange(len(columns["test"][1])),
        {name: runs[name].head for name in HEADS},
        true_conditionals=SceneConditionals(scene_cues("test", seed=TEST_SEED), order),
    )  # fmt: skip


def coco80(*, quick: bool) -> Iterator[Part]:
    """Yield COCO's val2014 label sets; heads are trained on train2014's."""
    with np.load(data_root() / "labels" / "coco80_labels.npz") as file:
        yield label_sets(file["labels"], file["is_val2014"] == 1, tuple(file["names"].tolist()), quick=quick)


def nuswide81(*, quick: bool) -> Iterator[Part]:
    """Yield NUS-WIDE's official test label sets; heads are trained on the official training part."""
    with np.load(data_root() / "labels" / "nuswide81_labels.npz") as file:
        yield label_sets(file["labels"], file["is_test"] == 1, tuple(file["names"].tolist()), quick=quick)


def label_sets(labels: np.ndarray, is_test: np.ndarray, names: tuple[str, ...], *, quick: bool) -> Part:
    """Train on label sets alone; of the test images with two labels or more a random few thousand are judged."""
    random = np.random.default_rng(0)
    train = labels[~is_test].astype(np.int8)
    order = order_labels(train)
    rows = random.permutation(len(train))
    val_targets, train_targets = train[rows[:HELD_BACK]][:, order], train[rows[HELD_BACK:]][:, order]
    test = labels[is_test][:, order].astype(np.int8)
    chosen = random.permutation(np.flatnonzero(test.sum(axis=1) >= 2))[: 300 if quick else JUDGED]
    seconds, heads = 4.0 if quick else CPU_SECONDS, {}
    told: dict[str, Any] = {"cpu_seconds": seconds}
    for name in LABEL_HEADS:
        heads[name], told[name] = time_boxed(name, train_targets, val_targets, seconds=seconds)
        print(name, told[name], flush=True)
    nothing = np.zeros((len(labels), 1), dtype=np.float32)
    return Part(
        tuple(names[i] for i in order), train_targets, nothing[: len(val_targets)], val_targets,
        nothing[: len(chosen)], test[chosen], np.arange(len(chosen)), heads, told=told,
    )  # fmt: skip


def time_boxed(
    name: str, targets: np.ndarray, val_targets: np.ndarray, *, seconds: float
) -> tuple[Head, dict[str, float]]:
    """Train a head without an image for so much processor time; the rate falls to zero with the time left.

    No dropout, little weight decay: there are a hundred thousand label sets. What is told of validation sets is
    each head's training loss, with random labels revealed for any-subset and -log p(set) for the label model.
    """
    plain = {"feature_dropout": 0.0, "hidden_dropout": 0.0}
    label_model = {
        "image_hidden_size": 0,
        "feature_dropout": 0.0,
        "projection_dropout": 0.0,
        "activation": "identity",
    }
    config = configure(
        head=name,
        options={"scaling": "none", "sigmoid": {**plain, "hidden_size": 512}, "label_model": label_model},
    )
    head = build_head(config, num_labels=targets.shape[1], feature_size=1)
    if isinstance(head, SigmoidHead):
        head.start_from(torch.from_numpy(targets))
    optimiser = build_optimiser(replace(config.recipe, learning_rate=RATE, weight_decay=0.01), head)
    nothing, random = torch.zeros(BATCH, 1), np.random.default_rng(0)
    torch.manual_seed(0)
    head.train()
    started, steps = time.process_time(), 0
    while (spent := (time.process_time() - started) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - spent)
        rows = random.integers(len(targets), size=BATCH)
        loss = head(nothing, torch.from_numpy(targets[rows])).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 5.0)
        optimiser.step()
        steps += 1
    head.train(isinstance(head, SigmoidHead))  # there is no dropout: only any-subset's reveals differ
    torch.manual_seed(1)
    with torch.inference_mode():
        losses = [
            head(torch.zeros(len(part), 1), torch.from_numpy(part)) for part in np.array_split(val_targets, 8)
        ]
    return trained(head), {"steps": steps, "val_nats": round(float(torch.cat(losses).mean()), 4)}
