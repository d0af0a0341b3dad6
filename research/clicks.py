"""Clicks until an image has its whole label set, by suggestion mechanism: a simulated person, real photographs.

    python research/clicks.py voc --out runs/clicks       photographs of VOC's sub_trainval, five folds
    python research/clicks.py scenes --out runs/clicks    drawn pictures, 4 to 5 labels each

The person looks at the suggestions from the top and accepts the first that is right: one click. All that were read
above it are wrong; a *strict* person says so (they are rejected, no click counted, since the page rejects what was
passed over in bulk), a *lazy* one says nothing. After each click the list is made anew. When nothing right is among
the first `SHOWN`, the person types a missing label instead, the first in label order. It ends when every true label is
accepted. Counted per image are suggestions read (SHOWN for a typed label) and labels typed. Mechanisms see the same
images; differences are paired, with percentile bootstrap intervals over images: of all images, and of those with at
least two and at least three labels, where evidence can help. Images with an unknown label are left out. `sub_test` is
not touched.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from labelbeam.data.dataset import Dataset
from labelbeam.data.stratified import folds
from labelbeam.demo import encoder_config, head_config
from labelbeam.features.extract import readable_features
from labelbeam.formats.registry import open_dataset, write_dataset
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.runs.config import RunConfig, configure
from labelbeam.runs.tagger import Tagger
from labelbeam.training.train import train_run

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from measuring import save

SHOWN = 5
FOLDS = 5
MECHANISMS = {  # name -> head of the run that answers, mechanism asked of it
    "likelihood weighting": ("cnn-rnn", "likelihood-weighting"),
    "any-subset": ("cnn-rnn", "any-subset"),
    "the run's choice": ("cnn-rnn", None),
    "sigmoid head": ("sigmoid-mlp", None),
}
PARTS = {"all": 1, "2 or more labels": 2, "3 or more labels": 3}  # name -> fewest labels of an image
Counts = dict[
    str, list[tuple[int, int]]
]  # mechanism and person -> of each image suggestions read, labels typed


def tagged(tagger: Tagger, features: np.ndarray, truth: set[str], *, mechanism: str | None, strict: bool):
    """Tag one image as the person would; return suggestions read and labels typed."""
    known: list[str] = []
    rejected: list[str] = []
    read = typed = 0
    while missing := [name for name in tagger.labels if name in truth and name not in known]:
        listed = tagger.suggest(features, accepted=known, rejected=rejected, count=SHOWN, mechanism=mechanism)
        names = [one.label for one in listed]
        right = next((place for place, name in enumerate(names) if name in truth), None)
        passed = names if right is None else names[:right]
        if strict:
            rejected += passed
        read += len(passed) + (right is not None)
        typed += right is None
        known.append(missing[0] if right is None else names[right])
    return read, typed


def simulated(taggers: dict[str, Tagger], dataset: Dataset, features: np.ndarray) -> tuple[Counts, list[int]]:
    """Tag every image that has a label and no unknown one, by every mechanism and both persons; tell label counts."""
    rows = np.flatnonzero((dataset.targets == PRESENT).any(axis=1) & (dataset.targets != UNKNOWN).all(axis=1))
    counts: Counts = {}
    for name, (head, mechanism) in MECHANISMS.items():
        for person in ("strict", "lazy"):
            suggester = taggers[head].run.suggester
            if mechanism is None and suggester is not None:  # the same answers as that mechanism's
                same = next(key for key, one in MECHANISMS.items() if one == (head, suggester.better))
                counts[f"{name}, {person}"] = counts[f"{same}, {person}"]
                continue
            counts[f"{name}, {person}"] = [
                tagged(
                    taggers[head],
                    features[row],
                    set(dataset.example(row).present),
                    mechanism=mechanism,
                    strict=person == "strict",
                )
                for row in rows.tolist()
            ]
    return counts, (dataset.targets[rows] == PRESENT).sum(axis=1).tolist()


def summary(counts: Counts, *, seed: int = 0, resamples: int = 2000) -> dict[str, dict]:
    """Return means per image and their differences from the sigmoid head, with 95 % intervals."""
    columns = {name: np.array(rows, dtype=np.float64) for name, rows in counts.items()}
    images = len(next(iter(columns.values())))
    weights = (
        np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples) / images
    )
    told = {}
    for name, values in columns.items():
        rival = columns["sigmoid head, " + name.rsplit(", ", 1)[1]]
        told[name] = {}
        for column, what in enumerate(("read", "typed")):
            difference = (values - rival)[:, column]
            drawn = weights @ difference
            told[name][what] = {
                "mean": float(values[:, column].mean()),
                "minus_sigmoid": float(difference.mean()),
                "low": float(np.quantile(drawn, 0.025)),
                "high": float(np.quantile(drawn, 0.975)),
            }
    return told


def voc(data: Path, folder: Path) -> tuple[Counts, list[int]]:
    """Five folds over sub_trainval, MobileNetV2's features, default recipes."""
    whole = open_dataset(f"voc2007:{data / 'VOCdevkit'}#sub_trainval")
    weights = data / "weights" / "mobilenetv2_100.tf_in1k.safetensors"
    pooled: Counts = {}
    sizes: list[int] = []
    for number, (learned, held_out) in enumerate(folds(whole.targets, FOLDS, seed=0)):
        table = folder / f"fold{number}" / "train.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        if not table.exists():
            write_dataset(whole.subset(learned), f"csv:{table}", images="keep")
        taggers = {}
        for head in ("cnn-rnn", "sigmoid-mlp"):
            options = {"data": f"csv:{table}", "encoder": {"weights": str(weights)}}
            taggers[head] = trained(table.parent / head, configure(head=head, options=options))
        kept, features, _ = readable_features(
            whole.subset(held_out), taggers["cnn-rnn"].run.encoder, flips=False
        )
        counts, of_images = simulated(taggers, kept, features[:, 0])
        for name, rows in counts.items():
            pooled.setdefault(name, []).extend(rows)
        sizes += of_images
        suggester = taggers["cnn-rnn"].run.suggester
        print(f"fold {number + 1} of {FOLDS}, the run chose {suggester and suggester.better}", flush=True)
    return pooled, sizes


def scenes(folder: Path, *, images: int = 250) -> tuple[Counts, list[int]]:
    """The demo's encoder and recipes, with a suggester beside the label model; the first test pictures."""
    encoder = folder / "encoder"
    trained(encoder, encoder_config())
    taggers = {}
    for head in ("cnn-rnn", "sigmoid-mlp"):
        config = replace(head_config(head, encoder), suggester=True)
        taggers[head] = trained(folder / head, config)
    test = open_dataset("scenes#test").subset(range(images))
    kept, features, _ = readable_features(test, taggers["cnn-rnn"].run.encoder, flips=False)
    return simulated(taggers, kept, features[:, 0])


def trained(folder: Path, config: RunConfig) -> Tagger:
    """Train, or load what an earlier call trained."""
    if not (folder / "labels.json").exists():
        train_run(config, folder)
    return Tagger.load(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", choices=("voc", "scenes"))
    parser.add_argument("--out", type=Path, required=True, help="models and results are kept here")
    parser.add_argument("--root", type=Path, default=Path("../shared/data"), help="folder of the photographs")
    asked = parser.parse_args()
    folder = asked.out / asked.data
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    counts, sizes = voc(asked.root, folder) if asked.data == "voc" else scenes(folder)
    parts = {}
    for part, fewest in PARTS.items():
        rows = [row for row, size in enumerate(sizes) if size >= fewest]
        table = summary({name: [one[row] for row in rows] for name, one in counts.items()})
        parts[part] = {
            "images": len(rows),
            "labels": float(np.mean([sizes[row] for row in rows])),
            "table": table,
        }
    save(folder / "clicks.json", [], data=asked.data, shown=SHOWN, parts=parts, sizes=sizes, counts=counts)
    for part, told in parts.items():
        print(f"\n{part}: {told['images']} images of {told['labels']:.2f} labels, {SHOWN} suggestions shown")
        print("differences from the sigmoid head with 95 % intervals")
        for name, row in told["table"].items():
            cells = [
                f"{what} {one['mean']:.2f} ({one['minus_sigmoid']:+.2f}, {one['low']:+.2f} to {one['high']:+.2f})"
                for what, one in row.items()
            ]
            print(f"{name:30}", "   ".join(cells))


if __name__ == "__main__":
    main()
