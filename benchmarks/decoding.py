"""Measure the searches: `python benchmarks/decoding.py [--out FILE] [--model FILE] [--quick] [--noise X] [--only S]`.

Trie beam search (beam 10, 80 labels, batch 512) against batched LSTM searches with the same paths, on a
fresh trie and in the steady state; best-first search and marginals against beam search; how often greedy
and each beam width miss the certified best path. Rivals take turns in one run; ratios are of medians.
"""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from coco_like import LstmStep, Weights, image_vectors, load_label_sets, train
from loop_beam import LoopBeam
from lstm_beam import LstmBeam
from measuring import Figure, machine, save

from labelbeam.decoding.beam import beam_search, greedy_search
from labelbeam.decoding.best_first import best_paths
from labelbeam.decoding.likelihood import set_log_prob
from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.paths import BeamPaths
from labelbeam.decoding.search import Search, has_numba
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.heads.label_model import sigmoid

NOISE, STEPS, BATCH, STEADY = 0.75, 1000, 512, 50_000
"""The noise makes the held-out log-likelihood about 6.7 nats per image after so many training steps."""

HIDDEN = 1024
"""Units that labels' own logits are read from, as in the default recipe."""

LOOPED = 16
"""Images of a batch that the Python loop is timed on."""

MARGINALS = (
    (10, 16, None), (10, 32, None), (10, 48, None), (20, 20, None), (20, 40, None), (20, 200, 0.03),
    (20, 200, 0.02), (200, 200, 0.02), (200, 200, 0.01), (200, 200, None),
)  # fmt: skip
"""Expansions, samples, and the standard error at which sampling stops."""


def timed(run: Callable[..., Any], *arguments: object, **options: object) -> tuple[float, Any]:
    """Return seconds and result."""
    begun = time.perf_counter()
    result = run(*arguments, **options)
    return time.perf_counter() - begun, result


def load_or_train(path: Path | None, targets: np.ndarray, *, noise: float) -> Weights:
    """Return the model of a file, or train one and write it there."""
    if path and path.exists():
        with np.load(path) as file:
            return Weights(**file)
    weights = train(targets, image_vectors(targets, noise=noise, seed=1), steps=STEPS)
    if path:
        np.savez(path, **vars(weights))
    return weights


def same_paths(
    found: BeamPaths, rival: tuple[list[tuple[int, ...]], torch.Tensor], tally: dict[str, float]
) -> None:
    """Count how many first paths agree, and how far their log-probabilities differ."""
    paths, log_probs = rival
    ours = [found.best(i) for i in range(len(paths))]
    tally["images"] += len(paths)
    tally["same_path"] += sum(a == b for a, b in zip(ours, paths, strict=True))
    tally["largest_difference"] = max(
        tally["largest_difference"],
        float(np.abs(found.log_probs[:, 0] - log_probs.numpy()).max()),
    )


def against_lstm(
    weights: Weights, rows: np.ndarray, *, warm: np.ndarray | None, repeats: int
) -> dict[str, Any]:
    """Time trie beam search against both rivals, taking turns on the same new batches."""
    plain = LstmBeam(weights, width=10, drop_dead=False)
    lean = LstmBeam(weights, width=10, drop_dead=True)
    loop = LoopBeam(weights, width=10)
    backends = ["numpy", "numba"] if has_numba() else ["numpy"]
    tries = {backend: PrefixTrie(LstmStep(weights)) for backend in backends}
    for backend, trie in tries.items():
        for i in range(0, len(warm) if warm is not None else 0, BATCH):
            beam_search(trie, warm[i : i + BATCH], backend=backend)
    times: dict[str, list[float]] = {}
    tally = {"images": 0.0, "same_path": 0.0, "largest_difference": 0.0, "loop_same_path": 0.0}
    nodes = []
    for repeat in range(repeats):
        batch = rows[repeat * BATCH : (repeat + 1) * BATCH]
        tensor = torch.from_numpy(batch)
        for name, rival in (("lstm", plain), ("lstm_dead_beams_leave", lean)):
            seconds, answer = timed(rival, tensor)
            times.setdefault(name, []).append(seconds)
        if repeat < 3:  # it is slow, and as fast on any image
            seconds, paths = timed(loop, tensor[:LOOPED])
            times.setdefault("loop", []).append(seconds * BATCH / LOOPED)
            tally["loop_same_path"] += sum(a == b for a, b in zip(paths, answer[0], strict=False))
        for backend in backends:
            trie = tries[backend] if warm is not None else PrefixTrie(LstmStep(weights))
            before = trie.created
            seconds, found = timed(beam_search, trie, batch, backend=backend)
            times.setdefault(f"trie_{backend}", []).append(seconds)
            same_paths(found, answer, tally)
            nodes.append((trie.created - before) / BATCH)
    medians = {name: median(values) for name, values in times.items()}
    best = medians[f"trie_{backends[-1]}"]
    return {
        "images_per_second": {name: round(BATCH / seconds) for name, seconds in medians.items()},
        "ratio_to_loop": round(medians["loop"] / best, 1),
        "ratio_to_lstm": {b: round(medians["lstm"] / medians[f"trie_{b}"], 2) for b in backends},
        "ratio_to_lstm_dead_beams_leave": round(medians["lstm_dead_beams_leave"] / best, 2),
        "new_prefixes_per_image": round(median(nodes), 2),
        "trie_nodes": tries[backends[-1]].num_nodes,
        "trie_mb": round(tries[backends[-1]].nbytes / 2**20),
        "paths": tally,
    }


def other_searches(weights: Weights, rows: np.ndarray, warm: np.ndarray, *, repeats: int) -> dict[str, Any]:
    """Time best-first search and marginals against beam 10, each on its own trie in the steady state."""
    random = np.random.default_rng(0)
    units = random.standard_normal((BATCH, HIDDEN), dtype=np.float32)  # made up: they cost what others do
    own = random.standard_normal((HIDDEN, weights.num_labels), dtype=np.float32)

    def with_own_scores(trie: PrefixTrie, batch: np.ndarray) -> tuple[object, np.ndarray]:
        """Find the most probable sets, and each label's own probability."""
        return best_paths(trie, batch), sigmoid(units[: len(batch)] @ own)

    searches: dict[str, Callable[[PrefixTrie, np.ndarray], Any]] = {
        "beam_10": beam_search,
        "best_first": best_paths,
        "best_first_and_own_scores": with_own_scores,
        **{
            f"marginals_{expansions}_{samples}" + (f"_to_{stderr:g}" if stderr else ""): partial(
                label_marginals, expansions=expansions, samples=samples, stderr=stderr
            )
            for expansions, samples, stderr in MARGINALS
        },
    }
    tries = {name: PrefixTrie(LstmStep(weights)) for name in searches}
    lstm = LstmBeam(weights, width=10, drop_dead=False)
    times: dict[str, list[float]] = {name: [] for name in searches} | {"lstm_beam_10": []}
    fresh: dict[str, float] = {}
    new: dict[str, int] = dict.fromkeys(searches, 0)
    answers: dict[str, Any] = {}
    for name, search in searches.items():
        part = warm if "200_200" not in name else warm[: len(warm) // 5]  # these are slow
        for i in range(0, len(part), BATCH):
            seconds, _ = timed(search, tries[name], part[i : i + BATCH])
            fresh.setdefault(name, seconds)
    for repeat in range(repeats):
        batch = rows[repeat * BATCH : (repeat + 1) * BATCH]
        for name, search in searches.items():
            before = tries[name].created
            seconds, answers[name] = timed(search, tries[name], batch)
            times[name].append(seconds)
            new[name] += tries[name].created - before
        times["lstm_beam_10"].append(timed(lstm, torch.from_numpy(batch))[0])
    result: dict[str, Any] = {}
    for name, values in times.items():
        result[name] = {
            "images_per_second": round(BATCH / median(values)),
            "times_beam_10": round(median(values) / median(times["beam_10"]), 2),
            "times_lstm_beam_10": round(median(values) / median(times["lstm_beam_10"]), 2),
        }
        if name in searches:
            result[name]["fresh_times_beam_10"] = round(fresh[name] / fresh["beam_10"], 2)
            result[name]["new_prefixes_per_image"] = round(new[name] / repeats / BATCH, 2)
        if name.startswith("marginals"):
            found = answers[name]
            result[name] |= {
                "largest_stderr_median": round(float(np.median(found.stderr.max(1))), 4),
                "largest_stderr_p95": round(float(np.quantile(found.stderr.max(1), 0.95)), 4),
                "samples_mean": round(float(found.samples.mean()), 1),
                "certified": round(float(found.paths.exact.mean()), 3),
                "largest_gap_median": round(float(np.median((found.high - found.low).max(1))), 4),
            }
    return result


def misses(weights: Weights, rows: np.ndarray) -> dict[str, Any]:
    """Report how often greedy and each beam width miss the certified best path."""
    trie = PrefixTrie(LstmStep(weights))
    best = best_paths(trie, rows)
    sure = best.exact
    greedy = greedy_search(trie, rows)
    first = np.where(greedy.lengths[:, 0] > 0, greedy.labels[:, 0, 0], -1)
    true_first = np.where(best.lengths > 0, best.labels[:, 0], -1)
    spoiled = sure & (first != true_first)

    def missed(found: BeamPaths) -> np.ndarray:
        return sure & (found.labels[:, 0] != best.labels).any(1)

    beam_10 = missed(beam_search(trie, rows))
    return {
        "images": len(rows), "certified": float(sure.mean()),
        "expansions": {q: int(np.quantile(best.expansions, float(q))) for q in ("0.5", "0.95", "1.0")},
        "greedy_misses": float(missed(greedy).mean()),
        "greedy_first_label_wrong": float(spoiled.mean()),
        "of_those_beam_10_repairs": float((~beam_10[spoiled]).mean()) if spoiled.any() else None,
        "beam_misses": {str(n): float(missed(beam_search(trie, rows, Search(beam_width=n))).mean())
                        for n in (1, 2, 3, 5, 10, 20)},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    parser.add_argument("--model", type=Path, help="reuse this trained model (.npz), or write it there")
    parser.add_argument("--quick", action="store_true", help="steady state after 5,000 images, 3 repeats")
    parser.add_argument("--noise", type=float, default=NOISE, help="of the image vectors")
    parser.add_argument("--only", choices=("fresh", "steady", "searches", "misses"), help="one section")
    options = parser.parse_args()
    steady, repeats = (5_000, 3) if options.quick else (STEADY, 9)
    train_sets, test_sets = load_label_sets()
    weights = load_or_train(options.model, train_sets, noise=options.noise)
    rows = weights.image_rows(image_vectors(test_sets, noise=options.noise, seed=2))
    warm = weights.image_rows(image_vectors(train_sets[:steady], noise=options.noise, seed=3))
    beam_search(PrefixTrie(LstmStep(weights)), rows[:8])  # compile outside the timings
    label_marginals(PrefixTrie(LstmStep(weights)), rows[:8])
    likelihood = set_log_prob(PrefixTrie(LstmStep(weights)), rows[:4000], test_sets[:4000].astype(np.int64))
    sections: dict[str, Callable[[], dict[str, Any]]] = {
        "fresh": lambda: against_lstm(weights, rows, warm=None, repeats=repeats),
        f"steady_after_{steady}": lambda: against_lstm(weights, rows[20_000:], warm=warm, repeats=repeats),
        "searches": lambda: other_searches(
            weights, rows[30_000:], warm[: steady * 2 // 5], repeats=max(3, repeats // 2)
        ),
        "misses": lambda: misses(weights, rows[: 2000 if options.quick else 10_000]),
    }
    measured: dict[str, dict[str, Any]] = {
        "machine": machine(),
        "model": {
            "held_out_nats_per_image": round(-float(likelihood.mean()), 2),
            "noise": options.noise,
            "steps": STEPS,
        },
    }
    for name, measure in sections.items():
        if options.only is None or name.startswith(options.only):
            measured[name] = measure()
    for section, values in measured.items():
        sys.stdout.write(f"\n{section}\n")
        for name, value in values.items():
            sys.stdout.write(f"  {name:32} {value}\n")
    save(
        options.out,
        figures_of(measured),
        **{name: values for name, values in measured.items() if name != "machine"},
    )


def figures_of(measured: dict[str, dict[str, Any]]) -> list[Figure]:
    """Return the ratios that `all.py` shows."""
    figures = []
    for section, of in measured.items():
        if "ratio_to_lstm" not in of:
            continue
        for backend, ratio in of["ratio_to_lstm"].items():
            speed = of["images_per_second"][f"trie_{backend}"]
            told = (
                f"{speed:,} images/s; same first path {of['paths']['same_path'] / of['paths']['images']:.2%}"
            )
            what = f"beam 10, 80 labels, {backend}, {section.replace('_', ' ')}"
            figures.append(Figure(what, "batched LSTM beam, finished images leave", ratio, measured=told))
            if section.startswith("steady") and backend == "numba":
                figures.append(Figure(what, "30,000 images/s", speed / 30_000, least=1.0))
        figures.append(Figure(what, "a Python loop over beams", of["ratio_to_loop"]))
    return figures


if __name__ == "__main__":
    main()
