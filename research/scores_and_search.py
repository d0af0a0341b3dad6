"""How a trained label model is searched, and which number per label it reports: what each choice is worth.

    python research/scores_and_search.py --out runs/scores-and-search                both data sets
    python research/scores_and_search.py --out runs/scores-and-search --only voc     765 photographs of the VOC part
    python research/scores_and_search.py --out runs/scores-and-search --only scenes  the drawn pictures

The same trained models are asked in every way. VOC part: five stratified folds over `sub_trainval`, MobileNetV2 at
288 px, trained on four folds, judged on the fifth, pooled; `sub_test` is never touched. Scenes: features of the demo's
encoder, trained on `train`, judged on the demo's 2,000 test pictures. One plain configuration for each data set, not
tuned, three seeds. Nothing is fitted after training: scores are as the search gives them.

    search   beam widths, END competing or not, length normalisation: which set is decided
    score    marginal, beam share (widths, stop rules), max over steps, first step: mAP, MAP@10, calibration
    mask     which outcomes the softmax runs over, in training and in decoding: repeats allowed or not

Differences are from the default (exact search, marginals, `canonical`), on the same images, averaged over seeds, with a
paired bootstrap over images. Work is kept item by item in OUT: a killed run goes on.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from studies import Study, kept, scenes, taught, voc

from labelbeam.decoding.search import Search
from labelbeam.files import written_whole
from labelbeam.heads.arrays_torch import trained
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.metrics.calibration import BINS
from labelbeam.metrics.comparison import Protocol, compare
from labelbeam.metrics.evaluation import numbers
from labelbeam.predict.label_model import LabelModelAnswerer

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from measuring import machine

SEEDS = (0, 1, 2)
WIDTHS = (1, 2, 3, 5, 10, 20)
EXACT, MARGINAL, CANONICAL = "exact", "marginal", "canonical"

QUICK = {"score": "first-step"}  # the cheapest score, where only the path is asked for
SEARCHES: dict[str, Search] = {
    EXACT: Search(**QUICK),
    "greedy": Search(method="greedy", **QUICK),
    **{f"beam {n}": Search(method="beam", beam_width=n, **QUICK) for n in WIDTHS},
    **{
        f"beam {n}, END competes": Search(method="beam", beam_width=n, end="competes", **QUICK)
        for n in (2, 10)
    },
    **{
        f"beam 10, length penalty {a:g}": Search(
            method="beam", stop="worst", length_penalty=a, **QUICK
        )
        for a in (0.5, 1.0, 2.0)
    },
}  # fmt: skip
SCORES: dict[str, Search] = {
    MARGINAL: Search(),
    "first-step": Search(score="first-step"),
    "max-step": Search(score="max-step"),
    **{f"beam {n}": Search(method="beam", beam_width=n, score="beam") for n in WIDTHS},
    **{
        f"beam {n}, stop worst": Search(method="beam", beam_width=n, score="beam", stop="worst")
        for n in (10, 20)
    },
}
MASKS = {
    CANONICAL: (CANONICAL, CANONICAL),
    "no-repeat": ("no-repeat", "no-repeat"),
    "paper": ("paper", "paper"),
    "paper, then no-repeat": ("paper", "no-repeat"),
    "paper, then canonical": ("paper", CANONICAL),
}
"""By name: allowed in training and in decoding; exact search and marginals."""

OF_SETS = ("subset_accuracy", "OF1", "CF1", "mean_labels_predicted")
OF_SCORES = ("mAP_area", "MAP@10", "ECE")


def asked(model: CNNRNN, search: Search, features: np.ndarray, allowed: str = CANONICAL) -> dict:
    """Return sets, scores, log-probabilities of the paths and which of them say a label twice."""
    model.options = replace(model.options, allowed=allowed)
    answers = LabelModelAnswerer(trained(model), search).answer(features)
    repeats = np.array([len(set(path)) < len(path) for path in answers.paths])
    return {
        "sets": answers.path_sets(),
        "scores": answers.scores,
        "log_probs": answers.log_probs,
        "repeats": repeats,
    }


def all_ways(study: Study, rows: tuple[np.ndarray, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Train the models of a part and ask them in every way; keys are KIND/WAY/WHAT."""
    fitted, judged = rows
    features = study.features[judged, 0].astype(np.float32)
    models = {
        allowed: taught(study, fitted, allowed, seed) for allowed in {before for before, _ in MASKS.values()}
    }
    said: dict[str, np.ndarray] = {}
    for kind, ways in (("search", SEARCHES), ("score", SCORES)):
        for way, search in ways.items():
            for what, value in asked(models[CANONICAL], search, features).items():
                said[f"{kind}/{way}/{what}"] = value
    for way, (before, after) in MASKS.items():
        for what, value in asked(models[before], Search(), features, after).items():
            said[f"mask/{way}/{what}"] = value
    return said


def asked_of_parts(study: Study, seed: int, items: Path) -> dict[str, np.ndarray]:
    """Ask the models of every part, one seed; the parts' images one after the other."""
    parts = [
        kept(
            items / f"{study.name}-part{number}-seed{seed}.npz",
            lambda rows=rows: all_ways(study, rows, seed),
        )
        for number, rows in enumerate(study.parts)
    ]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def calibration_errors(scores: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the expected calibration error of all labels pooled, under each weighting of the images.

    That of `metrics.calibration.reliability`, the scores sorted once for all weightings.
    """
    known = truth != -1
    order = np.argsort(scores[known], kind="stable")
    ranked, present, image = (
        values[order] for values in (scores[known], truth[known] == 1, np.nonzero(known)[0])
    )
    first = np.searchsorted(ranked, ranked, side="left")
    errors = []
    for weight in weights:
        drawn = weight[image]
        bin_of = (np.cumsum(drawn) - drawn)[first] * BINS // drawn.sum()
        apart = np.bincount(bin_of, weights=drawn * (ranked - present))
        errors.append(np.abs(apart).sum() / drawn.sum())
    return np.array(errors)


def measured(study: Study, said: dict[str, np.ndarray], kind: str, way: str, weights: np.ndarray) -> dict:
    """Return a way's measures, [1 + resamples] each: of all images, then of every draw of them."""
    result = {}
    sets, scores = (said[f"{kind}/{way}/{what}"] for what in ("sets", "scores"))
    if kind != "score":
        found = numbers(compare(study.truth, study.names, protocol=Protocol("sets"), decisions=sets), weights)
        result |= {name: found[name] for name in OF_SETS}
        result["repeats"] = weights @ said[f"{kind}/{way}/repeats"] / len(study.truth)
    if kind == "search":
        # A path counts as missed where a more probable one was there to be found.
        missed = said[f"{kind}/{way}/log_probs"] < said["search/exact/log_probs"] - 1e-4
        result["missed"] = weights @ missed / len(study.truth)
    if kind != "search":
        scores = scores.astype(np.float64)
        compared = compare(study.truth, study.names, protocol=Protocol("none"), scores=scores)
        found = numbers(compared, weights)
        result |= {name: found[name] for name in ("mAP_area", "MAP@10")}
        result["ECE"] = calibration_errors(scores, study.truth, weights)
    return result


def drawn_images(images: int, resamples: int) -> np.ndarray:
    """Return how often each image counts, [1 + resamples images]: once, then drawn with replacement again and again."""
    random = np.random.default_rng(0)
    drawn = random.multinomial(images, np.full(images, 1 / images), size=resamples)
    return np.concatenate((np.ones((1, images), dtype=drawn.dtype), drawn))


def table(study: Study, said: list[dict[str, np.ndarray]], resamples: int) -> dict[str, dict]:
    """Return every way's measures, averaged over seeds, and their differences from the default."""
    weights, result = drawn_images(len(study.truth), resamples), {}
    for kind, ways, default in (
        ("search", SEARCHES, EXACT), ("score", SCORES, MARGINAL), ("mask", MASKS, CANONICAL)
    ):  # fmt: skip
        reference: dict[str, np.ndarray] = {}
        for way in ways:  # the default comes first
            by_seed = [measured(study, one, kind, way, weights) for one in said]
            mean = {name: np.mean([one[name] for one in by_seed], axis=0) for name in by_seed[0]}
            reference = mean if way == default else reference
            result[f"{kind}: {way}"] = {
                name: {
                    "value": float(values[0]),
                    "difference": float((values - reference[name])[0]),
                    "low": float(np.quantile((values - reference[name])[1:], 0.025)),
                    "high": float(np.quantile((values - reference[name])[1:], 0.975)),
                }
                for name, values in mean.items()
            }
    return result


def show(name: str, found: dict[str, dict]) -> None:
    """Print values and differences from the default with their intervals; percent, label counts apart."""
    print(f"\n{name}: percent [95 % interval of the difference from the first row of its kind]")
    head: tuple[str, ...] = ()
    for way, values in found.items():
        if tuple(values) != head:
            head = tuple(values)
            print(f"\n{'':34}" + "".join(f"{one:>23}" for one in head))
        cells = []
        for measure, one in values.items():
            scale = 1 if measure.startswith("mean_labels") else 100
            value, low, high = (scale * one[key] for key in ("value", "low", "high"))
            digits = 2 if scale == 1 or measure == "ECE" else 1
            apart = f" [{low:+.{digits}f}, {high:+.{digits}f}]" if low or high else ""
            cells.append(f"{value:.{digits}f}{apart}")
        print(f"{way:34}" + "".join(f"{cell:>23}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("LABELBEAM_DATA", here.parent / "shared" / "data"))
    parser.add_argument("--out", type=Path, default=Path("runs/scores-and-search"))
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/demo"), help="of labelbeam demo; its encoder, else trained"
    )
    parser.add_argument("--only", choices=("voc", "scenes"))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--resamples", type=int, default=500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    items = arguments.out / "items"
    items.mkdir(parents=True, exist_ok=True)
    for name in ("voc", "scenes"):
        if arguments.only not in (None, name):
            continue
        study = voc(root) if name == "voc" else scenes(arguments.runs)
        said = []
        for seed in arguments.seeds:
            said.append(asked_of_parts(study, seed, items))
            print(f"{name}: seed {seed} done", flush=True)
        found = table(study, said, arguments.resamples)
        show(name, found)
        result = {
            "images": len(study.truth),
            "seeds": arguments.seeds,
            "resamples": arguments.resamples,
            "ways": found,
        }
        with written_whole(arguments.out / f"{name}.json") as part:
            part.write_text(json.dumps(result | {"machine": machine()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
