"""The dry run of a reproduction: commands, configurations, images and expected time, without writing anything."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelbeam.errors import InputError
from labelbeam.metrics.ranking import exact_k_ceiling
from labelbeam.paper.paper_tables import PAPER_TABLES, misfits
from labelbeam.paper.plan import CHOSEN_BY, Request, open_split, tries
from labelbeam.paper.rows import ROWS
from labelbeam.runs.config import RunConfig

# How fast things are, images a second: as measured on 2 cores, and as assumed for a GPU, where none was at
# hand.
#
# Every number says where it comes from; `expected_time` computes with them and repeats it.

MEASURED: Mapping[str, Mapping[str, tuple[float | None, float]]] = {
    "voc2007": {
        "cnn-rnn": (207.0, 43.5),
        "no-rnn": (465.0, 243.0),
        "sigmoid": (1700.0, 6340.0),
        "sigmoid-mlp": (1910.0, 3790.0),
        "any-subset": (794.0, 3550.0),
        "softmax": (6960.0, 77200.0),
        "warp": (7360.0, 15000.0),
        "asymmetric": (9670.0, 10500.0),
        "chow-liu": (574.0, 8030.0),
        "knn": (None, 551.0),
    },
    "coco2014": {
        "cnn-rnn": (381.0, 37.6),
        "no-rnn": (825.0, 61.7),
        "sigmoid": (2600.0, 12500.0),
        "sigmoid-mlp": (898.0, 2790.0),
        "any-subset": (1670.0, 3470.0),
        "softmax": (3170.0, 14800.0),
        "warp": (627.0, 6810.0),
        "asymmetric": (2790.0, 20800.0),
        "chow-liu": (1210.0, 1350.0),
        "knn": (None, 857.0),
    },
    "nuswide81": {
        "cnn-rnn": (412.0, 67.9),
        "no-rnn": (643.0, 89.6),
        "sigmoid": (1170.0, 4210.0),
        "sigmoid-mlp": (544.0, 1640.0),
        "any-subset": (885.0, 3290.0),
        "softmax": (825.0, 3730.0),
        "warp": (482.0, 5570.0),
        "asymmetric": (748.0, 5140.0),
        "chow-liu": (703.0, 774.0),
        "knn": (None, 415.0),
    },
    "nuswide1000": {
        "cnn-rnn": (64.0, 3.58),
        "no-rnn": (496.0, 6.04),
        "sigmoid": (1220.0, 2850.0),
        "sigmoid-mlp": (437.0, 2040.0),
        "any-subset": (875.0, 1730.0),
        "softmax": (875.0, 1590.0),
        "warp": (715.0, 2170.0),
        "asymmetric": (448.0, 2770.0),
        "chow-liu": (92.7, 148.0),
        "knn": (None, 438.0),
    },
}
"""By benchmark and row: training and answering rates. 4,096 features an image, real label sets (of the 1,000
tags: drawn ones), untrained heads, batches of 256: `python research/reproduction_rates.py`, on 2 cores that
other work shared (load average 2 to 6), so they are on the slow side; searches of an untrained head take longest. The
scenes have those of voc2007, whose features are sixteen times as many."""

LIKE_CNN_RNN: Mapping[str, tuple[float, float]] = {
    "order-rare": (0.88, 1.04),
    "order-random": (0.99, 1.05),
    "order-easiest": (0.99, 1.05),
    "no-repeat": (1.0, 0.21),
    "order-shuffle": (1.0, 0.24),
    "loss-mla": (0.28, 0.25),
    "loss-pla": (0.21, 0.24),
    "loss-remaining-set": (0.29, 0.20),
}
"""By row: training and answering rates as multiples of those of `cnn-rnn`, taken for every benchmark. Measured on the
label sets of coco2014, one thread, all rows in one run of the same script (`--only coco2014 --batches 4 --threads 1`)
on shared cores; `order-easiest` as `order-random`, without the time to find the order."""

ON_TWO_CORES: Mapping[str, Mapping[str, tuple[float | None, float]]] = {
    name: {
        **rates,
        **{
            row: (train * (rates["cnn-rnn"][0] or 0.0), answer * rates["cnn-rnn"][1])
            for row, (train, answer) in LIKE_CNN_RNN.items()
        },
    }
    for name, rates in {**MEASURED, "scenes": MEASURED["voc2007"]}.items()
}
"""By benchmark and row."""


@dataclass(frozen=True)
class Machine:
    """What a kind of machine does.

    Attributes:
        name: in a table.
        decode: images a second, from JPEG file to network input.
        encode: images a second by encoder, decoding left out; others are not known.
        training_factor: how many times as fast as 2 cores heads train.
        answering_factor: the same for answering.
        measured: whether the numbers were measured.
        told: where they come from.
    """

    name: str
    decode: float
    encode: Mapping[str, float]
    training_factor: float
    answering_factor: float
    measured: bool
    told: str


TWO_CORES = Machine(
    "2 cores",
    decode=2000.0,
    encode={"vgg16": 6.0, "mobilenetv2_100": 113.0, "tiny": 800.0},
    training_factor=1.0,
    answering_factor=1.0,
    measured=True,
    told=(
        "Measured on 2 cores without a GPU: VGG-16 in single precision, 6.0 images a second; MobileNetV2 with "
        "decoding, 107 (benchmarks/features.py); JPEG to 224 pixels, 1,000 a core; heads by "
        "research/reproduction_rates.py, those of other orders and losses by their ratio to cnn-rnn."
    ),
)

GPU_FLOPS, VGG16_FLOPS = 10e12, 31e9

ONE_GPU = Machine(
    "one GPU",
    decode=8000.0,
    encode={"vgg16": GPU_FLOPS / VGG16_FLOPS, "mobilenetv2_100": 2500.0, "tiny": 10_000.0},
    training_factor=5.0,
    answering_factor=4.0,
    measured=False,
    told=(
        "Not measured, since no GPU was at hand: a card that sustains 10 TFLOP/s (VGG-16: 31 GFLOP an image), 8 cores "
        "that decode 1,000 JPEGs a second each, heads that train 5 times as fast, searches on 4 times the cores."
    ),
)

MACHINES = (TWO_CORES, ONE_GPU)

# The dry run: commands, configurations, images and expected time, without writing anything.
#
# Works where the photographs are not there: then their number is the official one, and that is said.

TYPICAL_STOP = 1.0
"""Share of the epochs that are trained; early stopping makes it less, so times are upper bounds."""


def plan_of(request: Request) -> dict[str, Any]:
    """Return the whole plan as plain values.

    Args:
        request: what the user asked for.

    Raises:
        InputError: options that do not fit together; data that are there but cannot be read.
    """
    train, test = (_split_facts(request, part) for part in ("train", "test"))
    rows = {}
    for row in request.rows:
        runs = tries(request, row, training_images=train["images"])
        rows[row] = {
            "name": ROWS[row].title,
            "trainings": len(runs) + request.seeds - 1,
            "configurations": [run.settings for run in runs],
            "epochs": runs[0].config.recipe.epochs,
            "commands": [run.command(request.recipe) for run in runs],
        }
    config = tries(request, request.rows[0], training_images=train["images"])[0].config
    views = 2 if config.flips else 1
    return {
        "benchmark": request.benchmark.name,
        "title": request.benchmark.title,
        "train": train,
        "test": test,
        "encoder": encoder_name(config),
        "recipe": request.recipe,
        "seeds": request.seeds,
        "configurations": request.configurations,
        "chosen_by": CHOSEN_BY,
        "views_of_training_images": views,
        "rows": rows,
        "expected": [
            _expected(request, machine, encoder_name(config), rows, train["images"], test["images"], views)
            for machine in MACHINES
        ],
        "paper": _paper(request),
        "remarks": list(request.benchmark.remarks),
        "out": str(request.out),
    }


def encoder_name(config: RunConfig) -> str:
    """Return which encoder a configuration means; for a weights file that names no model, the file's name."""
    if config.encoder.name:
        return config.encoder.name
    name = config.encoder.weights.name if config.encoder.weights else ""
    return name.split(".", 1)[0] if name != "encoder.safetensors" else "tiny"


def _split_facts(request: Request, part: str) -> dict[str, Any]:
    """Return what is known of a split; the official count where its labels are not there."""
    spec = request.train_spec if part == "train" else request.test_spec
    official = request.benchmark.counts[part == "test"]
    if not request.benchmark.has_path:  # reading them would draw them
        return {"spec": spec, "images": official, "labels": request.benchmark.labels}
    try:
        dataset = open_split(request, spec, missing="keep")
    except InputError as error:
        asked = request.train_split if part == "train" else request.test_split
        if asked is not None:
            raise
        return {
            "spec": spec,
            "images": official,
            "labels": request.benchmark.labels,
            "note": f"not readable here, so the official count is taken ({error})",
        }
    there = sum(path.is_file() for path in dataset.paths)
    facts: dict[str, Any] = {"spec": spec, "images": len(dataset), "labels": len(dataset.vocabulary)}
    if there < len(dataset):
        facts["note"] = f"{len(dataset) - there:,} of {len(dataset):,} photographs are not there"
    if part == "test":
        facts["mean_labels"] = float((dataset.targets == 1).sum(axis=1).mean())
        if request.benchmark.k is not None:
            facts["exact_k_ceiling"] = exact_k_ceiling(np.asarray(dataset.targets), k=request.benchmark.k)
    return facts


def _expected(
    request: Request,
    machine: Machine,
    encoder: str,
    rows: Mapping[str, Any],
    train_images: int,
    test_images: int,
    views: int,
) -> dict[str, Any]:
    """Return expected hours of a machine, by part."""
    told: dict[str, Any] = {"machine": machine.name, "measured": machine.measured, "told": machine.told}
    rate = machine.encode.get(encoder)
    images = train_images * views + test_images
    if rate is None:
        told["features_hours"] = None
        told["unknown"] = (
            f"the speed of the encoder {encoder!r} was not measured; known: {', '.join(machine.encode)}"
        )
    else:
        told["features_hours"] = images * (1 / rate + 1 / machine.decode) / 3600
    rates = ON_TWO_CORES[request.benchmark.name]
    by_row = {}
    for row, plan in rows.items():
        train_rate, answer_rate = rates[row]
        seconds = 0.0
        if train_rate is not None:
            steps = plan["trainings"] * plan["epochs"] * TYPICAL_STOP * train_images
            seconds += steps / (train_rate * machine.training_factor)
        # The validation images are answered after each training, the test images once for each seed.
        answered = plan["trainings"] * 0.15 * train_images + request.seeds * test_images
        seconds += answered / (answer_rate * machine.answering_factor)
        by_row[row] = seconds / 3600
    told["rows_hours"] = by_row
    known = [told["features_hours"], *by_row.values()]
    told["hours"] = None if told["features_hours"] is None else math.fsum(known)
    return told


def _paper(request: Request) -> dict[str, Any] | None:
    table = PAPER_TABLES.get(request.benchmark.name)
    if table is None:
        return None
    return {
        "title": table.title,
        "rows": [
            {"method": row.method, "printed": dict(row.printed), "mark": row.mark, "marks": dict(row.marks)}
            for row in table.rows
        ],
        "misfits": [one.why for one in misfits(table)],
    }


def duration(hours: float | None) -> str:
    """Return a length of time as people say it.

    Example:
        >>> duration(0.01), duration(1.26), duration(75.0), duration(None)
        ('36 s', '1.3 h', '3.1 days', 'not known')
    """
    if hours is None:
        return "not known"
    if hours < 1 / 30:
        return f"{3600 * hours:.0f} s"
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def lines_of(plan: Mapping[str, Any]) -> list[str]:
    """Return the plan as lines of text."""
    lines = [f"{plan['title']}: a dry run; nothing is trained or written."]
    for part in ("train", "test"):
        facts = plan[part]
        more = f", {facts['mean_labels']:.2f} labels a picture" if "mean_labels" in facts else ""
        lines.append(
            f"{part:5} {facts['spec']}: {facts['images']:,} images, {facts['labels']:,} labels{more}"
        )
        if "note" in facts:
            lines.append(f"      {facts['note']}")
        if best := facts.get("exact_k_ceiling"):
            told = " / ".join("–" if value is None else f"{100 * value:.1f}" for value in best.values())
            lines.append(f"      ceiling of exactly k labels, O-P / O-R / O-F1: {told}")
    lines.append(
        f"encoder {plan['encoder']}, frozen; recipe {plan['recipe']}; {plan['configurations']} configuration(s) a row, "
        f"chosen by {plan['chosen_by']} on a validation part of the training split; {plan['seeds']} seed(s); "
        f"training images in {plan['views_of_training_images']} view(s)"
    )
    for told in plan["expected"]:
        lines += ["", f"expected on {told['machine']}: {duration(told['hours'])} in all, at most"]
        lines.append(
            f"  features {duration(told['features_hours'])}{': ' + told['unknown'] if 'unknown' in told else ''}"
        )
        slow = sorted(told["rows_hours"].items(), key=lambda item: -item[1])
        lines.append("  rows " + ", ".join(f"{row} {duration(hours)}" for row, hours in slow))
        lines.append(f"  {told['told']}")
    lines.append("")
    for told in plan["rows"].values():
        lines.append(f"{told['name']}: {told['trainings']} training(s) of at most {told['epochs']} epochs")
        for number, command in enumerate(told["commands"]):
            lines.append(f"  {number}: {command}")
    if plan["paper"]:
        lines += ["", f"The paper, {plan['paper']['title']} (percent):"]
        for row in plan["paper"]["rows"]:
            shown = list(row["printed"].items())
            shown = [item for item in shown if item[0] == "mAP"] or shown
            printed = ", ".join(f"{name} {value:.1f}" for name, value in shown)
            lines.append(f"  {row['method']} [{row['marks'].get('mAP', row['mark'])}]: {printed}")
        lines += [f"  does not follow: {why}" for why in plan["paper"]["misfits"]]
    lines += list(plan["remarks"])
    return lines
