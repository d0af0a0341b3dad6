"""Every rival on the same features: one training each on the VOC part, judged on an inner split.

    python benchmarks/rivals.py --out runs/rivals

A quarter of `sub_trainval` is held out (stratified, seed 0), and every run is trained on the rest with the default
recipe of its head and judged there; early stopping looks at the same images, alike for all. One seed and 190 images:
this is a check that every rival learns, and of its cost, not a comparison (intervals: `labelbeam evaluate`).
`sub_test` is not touched. Finished runs are kept in OUT and not trained again. The ensemble is of the runs
`random-SEED`.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch

from labelbeam.answers.ensemble import EnsembleAnswerer
from labelbeam.data.whole_file import written_whole
from labelbeam.joints.config import configure
from labelbeam.joints.ensemble import load_ensemble
from labelbeam.joints.evaluation import evaluate_features
from labelbeam.joints.features import readable_features
from labelbeam.joints.run_directory import versions
from labelbeam.joints.training import train_run
from labelbeam.joints.training_data import training_data
from labelbeam.metrics.evaluation import evaluate

NO_REPEAT = ["label_model.allowed=no-repeat"]
RUNS: dict[str, tuple[str, list[str]]] = {
    **{
        head: (head, [])
        for head in (
            *("softmax", "sigmoid", "sigmoid-mlp", "asymmetric", "warp", "knn", "chow-liu", "any-subset"),
            *("no-rnn", "cnn-rnn"),
        )
    },
    "rare": ("cnn-rnn", ["order=rare"]),
    "easiest": ("cnn-rnn", ["order=easiest"]),
    "no-repeat": ("cnn-rnn", NO_REPEAT),
    "shuffle": ("cnn-rnn", [*NO_REPEAT, "order=shuffle"]),
    **{
        loss: ("cnn-rnn", [*NO_REPEAT, f"label_model.loss={loss}"])
        for loss in ("mla", "pla", "remaining-set")
    },
    **{f"random-{seed}": ("cnn-rnn", ["order=random", f"order_seed={seed}"]) for seed in range(5)},
}
"""By name: head and settings."""

SHOWN = ("mAP_area", "subset_accuracy", "OF1", "log_likelihood")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("LABELBEAM_DATA", here.parent / "shared" / "data"))
    parser.add_argument("--out", type=Path, default=Path("runs/rivals"))
    parser.add_argument("--only", nargs="*", choices=RUNS, default=list(RUNS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, dict] = {}
    print(f"{'':16}{'epochs':>8}{'seconds':>9}" + "".join(f"{name:>17}" for name in SHOWN), flush=True)
    for name in arguments.only:
        rows[name] = row = trained(name, root, arguments.out / name)
        print(shown(name, row), flush=True)
    if orders := [arguments.out / name for name in arguments.only if name.startswith("random-")]:
        rows["ensemble"] = row = ensemble(orders)
        print(shown("ensemble", row), flush=True)
    with written_whole(arguments.out / "result.json") as part:
        part.write_text(json.dumps({"rows": rows, "versions": versions()}, indent=1) + "\n", encoding="utf-8")


def trained(name: str, root: Path, folder: Path) -> dict:
    """Train a run, unless it is there, and return its validation scores, epochs and seconds."""
    kept = folder / "rival.json"
    if not kept.exists():
        head, settings = RUNS[name]
        options = {
            "data": f"voc2007:{root / 'VOCdevkit'}#sub_trainval",
            "encoder": {"weights": root / "weights" / "mobilenetv2_100.tf_in1k.safetensors"},
            "validation_fraction": 0.25,
            "suggester": False,
        }
        started = time.monotonic()
        done = train_run(configure(head=head, settings=settings, options=options), folder, anew=True)
        row = {"epochs": done.best_epoch, "seconds": time.monotonic() - started}
        row |= {score: done.metrics.get(score) for score in SHOWN}
        kept.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return json.loads(kept.read_text(encoding="utf-8"))


def ensemble(folders: list[Path]) -> dict:
    """Judge the mixture of some runs on the images that all of them held out."""
    tagger = load_ensemble(folders)
    assert isinstance(tagger.answerer, EnsembleAnswerer)
    _, held_out = training_data(tagger.run.config)
    held_out, features, _ = readable_features(held_out, tagger.run.encoder, flips=False)
    measured = evaluate_features(tagger, held_out, features[:, 0])
    scores = evaluate(measured.comparison(tagger.run.config.decision))
    return {score: scores.values.get(score) for score in SHOWN}


def shown(name: str, row: dict) -> str:
    """One line: percent with one decimal, nats with three."""
    cells = [f"{row[key]:.0f}" if key in row else "" for key in ("epochs", "seconds")]
    values = []
    for score in SHOWN:
        value = row.get(score)
        nats = score == "log_likelihood"
        values.append("none" if value is None else f"{value:.3f}" if nats else f"{100 * value:.1f}")
    return f"{name:16}{cells[0]:>8}{cells[1]:>9}" + "".join(f"{value:>17}" for value in values)


if __name__ == "__main__":
    main()
