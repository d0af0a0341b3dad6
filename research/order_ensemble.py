r"""Is a mixture of label orders worth more than a mixture of seeds? Runs of `labelbeam reproduce`, put together.

    labelbeam reproduce voc2007 --root $LABELBEAM_DATA --train-split sub_trainval --test-split sub_test --seeds 5 \
        --weights mobilenetv2_100.tf_in1k.safetensors --rows cnn-rnn,order-random --out runs/reproduce-orders
    python research/order_ensemble.py --runs runs/reproduce-orders

The row `order-random` has another order for each seed, the row `cnn-rnn` the same one. All runs of a row together are
one ensemble (`runs.tagger`), judged on the test images beside its members. Differences are paired over the same
draws of the images; the mean over members is drawn over members too, an ensemble is one.
"""

import argparse
import json
from pathlib import Path

import torch

from labelbeam.features.extract import readable_features
from labelbeam.files import written_whole
from labelbeam.formats.registry import open_dataset
from labelbeam.metrics.comparison import Comparison
from labelbeam.metrics.intervals import Resampled, resample
from labelbeam.predict.decision import Decision
from labelbeam.runs.evaluation import evaluate_features
from labelbeam.runs.run_directory import versions
from labelbeam.runs.tagger import load_ensemble

ROWS = ("cnn-rnn", "order-random")
SHOWN = ("mAP_area", "subset_accuracy", "OF1", "log_likelihood")


def judged(folders: list[Path], test: str) -> Comparison:
    """Answer for the test images with some runs as one, the most probable set decided."""
    tagger = load_ensemble(folders)
    dataset, features, _ = readable_features(open_dataset(test), tagger.run.encoder, flips=False)
    return evaluate_features(tagger, dataset, features[:, 0]).comparison(Decision())


def told(of: dict[str, Resampled], name: str, minus: str | None = None) -> dict[str, dict[str, float]]:
    """Return values, or differences from another one, with their intervals."""
    found = {}
    for number in SHOWN:
        ends = of[name].minus(of[minus], number) if minus else of[name].interval(number)
        value = ends.difference if minus else ends.value
        found[number] = {"value": value, "low": ends.low, "high": ends.high}
    return found


def shown(name: str, row: dict[str, dict[str, float]]) -> str:
    """One line: percent with one decimal, nats with three."""
    cells = []
    for number, one in row.items():
        times, digits = (1, 3) if number == "log_likelihood" else (100, 1)
        value, low, high = (f"{times * one[end]:.{digits}f}" for end in ("value", "low", "high"))
        cells.append(f"{value} ({low} to {high})")
    return f"{name:44}" + "".join(f"{cell:>26}" for cell in cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce-orders"))
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    values = json.loads((arguments.runs / "reproduction.json").read_text(encoding="utf-8"))
    test, of = values["data"]["test"], {}
    for place, row in enumerate(ROWS):
        folders = [Path(folder) for folder in values["rows"][row]["runs"]]
        alone = [judged([folder], test) for folder in folders]
        for name, comparisons in ((f"{row}, one run", alone), (f"{row}, ensemble", [judged(folders, test)])):
            of[name] = resample(comparisons, resamples=arguments.resamples, seed=0, of_seeds=place)
    pairs = [(f"{row}, ensemble", f"{row}, one run") for row in ROWS]
    pairs.append((f"{ROWS[1]}, ensemble", f"{ROWS[0]}, ensemble"))
    rows = {name: told(of, name) for name in of}
    rows |= {f"{name}, minus {other}": told(of, name, other) for name, other in pairs}
    print(f"{'':44}" + "".join(f"{name:>26}" for name in SHOWN))
    for name, row in rows.items():
        print(shown(name, row))
    with written_whole(arguments.runs / "order_ensemble.json") as part:
        part.write_text(json.dumps({"rows": rows, "versions": versions()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
