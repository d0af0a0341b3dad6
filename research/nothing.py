"""Is "nothing" an answer? Label models that never saw an empty photograph, at home and on another collection.

    python research/nothing.py --out runs/nothing --encoder efficientnet-lite2 --seeds 0,1,2
    python research/nothing.py --out runs/nothing --encoder efficientnet-lite2 --seeds 0 --parts labels,inner

Heads have the default recipe by size and see all epochs; `joint` is the default of photographs (research/per_label.py).
Parts, of which each trained item is kept in OUT, so that a killed run goes on:

- `whole`: trained on VOC's `sub_trainval` (765 photographs, none empty); answers `sub_test` (300, none empty) and the
  159 shared COCO photographs, of which 32 show none of VOC's labels.
- `labels`: five folds over labels, dealt round in order of frequency. Without the labels of a fold: trained on the
  photographs of `sub_trainval` that show another one, answers `sub_test`; what shows only left-out labels is empty.
- `inner`: without the test sets, whether the share is found better if the evidence of each image is calibrated first.
  Trained on three quarters of `sub_trainval`, with all labels and without those of each fold; answers the last quarter,
  and patches of its photographs that touch no box. Evidence x, the log-odds of the empty set apart from any share,
  becomes a x + b by a logistic regression of empty images against others: of patches, or of what shows only left-out
  labels. Needs the items of `whole`, to say what that would do to both test sets.

Rows of the first two are shares of photographs that show nothing: the training's, as the photographs themselves say
(`estimate`), 0.2. Sets are the most probable ones, log-likelihood in nats, unknown labels do not count. A share
multiplies the odds of the empty set and nothing else, so each row follows from the training's. Differences are paired
over images, averaged over seeds. Few images: the share estimated from so many, drawn 300 times, used for all.
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
    """Return whether each set is right, and the log-likelihood of the truth, for other odds of the empty set.

    Args:
        odds: log-odds of the empty set as the model has them.
        by: what is added to them.
    """
    best = said[f"{part}/log_probs"] + np.logaddexp(0, odds)  # of the sets, given that something is shown
    # Where the empty set is the most probable one already, the next is unknown: it stays.
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


def show(title: str, rows: dict[str, tuple], truth: np.ndarray, *, against: str) -> None:
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


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def share_by(evidence: np.ndarray) -> float:
    """Return the share to which posteriors add up, as `Nothing.share_in`."""
    share = 0.5
    for _ in range(200):
        share = (sigmoid(evidence + np.log(share / (1 - share))).sum() + 1) / (len(evidence) + 2)
    return float(share)


def calibration(empty: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """Return (a, b) of a logistic regression of evidence, in which both kinds of images weigh the same."""
    x = np.stack((np.concatenate((empty, others)), np.ones(len(empty) + len(others))), axis=1)
    y = np.repeat((1.0, 0.0), (len(empty), len(others)))
    weights = np.repeat((0.5 / len(empty), 0.5 / len(others)), (len(empty), len(others)))
    found = np.array((0.1, 0.0))
    for _ in range(100):
        p = sigmoid(x @ found)
        hessian = (x.T * (weights * p * (1 - p))) @ x
        found = found + np.linalg.solve(hessian, x.T @ (weights * (y - p)))
    return float(found[0]), float(found[1])


def calibrated(
    inner: list[tuple[dict, np.ndarray, np.ndarray]], whole: dict, tests: dict, targets: np.ndarray
) -> None:
    """Print what calibrated evidence does to the share and to sets, on inner data and on both test sets.

    Args:
        inner: of all labels, and without those of each fold: what was said, the truth, the targets of the training.
        whole: what the model of all photographs said.
        tests: truth by part of `whole`.
        targets: of its training.
    """

    def evidence(said: dict, part: str, trained_on: np.ndarray) -> np.ndarray:
        odds, nothing = odds_of_nothing(said[f"{part}/z"], trained_on)
        return odds - nothing.share

    def outcome(
        said: dict, part: str, truth: np.ndarray, trained_on: np.ndarray, a: float, b: float
    ) -> tuple[float, float]:
        x, odds = evidence(said, part, trained_on), odds_of_nothing(said[f"{part}/z"], trained_on)[0]
        share = share_by(a * x + b)
        right, _ = shifted(said, part, truth, odds, a * x + b + np.log(share / (1 - share)) - odds)
        return share, 100 * right.mean()

    said, _, trained_on = inner[0]
    held, patches = (evidence(said, part, trained_on) for part in ("held", "patches"))
    ways = {"as it is": (1.0, 0.0), "by patches": calibration(patches, held)}
    kinds: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for one, truth, told in inner[1:]:
        shown, unknown = (truth == 1).any(axis=1), (truth < 0).any(axis=1)
        for empty, which in ((True, ~shown & ~unknown), (False, shown)):
            kinds[empty].append(evidence(one, "held", told)[which])
    ways["by left-out labels"] = calibration(np.concatenate(kinds[True]), np.concatenate(kinds[False]))
    true = [float((~(truth == 1).any(axis=1)).mean()) for _, truth, _ in inner[1:]]
    print(f"\n{len(patches)} patches; held quarter, left-out labels: true shares {np.round(true, 2)}")
    for name, (a, b) in ways.items():
        each = [outcome(one, "held", truth, told, a, b) for one, truth, told in inner[1:]]
        shares, right = zip(*each, strict=True)
        cells = [f"{part} {share:.3f} {sets:.1f}" for part, (share, sets) in (
            (part, outcome(whole, part, truth, targets, a, b)) for part, truth in tests.items()
        )]  # fmt: skip
        print(
            f"{name:20} {a:.2f} x {b:+.2f}: shares {np.round(shares, 2)}, sets {np.mean(right):.1f}; "
            + "; ".join(cells)
        )
    wrong, found = float((held > 0).mean()), float((patches > 0).mean())
    for part in tests:
        x = evidence(whole, part, targets)
        share = ((x > 0).mean() - wrong) / (found - wrong)
        print(
            f"share of {part} by confusion (x > 0: {wrong:.2f} of the quarter, {found:.2f} of patches): {share:.2f}"
        )


def few_images(
    said: dict, part: str, truth: np.ndarray, trained_on: np.ndarray, random: np.random.Generator
) -> None:
    """Print the share, and what it does to all images, where it is estimated from few of them, drawn often."""
    z = said[f"{part}/z"]
    odds, nothing = odds_of_nothing(z, trained_on)
    for size in SIZES:
        if size > len(z):
            continue
        shares = [nothing.share_in(z[random.choice(len(z), size, replace=False)]) for _ in range(DRAWS)]
        outcomes = [shifted(said, part, truth, odds, shift_to(share, nothing)) for share in shares]
        right, nats = ([np.mean(one[k]) for one in outcomes] for k in (0, 1))
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
    parser.add_argument("--against", default="training's share", help="the row that others are compared with")
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
            show(
                f"{asked.encoder}, {part}", rows_of(said, part, truth, targets), truth, against=asked.against
            )
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
            show(
                f"{asked.encoder}, without {', '.join(names[c] for c in without)}",
                of_fold,
                truth,
                against=asked.against,
            )
            for row, values in of_fold.items():
                rows.setdefault(row, []).append(values)
            truths.append((truth == 1).any(axis=1).astype(np.int8)[:, None])
        joined = {
            row: (*(np.concatenate([np.array(one[k]) for one in each], axis=1) for k in (0, 1)), [])
            for row, each in rows.items()
        }
        show(f"{asked.encoder}, all folds over labels", joined, np.concatenate(truths), against=asked.against)
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
            inner = []
            for fold, without in enumerate((columns[:0], *left_out)):
                known = np.setdiff1d(columns, without)
                fitted = three[(targets[three][:, known] == 1).any(axis=1)]
                nothing = np.zeros((len(patches), len(known)), dtype=np.int8)
                judged = {
                    "held": (views[quarter, 0], np.ascontiguousarray(targets[quarter][:, known])),
                    "patches": (patch_features, nothing),
                }
                said = kept(HEADS[0], f"inner{fold}", seed, fitted, judged, known)
                inner.append((said, judged["held"][1], targets[fitted][:, known]))
            tests = {"home": (home_features, home.targets), "away": (away, away_truth)}
            whole = kept(HEADS[0], "whole", seed, every, tests, columns)
            calibrated(inner, whole, {part: truth for part, (_, truth) in tests.items()}, targets)


if __name__ == "__main__":
    main()
