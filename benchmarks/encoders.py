"""What runs an encoder: its speed against the loop that a competent user writes, and what it does to answers.

    python benchmarks/encoders.py speed [--busy] --out runs/encoders-speed.json
    python benchmarks/encoders.py pixels
    python benchmarks/encoders.py answers --out runs/encoders-answers.json

`speed`: from image files to features. The reference is an eager float32 PyTorch loop over batches, decoding and
resizing with Pillow; the others are `labelbeam.features.extract` with each engine and precision. VGG-16 and ResNet-50
with initial values (speed does not depend on them). Interleaved rounds, medians; graphs are made before.

`pixels`: from image files to 224 x 224 bytes, one thread, processor seconds; the reference is Pillow alone.

`answers`: a sigmoid and a CNN-RNN run are trained on the features of `sub_trainval` in float32 PyTorch; then all
1,065 photographs are answered from the features of every engine and precision. Mean difference of scores, share of
images with the same decided set, difference in mAP on `sub_test` (area under the curve, difficult ones ignored) with
its paired 95 % bootstrap interval. With MobileNetV2's and SqueezeNet's weights, the only ones of $LABELBEAM_DATA.
int8 is calibrated on 256 photographs of `sub_trainval`.
"""

import argparse
import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measuring import ROOT, Figure, medians, save, show
from PIL import Image

from labelbeam.data.cache_folder import cache_folder
from labelbeam.data.images import read_rgb
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.engines import with_engine
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.encoders.resize import by_numpy
from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.joints.tagger import Tagger

VARIANTS = (
    *(("torch", "float32"), ("onnx", "float32"), ("openvino", "float32")),
    *(("torch", "bfloat16"), ("openvino", "bfloat16")),
    *(("onnx", "int8"), ("openvino", "int8")),
)
WEIGHTS = {
    "mobilenetv2": ("", "mobilenetv2_100.tf_in1k.safetensors"),
    "squeezenet": ("squeezenet1_1", "squeezenet1_1_features.safetensors"),
}
"""Encoder (empty where the file names it) and file."""

AUTOMATIC, OPTIONAL = 2.4, 5.0
"""What is aimed at, in times the reference."""

AUTOMATICALLY = ("openvino float32", "openvino bfloat16")
"""What is taken without being asked for; the second where a run's own answers have been found to stay."""

REFERENCE = "eager loop, Pillow"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="speed", choices=("speed", "answers", "pixels"))
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("LABELBEAM_DATA", ROOT.parent / "shared/data")
    )
    parser.add_argument(
        "--networks", nargs="*", help="speed: vgg16 resnet50; answers: mobilenetv2 squeezenet"
    )
    parser.add_argument("--images", type=int, default=64, help="of a round (speed)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calibration", type=int, default=256, help="photographs for int8")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/encoders", help="where runs are trained")
    parser.add_argument(
        "--busy",
        action="store_true",
        help="one thread each, processor seconds: for machines that others use too",
    )
    parser.add_argument("--out", type=Path, help="JSON file for the whole result")
    options = parser.parse_args()
    {"speed": speed, "answers": answers, "pixels": pixels}[options.what](options)


def photographs(data: Path, split: str) -> list[Path]:
    folder = data / "VOCdevkit/VOC2007"
    names = (folder / f"ImageSets/Main/{split}.txt").read_text().split()
    return [folder / f"JPEGImages/{name}.jpg" for name in names]


def variants(encoder: ImageEncoder, calibration: list[Path]) -> dict[str, Encoder]:
    """Return the encoder by every engine and precision that is installed."""
    made = {}
    for engine, precision in VARIANTS:
        try:
            made[f"{engine} {precision}"] = with_engine(
                encoder, engine=engine, precision=precision, photographs=calibration
            )
        except InputError as error:
            print(f"{engine} {precision}: {error}", flush=True)
    return made


def speed(options: argparse.Namespace) -> None:
    workers, clock = (1, time.process_time) if options.busy else (None, time.perf_counter)
    torch.set_num_threads(1 if options.busy else len(os.sched_getaffinity(0)))
    figures: list[Figure] = []
    rounds: dict[str, object] = {}
    calibration = photographs(options.data, "sub_trainval")[: options.calibration]
    paths = photographs(options.data, "sub_test")[: options.images]
    for name in options.networks or ("resnet50", "vgg16"):
        encoder = build_encoder(EncoderConfig(name, pretrained=False))
        ways: dict[str, Callable[[], object]] = {REFERENCE: eager_loop(encoder, paths)}
        for variant, one in variants(encoder, calibration).items():
            extract(paths[:2], one)  # loads the graph and sets kernels up
            ways[variant] = lambda one=one: extract(paths, one, workers=workers)  # type: ignore[misc]
        rounds[name] = taken = in_turns(ways, options.rounds, clock)
        seconds = medians(taken)
        reference = seconds.pop(REFERENCE)
        print(f"{name}, {REFERENCE}: {len(paths) / reference:.1f} images/s", flush=True)
        for variant, spent in seconds.items():
            least = OPTIONAL if "int8" in variant else AUTOMATIC if variant in AUTOMATICALLY else None
            measured = f"{len(paths) / spent:.1f} images/s"
            figures.append(
                Figure(f"{name}, {variant}", REFERENCE, reference / spent, least, measured=measured)
            )
    show(figures)
    save(options.out, figures, rounds=rounds, images=len(paths), processor_seconds=options.busy)


def pixels(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    paths = photographs(options.data, "sub_test")[: options.images]
    transform = Preprocess(resize_to=256)

    def by_pillow(path: Path) -> np.ndarray:
        image = Image.open(path).convert("RGB")
        side = 256 / min(image.size)
        size = (int(image.width * side), int(image.height * side))
        left, top = ((length - 224) // 2 for length in size)
        return np.asarray(
            image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + 224, top + 224))
        )

    def without_torch(path: Path) -> np.ndarray:
        rgb = read_rgb(path, at_least=transform.enough)
        target = transform._target(*rgb.shape[:2])
        window = ((target[0] - 224) // 2, (target[1] - 224) // 2, 224, 224)
        return by_numpy(rgb, target, window, interpolation="bilinear")

    ours = {
        "read_rgb and torch": lambda path: transform.resized(read_rgb(path, at_least=transform.enough)),
        "read_rgb and NumPy": without_torch,
    }
    ways = {name: lambda one=one: [one(path) for path in paths] for name, one in ours.items()}
    ways["Pillow"] = lambda: [by_pillow(path) for path in paths]
    in_turns(ways, 1, time.process_time)  # weights of resizing are kept
    seconds = medians(in_turns(ways, options.rounds, time.process_time))
    reference = seconds.pop("Pillow")
    print(f"Pillow: {len(paths) / reference:.0f} images a processor second")
    figures = [
        Figure(name, "Pillow", reference / spent, measured=f"{len(paths) / spent:.0f} images/s")
        for name, spent in seconds.items()
    ]
    show(figures)
    save(options.out, figures, images=len(paths))


def in_turns(
    ways: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Time each way once a round by a clock."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            begun = clock()
            work()
            taken[name].append(clock() - begun)
    return taken


def eager_loop(encoder: ImageEncoder, paths: list[Path]) -> Callable[[], object]:
    module = copy.deepcopy(encoder.module).to(memory_format=torch.contiguous_format).eval()
    transform = encoder.preprocess
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (transform.mean, transform.std))

    def picture(path: Path) -> torch.Tensor:
        image = Image.open(path).convert("RGB")
        side = transform.resize_to / min(image.size)
        image = image.resize(
            (round(image.width * side), round(image.height * side)), Image.Resampling.BILINEAR
        )
        left, top = ((length - transform.size) // 2 for length in image.size)
        pixels = np.asarray(image.crop((left, top, left + transform.size, top + transform.size)))
        return (torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 255 - mean) / std

    def loop() -> np.ndarray:
        with torch.inference_mode():
            batches = (paths[first : first + 16] for first in range(0, len(paths), 16))
            rows = [module(torch.stack([picture(path) for path in batch])).numpy() for batch in batches]
        return np.concatenate(rows)

    with torch.inference_mode():
        module(torch.zeros(2, 3, transform.size, transform.size))  # sets kernels up
    return loop


def answers(options: argparse.Namespace) -> None:
    test, train = photographs(options.data, "sub_test"), photographs(options.data, "sub_trainval")
    rows = []
    for network in options.networks or WEIGHTS:
        name, file = WEIGHTS[network]
        encoder = build_encoder(EncoderConfig(name, options.data / "weights" / file))
        taggers = {head: trained(options, network, head) for head in ("sigmoid-mlp", "cnn-rnn")}
        features = {
            variant: extract(test + train, one, cache=cache_folder() / "features").values
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


if __name__ == "__main__":
    main()
