"""CNN-RNN against sigmoid heads on the VOC part: nested cross-validation, the same number of tries for both.

    python research/voc_cross_validation.py --out runs/voc-cv

Five stratified folds over `sub_trainval` (765 images). Inside each fold's training part, every configuration
of every rival (24 each, drawn from the lists below; pooling, resolution and flips free for all) is trained on
three quarters and ranked on the last quarter, by the mean of its ranks in log-likelihood, area mAP, subset
accuracy and O-F1. The best one is trained on the whole training part with five seeds. Predictions are pooled
over folds; differences are measured on the same images, averaged over seeds, with a paired bootstrap over
images. `sub_test` is never touched.

Work is kept item by item in OUT: a killed run goes on, and several processes may share the work
(--process I --processes N; run once more without them to print the table).
"""

import argparse
import json
import os
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from plain_training import standardize, teach

from labelbeam.data.dataset import Dataset
from labelbeam.data.stratified import folds, split
from labelbeam.decoding.search import Search
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.encoders.encoder import EncoderConfig
from labelbeam.features.extract import extract
from labelbeam.files import cache_folder, written_whole
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model_torch import CNNRNN, LabelModelOptions
from labelbeam.heads.label_scores_torch import SigmoidHead, SigmoidOptions
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import order_labels
from labelbeam.metrics.comparison import Comparison, Protocol, compare
from labelbeam.metrics.evaluation import numbers
from labelbeam.runs.build import ANSWERERS
from labelbeam.runs.recipe import Recipe
from labelbeam.runs.run_directory import versions

NUM_FOLDS, TRIES, SEEDS = 5, 24, (0, 1, 2, 3, 4)
CRITERIA = ("log_likelihood", "mAP_area", "subset_accuracy", "OF1")
SHOWN = ("log_likelihood", "subset_accuracy", "mAP_area", "OF1", "CF1", "MAP@10")

SHARED = {"size": (288, 352), "pooling": ("avg", "catavgmax"), "flips": (True, False), "batch_size": (32, 64)}
SPACES = {
    "cnn-rnn": SHARED
    | {
        "activation": ("identity", "relu"),
        "image_hidden_size": (0, 1024),
        "feature_dropout": (0.5, 0.7),
        "projection_dropout": (0.0, 0.2, 0.5),
        "hidden_size": (64, 128, 512),
        "learning_rate": (1e-3, 3e-3),
        "weight_decay": (1.0, 3.0),
        "epochs": (30, 50),
    },
    "sigmoid": SHARED
    | {
        "hidden_size": (0, 512, 1024),
        "feature_dropout": (0.0, 0.5, 0.7),
        "learning_rate": (3e-4, 1e-3, 3e-3),
        "weight_decay": (0.1, 1.0, 3.0, 10.0),
        "epochs": (30, 50),
    },
}


@dataclass(frozen=True)
class Predictions:
    """What a trained model says of held-out images."""

    scores: np.ndarray  # float32 [images labels]
    sets: np.ndarray  # bool [images labels], the most probable set
    log_likelihood: np.ndarray  # float64 [images], of the true set


def draw(family: str) -> list[dict]:
    """Draw TRIES different configurations from a family's lists."""
    space, random = SPACES[family], np.random.default_rng(0)
    every = list(product(*space.values()))
    chosen = random.choice(len(every), size=TRIES, replace=False)
    return [dict(zip(space, every[i], strict=True)) for i in sorted(chosen)]


def all_features(data: Dataset, weights: Path) -> dict[tuple[int, bool], np.ndarray]:
    """Return average and maximum pooled features side by side, by size and mirroring."""
    features = {}
    for size, mirrored in product(SHARED["size"], (False, True)):
        config = EncoderConfig(
            "", weights, pooling="catavgmax", size=size, resize="squash", horizontal_flip=mirrored
        )
        encoder = build_encoder(config)
        features[size, mirrored] = extract(data.paths, encoder, cache=cache_folder() / "features").values
    return features


def views(features: dict, config: dict) -> np.ndarray:
    """Return [images views features] as a configuration wants them."""
    kinds = (False, True) if config["flips"] else (False,)
    stacked = np.stack([features[config["size"], mirrored] for mirrored in kinds], axis=1)
    # Average pooling is the first half of the two side by side.
    return stacked if config["pooling"] == "catavgmax" else stacked[:, :, : stacked.shape[2] // 2]


def train(family: str, config: dict, features: np.ndarray, targets: np.ndarray, seed: int) -> torch.nn.Module:
    """Train one model for its number of epochs, without early stopping."""
    recipe = Recipe(
        learning_rate=config["learning_rate"],
        weight_decay=config["weight_decay"],
        epochs=config["epochs"],
        batch_size=config["batch_size"],
    )
    torch.manual_seed(seed)
    model: CNNRNN | SigmoidHead
    if family == "cnn-rnn":
        names = ("activation", "image_hidden_size", "feature_dropout", "projection_dropout", "hidden_size")
        options = LabelModelOptions(**{name: config[name] for name in names}, image_hidden_dropout=0.5)
        model = CNNRNN(targets.shape[1], features.shape[2], options, scaling="standardize")
    else:
        dropout = {"feature_dropout": config["feature_dropout"], "hidden_dropout": 0.5}
        options = SigmoidOptions(config["hidden_size"], **dropout)
        model = SigmoidHead(targets.shape[1], features.shape[2], options, scaling="standardize")
        model.start_from(torch.from_numpy(targets.copy()))
    standardize(model, features)
    teach(model, features, targets, recipe=recipe, seed=seed)
    return model


def predict(model: torch.nn.Module, features: np.ndarray, targets: np.ndarray) -> Predictions:
    """Answer for held-out images from their plain view."""
    head = trained(model)
    answerer = ANSWERERS[HEADS[model.head_name].distribution](head, Search())
    answers = answerer.answer(features[:, 0])
    return Predictions(answers.scores, answers.path_sets(), answerer.set_log_prob(features[:, 0], targets))


def comparison(said: Predictions, targets: np.ndarray, names: tuple[str, ...]) -> Comparison:
    """Put predictions beside the truth; sets are the most probable ones."""
    return compare(
        targets,
        names,
        protocol=Protocol("sets", decided_by="path"),
        scores=said.scores.astype(np.float64),
        decisions=said.sets,
        log_likelihood=said.log_likelihood,
    )


def item(path: Path, make) -> Predictions:
    """Return what a file holds, or make it and keep it there."""
    if not path.exists():
        said = make()
        with written_whole(path) as part, part.open("wb") as file:
            np.savez(file, scores=said.scores, sets=said.sets, log_likelihood=said.log_likelihood)
    with np.load(path) as kept:
        return Predictions(kept["scores"], kept["sets"], kept["log_likelihood"])


def ranked(measured: list[dict[str, float]], criteria: tuple[str, ...]) -> int:
    """Return the number of the configuration with the best mean rank over the criteria."""
    values = np.array([[one[name] for name in criteria] for one in measured])
    ranks = (-values).argsort(axis=0).argsort(axis=0)
    return int(ranks.mean(axis=1).argmin())


def measure(said: Predictions, targets: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    """Return every number of some predictions."""
    once = np.ones((1, len(targets)), dtype=np.int64)
    return {name: float(value[0]) for name, value in numbers(comparison(said, targets, names), once).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("LABELBEAM_DATA", here.parent / "shared" / "data"))
    parser.add_argument("--out", type=Path, default=Path("runs/voc-cv"))
    parser.add_argument("--process", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--resamples", type=int, default=2000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.monotonic()
    data = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    names, targets = data.vocabulary.names, data.targets
    features = all_features(data, root / "weights" / "mobilenetv2_100.tf_in1k.safetensors")
    items = arguments.out / "items"
    items.mkdir(parents=True, exist_ok=True)
    chosen: dict[str, list[dict]] = {}
    pooled: dict[str, list[Predictions]] = {}
    inner_results: dict[str, list[list[dict[str, float]]]] = {family: [] for family in SPACES}
    outer = folds(targets, NUM_FOLDS, seed=0)
    rivals = {"cnn-rnn": CRITERIA, "sigmoid": CRITERIA, "sigmoid by mAP": ("mAP_area",)}
    rivals |= {f"{family} by log-likelihood": ("log_likelihood",) for family in SPACES}
    parts: dict[tuple[str, int], list[Predictions]] = {}
    for number, (fitted, held_out) in enumerate(outer):
        if number % arguments.processes != arguments.process:
            continue
        inner = split(targets[fitted], (0.75, 0.25), seed=0)
        learned, judged = fitted[inner[0]], fitted[inner[1]]
        for family in SPACES:
            measured = []
            for tried, config in enumerate(draw(family)):
                said = item(
                    items / f"{family}-fold{number}-try{tried}.npz",
                    lambda family=family, config=config, learned=learned, judged=judged: predict(
                        train(family, config, views(features, config)[learned], targets[learned], seed=0),
                        views(features, config)[judged],
                        targets[judged],
                    ),
                )
                measured.append(measure(said, targets[judged], names))
            inner_results[family].append(measured)
            print(f"fold {number}: {family} tried, {time.monotonic() - started:.0f} s", flush=True)
        for rival, criteria in rivals.items():
            family = rival.split()[0]
            best = ranked(inner_results[family][-1], criteria)
            config = draw(family)[best]
            chosen.setdefault(rival, []).append(config)
            for seed in SEEDS:
                said = item(
                    items / f"{family}-fold{number}-best{best}-seed{seed}.npz",
                    lambda family=family, config=config, seed=seed, fitted=fitted, held_out=held_out: predict(
                        train(family, config, views(features, config)[fitted], targets[fitted], seed),
                        views(features, config)[held_out],
                        targets[held_out],
                    ),
                )
                parts.setdefault((rival, seed), []).append(said)
            print(f"fold {number}: {rival} refitted, {time.monotonic() - started:.0f} s", flush=True)
    if arguments.processes > 1:
        return
    order = np.concatenate([held_out for _, held_out in outer])
    for (rival, _), said in parts.items():
        joined = [
            np.concatenate([getattr(part, name) for part in said]) for name in Predictions.__annotations__
        ]
        pooled.setdefault(rival, []).append(Predictions(*joined))
    weights = np.random.default_rng(0).multinomial(
        len(order), np.full(len(order), 1 / len(order)), size=arguments.resamples
    )
    weights = np.concatenate((np.ones((1, len(order)), dtype=weights.dtype), weights))
    drawn = {
        rival: {
            name: np.mean(
                [numbers(comparison(one, targets[order], names), weights)[name] for one in said], axis=0
            )
            for name in SHOWN
        }
        for rival, said in pooled.items()
    }
    result = {
        "images": len(order),
        "folds": NUM_FOLDS,
        "tries": TRIES,
        "seeds": SEEDS,
        "resamples": arguments.resamples,
        "chosen": chosen,
        "overall_best": {
            family: draw(family)[overall(measured, CRITERIA)] for family, measured in inner_results.items()
        },
        "values": {rival: {name: float(v[0]) for name, v in by.items()} for rival, by in drawn.items()},
        "differences": {},
        "versions": versions(),
    }
    print(f"\n{'':26}" + "".join(f"{name:>18}" for name in SHOWN))
    for rival, by in drawn.items():
        print(f"{rival:26}" + "".join(f"{shown(name, by[name][0]):>18}" for name in SHOWN))
    print("\nfirst minus second: difference, 95 % interval")
    pairs = [("cnn-rnn", rival) for rival in drawn if rival.startswith("sigmoid")]
    for ours, rival in [*pairs, ("cnn-rnn by log-likelihood", "sigmoid by log-likelihood")]:
        cells, kept = [], {}
        for name in SHOWN:
            apart = drawn[ours][name] - drawn[rival][name]
            low, lowest, high = np.quantile(apart[1:], (0.025, 0.05, 0.975))
            kept[name] = {"difference": float(apart[0]), "low": low, "low_one_sided": lowest, "high": high}
            cells.append(f"{shown(name, apart[0])} [{shown(name, low)}, {shown(name, high)}]")
        result["differences"][f"{ours} minus {rival}"] = kept
        print(f"  {ours} minus {rival}")
        for name, cell in zip(SHOWN, cells, strict=True):
            print(f"    {name:18}{cell}")
    with written_whole(arguments.out / "result.json") as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def overall(measured: list[list[dict[str, float]]], criteria: tuple[str, ...]) -> int:
    """Return the configuration that is best on average over the folds' inner judgements."""
    mean = [
        {name: float(np.mean([fold[tried][name] for fold in measured])) for name in criteria}
        for tried in range(TRIES)
    ]
    return ranked(mean, criteria)


def shown(name: str, value: float) -> str:
    """Percent with one decimal, nats with three."""
    return f"{value:.3f}" if name == "log_likelihood" else f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
