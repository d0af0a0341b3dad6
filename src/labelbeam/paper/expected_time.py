"""The dry run of a reproduction: commands, configurations, images and expected time, without writing anything.

Expected times are rates measured on this machine, in a few seconds, times the images of the plan.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labelbeam.data.images import MemoryImage
from labelbeam.encoders.encoder import EncoderConfig
from labelbeam.errors import InputError
from labelbeam.heads.registry import HEADS
from labelbeam.labels.vocabulary import Targets, order_labels
from labelbeam.metrics.ranking import exact_k_ceiling
from labelbeam.paper.paper_tables import PAPER_TABLES, misfits
from labelbeam.paper.plan import CHOSEN_BY, Request, open_split, tries
from labelbeam.paper.rows import ROWS
from labelbeam.runs.build import build_answerer, build_head, start_head
from labelbeam.runs.config import RunConfig

# How fast this machine is: a few batches of every row at the benchmark's sizes, a few pictures of the encoder.

SECONDS = 0.3
"""At least so long is one thing measured; what is slower is measured once."""

IMAGES, DRAWN_FEATURES = 2048, 4096
"""Label sets that rates are measured on, at most; and numbers of an image where the encoder cannot be built."""

PHOTOGRAPH = (375, 500)
"""Height and width of the drawn JPEG files, pixels: the usual size in VOC."""


def encoder_rate(config: EncoderConfig) -> tuple[float, int]:
    """Measure images a second from JPEG file to features, and return their number of features too.

    Weights do not change the speed, so nothing is fetched: where no file is named, the network is untrained.

    Raises:
        InputError: an encoder that cannot be built here.
    """
    from labelbeam.encoders.catalogue import build_encoder
    from labelbeam.encoders.encoder import accelerators, place_on
    from labelbeam.features.extract import extract

    encoder = build_encoder(replace(config, pretrained=False))
    place = place_on(accelerators())
    together = 8 if place.device == "cpu" else 2 * place.batch_size
    random, pictures = np.random.default_rng(0), []
    for _ in range(together):
        coarse = random.integers(256, size=(12, 16, 3), dtype=np.uint8)
        file = BytesIO()
        Image.fromarray(coarse).resize(PHOTOGRAPH[::-1], Image.Resampling.BICUBIC).save(file, "JPEG")
        pictures.append(MemoryImage(Path("drawn.jpg"), file.getvalue()))

    def once(count: int) -> None:
        extract(pictures[:count], encoder, device=place.device, batch_size=place.batch_size)

    once(1)
    return _rate(once, most=together), encoder.num_features


def row_rates(
    config: RunConfig, targets: Targets, *, num_features: int, training_images: int
) -> tuple[float | None, float]:
    """Measure how many images a second a row trains on and answers, untrained, on random features.

    Random features teach nothing, so searches are about as unsure as at the start of a training, and slower than they
    will be. Finding the order `easiest` is not timed.

    Args:
        targets: label sets like those of the benchmark.
        training_images: of the whole plan; what compares with every one of them (kNN) takes as many times longer.

    Returns:
        Training images (None: the head does not learn) and answered images a second.
    """
    import torch

    from labelbeam.heads.arrays_torch import trained
    from labelbeam.runs.recipe import build_optimiser

    targets = targets[:, order_labels(targets, config.order, seed=0)]
    features = np.random.default_rng(1).standard_normal((len(targets), num_features), dtype=np.float32)
    model = build_head(config, num_labels=targets.shape[1], feature_size=num_features)
    start_head(model, targets)
    model.scaling.fit(features)
    inputs, truth = torch.from_numpy(features), torch.from_numpy(targets.copy())
    training = None
    if HEADS[config.head].learns:
        optimiser = build_optimiser(config.recipe, model)

        def step(count: int) -> None:
            model(inputs[:count], truth[:count]).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.recipe.clip_norm)
            optimiser.step()
            optimiser.zero_grad()

        step(16)
        size = min(config.recipe.batch_size, len(targets))
        training = _rate(step, most=size, least=size)
    else:
        model.remember(inputs, truth)  # type: ignore[operator]
    answerer = build_answerer(trained(model.eval()), config)
    rate = _rate(lambda count: answerer.answer(features[:count]), most=256, least=8 if training else 256)
    return training, rate if training else rate * len(targets) / max(training_images, len(targets))


def _rate(work: Callable[[int], object], *, most: int, least: int = 8) -> float:
    """Return items a second: calls with ever more of them, until they have taken `SECONDS` together."""
    count, done, spent = least, 0, 0.0
    while spent < SECONDS:
        start = time.perf_counter()
        work(count)
        done, spent = done + count, spent + time.perf_counter() - start
        count = min(2 * count, most)
    return done / spent


def _label_sets(request: Request) -> Targets:
    """Return label sets of the training images; drawn ones, as long and as unequally frequent, where they are not."""
    targets = None
    if request.benchmark.has_path:  # reading the scenes would draw their pictures
        with suppress(InputError):
            targets = np.asarray(open_split(request, request.train_spec, missing="keep").targets)
    if targets is None:
        shares = 1 / np.arange(1, request.benchmark.labels + 1) ** 0.8
        shares = np.minimum(request.benchmark.mean_labels * shares / shares.sum(), 0.9)
        targets = np.random.default_rng(0).random((IMAGES, len(shares))) < shares
    return targets[(targets == 1).any(axis=1)][:IMAGES].astype(np.int8)


# Works where the photographs are not there: then their number is the official one, with a note.


def plan_of(request: Request) -> dict[str, Any]:
    """Return the whole plan as plain values.

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
        "expected": _expected(request, rows, train["images"], test["images"], views),
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
    request: Request, rows: Mapping[str, Any], train_images: int, test_images: int, views: int
) -> dict[str, Any]:
    """Measure this machine and return expected hours, by part; upper bounds, since trainings stop early."""
    started = time.perf_counter()
    expected: dict[str, Any] = {"features_hours": None}
    configs = {row: tries(request, row, training_images=train_images)[0].config for row in rows}
    encoder = EncoderConfig("tiny") if request.trains_encoder else next(iter(configs.values())).encoder
    num_features = DRAWN_FEATURES
    try:
        rate, num_features = encoder_rate(encoder)
        expected["encoder_rate"] = rate
        expected["features_hours"] = (train_images * views + test_images) / rate / 3600
    except InputError as error:
        expected["unknown"] = f"the encoder cannot be built here ({error})"
    targets = _label_sets(request)
    expected["rates"], expected["rows_hours"] = {}, {}
    for row, plan in rows.items():
        training, answering = row_rates(
            configs[row], targets, num_features=num_features, training_images=train_images
        )
        # The validation images are answered after each training, the test images once for each seed.
        answered = plan["trainings"] * 0.15 * train_images + request.seeds * test_images
        trained = plan["trainings"] * plan["epochs"] * train_images
        seconds = answered / answering + (trained / training if training else 0.0)
        expected["rates"][row] = {"train": training, "answer": answering}
        expected["rows_hours"][row] = seconds / 3600
    expected["hours"] = None
    if expected["features_hours"] is not None:
        expected["hours"] = expected["features_hours"] + sum(expected["rows_hours"].values())
    expected["measured_seconds"] = time.perf_counter() - started
    return expected


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
            ceiling = " / ".join("–" if value is None else f"{100 * value:.1f}" for value in best.values())
            lines.append(f"      ceiling of exactly k labels, O-P / O-R / O-F1: {ceiling}")
    lines.append(
        f"encoder {plan['encoder']}, frozen; recipe {plan['recipe']}; {plan['configurations']} configuration(s) a row, "
        f"chosen by {plan['chosen_by']} on a validation part of the training split; {plan['seeds']} seed(s); "
        f"training images in {plan['views_of_training_images']} view(s)"
    )
    expected = plan["expected"]
    unknown = f": {expected['unknown']}" if "unknown" in expected else ""
    slow = sorted(expected["rows_hours"].items(), key=lambda item: -item[1])
    lines += [
        "",
        f"expected on this machine: {duration(expected['hours'])} in all, at most",
        f"  features {duration(expected['features_hours'])}{unknown}",
        "  rows " + ", ".join(f"{row} {duration(hours)}" for row, hours in slow),
        f"  measured just now in {expected['measured_seconds']:.0f} s, with untrained networks on drawn pictures and "
        "random features, times the images and all epochs; what else runs here slows it",
    ]
    lines.append("")
    for row in plan["rows"].values():
        lines.append(f"{row['name']}: {row['trainings']} training(s) of at most {row['epochs']} epochs")
        for number, command in enumerate(row["commands"]):
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
