"""Measure what rules cost: `OMP_NUM_THREADS=1 python benchmarks/rules.py [--model FILE.npz] [--out FILE.json]`.

The label model of `coco_like` (80 labels) under 20 rules of every form over random labels, against the same model
without rules: beam 10, the certified search, marginals, each on a trie of its own that has seen 5,000 images. Processor
time, ways in turn, ratios of medians. Also how long rules take to read, to check for contradictions and to build.
"""

import argparse
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from coco_like import LstmStep, image_vectors, load_label_sets
from measuring import Figure, interleaved, medians, save, show

from decoding import NOISE, load_or_train
from labelbeam.decoding.beam import beam_search
from labelbeam.decoding.best_first import best_paths
from labelbeam.decoding.independent import RuledLabels
from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.labels.rules import Rules, parse_rules
from labelbeam.labels.vocabulary import Vocabulary

LABELS, RULES, BATCH, ROUNDS = 80, 20, 512, 9


def random_rules(seed: int) -> Rules:
    """Return 20 rules over random labels, written and read as a person's are."""
    generator, names = np.random.default_rng(seed), Vocabulary(tuple(f"label {i}" for i in range(LABELS)))
    forms = ["at most one of: {0}, {1}, {2}"] * 6 + ["{0} and {1} never together"] * 5 + ["{0} -> {1}"] * 5
    forms += [
        "at least one of: {0}, {1}, {2}, {3}",
        "exactly one of: {0}, {1}",
        "never: {0}",
        "at most 6 labels",
    ]
    lines = [form.format(*(names.names[i] for i in generator.permutation(LABELS)[:4])) for form in forms]
    return parse_rules("\n".join(lines), names)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="reuse this trained model (.npz), or write it there")
    parser.add_argument("--out", type=Path, help="write the figures there as JSON")
    options = parser.parse_args()
    begun = time.perf_counter()
    rules = random_rules(0)
    read = time.perf_counter() - begun
    train_sets, test_sets = load_label_sets()
    weights = load_or_train(options.model, train_sets, noise=NOISE)
    warm = weights.image_rows(image_vectors(train_sets[:5000], noise=NOISE, seed=3))
    rows = weights.image_rows(image_vectors(test_sets[:BATCH], noise=NOISE, seed=2))
    ways: dict[str, Any] = {}
    searches = {
        "beam 10": beam_search,
        "certified": best_paths,
        "marginals 200 + 200 until 0.01": partial(label_marginals, stderr=0.01),
    }
    told: dict[str, Any] = {"rules": len(rules)}
    for name, search in searches.items():
        few = 512 if name.startswith("marginals") else len(warm)
        batch = rows[:128] if name.startswith("marginals") else rows
        for limits in ((), rules.limits):
            trie = PrefixTrie(LstmStep(weights), limits=limits)
            for first in range(0, few, BATCH):
                search(trie, warm[first : first + BATCH])
            ways[f"{name}{', rules' if limits else ''}"] = partial(search, trie, batch)
            if name == "certified":
                found = search(trie, batch)
                told["expansions" + (" under rules" if limits else "")] = float(np.mean(found.expansions))
    taken = medians(interleaved(ways, rounds=ROUNDS, clock=time.process_time))
    begun = time.perf_counter()
    RuledLabels(rules.limits, LABELS)
    told |= {"read and checked (ms)": round(1000 * read, 1)}
    told |= {"built for independent labels (ms)": round(1000 * (time.perf_counter() - begun), 1)}
    figures = [
        Figure(
            f"{name}, {RULES} rules", "without", taken[f"{name}, rules"] / taken[name], most=1.5,
            measured=f"{1000 * taken[f'{name}, rules']:.1f} ms, {1000 * taken[name]:.1f} ms",
        )
        for name in searches
    ]  # fmt: skip
    show(figures)
    sys.stdout.write(f"{told}\n")
    save(options.out, figures, told=told)


if __name__ == "__main__":
    main()
