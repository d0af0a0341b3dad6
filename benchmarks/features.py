"""Feature extraction against its parts: at least 0.9 of 1 / (1/D + 1/E).

D: decoding and resizing alone on all cores. E: the encoder alone on all cores, the better of two ways: one batch
at a time with every core in its arithmetic, or one batch per core with one thread each. P: `extract`, from file
names to features in a fresh cache. All in images a second, in one run, interleaved, medians over the rounds. With a
run, whose encoder is then measured, `Tagger.tag` too: from file names to predictions.

    python benchmarks/features.py --images 512 --rounds 5
    python benchmarks/features.py --run runs/voc

Needs the photographs and MobileNetV2's weights of $LABELBEAM_DATA. Takes about a minute and a half on 2 cores.
"""

import argparse
import json
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from labelbeam.data.images import read_rgb
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.engines import with_engine
from labelbeam.features.extract import extract
from labelbeam.runs.run_directory import load_run
from labelbeam.runs.tagger import Tagger

ROOT = Path(__file__).resolve().parent.parent


def decode_all(paths: list[Path], encoder: Encoder, cores: int) -> list[np.ndarray]:
    transform = encoder.preprocess

    def decode(path: Path) -> np.ndarray:
        return transform.resized(read_rgb(path, at_least=transform.enough))

    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(decode, paths))


def encode_in_turn(batches: list[np.ndarray], encoder: Encoder) -> None:
    for pixels in batches:
        encoder.encode(pixels)


def encode_side_by_side(batches: list[np.ndarray], encoder: Encoder, cores: int) -> None:
    with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(encoder.encode, batches))


def images_per_second(work: Callable[[], object], images: int, cores: int) -> float:
    torch.set_num_threads(cores)
    start = time.perf_counter()
    work()
    return images / (time.perf_counter() - start)


def measure(
    data: Path,
    *,
    images: int,
    rounds: int,
    batch_size: int,
    engine: str = "torch",
    precision: str = "auto",
    run: Path | None = None,
) -> dict:
    cores = len(os.sched_getaffinity(0))
    weights = data / "weights/mobilenetv2_100.tf_in1k.safetensors"
    loaded = None if run is None else load_run(run)
    built = build_encoder(EncoderConfig("", weights)) if loaded is None else loaded.encoder
    every = sorted((data / "VOCdevkit/VOC2007/JPEGImages").glob("*.jpg"))
    encoder = with_engine(built, engine=engine, precision=precision, photographs=every)
    paths = every[:images]
    pixels = np.stack(decode_all(paths, encoder, cores))
    batches = np.split(pixels, range(batch_size, len(pixels), batch_size))

    def pipeline() -> None:
        with tempfile.TemporaryDirectory() as cache:
            extract(paths, encoder, cache=Path(cache), batch_size=batch_size)

    ways: dict[str, Callable[[], object]] = {
        "decode": lambda: decode_all(paths, encoder, cores),
        "encode_in_turn": lambda: encode_in_turn(batches, encoder),
        "encode_side_by_side": lambda: encode_side_by_side(batches, encoder, cores),
        "pipeline": pipeline,
    }
    if loaded is not None:
        tagger = Tagger(replace(loaded, encoder=encoder))
        ways["tag"] = lambda: list(tagger.tag(paths))
    encoder.encode(batches[0])  # the first pass sets kernels up
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            taken[name].append(images_per_second(work, len(paths), cores))
    speeds = {name: median(values) for name, values in taken.items()}
    decoder, network = speeds["decode"], max(speeds["encode_in_turn"], speeds["encode_side_by_side"])
    ideal = 1 / (1 / decoder + 1 / network)
    return {
        "images_per_second": speeds,
        "ideal": ideal,
        "ratio": speeds["pipeline"] / ideal,
        "tag_ratio": speeds["tag"] / ideal if "tag" in speeds else None,
        "target": 0.9,
        "engine": engine,
        "precision": precision,
        "images": len(paths),
        "rounds": rounds,
        "batch_size": batch_size,
        "all_rounds": taken,
        "machine": f"{cores} cores, {platform.processor() or platform.machine()}, {platform.platform()}",
        "load_average": os.getloadavg()[0],
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": commit(),
    }


def commit() -> str:
    asked = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("LABELBEAM_DATA", ROOT.parent / "shared/data")
    )
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--engine", default="torch", help="torch, onnx or openvino")
    parser.add_argument("--precision", default="auto", help="float32, bfloat16 or int8")
    parser.add_argument("--run", type=Path, help="measure its encoder, and tagging with it")
    parser.add_argument("--out", type=Path, help="JSON file for the whole result")
    options = parser.parse_args()
    result = measure(
        options.data,
        images=options.images,
        rounds=options.rounds,
        batch_size=options.batch_size,
        engine=options.engine,
        precision=options.precision,
        run=options.run,
    )
    for name, speed in result["images_per_second"].items():
        print(f"{name:20} {speed:8.1f} images/s")
    print(f"{'1/(1/D + 1/E)':20} {result['ideal']:8.1f} images/s")
    if result["tag_ratio"] is not None:
        print(f"tag: ratio {result['tag_ratio']:.2f} (target 0.90)")
    print(f"ratio {result['ratio']:.2f} (target 0.90), load average {result['load_average']:.1f}")
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
