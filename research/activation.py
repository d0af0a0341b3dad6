"""h = identity against h = ReLU on the VOC part: nested cross-validation, the same four tries for both.

    python research/activation.py --out runs/activation

The folds, criteria, predictions and measures are those of `voc_cross_validation.py`, made smaller: features of
MobileNetV2 at 352 pixels (average and maximum, mirrored too), batches of 32, the four configurations of `TRIES` for
both activations, ranked inside each fold's training part, the best refitted with `SEEDS`. `sub_test` is not touched.
Work is kept item by item in OUT; a killed run goes on.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from voc_cross_validation import (
    CRITERIA,
    NUM_FOLDS,
    SHOWN,
    Predictions,
    comparison,
    item,
    measure,
    predict,
    ranked,
    shown,
    train,
)

from labelbeam.data.stratified import folds, split
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.encoders.encoder import EncoderConfig
from labelbeam.features.extract import extract
from labelbeam.files import cache_folder, written_whole
from labelbeam.formats.registry import open_dataset
from labelbeam.labels.vocabulary import order_labels
from labelbeam.metrics.evaluation import numbers
from labelbeam.runs.run_directory import versions

SEEDS = (0, 1)
BOTH = {"batch_size": 32, "learning_rate": 1e-3}
TRIES = [
    BOTH | dict(zip(("image_hidden_size", "feature_dropout", "projection_dropout", "hidden_size",
                     "weight_decay", "epochs"), values, strict=True))
    for values in [
        (1024, 0.7, 0.5, 512, 3.0, 50),  # the default recipe before
        (0, 0.7, 0.5, 512, 1.0, 50),
        (1024, 0.7, 0.2, 128, 1.0, 30),
        (1024, 0.5, 0.2, 512, 3.0, 30),
    ]
]  # fmt: skip
ACTIVATIONS = ("identity", "relu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/activation"))
    parser.add_argument("--folds", type=int, default=NUM_FOLDS, help="the first so many of the five")
    parser.add_argument("--resamples", type=int, default=2000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started, root = time.monotonic(), Path(os.environ["LABELBEAM_DATA"])
    data = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    names, targets = data.vocabulary.names, data.targets
    weights = root / "weights" / "mobilenetv2_100.tf_in1k.safetensors"
    views = []
    for mirrored in (False, True):
        config = EncoderConfig(
            "", weights, pooling="catavgmax", size=352, resize="squash", horizontal_flip=mirrored
        )
        views.append(extract(data.paths, build_encoder(config), cache=cache_folder() / "features").values)
    features = np.stack(views, axis=1)
    items = arguments.out / "items"
    items.mkdir(parents=True, exist_ok=True)

    def answer(name: str, config: dict, fitted: np.ndarray, judged: np.ndarray, seed: int) -> Predictions:
        said = item(
            items / f"{name}.npz",
            lambda: predict(
                train("cnn-rnn", config, features[fitted], targets[fitted], seed),
                features[judged],
                targets[judged],
            ),
        )
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        return said

    outer = folds(targets, NUM_FOLDS, seed=0)[: arguments.folds]
    parts: dict[str, list[list[Predictions]]] = {name: [[] for _ in SEEDS] for name in ACTIVATIONS}
    inner_results: dict[str, list[list[dict[str, float]]]] = {name: [] for name in ACTIVATIONS}
    chosen: dict[str, list[int]] = {name: [] for name in ACTIVATIONS}
    for number, (fitted, held_out) in enumerate(outer):
        learned, judged = (fitted[part] for part in split(targets[fitted], (0.75, 0.25), seed=0))
        for activation in ACTIVATIONS:
            configs = [one | {"activation": activation} for one in TRIES]
            tried = [
                answer(f"{activation}-fold{number}-try{i}", config, learned, judged, 0)
                for i, config in enumerate(configs)
            ]
            inner_results[activation].append([measure(said, targets[judged], names) for said in tried])
            best = ranked(inner_results[activation][-1], CRITERIA)
            chosen[activation].append(best)
            for seed in SEEDS:
                name = f"{activation}-fold{number}-best{best}-seed{seed}"
                parts[activation][seed].append(answer(name, configs[best], fitted, held_out, seed))
    order = np.concatenate([held_out for _, held_out in outer])
    chances = np.full(len(order), 1 / len(order))
    drawn = np.random.default_rng(0).multinomial(len(order), chances, size=arguments.resamples)
    drawn = np.concatenate((np.ones((1, len(order)), dtype=drawn.dtype), drawn))
    values = {}
    for activation, by_seed in parts.items():
        joined = [
            Predictions(
                *(np.concatenate([getattr(p, field) for p in said]) for field in Predictions.__annotations__)
            )
            for said in by_seed
        ]
        measured = [numbers(comparison(said, targets[order], names), drawn) for said in joined]
        values[activation] = {name: np.mean([one[name] for one in measured], axis=0) for name in SHOWN}
    mean = {
        activation: [
            {name: float(np.mean([fold[i][name] for fold in inner])) for name in CRITERIA}
            for i in range(len(TRIES))
        ]
        for activation, inner in inner_results.items()
    }
    result: dict = {
        "tries": TRIES,
        "images": len(order),
        "folds": arguments.folds,
        "seeds": SEEDS,
        "chosen": chosen,
        "inner": mean,
        "best_over_folds": {name: ranked(inner, CRITERIA) for name, inner in mean.items()},
        "values": {name: {key: float(v[0]) for key, v in by.items()} for name, by in values.items()},
        "identity minus relu": {},
        "versions": versions(),
    }
    for name in SHOWN:
        apart = values["identity"][name] - values["relu"][name]
        low, high = (float(bound) for bound in np.quantile(apart[1:], (0.025, 0.975)))
        result["identity minus relu"][name] = {"difference": float(apart[0]), "low": low, "high": high}
        cells = [
            shown(name, value) for value in (*(values[a][name][0] for a in ACTIVATIONS), apart[0], low, high)
        ]
        print(
            f"{name:18} identity {cells[0]:>7} relu {cells[1]:>7} apart {cells[2]:>6} [{cells[3]}, {cells[4]}]"
        )
    print("chosen", chosen, "best over folds", result["best_over_folds"])
    with written_whole(arguments.out / "result.json") as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
