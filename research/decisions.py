"""Decision rules by measure, calibration before and after, and "nothing fits" on foreign pictures.

    python research/decisions.py --out runs/decisions                 both data sets
    python research/decisions.py --out runs/decisions --only voc      765 photographs of the VOC part
    python research/decisions.py --out runs/decisions --only scenes   the drawn pictures, 2,000 of them for the test

VOC part: five stratified folds over `sub_trainval`, features of MobileNetV2 at 288 px. In each fold a model with
the default recipe is trained on three quarters of the training part; maps of scores and thresholds are fitted
on the last quarter; the held-out fold is judged. Predictions are pooled over folds, `sub_test` is never touched.
Scenes: the heads of `labelbeam demo`, calibrated on `val`, judged on the demo's test pictures.
Differences are paired over images, with percentile bootstrap intervals. Models are kept in OUT.
"""

import argparse
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from abstention import Measured, candidates, made_pictures, measure, scaled
from voc_cross_validation import train

from labelbeam.data.dataset import Dataset
from labelbeam.data.stratified import folds, split
from labelbeam.demo import encoder_config, head_config
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.features.extract import extract
from labelbeam.files import cache_folder, written_whole
from labelbeam.formats.registry import open_dataset
from labelbeam.heads.arrays_torch import trained
from labelbeam.labels.vocabulary import order_labels
from labelbeam.metrics.calibration import calibration_report
from labelbeam.metrics.comparison import Protocol, compare
from labelbeam.metrics.evaluation import numbers
from labelbeam.predict.answers import Answers
from labelbeam.predict.calibration import RunCalibration, fit_run_calibration, log_loss
from labelbeam.predict.decision import RULES, Decision, expected_f1_sets
from labelbeam.predict.thresholds import OBJECTIVES, example_f1, tune_thresholds
from labelbeam.runs.build import Head, build_answerer, build_head
from labelbeam.runs.config import RunConfig, configure
from labelbeam.runs.run_directory import load_run, versions
from labelbeam.scenes.files import read_scenes
from labelbeam.training.train import train_run

HEADS = ("cnn-rnn", "sigmoid-mlp")
SHOWN = ("subset_accuracy", "example_F1", "OF1", "CF1", "Hamming")
LEFT_OUT = 4  # groups of labels, each left out of one training

ALIKE = {  # COCO's names of VOC's labels
    "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table", "dog",
    "horse", "motorcycle", "person", "potted plant", "sheep", "couch", "train", "tv",
}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """Held-out images of one fold: sets by rule, scores before and after calibration, truth."""

    sets: dict[str, np.ndarray]
    raw: np.ndarray
    calibrated: np.ndarray
    method: str
    truth: np.ndarray


def judge(answers: Answers, calibration: RunCalibration, truth: np.ndarray, freely: np.ndarray) -> Judged:
    """Decide held-out images by every rule; `freely`: thresholds for whole sets, not drawn to one for all."""
    mapped = calibration.scores.apply(answers)
    decisions = [Decision("path"), Decision("threshold"), Decision("expected-f1")]
    decisions += [Decision("threshold", tuned_for=objective) for objective in OBJECTIVES]
    assert {one.rule for one in decisions} == set(RULES)
    sets = {one.name: one.decide(mapped, calibration.thresholds) for one in decisions}
    sets["tuned for subset-accuracy, freely"] = mapped.scores >= freely
    if answers.sample_sets is not None:  # what knowing the sets adds to knowing the labels
        sets["expected-f1 as if independent"] = expected_f1_sets(replace(mapped, sample_sets=None))
    return Judged(sets, answers.scores, mapped.scores, calibration.scores.method, truth)


def calibrated(
    head: Head,
    answer: Callable[[np.ndarray], Answers],
    learned: np.ndarray,
    val: np.ndarray,
    truth: np.ndarray,
) -> RunCalibration:
    """Calibrate as a training does when it ends."""
    return fit_run_calibration(
        answer(val),
        truth,
        score="marginal",
        features=scaled(head, val),
        training_features=scaled(head, learned),
    )


def freely_tuned(answers: Answers, calibration: RunCalibration, truth: np.ndarray) -> np.ndarray:
    """Return thresholds for whole sets as `tune_thresholds` finds them."""
    return tune_thresholds(calibration.scores.apply(answers).scores, truth)


def rule_table(judged: list[Judged], resamples: int) -> dict[str, dict]:
    """Return each rule's measures, and their differences from the path with 95 % intervals."""
    truth = np.concatenate([one.truth for one in judged])
    names = [str(j) for j in range(truth.shape[1])]
    random = np.random.default_rng(0)
    weights = random.multinomial(len(truth), np.full(len(truth), 1 / len(truth)), size=resamples)
    weights = np.concatenate((np.ones((1, len(truth)), dtype=np.int64), weights))
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for rule in judged[0].sets:
        sets = np.concatenate([one.sets[rule] for one in judged])
        values = numbers(compare(truth, names, protocol=Protocol("sets"), decisions=sets), weights)
        values["example_F1"] = weights @ example_f1(sets, truth) / len(truth)
        wrong, known = ((sets != (truth == 1)) & (truth != -1)).sum(axis=1), (truth != -1).sum(axis=1)
        values["Hamming"] = (weights @ wrong) / (weights @ known)
        drawn[rule] = {name: values[name] for name in SHOWN}
    return {
        rule: {
            name: {
                "value": float(values[name][0]),
                "minus_path": float(values[name][0] - drawn["path"][name][0]),
                "low": float(np.quantile((values[name] - drawn["path"][name])[1:], 0.025)),
                "high": float(np.quantile((values[name] - drawn["path"][name])[1:], 0.975)),
            }
            for name in SHOWN
        }
        for rule, values in drawn.items()
    }


def calibration_table(judged: list[Judged], names: tuple[str, ...]) -> dict[str, object]:
    """Return calibration errors and log-loss before and after."""
    truth = np.concatenate([one.truth for one in judged])
    result: dict[str, object] = {"methods": [one.method for one in judged]}
    for when in ("raw", "calibrated"):
        scores = np.concatenate([getattr(one, when) for one in judged]).astype(np.float64)
        report = calibration_report(truth, scores, names)
        random = np.random.default_rng(0)
        # Truths drawn from the scores themselves: what perfect scores would show on so few images.
        perfect = [
            calibration_report(
                np.where(truth == -1, -1, random.random(scores.shape) < scores).astype(np.int8), scores, names
            )
            for _ in range(20)
        ]
        result[when] = {
            "ece": report.pooled.ece,
            "mean_label_ece": report.mean_label_ece,
            "ece_of_perfect": float(np.mean([one.pooled.ece for one in perfect])),
            "mean_label_ece_of_perfect": float(np.mean([one.mean_label_ece for one in perfect])),
            "log_loss": float(log_loss(scores, truth).mean()),
            "reliability": report.pooled.to_json(),
        }
    return result


def show(title: str, rules: dict[str, dict], calibration: dict) -> None:
    """Print both tables."""
    print(f"\n{title}: percent [difference from the path, 95 % interval]")
    print(f"{'':34}" + "".join(f"{name:>24}" for name in SHOWN))
    for rule, values in rules.items():
        cells = []
        for name in SHOWN:
            one = {key: 100 * number for key, number in values[name].items()}
            apart = "" if rule == "path" else f" [{one['low']:+.1f}, {one['high']:+.1f}]"
            cells.append(f"{one['value']:.{2 if name == 'Hamming' else 1}f}{apart}")
        print(f"{rule:34}" + "".join(f"{cell:>24}" for cell in cells))
    print(f"calibration ({', '.join(calibration['methods'])})")
    for when in ("raw", "calibrated"):
        one = calibration[when]
        print(
            f"  {when:12} ECE {100 * one['ece']:.2f} % (of perfect scores {100 * one['ece_of_perfect']:.2f}), "
            f"mean of labels {100 * one['mean_label_ece']:.2f} % ({100 * one['mean_label_ece_of_perfect']:.2f}), "
            f"log-loss {one['log_loss']:.3f} nats per image"
        )


def show_abstention(title: str, table: dict[str, dict[str, list[Measured]]]) -> None:
    """Print means over folds: AUROC and share refused at 5 %."""
    kinds = list(next(iter(table.values())))
    print(f"\n{title}: AUROC / share refused where 5 % of validation-like images are, percent")
    print(f"{'':28}" + "".join(f"{kind:>16}" for kind in kinds) + f"{'own pictures':>16}")
    for name, by_kind in table.items():
        cells = [
            f"{100 * np.mean([one.auroc for one in found]):.1f} / {100 * np.mean([one.refused for one in found]):.0f}"
            for found in by_kind.values()
        ]
        own = np.mean([one.refused_own for found in by_kind.values() for one in found])
        print(f"{name:28}" + "".join(f"{cell:>16}" for cell in cells) + f"{100 * own:>16.1f}")


def head_of(config: RunConfig, features: np.ndarray, targets: np.ndarray, start: Path) -> Head:
    """Return a trained head: kept in a file (whose name tells its options), or trained now."""
    plain = {"learning_rate": config.recipe.learning_rate, "weight_decay": config.recipe.weight_decay}
    plain |= {"epochs": config.recipe.epochs, "batch_size": config.recipe.batch_size}
    family = "sigmoid" if config.head == "sigmoid-mlp" else "cnn-rnn"
    options = asdict(config.sigmoid if family == "sigmoid" else config.label_model)
    told = json.dumps(plain | options, sort_keys=True).encode()
    path = start.with_name(f"{start.name}-{hashlib.sha256(told).hexdigest()[:8]}.pt")
    if path.exists():
        head = build_head(config, num_labels=targets.shape[1], feature_size=features.shape[2])
        head.load_state_dict(torch.load(path, weights_only=True))
        return trained(head)
    head = train(family, plain | options, features, targets, seed=0)
    with written_whole(path) as part:
        torch.save(head.state_dict(), part)
    return trained(head)


def coco_strangers(root: Path) -> list[Path]:
    """Return the COCO photographs that show none of VOC's labels."""
    found = []
    for part in ("train2017", "val2017"):
        listed = json.loads((root / "coco/annotations" / f"instances_{part}.json").read_text())
        names = {one["id"]: one["name"] for one in listed["categories"]}
        shown: dict[int, set[str]] = defaultdict(set)
        for one in listed["annotations"]:
            shown[one["image_id"]].add(names[one["category_id"]])
        found += [
            root / "coco" / part / one["file_name"]
            for one in listed["images"]
            if not shown[one["id"]] & ALIKE
        ]
    return found


def encoded(paths: list[Path], encoder: ImageEncoder) -> np.ndarray:
    """Return the features of pictures, through the cache."""
    return extract(paths, encoder, cache=cache_folder() / "features").values


def voc(root: Path, out: Path, resamples: int) -> dict[str, object]:
    """Measure on the VOC part."""
    data = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    data = data.with_vocabulary(data.vocabulary.names_of(order_labels(data.targets).tolist()))
    encoder = build_encoder(
        EncoderConfig("", root / "weights" / "mobilenetv2_100.tf_in1k.safetensors", size=288, resize="squash")
    )
    mirrored = replace(encoder, preprocess=replace(encoder.preprocess, horizontal_flip=True))
    features = np.stack([encoded(list(data.paths), one) for one in (encoder, mirrored)], axis=1)
    pictures = {"COCO, no VOC label": coco_strangers(root)}
    pictures["rocket, coffee"] = [root / "demo" / "rocket.jpg", root / "demo" / "coffee.png"]
    drawn = read_scenes("val")
    pictures |= {"scenes": [drawn.path(i) for i in range(100)]} | made_pictures(out / "pictures")
    foreign = {kind: encoded(paths, encoder) for kind, paths in pictures.items()}
    result: dict[str, object] = {}
    for name in HEADS:
        config = configure(head=name)
        judged, tables = [], []
        for number, (fitted, held_out) in enumerate(folds(data.targets, 5, seed=0)):
            learned, val = (fitted[part] for part in split(data.targets[fitted], (0.75, 0.25), seed=0))
            head = head_of(config, features[learned], data.targets[learned], out / f"voc-{name}-{number}")
            answer = build_answerer(head, config).answer
            calibration = calibrated(head, answer, features[learned, 0], features[val, 0], data.targets[val])
            freely = freely_tuned(answer(features[val, 0]), calibration, data.targets[val])
            judged.append(judge(answer(features[held_out, 0]), calibration, data.targets[held_out], freely))
            tables.append(
                measure(
                    candidates(scaled(head, features[learned, 0])),
                    answer,
                    head=head,
                    validation=features[val, 0],
                    test=features[held_out, 0],
                    foreign=foreign,
                )
            )
        left_out = [
            leave_labels_out(config, data, features, group, out / f"voc-{name}-without-{group}")
            for group in range(LEFT_OUT)
        ]
        result[name] = told(f"VOC part, {name}", judged, data.vocabulary.names, resamples)
        abstention = {
            key: {"labels left out": [t[key]["labels left out"] for t in left_out]} for key in tables[0]
        }
        for key, by_kind in abstention.items():
            by_kind |= {kind: [t[key][kind] for t in tables] for kind in foreign}
        show_abstention(f"VOC part, {name}", abstention)
        result[name] |= {"abstention": plain_abstention(abstention)}  # type: ignore[operator]
    return result


def leave_labels_out(
    config: RunConfig, data: Dataset, features: np.ndarray, group: int, start: Path
) -> dict[str, dict[str, Measured]]:
    """Train without some labels; images that have only those are foreign.

    The most frequent label (person) is never left out: too few images would remain.
    """
    shuffled = 1 + np.random.default_rng(0).permutation(data.targets.shape[1] - 1)
    without = shuffled[group::LEFT_OUT]
    has = (data.targets[:, without] == 1).any(axis=1)
    kept = np.setdiff1d(np.arange(data.targets.shape[1]), without)
    only = np.flatnonzero(has & ~(data.targets[:, kept] == 1).any(axis=1))
    own = np.flatnonzero(~has)
    targets = data.targets[:, kept]
    learned, val, test = (own[part] for part in split(targets[own], (0.5, 0.25, 0.25), seed=0))
    head = head_of(config, features[learned], targets[learned], start)
    return measure(
        candidates(scaled(head, features[learned, 0])),
        build_answerer(head, config).answer,
        head=head,
        validation=features[val, 0],
        test=features[test, 0],
        foreign={"labels left out": features[only, 0]},
    )


def scenes(root: Path, out: Path, runs: Path, resamples: int) -> dict[str, object]:
    """Measure on the drawn pictures with the demo's heads."""
    configs = {"encoder": encoder_config()} | {name: head_config(name, runs / "encoder") for name in HEADS}
    for name, config in configs.items():
        if not (runs / name / "labels.json").exists():
            train_run(config, runs / name, command="research/decisions.py", report=print)
    photographs = open_dataset(f"voc2007:{root / 'VOCdevkit'}#sub_trainval")
    pictures = {"photographs": [photographs.path(i) for i in range(200)]} | made_pictures(out / "pictures")
    result: dict[str, object] = {}
    for name in HEADS:
        run = load_run(runs / name)
        answer = build_answerer(run.head, run.config).answer
        parts = {
            "train": read_scenes("train"), "val": read_scenes("val"), "test": read_scenes("test", seed=1)
        }  # fmt: skip
        parts = {key: part.with_vocabulary(run.vocabulary.names) for key, part in parts.items()}
        x = {key: encoded(list(part.paths), run.encoder) for key, part in parts.items()}
        calibration = calibrated(run.head, answer, x["train"], x["val"], parts["val"].targets)
        freely = freely_tuned(answer(x["val"]), calibration, parts["val"].targets)
        judged = [judge(answer(x["test"]), calibration, parts["test"].targets, freely)]
        result[name] = told(f"scenes, {name}", judged, run.vocabulary.names, resamples)
        table = measure(
            candidates(scaled(run.head, x["train"][:2000])),
            answer,
            head=run.head,
            validation=x["val"],
            test=x["test"],
            foreign={kind: encoded(paths, run.encoder) for kind, paths in pictures.items()},
        )
        abstention = {key: {kind: [one] for kind, one in by_kind.items()} for key, by_kind in table.items()}
        show_abstention(f"scenes, {name}", abstention)
        result[name] |= {"abstention": plain_abstention(abstention)}  # type: ignore[operator]
    return result


def told(title: str, judged: list[Judged], names: tuple[str, ...], resamples: int) -> dict[str, object]:
    """Return and print rules and calibration."""
    rules, calibration = rule_table(judged, resamples), calibration_table(judged, names)
    show(title, rules, calibration)
    return {"rules": rules, "calibration": calibration}


def plain_abstention(table: dict[str, dict[str, list[Measured]]]) -> dict[str, object]:
    """Return means over folds."""
    return {
        name: {
            kind: {
                key: float(np.mean([getattr(one, key) for one in found])) for key in Measured.__annotations__
            }
            for kind, found in by_kind.items()
        }
        for name, by_kind in table.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("LABELBEAM_DATA", here.parent / "shared" / "data"))
    parser.add_argument("--out", type=Path, default=Path("runs/decisions"))
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/demo"), help="of labelbeam demo; else trained"
    )
    parser.add_argument("--only", choices=("voc", "scenes"))
    parser.add_argument("--resamples", type=int, default=2000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    if arguments.only != "scenes":
        write(arguments.out / "voc.json", voc(root, arguments.out, arguments.resamples))
    if arguments.only != "voc":
        write(arguments.out / "scenes.json", scenes(root, arguments.out, arguments.runs, arguments.resamples))


def write(path: Path, result: dict[str, object]) -> None:
    with written_whole(path) as part:
        part.write_text(json.dumps(result | {"versions": versions()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
