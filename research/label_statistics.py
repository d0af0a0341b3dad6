"""How probable are real label sets? The label model without an image against every model of label statistics.

    python research/label_statistics.py --out runs/label-statistics

Two complete label matrices, no pixels: COCO-80 (train2014 to val2014) and NUS-WIDE-81 (the official split, images
without a label included). Every model gets four configurations, the two that tie for the lead (the label model and
NADE) eight, chosen by the log-likelihood of a tenth of the training images; it is then fitted on all of them, three
times where chance has a part. Networks say labels frequent first when they are chosen, then also rare first and in
random orders, with the configuration that was chosen.
The label model is ours under `canonical` with one constant feature: p(set) is exact. Differences are
over the same held-out images, averaged over seeds, with a paired bootstrap over images. Seconds are the processor's,
one thread.

"labelled" is of sets that are not empty: log p(set) - log(1 - p(empty set)), of the same fitted model.

Work is kept item by item in OUT: a killed run goes on; --data, --families and --orders share the work between processes
(run once more without them to print the table).
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from label_set_models import COUNTED, FILES, NETWORKS, LabelSets, LogProb, Taught, configurations, fit, read

from labelbeam.files import written_whole

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from measuring import machine

SEEDS, ORDERS = (0, 1, 2), ("frequent", "rare", "random")
OURS = "label model, frequent"
COUNTS_ONLY = ("independent", "Chow-Liu tree")
"""Chance has no part in these: one fit."""


@dataclass(frozen=True)
class Item:
    """What a fitted model says of judged images."""

    log_probs: np.ndarray  # float64 [images]
    empty: float  # log p(empty set)
    seconds: float  # of the processor, fitting


def item(path: Path, make: Callable[[], LogProb], judged: np.ndarray) -> Item:
    """Return what a file holds, or fit, judge and keep it there."""
    if not path.exists():
        started = time.process_time()
        log_prob = make()
        seconds = time.process_time() - started
        sets, which = np.unique(judged, axis=0, return_inverse=True)
        empty = log_prob(np.zeros((1, judged.shape[1]), dtype=np.int8))[0]
        with written_whole(path) as part, part.open("wb") as file:
            np.savez(file, log_probs=log_prob(sets)[which], empty=empty, seconds=seconds)
    with np.load(path) as kept:
        return Item(kept["log_probs"], float(kept["empty"]), float(kept["seconds"]))


def chosen(family: str, sets: LabelSets, items: Path) -> tuple[int, list[dict]]:
    """Return the number of the configuration likeliest on the training images left out, and what each reached."""
    tried: list[dict] = []
    for number, config in enumerate(configurations(family)):
        said = item(
            items / f"{sets.name}-{family}-try{number}.npz",
            lambda config=config: fit(family, config, sets.learned, "frequent", 0),
            sets.tried,
        )
        settings = asdict(config) if isinstance(config, Taught) else config
        tried.append({"settings": settings, "nats": -float(said.log_probs.mean()), "seconds": said.seconds})
        print(
            f"{sets.name}: {family} {settings}: {tried[-1]['nats']:.3f} nats, {said.seconds:.0f} s",
            flush=True,
        )
    return int(np.argmin([one["nats"] for one in tried])), tried


def judged(
    sets: LabelSets, items: Path, *, families: list[str], orders: list[str], seeds: list[int]
) -> tuple[dict[str, list[Item]], dict]:
    """Choose and fit every model: held-out answers by model and order, and what was tried."""
    rows: dict[str, list[Item]] = {}
    tried: dict[str, dict] = {}
    best: dict[str, int] = {}
    for family in families:
        best[family], reached = chosen(family, sets, items)
        tried[family] = {"chosen": best[family], "tried": reached}
    for order in orders:
        for family in families:
            if order != "frequent" and family in COUNTED:
                continue
            config = configurations(family)[best[family]]
            name = f"{family}, {order}" if family in NETWORKS else family
            rows[name] = [
                item(
                    items / f"{sets.name}-{family}-{order}-best{best[family]}-seed{seed}.npz",
                    lambda family=family, config=config, order=order, seed=seed: fit(
                        family, config, sets.training, order, seed
                    ),
                    sets.held_out,
                )
                for seed in ([0] if family in COUNTS_ONLY else seeds)
            ]
            print(f"{sets.name}: {name} done", flush=True)
    return rows, tried


def summary(rows: dict[str, list[Item]], sets: LabelSets, resamples: int) -> dict:
    """Return nats per image and the differences from the label model, over all images and labelled ones."""
    labelled = sets.held_out.any(axis=1)
    result: dict[str, dict] = {}
    for part, kept in (("all", np.ones_like(labelled)), ("labelled", labelled)):
        given = 1.0 if part == "labelled" else 0.0  # of the empty set's probability, to be left out
        by_seed = {
            name: [(np.log1p(-given * np.exp(one.empty)) - one.log_probs)[kept] for one in said]
            for name, said in rows.items()
        }
        nats = {name: np.mean(values, axis=0) for name, values in by_seed.items()}
        over = np.stack([values - nats[OURS] for values in nats.values()], axis=1)  # [images models]
        random, count = np.random.default_rng(0), len(over)
        drawn = [
            np.bincount(random.integers(count, size=count), minlength=count) @ over / count
            for _ in range(resamples)
        ]
        lows, highs = np.quantile(drawn, (0.025, 0.975), axis=0)
        result[part] = {}
        for column, (name, values) in enumerate(nats.items()):
            result[part][name] = {
                "nats": float(values.mean()),
                "by_seed": [float(one.mean()) for one in by_seed[name]],
                "over_label_model": {
                    "difference": float(over[:, column].mean()),
                    "low": float(lows[column]),
                    "high": float(highs[column]),
                },
                "seconds": float(np.mean([one.seconds for one in rows[name]])),
            }
    return result


def table(summaries: dict) -> str:
    """One line a model: nats per image and nats above the label model with their interval."""
    lines = []
    for part, by in summaries.items():
        lines.append(f"  {part:22}{'nats':>9}{'seeds':>16}{'above the label model':>28}{'seconds':>9}")
        for name, row in sorted(by.items(), key=lambda pair: pair[1]["nats"]):
            over = row["over_label_model"]
            cell = f"{over['difference']:+.3f} [{over['low']:+.3f}, {over['high']:+.3f}]"
            seeds = f"{min(row['by_seed']):.3f} - {max(row['by_seed']):.3f}"
            lines.append(f"  {name:22}{row['nats']:9.3f}{seeds:>16}{cell:>28}{row['seconds']:9.0f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    here = Path(__file__).resolve().parent.parent
    root = Path(os.environ.get("LABELBEAM_DATA", here.parent / "shared" / "data"))
    parser.add_argument("--out", type=Path, default=Path("runs/label-statistics"))
    parser.add_argument("--data", nargs="*", choices=FILES, default=list(FILES))
    families = [*NETWORKS, *COUNTED]
    parser.add_argument(
        "--families",
        nargs="*",
        choices=families,
        default=families,
        help="only these; no table without the label model",
    )
    parser.add_argument("--orders", nargs="*", choices=ORDERS, default=list(ORDERS))
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--resamples", type=int, default=1000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    items = arguments.out / "items"
    items.mkdir(parents=True, exist_ok=True)
    result = {"data": {}, "seeds": arguments.seeds, "machine": machine()}
    for name in arguments.data:
        sets = read(root, name)
        rows, tried = judged(
            sets, items, families=arguments.families, orders=arguments.orders, seeds=arguments.seeds
        )
        if OURS not in rows:
            continue
        found = summary(rows, sets, arguments.resamples)
        result["data"][name] = {
            "training": len(sets.training),
            "held_out": len(sets.held_out),
            "configurations": tried,
            **found,
        }
        print(f"{name}: {len(sets.training)} training, {len(sets.held_out)} held-out images\n{table(found)}")
    if not result["data"]:
        return
    with written_whole(arguments.out / f"{'-'.join(arguments.data)}.json") as part:
        part.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
