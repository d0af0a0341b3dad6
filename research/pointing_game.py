"""The pointing game on VOC photographs: does the strongest place of a label's map lie on the label's object?

    python research/pointing_game.py RUN [RUN ...] --voc VOCdevkit [--split sub_test] [--images 300] [--out FILE]
    python research/pointing_game.py RUN --voc VOCdevkit --methods local,grad-cam

For every image and each of its true labels (explained as one path in the run's label order) the place where the map
`supporting - opposing` is greatest counts as a hit if it lies in a box of the label. Difficult objects are out; so are
labels none of whose boxes reaches into the part of the photograph that the encoder sees (`out_of_sight`). No margin is
added around boxes (Zhang et al., ECCV 2016, add 15 pixels). `small`: labels whose boxes cover less than a quarter of
what the encoder sees. Beside the maps: the middle of the picture, the expectation of a random point (the share that the
boxes cover), and the run's own method on an encoder whose weights are shuffled within each tensor. Intervals: 95 %,
percentile bootstrap over images, 2,000 draws.
"""

import argparse
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from labelbeam.errors import InputError
from labelbeam.explain.explained_run import explain
from labelbeam.explain.explanation import Region, seen_region
from labelbeam.runs.run_directory import Run, load_run

DRAWS = 2000
SMALL = 0.25


@dataclass(frozen=True)
class Photo:
    """A photograph and the boxes (left, top, right, bottom) of each label that is in sight."""

    path: Path
    region: Region
    boxes: dict[str, list[tuple[float, float, float, float]]]
    covered: dict[str, float]
    out_of_sight: int


def photos(voc: Path, split: str, run: Run) -> Iterator[Photo]:
    lines = (voc / "VOC2007/ImageSets/Main" / f"{split}.txt").read_text().split("\n")
    for name in [line.split()[0] for line in lines if line.strip()]:
        path = voc / "VOC2007/JPEGImages" / f"{name}.jpg"
        with Image.open(path) as image:
            region = seen_region(run.encoder.preprocess, height=image.height, width=image.width)
        boxes: dict[str, list[tuple[float, float, float, float]]] = {}
        for entry in ET.parse(voc / "VOC2007/Annotations" / f"{name}.xml").getroot().iter("object"):
            if entry.findtext("difficult") != "1":
                box = entry.find("bndbox")
                left, top, right, bottom = (float(box.findtext(k)) for k in ("xmin", "ymin", "xmax", "ymax"))
                # VOC's corners count pixels from 1 and belong to the box.
                boxes.setdefault(entry.findtext("name"), []).append((left - 1, top - 1, right, bottom))
        covered = {label: share_covered(region, found) for label, found in boxes.items()}
        seen = {label: found for label, found in boxes.items() if covered[label] > 0}
        yield Photo(path, region, seen, covered, len(boxes) - len(seen))


def share_covered(
    region: Region, boxes: list[tuple[float, float, float, float]], *, cells: int = 112
) -> float:
    """Return the share of a region that boxes cover, counted on a grid."""
    middles = (np.arange(cells) + 0.5) / cells
    x, y = region.left + middles * region.width, region.top + middles * region.height
    inside = np.zeros((cells, cells), dtype=bool)
    for left, top, right, bottom in boxes:
        inside |= ((y >= top) & (y < bottom))[:, None] & ((x >= left) & (x < right))[None]
    return float(inside.mean())


def hit(boxes: list[tuple[float, float, float, float]], x: float, y: float) -> bool:
    return any(left <= x < right and top <= y < bottom for left, top, right, bottom in boxes)


def shuffled(run: Run, *, seed: int) -> Run:
    """Return the run with every weight tensor of its encoder shuffled within itself."""
    import copy

    generator = torch.Generator().manual_seed(seed)
    module = copy.deepcopy(run.encoder.module)
    with torch.no_grad():
        for parameter in module.parameters():
            order = torch.randperm(parameter.numel(), generator=generator)
            parameter.copy_(parameter.reshape(-1)[order].reshape(parameter.shape))
    return replace(run, encoder=replace(run.encoder, module=module))


def play(run: Run, seen: list[Photo], *, method: str, target: str) -> dict[tuple[int, str], float]:
    """Return 1 for a hit and 0 for a miss by photograph and label."""
    hits = {}
    for number, photo in enumerate(seen):
        if photo.boxes:
            found = explain(run, photo.path, method=method, target=target, labels=photo.boxes)
            for step in found.steps:
                x, y = found.region.place(*step.peak, size=found.picture.shape[0])
                hits[number, step.label] = float(hit(photo.boxes[step.label], x, y))
    return hits


def interval(hits: dict[tuple[int, str], float], images: int) -> dict[str, float]:
    """Return the share of hits and its interval; whole images are drawn."""
    total, count = np.zeros(images), np.zeros(images)
    for (number, _), value in hits.items():
        total[number] += value
        count[number] += 1
    draws = np.random.default_rng(0).integers(0, images, (DRAWS, images))
    shares = total[draws].sum(axis=1) / np.maximum(count[draws].sum(axis=1), 1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return {"hits": total.sum() / count.sum(), "low": low, "high": high, "of": int(count.sum())}


def rows_of(run: Run, seen: list[Photo], methods: list[str]) -> dict[str, dict[tuple[int, str], float]]:
    every = [(number, label) for number, photo in enumerate(seen) for label in photo.boxes]
    rows = {
        "random point": {(n, label): seen[n].covered[label] for n, label in every},
        "image centre": {
            (n, label): float(
                hit(
                    seen[n].boxes[label],
                    seen[n].region.left + seen[n].region.width / 2,
                    seen[n].region.top + seen[n].region.height / 2,
                )
            )
            for n, label in every
        },
    }
    for method in (one for one in methods if one != "shuffled"):
        for target in (
            ("log_prob", "logit") if method != "local" else ("log_prob",)
        ):  # its map is the same for both
            try:
                rows[f"{method}, {target}"] = play(run, seen, method=method, target=target)
            except InputError:  # no local evidence in this run, or no deconvnet on this encoder
                continue
    if "shuffled" in methods:
        rows["shuffled weights, auto"] = play(shuffled(run, seed=0), seen, method="auto", target="log_prob")
    return rows


def main() -> None:
    reader = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    reader.add_argument("runs", nargs="+", type=Path)
    reader.add_argument("--voc", type=Path, required=True)
    reader.add_argument("--split", default="sub_test")
    reader.add_argument("--images", type=int)
    reader.add_argument("--methods", default="local,deconvnet,grad-cam,gradient-input,shuffled")
    reader.add_argument("--out", type=Path)
    told = reader.parse_args()
    torch.set_num_threads(1)
    results = {}
    for folder in told.runs:
        run = load_run(folder)
        seen = list(photos(told.voc, told.split, run))[: told.images]
        small = {
            (number, label)
            for number, photo in enumerate(seen)
            for label in photo.boxes
            if photo.covered[label] < SMALL
        }
        print(
            f"{folder.name}: {len(seen)} images, {sum(one.out_of_sight for one in seen)} labels out of sight"
        )
        results[folder.name] = {}
        for name, hits in rows_of(run, seen, told.methods.split(",")).items():
            both = [
                interval(hits, len(seen)),
                interval({k: v for k, v in hits.items() if k in small}, len(seen)),
            ]
            results[folder.name][name] = dict(zip(("all", "small"), both, strict=True))
            shown = "   ".join(
                f"{one['hits']:.3f} ({one['low']:.3f} to {one['high']:.3f}) of {one['of']}" for one in both
            )
            print(f"  {name:26s} {shown}", flush=True)
    if told.out is not None:
        told.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
