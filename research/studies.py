"""Images in parts that are trained on and judged, and a plain label model for them: VOC photographs and drawn pictures.

What `scores_and_search.py` and `claims.py` share. Knows features, splits and one recipe for each; asks nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from plain_training import standardize, teach

from labelbeam.data.stratified import folds
from labelbeam.demo import encoder_config
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.features.extract import extract
from labelbeam.files import cache_folder, written_whole
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.options import LabelModelOptions
from labelbeam.labels.vocabulary import order_labels
from labelbeam.runs.recipe import Recipe
from labelbeam.runs.run_directory import load_run
from labelbeam.scenes.files import read_scenes
from labelbeam.training.train import train_run


@dataclass(frozen=True)
class Study:
    """Images in parts that are trained on and parts that are judged.

    Attributes:
        features: float16 or float32 [images views features].
        targets: labels most frequent first.
        names: of the labels.
        parts: (rows to train on, rows to judge).
    """

    name: str
    features: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]
    parts: list[tuple[np.ndarray, np.ndarray]]
    options: LabelModelOptions
    recipe: Recipe
    truth: np.ndarray = field(init=False)  # of the judged rows, part after part

    def __post_init__(self) -> None:
        object.__setattr__(self, "truth", np.concatenate([self.targets[judged] for _, judged in self.parts]))


def voc(root: Path) -> Study:
    """Return the five folds of the VOC part."""
    data = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    weights = root / "weights" / "mobilenetv2_100.tf_in1k.safetensors"
    views = []
    for mirrored in (False, True):
        encoder = build_encoder(
            EncoderConfig("", weights, size=288, resize="squash", horizontal_flip=mirrored)
        )
        views.append(extract(data.paths, encoder, cache=cache_folder() / "features").values)
    options = LabelModelOptions(hidden_size=128, feature_dropout=0.5, projection_dropout=0.2)
    recipe = Recipe(weight_decay=1.0, batch_size=32, epochs=30)
    return Study(
        "voc",
        np.stack(views, axis=1),
        data.targets,
        data.vocabulary.names,
        folds(data.targets, 5, seed=0),
        options,
        recipe,
    )


def scenes(runs: Path) -> Study:
    """Return the drawn pictures, their features by the demo's encoder."""
    if not (runs / "encoder" / "labels.json").exists():
        train_run(encoder_config(), runs / "encoder", command="research/studies.py", report=print)
    encoder = load_run(runs / "encoder").encoder
    train, test = read_scenes("train"), read_scenes("test", seed=1)
    names = train.vocabulary.names_of(order_labels(train.targets).tolist())
    read = [part.with_vocabulary(names) for part in (train, test)]
    features = [extract(part.paths, encoder, cache=cache_folder() / "features").values for part in read]
    rows = np.arange(len(train) + len(test))
    return Study(
        "scenes",
        np.concatenate(features)[:, None],
        np.concatenate([part.targets for part in read]),
        tuple(names),
        [(rows[: len(train)], rows[len(train) :])],
        LabelModelOptions(hidden_size=128, feature_dropout=0.3),
        Recipe(learning_rate=4e-3, weight_decay=0.3, batch_size=256, epochs=16),
    )


def taught(study: Study, rows: np.ndarray, allowed: str, seed: int) -> CNNRNN:
    """Train a label model on some rows, without early stopping."""
    features = study.features[rows]
    torch.manual_seed(seed)
    options = replace(study.options, allowed=allowed)
    model = CNNRNN(study.targets.shape[1], features.shape[2], options, scaling="standardize")
    standardize(model, features)
    teach(model, features, study.targets[rows], recipe=study.recipe, seed=seed)
    return model


def kept(path: Path, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return what a file holds, or make it and keep it there."""
    if not path.exists():
        with written_whole(path) as part, part.open("wb") as file:
            np.savez(file, **make())
    with np.load(path) as held:
        return dict(held)
