"""A label added to a trained run against training with it from the start, on the VOC part.

    python research/new_label.py --out runs/new-label

Five stratified folds over `sub_trainval` (765 photographs), features of MobileNetV2, default recipes without validation
images, one seed. For each of four labels a model of the other 19 is trained on the fold's training part; the label is
then added (`runs.extending`) from 25, 50 and 100 photographs of that part, half of which have the label (all that
have it where they are fewer), and from all of the part. Told, with the held-out photographs of all folds pooled: the
average precision of the label against that of a model trained with all 20 labels, with a paired bootstrap interval over
photographs; the mean score of the label beside its frequency; and for the other 19 how much their scores moved and what
their mAP was before and after. `sub_test` is never touched.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from voc_cross_validation import train
from worth import NUM_FOLDS, recipe, voc_part

from labelbeam.data.dataset import Dataset
from labelbeam.data.stratified import folds
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.files import written_whole
from labelbeam.heads.arrays_torch import trained
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN, order_labels
from labelbeam.metrics.ranking import average_precision, sort_label
from labelbeam.runs.build import build_answerer
from labelbeam.runs.config import configure
from labelbeam.runs.extending import extend_run
from labelbeam.runs.run_directory import Run

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from measuring import save

NEW = ("dog", "chair", "boat", "bottle")
SIZES = (25, 50, 100, None)  # None: the whole training part
HEADS = ("sigmoid", "cnn-rnn")
RESAMPLES = 2000


def run_of(head: str, data: Dataset, views: np.ndarray, encoder) -> Run:
    """Train a head on a data set's labels, the most frequent first."""
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    model = train(head, recipe(head), views, data.targets, seed=0)
    counts = tuple(int(n) for n in (data.targets == PRESENT).sum(axis=0))
    config = configure(head=head, options={"calibrate": False, "suggester": False})
    return Run(config, data.vocabulary, counts, encoder, trained(model))


def shown(column: np.ndarray, size: int | None, *, seed: int) -> np.ndarray:
    """Return the rows from which the label is learned."""
    if size is None:
        return np.arange(len(column))
    random = np.random.default_rng(seed)
    present, absent = (random.permutation(np.flatnonzero(column == value)) for value in (1, 0))
    present = present[: size // 2]
    return np.sort(np.concatenate((present, absent[: size - len(present)])))


def scores_of(run: Run, features: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return scores with a column for each name; NaN where the run does not have the label."""
    said = build_answerer(run.head, run.config).answer(features).scores
    columns = [run.vocabulary.names.index(name) if name in run.vocabulary.names else -1 for name in names]
    return np.column_stack((said, np.full(len(said), np.nan)))[:, columns]


def fold(
    head: str, data: Dataset, views: np.ndarray, learned: np.ndarray, held_out: np.ndarray, encoder
) -> dict:
    """Return held-out scores [images labels] of every model of one fold, and how many photographs had the label."""
    names = data.vocabulary.names
    test = views[held_out, 0].astype(np.float32)
    part, part_views = data.subset(learned), views[learned]
    found = {"all labels": scores_of(run_of(head, part, part_views, encoder), test, names)}
    present = {}
    for label in NEW:
        others = part.with_vocabulary([name for name in names if name != label])
        run = run_of(head, others, part_views, encoder)
        found[f"{label} without"] = scores_of(run, test, names)
        for size in SIZES:
            rows = shown(part.targets[:, names.index(label)], size, seed=0)
            extended = extend_run(run, part.subset(rows), [label])
            found[f"{label} {size or 'all'}"] = scores_of(extended.run, test, names)
            present[f"{label} {size or 'all'}"] = extended.added[0].present
    return found | {"present " + key: np.array(value) for key, value in present.items()}


def precision(targets: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the average precision of one label for each row of weights."""
    known = targets != UNKNOWN
    sorted_ = sort_label(targets[known], scores[known].astype(np.float64))
    return np.asarray(average_precision(sorted_, weights[:, known])["area"])


def told(data: Dataset, rows: np.ndarray, pooled: dict[str, np.ndarray]) -> list[dict]:
    """Return a line for each label and size."""
    names, targets = data.vocabulary.names, data.targets[rows]
    drawn = np.random.default_rng(0).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=RESAMPLES)
    once = np.ones((1, len(rows)), dtype=drawn.dtype)
    weights = np.concatenate((once, drawn))
    lines = []
    for label in NEW:
        j = names.index(label)
        others = [i for i in range(len(names)) if i != j]
        known = targets[:, j] != UNKNOWN
        full = precision(targets[:, j], pooled["all labels"][:, j], weights)
        before = pooled[f"{label} without"]
        was = np.mean([precision(targets[:, i], before[:, i], once)[0] for i in others])
        for size in SIZES:
            after = pooled[f"{label} {size or 'all'}"]
            apart = precision(targets[:, j], after[:, j], weights) - full
            lines.append(
                {
                    "label": label,
                    "from": size or "all",
                    "with it": float(pooled[f"present {label} {size or 'all'}"].mean()),
                    "AP": float(apart[0] + full[0]),
                    "AP trained with it": float(full[0]),
                    "difference": float(apart[0]),
                    "low": float(np.nanquantile(apart[1:], 0.025)),
                    "high": float(np.nanquantile(apart[1:], 0.975)),
                    "frequency": float((targets[known, j] == PRESENT).mean()),
                    "mean score": float(after[known, j].mean()),
                    "moved": float(np.abs(after - before)[:, others].mean()),
                    "others' mAP before": float(was),
                    "others' mAP after": float(
                        np.mean([precision(targets[:, i], after[:, i], once)[0] for i in others])
                    ),
                }
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/new-label"))
    parser.add_argument("--root", type=Path, default=Path("../shared/data"), help="folder of the photographs")
    parser.add_argument("--head", choices=HEADS, action="append", help="this one only")
    parser.add_argument(
        "--fold",
        type=int,
        action="append",
        choices=range(NUM_FOLDS),
        help="only do this one's part of the work",
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    data, views = voc_part(asked.root)
    encoder = build_encoder(EncoderConfig("", asked.root / "weights" / "mobilenetv2_100.tf_in1k.safetensors"))
    parts = folds(data.targets, NUM_FOLDS, seed=0)
    for head in asked.head or HEADS:
        files = {number: asked.out / f"{head}-fold{number}.npz" for number in range(NUM_FOLDS)}
        for number in asked.fold or files:
            if not files[number].exists():
                found = fold(head, data, views, *parts[number], encoder)
                with written_whole(files[number]) as part, part.open("wb") as stream:
                    np.savez(stream, **found)
                print(f"{head}, fold {number + 1} of {NUM_FOLDS}", flush=True)
        done = [number for number, file in files.items() if file.exists()]
        if asked.fold or not done:
            continue
        kept = []
        for number in done:
            with np.load(files[number]) as stored:
                kept.append(dict(stored))
        pooled = {key: np.concatenate([np.atleast_1d(one[key]) for one in kept]) for key in kept[0]}
        lines = told(data, np.concatenate([parts[number][1] for number in done]), pooled)
        save(asked.out / f"{head}.json", [], head=head, folds=len(done), lines=lines)
        print(f"\n{head}, {len(done)} of {NUM_FOLDS} folds\n" + "".join(f"{name:>20}" for name in lines[0]))
        for line in lines:
            print(
                "".join(
                    f"{value:>20.3f}" if isinstance(value, float) else f"{value:>20}"
                    for value in line.values()
                )
            )


if __name__ == "__main__":
    main()
