"""What missing tags cost, and what weak negatives give back: `python research/missing_tags.py`.

From the VOC part (one fold of five of `sub_trainval` a seed, features of MobileNetV2 from $LABELBEAM_DATA/weights) and
from COCO's label sets (2014; no pictures: image vectors are noisy projections of the true sets) a share of the tags is
removed at random, from training and validation images alike; what is learned is judged on the full truth. A head
(--head; a linear sigmoid) with the default recipe takes a missing tag for absent, or for unlikely with the weight
1 / (labels - 1) (Cole et al., CVPR 2021) or (1 - r) / (1 + r), r being the share that was removed. Sets are the labels
that score at least 0.5, of a label model the most probable path; nothing is calibrated. Three seeds, three minutes
(cnn-rnn: 25).
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelbeam.data.stratified import folds, split
from labelbeam.encoders.catalogue import build_encoder
from labelbeam.encoders.encoder import EncoderConfig
from labelbeam.features.extract import readable_features
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.registry import HEADS
from labelbeam.metrics.comparison import Protocol, compare
from labelbeam.metrics.evaluation import evaluate
from labelbeam.runs.build import build_answerer
from labelbeam.runs.config import configure
from labelbeam.runs.recipe import DataSize, recipe_for
from labelbeam.training.learning import learn

RATES = (0.0, 0.2, 0.5, 0.8)
SHOWN = ("mAP_area", "OF1", "OP", "OR", "CF1")
SEEDS = (0, 1, 2)

Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Features and truth to learn from, features and truth to be judged on."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--head", default="sigmoid")
    parser.add_argument("--data", choices=("voc", "coco"), nargs="*", default=("voc", "coco"))
    parser.add_argument("--rates", type=float, nargs="*", default=RATES)
    asked = parser.parse_args()
    seeds, parts_of = SEEDS[: asked.seeds], {"voc": ("VOC part", _voc), "coco": ("COCO's sets", _coco)}
    sys.stdout.write(f"| data | removed | a missing tag is | {' | '.join(SHOWN)} |\n")
    sys.stdout.write(f"|---|--:|---|{'--:|' * len(SHOWN)}\n")
    for name, read in (parts_of[data] for data in asked.data):
        parts = list(read())
        labels = parts[0][1].shape[1]
        judged = [parts[seed % len(parts)] for seed in seeds]
        for rate in asked.rates:
            weights = {"absent": None, f"unlikely, {1 / (labels - 1):.3f}": 1 / (labels - 1)}
            if rate > 0:
                weights[f"unlikely, {(1 - rate) / (1 + rate):.2f}"] = (1 - rate) / (1 + rate)
            for meaning, weight in weights.items():
                runs = np.array(
                    [
                        _judged(part, rate, weight, seed, asked.head)
                        for part, seed in zip(judged, seeds, strict=True)
                    ]
                )
                cells = [
                    f"{100 * mean:.1f} ± {100 * spread:.1f}"
                    for mean, spread in zip(runs.mean(axis=0), runs.std(axis=0), strict=True)
                ]
                sys.stdout.write(f"| {name} | {rate:.0%} | {meaning} | {' | '.join(cells)} |\n")
                sys.stdout.flush()


def _judged(part: Part, rate: float, weight: float | None, seed: int, head: str) -> list[float]:
    """Return the scores on the full truth of what a head learns without a share of the tags."""
    features, targets, others, truth = part
    size = DataSize(len(features), features.shape[-1], targets.shape[1], False)
    asked = {} if weight is None else {"read": {"missing_tags": "unlikely"}, "missing_weight": weight}
    config = configure(head=head, options=asked, by_data=recipe_for(size, head))
    random = np.random.default_rng(seed)
    tags = np.where((targets == 1) & (random.random(targets.shape) < rate), np.int8(0), targets)
    kept, stopping = split(tags, (0.85, 0.15), seed=seed)
    if weight is not None:
        tags = np.where(tags == 0, np.int8(-1), tags)
    learned = learn(
        replace(config, seed=seed), features[kept], tags[kept], (features[stopping], tags[stopping])
    )
    answers = build_answerer(learned.head, config).answer(others.astype(np.float32))
    back = np.argsort(learned.order)
    scores, paths = answers.scores[:, back].astype(np.float64), answers.path_sets()[:, back]
    decisions = paths if HEADS[head].searches else scores >= 0.5
    names = [str(j) for j in range(truth.shape[1])]
    found = evaluate(compare(truth, names, protocol=Protocol("sets"), scores=scores, decisions=decisions))
    return [found[name] or float("nan") for name in SHOWN]


def _root() -> Path:
    return Path(os.environ.get("LABELBEAM_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def _voc() -> Iterator[Part]:
    data = open_dataset(f"voc2007:{_root() / 'VOCdevkit'}#sub_trainval")
    encoder = build_encoder(EncoderConfig("", _root() / "weights" / "mobilenetv2_100.tf_in1k.safetensors"))
    data, features, _ = readable_features(data, encoder, flips=False)
    for fitted, held_out in folds(data.targets, 5, seed=0):
        yield (
            features[fitted, 0].astype(np.float32),
            data.targets[fitted],
            features[held_out, 0],
            data.targets[held_out],
        )


def _coco(images: int = 2000, dim: int = 64, noise: float = 0.3) -> Iterator[Part]:
    """Yield so many training sets and as many others, with vectors that are projections of them and noise."""
    with np.load(_root() / "labels" / "coco80_labels.npz") as file:
        labels, held_out = file["labels"], file["is_val2014"] == 1
    random = np.random.default_rng(0)
    projection = random.standard_normal((labels.shape[1], dim)) / np.sqrt(dim)
    drawn = []
    for rows in (np.flatnonzero(~held_out), np.flatnonzero(held_out)):
        targets = labels[random.choice(rows, images, replace=False)].astype(np.int8)
        vectors = targets @ projection + noise * random.standard_normal((images, dim))
        drawn += [vectors.astype(np.float32), targets]
    yield drawn[0], drawn[1], drawn[2], drawn[3]


if __name__ == "__main__":
    main()
