"""Is "nothing" an answer? Label models that never saw an empty photograph, at home and on another collection.

    python research/nothing.py --out runs/nothing --encoder efficientnet-lite2 --seeds 0,1,2
    python research/nothing.py --out runs/nothing --encoder efficientnet-lite2 --seeds 0 --parts labels,inner

Heads have the default recipe by size and see all epochs; `joint` is the default of photographs (`research/per_label.py`).
Parts of the data, each trained item kept in OUT, so that a killed run goes on:

- `whole`: trained on VOC's `sub_trainval` (765 photographs, none empty); answers `sub_test` (300, none empty) and the 159
  shared COCO photographs, of which 32 show none of VOC's labels.
- `labels`: five folds over labels, in order of frequency dealt round. Labels of a fold are left out: trained on the
  photographs of `sub_trainval` that show another one, answers `sub_test`, where those that show only left-out ones are empty.
- `inner`: nothing of the test sets. Trained on three quarters of `sub_trainval`, with all labels and with each fold left out;
  answers the last quarter, and patches of its photographs that touch no box.

Rows are shares of photographs that show nothing: the training's, as the photographs themselves say (`estimate`), 0.2. Sets
are the most probable ones, log-likelihood in nats, unknown labels do not count; the share multiplies the odds of the empty
set and nothing else, so each row follows from the training's. Differences are paired over images, averaged over seeds.
"""

import argparse
import os
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from per_label import answered, coco_truth, encoder_of, item, learned
from PIL import Image

from labelbeam.data.stratified import split
from labelbeam.features.extract import extract
from labelbeam.files import cache_folder
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.label_model import Nothing
from labelbeam.labels.vocabulary import order_labels

HEADS = ("joint 1 detached", "sigmoid-mlp", "sigmoid")
FOLDS, SHARE, SIZES, DRAWS = 5, 0.2, (10, 30, 100, 300), 300
SIDES = ("xmin", "ymin", "xmax", "ymax")
LEAST_PATCH = 96
"""Pixels of a side of a patch, at least."""


def patch_without_boxes(photograph: Path, random: np.random.Generator) -> Image.Image | None:
    """Return the largest of 3,000 rectangles drawn in a photograph that touches no box of its annotation."""
    annotation = photograph.parents[1] / "Annotations" / f"{photograph.stem}.xml"
    sides = [
        [int(float(box.findtext(side) or 0)) for side in SIDES]
        for box in ElementTree.parse(annotation).iter("bndbox")
    ]
    boxes = np.array(sides).reshape(-1, 4)
    with Image.open(photograph) as image:
        size = np.array(image.size)
        corners = np.sort(random.integers(0, size, size=(3000, 2, 2)), axis=1)
        (x, y), (right, bottom) = corners[:, 0].T, corners[:, 1].T
        wide, high = right - x, bottom - y
        shaped = (np.minimum(wide, high) >= LEAST_PATCH) & (
            np.maximum(wide, high) <= 2 * np.minimum(wide, high)
        )
        apart = (
            (right[:, None] <= boxes[:, 0])
            | (x[:, None] >= boxes[:, 2])
            | (bottom[:, None] <= boxes[:, 1])
            | (y[:, None] >= boxes[:, 3])
        ).all(axis=1)
        if not (shaped & apart).any():
            return None
        best = np.argmax(np.where(shaped & apart, wide * high, -1))
        return image.convert("RGB").crop(tuple(int(v) for v in corners[best].ravel()))


def odds_of_nothing(z: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, Nothing]:
    """Return the log-odds of the empty set at the training's share, and what shifts them; targets of the training."""
    seen = ((targets == 1).sum(axis=0) + 0.5) / ((targets >= 0).sum(axis=0) + 1)
    none = np.log1p(-seen).sum()
    before = -np.log(len(targets) + 1.0)  # log-odds of (0 + 1) / (images + 2)
    nothing = Nothing(none - np.log(-np.expm1(none)), before, before)
    return nothing.log_odds(z), nothing


def shifted(
    said: dict, part: str, truth: np.ndarray, odds: np.ndarray, by: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each set is right, and the log-likelihood of the truth, where the odds of the empty set are others.

    Args:
        odds: log-odds of the empty set as the model has them.
        by: what is added to them.
    """
    best = said[f"{part}/log_probs"] + np.logaddexp(0, odds)  # of the sets, given that something is shown
    # Where the empty set was the most probable one, the next is unknown; the training's share leaves none such here.
    sets = said[f"{part}/sets"].copy()
    sets[odds + by > best] = False
    right = ((sets == (truth == 1)) | (truth < 0)).all(axis=1)
    shown = (truth == 1).any(axis=1)
    nats = (
        said[f"{part}/log_likelihood"]
        + np.logaddexp(0, odds)
        - np.logaddexp(0, odds + by)
        + np.where(shown, 0, by)
    )
    return right, nats


def as_said(said: dict, part: str, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each set is right, and the log-likelihood of the truth, of a head as it is."""
    right = ((said[f"{part}/sets"] == (truth == 1)) | (truth < 0)).all(axis=1)
    return right, said[f"{part}/log_likelihood"]


def shift_to(share: float, nothing: Nothing) -> float:
    """Return by how much a share of images that show nothing moves the log-odds of the empty set."""
    return float(np.log(share / (1 - share)) - nothing.share)


def rows_of(
    seeds: dict[str, list[dict]], part: str, truth: np.ndarray, trained_on: np.ndarray
) -> dict[str, tuple]:
    """Return by row: sets right and log-likelihood, float [seeds images], and the shares that were used."""
    found: dict[str, tuple] = {}
    for head, each in seeds.items():
        if head.startswith("sigmoid"):
            found[head] = (*zip(*(as_said(said, part, truth) for said in each), strict=True), [])
            continue
        for row in ("training's share", "estimate", f"share {SHARE}"):
            outcomes, shares = [], []
            for said in each:
                odds, nothing = odds_of_nothing(said[f"{part}/z"], trained_on)
                share = 1 / (1 + np.exp(-nothing.share))
                if row == "estimate":
                    share = nothing.share_in(said[f"{part}/z"])
                elif row != "training's share":
                    share = SHARE
                shares.append(share)
                outcomes.append(shifted(said, part, truth, odds, shift_to(share, nothing)))
            found[row] = (*zip(*outcomes, strict=True), shares)
    return found


def show(title: str, rows: dict[str, tuple], truth: np.ndarray, *, against: str = "training's share") -> None:
    """Print each row's numbers, averaged over seeds, and differences to one with 95 % intervals over images."""
    empty = ~(truth == 1).any(axis=1)
    drawn = np.random.default_rng(0).multinomial(
        len(truth), np.full(len(truth), 1 / len(truth)), size=2000
    ) / len(truth)
    print(f"\n{title}: {len(truth)} images, {empty.sum()} show nothing")
    base = [np.mean(rows[against][k], axis=0) for k in (0, 1)]
    for row, (right, nats, shares) in rows.items():
        right, nats = np.mean(right, axis=0), np.mean(nats, axis=0)
        cells = [f"{row:20}", " ".join(f"{share:.3f}" for share in shares).ljust(18)]
        for values, against_values, scale, digits in ((right, base[0], 100, 1), (nats, base[1], 1, 3)):
            low, high = np.quantile(scale * drawn @ (values - against_values), (0.025, 0.975))
            cells.append(f"{scale * values.mean():.{digits}f} ({low:+.{digits}f}, {high:+.{digits}f})")
        if empty.any():
            cells.append(f"empty {100 * right[empty].mean():.1f} others {100 * right[~empty].mean():.1f}")
        print("  ".join(cells))


def few_images(
    said: dict, part: str, truth: np.ndarray, trained_on: np.ndarray, random: np.random.Generator
) -> None:
    """Print the share, and the sets right of all images by it, where it is estimated from few of them, drawn again and again."""
    z = said[f"{part}/z"]
    odds, nothing = odds_of_nothing(z, trained_on)
    for size in SIZES:
        if size > len(z):
            continue
        shares = [nothing.share_in(z[random.choice(len(z), size, replace=False)]) for _ in range(DRAWS)]
        right, nats = zip(*(
            [np.mean(values) for values in shifted(said, part, truth, odds, shift_to(share, nothing))] for share in shares
        ), strict=True)  # fmt: skip
        low, high = np.quantile(shares, (0.05, 0.95))
        print(
            f"  from {size:3}: share {np.mean(shares):.3f} (90 % of draws {low:.3f} to {high:.3f}), sets right "
            f"{100 * np.mean(right):.1f} (worst in 20 {100 * np.quantile(right, 0.05):.1f}), nats {np.mean(nats):.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/nothing"))
    parser.add_argument("--encoder", default="efficientnet-lite2")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--parts", default="whole", help="some of whole, labels, inner")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    root, random = Path(os.environ["LABELBEAM_DATA"]), np.random.default_rng(0)
    seeds, parts = [int(seed) for seed in asked.seeds.split(",")], asked.parts.split(",")
    data = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    names, targets = data.vocabulary.names, np.ascontiguousarray(data.targets)
    plain, mirrored = (encoder_of(asked.encoder, root, mirrored=mirrored) for mirrored in (False, True))

    def of(paths, encoder=plain) -> np.ndarray:
        return extract(paths, encoder, cache=cache_folder() / "features", workers=1).values

    views = np.stack((of(data.paths), of(data.paths, mirrored)), axis=1)
    home = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_test").with_vocabulary(names)
    coco = [open_dataset(f"coco:{root / 'coco'}#{part}") for part in ("train2017", "val2017")]
    home_features, away = of(home.paths), np.concatenate([of(one.paths) for one in coco])
    away_truth = np.concatenate([coco_truth(one, names) for one in coco])
    (asked.out / "items").mkdir(parents=True, exist_ok=True)

    def kept(head: str, part: str, seed: int, fitted: np.ndarray, judged: dict, columns: np.ndarray) -> dict:
        """Return what a head says of some images, trained on rows and columns of the training's targets."""
        path = asked.out / "items" / f"{asked.encoder} {head} {part} seed{seed}.npz"
        there = path.exists()
        told = targets[fitted][:, columns]
        found = item(path, lambda: answered(head, *learned(head, views[fitted], told, seed), judged))
        if not there:
            print(f"{asked.encoder}, {head}, {part}, seed {seed}", flush=True)
        return found

    every, columns = np.arange(len(targets)), np.arange(len(names))
    if "whole" in parts:
        judged = {"home": (home_features, home.targets), "away": (away, away_truth)}
        said = {h: [kept(h, "whole", seed, every, judged, columns) for seed in seeds] for h in HEADS}
        for part, (_, truth) in judged.items():
            show(f"{asked.encoder}, {part}", rows_of(said, part, truth, targets), truth)
            few_images(said[HEADS[0]][0], part, truth, targets, random)
    left_out = [columns[columns % FOLDS == fold] for fold in range(FOLDS)]
    if "labels" in parts:
        rows: dict[str, list] = {}
        truths = []
        for fold, without in enumerate(left_out):
            known = np.setdiff1d(columns, without)
            fitted = np.flatnonzero((targets[:, known] == 1).any(axis=1))
            truth = np.ascontiguousarray(home.targets[:, known])
            judged = {"home": (home_features, truth)}
            said = {
                h: [kept(h, f"labels{fold}", seed, fitted, judged, known) for seed in seeds]
                for h in HEADS[:2]
            }
            of_fold = rows_of(said, "home", truth, targets[fitted][:, known])
            show(f"{asked.encoder}, without {', '.join(names[c] for c in without)}", of_fold, truth)
            for row, values in of_fold.items():
                rows.setdefault(row, []).append(values)
            truths.append((truth == 1).any(axis=1).astype(np.int8)[:, None])
        joined = {
            row: (*(np.concatenate([np.array(one[k]) for one in each], axis=1) for k in (0, 1)), [])
            for row, each in rows.items()
        }
        show(f"{asked.encoder}, all folds over labels", joined, np.concatenate(truths))
    if "inner" in parts:
        three, quarter = split(targets, (0.75, 0.25), seed=0)
        folder = asked.out / "patches"
        folder.mkdir(exist_ok=True)
        patches = []
        for row in quarter:
            photograph = Path(data.paths[row])
            patch = folder / f"{photograph.stem}.png"
            if not patch.exists() and (cut := patch_without_boxes(photograph, np.random.default_rng(row))):
                cut.save(patch)
            if patch.exists():
                patches.append(patch)
        patch_features = of(patches)
        for seed in seeds:
            for fold, without in enumerate((columns[:0], *left_out)):
                known = np.setdiff1d(columns, without)
                fitted = three[(targets[three][:, known] == 1).any(axis=1)]
                nothing = np.zeros((len(patches), len(known)), dtype=np.int8)
                judged = {
                    "held": (views[quarter, 0], np.ascontiguousarray(targets[quarter][:, known])),
                    "patches": (patch_features, nothing),
                }
                kept(HEADS[0], f"inner{fold}", seed, fitted, judged, known)


if __name__ == "__main__":
    main()
