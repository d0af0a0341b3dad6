"""What runs an encoder: its speed against the loop that a competent user writes, and what it does to answers.

    python benchmarks/encoders.py speed [--busy] --out runs/encoders-speed.json
    python benchmarks/encoders.py networks
    python benchmarks/encoders.py answers --out runs/encoders-answers.json

`speed`: from image files to features. The reference is an eager float32 PyTorch loop over batches, decoding and
resizing with Pillow; the others are `labelbeam.features.extract` with each engine and precision. VGG-16 and ResNet-50
with initial values (speed does not depend on them). Interleaved rounds, medians; graphs are made before.

`networks`: the network alone, from resized pictures to features, one thread, processor seconds; the reference is the
same network in eager float32 PyTorch.

`answers`: see `encoder_answers.py`.
"""

import argparse
import copy
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from encoder_answers import answers
from encoder_variants import photographs, variants
from measuring import ROOT, Figure, interleaved, medians, save, show
from PIL import Image

from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.features.extract import extract

AUTOMATIC, OPTIONAL = 2.4, 5.0
"""What is aimed at, in times the reference."""

AUTOMATICALLY = ("openvino float32", "openvino bfloat16")
"""What is taken without being asked for; the second where a run's own answers have been found to stay."""

REFERENCE = "eager loop, Pillow"

EAGER = "eager network"

BATCHES = {"resnet50": 8, "vgg16": 4}
"""Pictures that go through a network together where it is timed alone."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", default="speed", choices=("speed", "networks", "answers"))
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("LABELBEAM_DATA", ROOT.parent / "shared/data")
    )
    parser.add_argument(
        "--networks", nargs="*", help="speed, networks: vgg16 resnet50; answers: mobilenetv2 squeezenet"
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
    {"speed": speed, "networks": networks, "answers": answers}[options.what](options)


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
        rounds[name] = taken = interleaved(ways, rounds=options.rounds, clock=clock)
        seconds = medians(taken)
        reference = seconds.pop(REFERENCE)
        print(f"{name}, {REFERENCE}: {len(paths) / reference:.1f} images/s", flush=True)
        figures += figures_of(name, REFERENCE, reference, seconds, len(paths))
    show(figures)
    save(options.out, figures, rounds=rounds, images=len(paths), processor_seconds=options.busy)


def networks(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    figures: list[Figure] = []
    calibration = photographs(options.data, "sub_trainval")[: options.calibration]
    for name, batch in BATCHES.items():
        if name not in (options.networks or BATCHES):
            continue
        encoder = build_encoder(EncoderConfig(name, pretrained=False))
        pictures = np.random.default_rng(0).integers(0, 256, (batch, 3, 224, 224), dtype=np.uint8)
        ways: dict[str, Callable[[], object]] = {EAGER: eager_network(encoder, pictures)}
        for variant, one in variants(encoder, calibration).items():
            ways[variant] = functools.partial(one.ready("cpu").encode, pictures)
        interleaved(ways, rounds=1)  # loads graphs and sets kernels up
        seconds = medians(interleaved(ways, rounds=options.rounds, clock=time.process_time))
        reference = seconds.pop(EAGER)
        print(f"{name}, {EAGER}: {batch / reference:.1f} images a processor second", flush=True)
        figures += figures_of(name, EAGER, reference, seconds, batch)
    show(figures)
    save(options.out, figures, processor_seconds=True)


def figures_of(
    network: str, against: str, reference: float, seconds: dict[str, float], images: int
) -> list[Figure]:
    """Return each variant's speed against the reference's, with what is aimed at."""
    found = []
    for variant, spent in seconds.items():
        least = OPTIONAL if "int8" in variant else AUTOMATIC if variant in AUTOMATICALLY else None
        measured = f"{images / spent:.1f} images/s"
        found.append(Figure(f"{network}, {variant}", against, reference / spent, least, measured=measured))
    return found


def eager_network(encoder: ImageEncoder, pictures: np.ndarray) -> Callable[[], object]:
    module = copy.deepcopy(encoder.module).to(memory_format=torch.contiguous_format).eval()
    slope, offset = (torch.tensor(row).view(1, 3, 1, 1) for row in encoder.preprocess.slope_and_offset())

    def run() -> torch.Tensor:
        with torch.inference_mode():
            return module(torch.from_numpy(pictures).float() * slope + offset)

    return run


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


if __name__ == "__main__":
    main()
