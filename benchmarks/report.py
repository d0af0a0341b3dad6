"""What `labelbeam report` of a run with 1,000 labels and 100,000 images costs: seconds and peak memory.

Builds the run without photographs: label sets of "Zipf scenes" (`made_up_sets.py`), features made of them and put into
the feature cache, under the digests of 100,000 tiny PNG files that differ in their last bytes alone; a sigmoid head and
a label model, each trained for a short while. The training data are another 100,000 sets whose pictures are not there
(`--missing keep`). The report is the command itself, in a process of its own. Aims: 120 seconds, 4 GiB, a page of
10 MB.

    python benchmarks/report.py --folder /tmp/large --out report.json   # some minutes; the folder is kept, used again
    python benchmarks/report.py --folder /tmp/small --labels 100 --images 2000 --answer-at-most 500
"""

import argparse
import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from coco_like import DIM, image_vectors
from made_up_sets import ZipfScenes
from measuring import Figure, save, show

NOISE = 0.75
STEPS = {"cnn-rnn": 800, "sigmoid": 400}
HEADS = ("sigmoid", "cnn-rnn")
AIM_SECONDS, AIM_GIB, AIM_MB = 120, 4, 10


def names_of(num_labels: int) -> list[str]:
    """Return made-up names."""
    return [f"label {i:04d}" for i in range(num_labels)]


def write_data(folder: Path, sets: np.ndarray, training: np.ndarray) -> None:
    """Write the CSV file of both halves, and pictures for the judged one."""
    from io import BytesIO

    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (8, 8), (90, 120, 150)).save(file, "PNG")
    picture = file.getvalue()
    (folder / "images").mkdir()
    names = np.array(names_of(sets.shape[1]))
    with (folder / "tags.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        writer.writerow(("image", "tags", "split"))
        for split, rows in (("test", sets), ("train", training)):
            for i, row in enumerate(rows):
                name = f"images/{split}-{i:06d}.png"
                writer.writerow((name, ";".join(names[row == 1]), split))
                if split == "test":  # what follows the last chunk of a PNG is not looked at, but hashed
                    (folder / name).write_bytes(picture + b"%06d" % i)


def write_features(folder: Path, encoder: Any, vectors: np.ndarray) -> None:
    """Put features into the cache that the report will read."""
    from labelbeam.features.cache import FeatureCache, image_digest

    key = {
        "encoder": encoder.identity, "transform": encoder.preprocess.identity, "precision": encoder.precision,
    }  # fmt: skip
    root = folder / "cache" / "features"
    with FeatureCache(root, key, num_features=DIM, rows_per_chunk=8192, seconds=1e9) as cache:
        for i, vector in enumerate(vectors.astype(np.float16)):
            content = (folder / f"images/test-{i:06d}.png").read_bytes()
            cache.put(image_digest(content), vector)


def trained(scenes: ZipfScenes, config: Any) -> Any:
    """Train a head for so many steps."""
    import torch

    from labelbeam.heads.arrays_torch import trained as handed_over
    from labelbeam.runs.build import build_head, start_head

    num_labels = scenes.chances.shape[1]
    model = build_head(config, num_labels=num_labels, feature_size=DIM)
    start_head(model, scenes.draw(10_000, seed=3))
    steps = STEPS[config.head]
    rate = 4e-3 if config.head == "cnn-rnn" else 1e-2
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * (1 - step / steps)
        sets = scenes.draw(256, seed=1000 + step)
        vectors = torch.from_numpy(image_vectors(sets, noise=NOISE, seed=1000 + step))
        loss = model(vectors, torch.from_numpy(sets)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        optimiser.zero_grad()
    return handed_over(model.eval())


def write_run(folder: Path, head: str, scenes: ZipfScenes, encoder: Any, counts: np.ndarray) -> None:
    """Train and write one run."""
    from labelbeam.data.dataset import ReadOptions
    from labelbeam.labels.vocabulary import Vocabulary
    from labelbeam.runs.config import RunConfig
    from labelbeam.runs.run_directory import Run, save_run

    config = RunConfig(
        data=f"csv:{folder / 'tags.csv'}#train", head=head, scaling="none", read=ReadOptions(missing="keep")
    )
    vocabulary = Vocabulary(tuple(names_of(scenes.chances.shape[1])))
    run = Run(config, vocabulary, tuple(int(n) for n in counts), encoder, trained(scenes, config))
    (folder / head).mkdir()
    save_run(run, folder / head, opening=[])


def build(folder: Path, *, num_labels: int, images: int) -> None:
    """Make everything that is not there yet."""
    os.environ["LABELBEAM_CACHE"] = str(folder / "cache")
    from labelbeam.encoders.catalogue import EncoderConfig, build_encoder

    scenes = ZipfScenes.of(num_labels)
    encoder = build_encoder(EncoderConfig("tiny", width=DIM // 2, size=64))
    training = scenes.draw(images, seed=2)
    if not (folder / "tags.csv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        sets = scenes.draw(images, seed=1)
        write_data(folder, sets, training)
        write_features(folder, encoder, image_vectors(sets, noise=NOISE, seed=1))
    for head in HEADS:
        if not (folder / head).exists():
            write_run(folder, head, scenes, encoder, training.sum(axis=0, dtype=np.int64))


def measured(folder: Path, head: str, options: list[str]) -> dict[str, Any]:
    """Run the command in a process of its own and return what it took."""
    page = folder / f"{head}.html"
    command = [
        sys.executable, "-m", "labelbeam", "report", str(folder / head),
        "--data", f"csv:{folder / 'tags.csv'}#test", "--out", str(page), *options,
    ]  # fmt: skip
    environment = {**os.environ, "LABELBEAM_CACHE": str(folder / "cache")}
    begun = time.perf_counter()
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the report of {head} failed: {' '.join(command)}")
    return {
        "head": head,
        "options": options,
        "seconds": time.perf_counter() - begun,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gib": usage.ru_maxrss / 2**20,
        "page_mb": page.stat().st_size / 1e6,
        "json_mb": page.with_suffix(".json").stat().st_size / 1e6,
    }


def main() -> None:
    """Build, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--heads", nargs="*", default=list(HEADS))
    parser.add_argument("--out", type=Path)
    given, options = parser.parse_known_args()  # what is not known is the report's
    folder = given.folder.resolve()
    begun = time.perf_counter()
    build(folder, num_labels=given.labels, images=given.images)
    sys.stdout.write(f"built in {time.perf_counter() - begun:.0f} s\n")
    results = [measured(folder, head, options) for head in given.heads]
    figures = [
        figure
        for one in results
        for figure in (
            Figure(f"{one['head']}: seconds", "2 minutes", one["seconds"] / AIM_SECONDS, most=1,
                   measured=f"{one['seconds']:.0f} s, {one['processor_seconds']:.0f} s of processor time"),
            Figure(f"{one['head']}: memory", "4 GiB", one["peak_gib"] / AIM_GIB, most=1,
                   measured=f"{one['peak_gib']:.2f} GiB"),
            Figure(f"{one['head']}: page", "10 MB", one["page_mb"] / AIM_MB, most=1,
                   measured=f"{one['page_mb']:.2f} MB, {one['json_mb']:.1f} MB of JSON"),
        )
    ]  # fmt: skip
    show(figures)
    save(given.out, figures, results=results, labels=given.labels, images=given.images)


if __name__ == "__main__":
    main()
