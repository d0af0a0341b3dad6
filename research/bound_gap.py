"""Measure how bounds of marginals close: `python research/bound_gap.py [--out FILE] [--picture FILE] [--quick]`.

For models with the label statistics of VOC 2007, COCO and NUS-WIDE (real label sets, made-up image vectors, as
in `coco_like`): the distance of `high` and `low` after 1 to 1,000 expansions per image. Writes JSON, and a picture
where Matplotlib is installed (extra `plots`).
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from labelbeam.decoding.likelihood import set_log_prob
from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.trie import PrefixTrie

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from coco_like import LstmStep, image_vectors, load_label_sets, train

from decoding import machine

EXPANSIONS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
NOISE = 0.75
"""That of `benchmarks/decoding.py`: COCO-like images then are as unsure as 6.7 nats."""

DATA = Path(os.environ.get("LABELBEAM_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
Sets = tuple[np.ndarray, np.ndarray]


def by_frequency(training: np.ndarray, held_out: np.ndarray) -> Sets:
    """Order labels by descending training frequency."""
    order = np.argsort(-training.sum(axis=0, dtype=np.int64), kind="stable")
    return training[:, order].astype(np.int8), held_out[:, order].astype(np.int8)


def nus_label_sets() -> Sets:
    """Return training and test sets of NUS-WIDE's images that have a label."""
    with np.load(DATA / "labels" / "nuswide81_labels.npz") as file:
        labels, held_out = file["labels"], file["is_test"] == 1
    some = labels.any(axis=1)
    return by_frequency(labels[some & ~held_out], labels[some & held_out])


def voc_label_sets() -> Sets:
    """Return trainval and test sets of VOC 2007 from its official lists; difficult objects count as absent."""
    folder = DATA / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main"
    names = sorted(path.stem.removesuffix("_trainval") for path in folder.glob("*_trainval.txt"))
    names.remove("sub")  # this data set's own list of images, without labels

    def read(split: str) -> np.ndarray:
        columns = [(folder / f"{name}_{split}.txt").read_text().split()[1::2] for name in names]
        return np.array(columns).T == "1"

    return by_frequency(read("trainval"), read("test"))


STATISTICS: dict[str, tuple[Callable[[], Sets], int]] = {
    "VOC-like": (voc_label_sets, 400), "COCO-like": (load_label_sets, 1000), "NUS-like": (nus_label_sets, 1000),
}  # fmt: skip
"""Label sets, and for how many steps their model is trained."""


def gaps(training: np.ndarray, held_out: np.ndarray, *, steps: int, images: int) -> dict[str, object]:
    """Train a model and return the gaps of its bounds by expansions."""
    weights = train(training, image_vectors(training, noise=NOISE, seed=1), steps=steps)
    chosen = held_out[np.random.default_rng(0).choice(len(held_out), images, replace=False)]
    rows = weights.image_rows(image_vectors(chosen, noise=NOISE, seed=2))
    trie = PrefixTrie(LstmStep(weights))
    widest, mean = [], []
    for expansions in EXPANSIONS:
        found = label_marginals(trie, rows, expansions=expansions, samples=0)
        gap = found.high - found.low
        widest.append(gap.max(axis=1))
        mean.append(gap.mean())
    return {
        "labels": training.shape[1],
        "images": images,
        "held_out_nats_per_image": round(-float(set_log_prob(trie, rows, chosen.astype(np.int64)).mean()), 2),
        "expansions": EXPANSIONS,
        "widest_label_median": [round(float(np.median(gap)), 4) for gap in widest],
        "widest_label_p90": [round(float(np.quantile(gap, 0.9)), 4) for gap in widest],
        "mean_over_labels": [round(float(gap), 4) for gap in mean],
    }


def draw(figures: dict[str, dict], path: Path) -> None:
    """Draw the gaps of the widest label (median, to the 90th percentile) and of the mean label."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "labelbeam"  # the same file for the same numbers
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for colour, (name, of) in zip(("tab:blue", "tab:orange", "tab:green"), figures.items(), strict=True):
        x = of["expansions"]
        label = f"{name}, {of['held_out_nats_per_image']} nats per image"
        axes.plot(x, of["widest_label_median"], color=colour, label=label)
        axes.fill_between(
            x, of["widest_label_median"], of["widest_label_p90"], color=colour, alpha=0.15, linewidth=0
        )
        axes.plot(x, of["mean_over_labels"], color=colour, linestyle=":")
    axes.set(
        xscale="log", ylim=(0, 1), xlabel="prefixes expanded per image",
        ylabel="high - low",
        title="Widest label (line: median image, shade: to the 90th percentile), mean label (dotted)",
    )  # fmt: skip
    axes.title.set_fontsize(9)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    parser.add_argument("--picture", type=Path, help="draw them there (.svg, .png)")
    parser.add_argument("--quick", action="store_true", help="few training steps and images")
    options = parser.parse_args()
    torch.manual_seed(0)
    figures: dict[str, dict] = {}
    for name, (load, steps) in STATISTICS.items():
        training, held_out = load()
        figures[name] = gaps(
            training,
            held_out,
            steps=40 if options.quick else steps,
            images=20 if options.quick else 500,
        )
        sys.stdout.write(f"{name}\n")
        for key, value in figures[name].items():
            sys.stdout.write(f"  {key:28} {value}\n")
    if options.picture:
        draw(figures, options.picture)
    if options.out:
        temporary = options.out.with_suffix(".tmp")
        temporary.write_text(json.dumps({"machine": machine()} | figures, indent=2) + "\n")
        temporary.replace(options.out)


if __name__ == "__main__":
    main()
