"""What engines and precisions do to a run's answers; called by `encoders.py answers`.

A sigmoid and a CNN-RNN run are trained on the features of `sub_trainval` in float32 PyTorch; then all 1,065
photographs are answered from the features of every engine and precision. Mean difference of scores, share of images
with the same decided set, difference in mAP on `sub_test` (area under the curve, difficult ones ignored) with its
paired 95 % bootstrap interval. With MobileNetV2's and SqueezeNet's weights, the only ones of $LABELBEAM_DATA. int8 is
calibrated on 256 photographs of `sub_trainval`.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from encoder_variants import photographs, variants
from measuring import save

from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.features.extract import extract
from labelbeam.runs.tagger import Tagger

WEIGHTS = {
    "mobilenetv2": ("", "mobilenetv2_100.tf_in1k.safetensors"),
    "squeezenet": ("squeezenet1_1", "squeezenet1_1_features.safetensors"),
}
"""Encoder (empty where the file names it) and file."""


def answers(options: argparse.Namespace) -> None:
    test, train = photographs(options.data, "sub_test"), photographs(options.data, "sub_trainval")
    rows = []
    for network in options.networks or WEIGHTS:
        name, file = WEIGHTS[network]
        encoder = build_encoder(EncoderConfig(name, options.data / "weights" / file))
        taggers = {head: trained(options, network, head) for head in ("sigmoid-mlp", "cnn-rnn")}
        features = {
            # No cache: it knows features by their numbers' kind, not by the engine that made them.
            variant: extract(test + train, one).values
            for variant, one in variants(encoder, train[: options.calibration]).items()
        }
        for head, tagger in taggers.items():
            truth = labels(options.data, tagger.labels, test)
            exact = decided(tagger, features["torch float32"])
            for variant, values in features.items():
                scores, sets = decided(tagger, values)
                moved = float(np.abs(scores - exact[0]).mean())
                same = float((sets == exact[1]).all(axis=1).mean())
                change = paired(truth, exact[0][: len(test)], scores[: len(test)])
                row = {
                    "network": network,
                    "head": head,
                    "variant": variant,
                    "mean_difference": moved,
                    "same_sets": same,
                    "mAP_change": change,
                }
                rows.append(row)
                print(
                    f"{network:12} {head:12} {variant:18} scores differ by {moved:.5f}, same set {same:.2%}, "
                    f"mAP {change[0]:+.2f} [{change[1]:+.2f}, {change[2]:+.2f}]",
                    flush=True,
                )
    save(options.out, (), rows=rows)


def trained(options: argparse.Namespace, network: str, head: str) -> Tagger:
    """Return the run of a head on a network's features, trained now where it is not there."""
    folder = options.runs / f"{network}-{head}"
    if not (folder / "labels.json").exists():
        name, file = WEIGHTS[network]
        arguments = ["--weights", str(options.data / "weights" / file), "--head", head, "--out", str(folder)]
        arguments += ["--encoder", name] if name else []
        spec = f"voc2007:{options.data}/VOCdevkit#sub_trainval"
        subprocess.run([sys.executable, "-m", "labelbeam", "train", "--data", spec, *arguments], check=True)
    return Tagger.load(folder)


def decided(tagger: Tagger, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    given = tagger.answer(features)
    thresholds = tagger.calibration.thresholds if tagger.calibration else None
    return given.scores, tagger.run.config.decision.decide(given, thresholds)


def labels(data: Path, names: tuple[str, ...], paths: list[Path]) -> np.ndarray:
    """Return 1, 0 or -1 (only difficult ones: ignored) [images labels] of the official lists."""
    columns = []
    for name in names:
        lines = (data / f"VOCdevkit/VOC2007/ImageSets/Main/{name}_test.txt").read_text().splitlines()
        said = dict(line.split() for line in lines if line.strip())
        columns.append([{"1": 1, "-1": 0, "0": -1}[said[path.stem]] for path in paths])
    return np.array(columns).T


def paired(truth: np.ndarray, exact: np.ndarray, other: np.ndarray) -> tuple[float, float, float]:
    """Return the change in mAP, in points, and its 95 % interval over resampled images."""

    def change(rows: np.ndarray) -> float:
        return 100 * (mean_ap(truth[rows], other[rows]) - mean_ap(truth[rows], exact[rows]))

    random = np.random.default_rng(0)
    drawn = [change(random.integers(0, len(truth), len(truth))) for _ in range(200)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return change(np.arange(len(truth))), float(low), float(high)


def mean_ap(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean over labels of the area under the curve of precision; -1 in `truth` is left out."""
    values = []
    for label in range(truth.shape[1]):
        known = truth[:, label] >= 0
        order = np.argsort(-scores[known, label], kind="stable")
        hits = truth[known, label][order] == 1
        if hits.any():
            values.append((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
    return float(np.mean(values))
