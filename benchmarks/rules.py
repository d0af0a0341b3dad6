"""Measure what rules cost: `OMP_NUM_THREADS=1 python benchmarks/rules.py [--model FILE.npz] [--out FILE.json]`.

The label model of `coco_like` (80 labels) under 20 rules, against the same without: beam 10, certified search and
marginals, each on a trie of its own that has seen 2,000 images. Once under rules that the training sets keep (what
`data inspect --write-rules` writes; at most 10 labels), once under rules of every form over random labels, which force
improbable sets. Processor time, ways in turn, ratios of medians.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from coco_like import LstmStep, Weights, image_vectors, load_label_sets, train
from measuring import Figure, interleaved, medians, save, show

from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.best_first import best_paths
from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.inspect.cooccurrence import examined_pairs, pair_counts
from labelbeam.inspect.learned_rules import learned_rules
from labelbeam.labels.rules import Rules, parse_rules
from labelbeam.labels.vocabulary import Vocabulary

RULES, BATCH, WARM, ROUNDS, STEPS, NOISE = 20, 512, 2000, 9, 300, 0.75


def kept_rules(targets: np.ndarray) -> Rules:
    """Return 20 rules that all sets keep."""
    names = Vocabulary(tuple(f"label {i}" for i in range(targets.shape[1])))
    learned = learned_rules(examined_pairs(pair_counts(targets)), targets, names.names)
    return parse_rules(
        "\n".join([*(one["rule"] for one in learned[: RULES - 1]), "at most 10 labels"]), names
    )


def random_rules(num_labels: int, seed: int = 0) -> Rules:
    """Return 20 rules of every form over random labels."""
    generator, names = np.random.default_rng(seed), Vocabulary(tuple(f"label {i}" for i in range(num_labels)))
    forms = ["at most one of: {0}, {1}, {2}"] * 6 + ["{0} and {1} never together"] * 5 + ["{0} -> {1}"] * 5
    forms += [
        "at least one of: {0}, {1}, {2}, {3}",
        "exactly one of: {0}, {1}",
        "never: {0}",
        "at most 6 labels",
    ]
    lines = [form.format(*(names.names[i] for i in generator.permutation(num_labels)[:4])) for form in forms]
    return parse_rules("\n".join(lines), names)


def trained(path: Path | None, targets: np.ndarray) -> Weights:
    """Return the model of a file, or train one and write it there."""
    if path is not None and path.exists():
        with np.load(path) as file:
            return Weights(**file)
    weights = train(targets, image_vectors(targets, noise=NOISE, seed=1), steps=STEPS)
    if path is not None:
        np.savez(path, **vars(weights))
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="reuse this trained model (.npz), or write it there")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    train_sets, test_sets = load_label_sets()
    weights = trained(options.model, train_sets)
    warm = weights.image_rows(image_vectors(train_sets[:WARM], noise=NOISE, seed=3))
    rows = weights.image_rows(image_vectors(test_sets[:BATCH], noise=NOISE, seed=2))
    searches: dict[str, Any] = {
        "beam 10": beam_search,
        "certified": partial(best_paths, budget=200),
        "marginals": partial(label_marginals, stderr=0.01),
    }
    sets = {"": (), "kept": kept_rules(train_sets).limits, "random": random_rules(train_sets.shape[1]).limits}
    ways: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for name, search in searches.items():
        batch = rows[:64] if name == "marginals" else rows
        for kind, limits in sets.items():
            trie = PrefixTrie(LstmStep(weights), limits=limits)
            for first in range(0, 256 if name == "marginals" else WARM, BATCH):
                search(trie, warm[first : first + (256 if name == "marginals" else BATCH)])
            ways[f"{name} {kind}"] = partial(search, trie, batch)
            found = search(trie, batch)
            if name == "certified":
                told[f"certified {kind}"] = {
                    "expansions": round(float(found.expansions.mean()), 1),
                    "labels": round(float(found.lengths.mean()), 2),
                    "exact": round(float(found.exact.mean()), 3),
                }
    taken = medians(interleaved(ways, rounds=ROUNDS, clock=time.process_time))
    figures = [
        Figure(
            f"{name}, {RULES} {kind} rules", "without", taken[f"{name} {kind}"] / taken[f"{name} "],
            most=1.5 if kind == "kept" and name != "marginals" else None,
            measured=f"{1e6 * taken[f'{name} {kind}'] / (64 if name == 'marginals' else BATCH):.0f} us per image",
        )
        for name in searches
        for kind in ("kept", "random")
    ]  # fmt: skip
    show(figures)
    sys.stdout.write(f"{told}\n")
    save(options.out, figures, told=told)


if __name__ == "__main__":
    main()
