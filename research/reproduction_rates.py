"""How fast the rows of a reproduction train and answer at the sizes of the paper's benchmarks, and VGG-16, per second.

    python research/reproduction_rates.py --out rates.json

Features are random numbers, 4,096 an image, as VGG-16's fc7 would be; label sets are the real ones of VOC 2007, COCO
2014 and NUS-WIDE's 81 concepts from $LABELBEAM_DATA, and drawn ones of the published mean length (5.93) for the 1,000
tags. Finding the order `easiest` is not timed. Random features teach nothing, so searches are about as unsure as at the
start of a training: answering is slower here than it will be. What `labelbeam reproduce --dry-run` computes with
(`paper/expected_time.py`) was measured by this script; all of it takes half an hour on 2 cores.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch

from labelbeam.data.dataset import ReadOptions
from labelbeam.encoders.networks import Vgg16
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.arrays_torch import trained
from labelbeam.labels.order import order_labels
from labelbeam.paper.rows import MANY_IMAGES, ROWS, row_config
from labelbeam.runs.build import build_answerer, build_head, start_head
from labelbeam.runs.config import RunConfig
from labelbeam.runs.recipe import build_optimiser
from labelbeam.runs.run_directory import versions
from labelbeam.training.batches import FeatureBatches

FEATURES, IMAGES, ANSWERED = {"scenes": 256}, 5000, 256
"""Of VGG-16 4,096; the scenes' encoder has fewer."""

NAMES = ("voc2007", "coco2014", "nuswide81", "nuswide1000", "scenes")


def label_sets(name: str, root: Path) -> np.ndarray:
    """Return int8 [images labels] of a benchmark's training images."""
    if name == "scenes":
        targets = open_dataset("scenes#train").targets
    elif name == "voc2007":
        keep = ReadOptions(missing="keep")
        targets = open_dataset(f"voc2007:{root / 'VOCdevkit'}#trainval", options=keep).targets
    elif name == "nuswide1000":
        random, shares = np.random.default_rng(0), 1 / np.arange(1, 1001) ** 0.8
        targets = (random.random((IMAGES, 1000)) < np.minimum(5.93 * shares / shares.sum(), 0.9)).astype(
            np.int8
        )
    else:
        file = {"coco2014": "coco80_labels.npz", "nuswide81": "nuswide81_labels.npz"}[name]
        with np.load(root / "labels" / file) as arrays:
            targets = arrays["labels"].astype(np.int8)
        targets = targets[targets.any(axis=1)]
    return targets[:IMAGES]


def config_of(row: str) -> RunConfig:
    """Return a row's recipe for many images."""
    options = {"calibrate": False}
    told = {"recipe": "default", "training_images": MANY_IMAGES, "scenes": False}
    return row_config(ROWS[row], **told, options=options, settings={}, seed=0)


def measured(config: RunConfig, targets: np.ndarray, size: int, batches_timed: int) -> dict[str, float]:
    """Return training and answering rates of a configuration."""
    targets = targets[:, order_labels(targets, config.order, seed=0)]
    random = np.random.default_rng(1)
    features = random.standard_normal((len(targets), 1, size), dtype=np.float32).astype(np.float16)
    model = build_head(config, num_labels=targets.shape[1], feature_size=size)
    start_head(model, targets)
    model.scaling.fit(features[:1000, 0])
    rate = float("inf")
    if config.head == "knn":
        model.remember(torch.from_numpy(features[:, 0]), torch.from_numpy(targets))
    else:
        optimiser = build_optimiser(config.recipe, model)
        batches = FeatureBatches(features, targets, config.recipe.batch_size, 0)
        taken = []
        for step, (inputs, truth) in enumerate(batches.epoch(0)):
            start = time.perf_counter()
            model(inputs, truth).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.recipe.clip_norm)
            optimiser.step()
            optimiser.zero_grad()
            taken.append(time.perf_counter() - start)
            if step == batches_timed:
                break
        rate = config.recipe.batch_size / float(np.median(taken[1:]))
    answerer = build_answerer(trained(model.eval()), config)
    answerer.answer(features[:8, 0])
    start = time.perf_counter()
    answerer.answer(features[:ANSWERED, 0])
    return {"train": rate, "answer": ANSWERED / (time.perf_counter() - start)}


def vgg_rate() -> float:
    """Return images a second of VGG-16 with random weights, the median of five batches of eight."""
    module = Vgg16().eval().to(memory_format=torch.channels_last)
    pixels = torch.rand(8, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    taken = []
    with torch.inference_mode():
        for _ in range(6):
            start = time.perf_counter()
            module(pixels)
            taken.append(time.perf_counter() - start)
    return 8 / float(np.median(taken[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("LABELBEAM_DATA", here.parent / "shared" / "data"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", choices=NAMES, default=NAMES)
    parser.add_argument("--rows", nargs="*", choices=ROWS, default=list(ROWS))
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rates: dict[str, dict] = {"vgg16": {"encode": vgg_rate()}}
    print(rates, flush=True)
    for name in arguments.only:
        targets = label_sets(name, root)
        for row in arguments.rows:
            config, size = config_of(row), FEATURES.get(name, 4096)
            rates.setdefault(name, {})[row] = one = measured(config, targets, size, arguments.batches)
            told = f"train {one['train']:8.1f}  answer {one['answer']:8.2f}"
            print(f"{name:12} {row:18} {told}  load {os.getloadavg()[0]:.1f}", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps({"rates": rates, "versions": versions()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
