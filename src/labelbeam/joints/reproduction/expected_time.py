"""The dry run: commands, configurations, images and expected time, without writing anything.

Works where the photographs are not there: then their number is the official one, and that is said.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from labelbeam.errors import InputError
from labelbeam.joints.config import RunConfig
from labelbeam.joints.reproduction.paper_checks import misfits
from labelbeam.joints.reproduction.paper_tables import PAPER_TABLES
from labelbeam.joints.reproduction.plan import CHOSEN_BY, Request, open_split, tries
from labelbeam.joints.reproduction.rates import MACHINES, ON_TWO_CORES, Machine
from labelbeam.joints.reproduction.rows import ROWS
from labelbeam.metrics.ranking import exact_k_ceiling

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
