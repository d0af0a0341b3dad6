"""Measure what rules cost: `OMP_NUM_THREADS=1 python benchmarks/rules.py [--model FILE.npz] [--out FILE.json]`.

The label model of `coco_like` (80 labels) under 20 rules, against the same without: beam 10, certified search and
marginals, each on a trie of its own that has seen 2,000 images. Under three files: `learned` (what `data inspect
--write-rules` writes of the training sets, and at most 10 labels), `written` (what a person might write of these labels
and pictures: most sets keep them, not all), `random` (every form over random labels, which forces improbable sets).
Processor time, ways in turn, ratios of medians.
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
from labelbeam.inspect.labels import learned_rules
from labelbeam.labels.rules import Rules, parse_rules
from labelbeam.labels.vocabulary import Vocabulary

RULES, BATCH, WARM, ROUNDS, STEPS, NOISE = 20, 512, 2000, 9, 300, 0.75


def learned_rules_file(targets: np.ndarray) -> Rules:
    """Return 20 rules that all sets keep."""
    names = Vocabulary(tuple(f"label {i}" for i in range(targets.shape[1])))
    learned = learned_rules(examined_pairs(pair_counts(targets)), targets, names.names)
    return parse_rules(
        "\n".join([*(one["rule"] for one in learned[: RULES - 1]), "at most 10 labels"]), names
    )


def written_rules(targets: np.ndarray) -> Rules:
    """Return 20 rules as people write them: exclusions of what rarely meets, hints of what mostly comes along."""
    present = (targets > 0).astype(np.float64)
    count = present.T @ present
    images, names = np.diag(count), [f"label {i}" for i in range(len(count))]
    common = np.argsort(-images)[:40]
    rare = sorted((count[i, j] / (images[i] * images[j]), i, j) for i in common for j in common if i < j)
    likely = sorted(((count[i, j] / images[i], i, j) for i in common for j in common if i != j), reverse=True)
    lines = [f"{names[i]} and {names[j]} never together" for _, i, j in rare[:10]]
    lines += [f"{names[i]} -> {names[j]}" for _, i, j in likely[:4]]
    groups = np.argsort(-images)[40:58].reshape(3, 6)
    lines += [f"at most 2 of: {', '.join(names[i] for i in group)}" for group in groups]
    lines += ["at least 1 label", "at most 8 labels", f"never: {names[int(np.argsort(images)[0])]}"]
    return parse_rules("\n".join(lines), Vocabulary(tuple(names)))


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
    files = {
        "learned": learned_rules_file(train_sets),
        "written": written_rules(train_sets),
        "random": random_rules(train_sets.shape[1]),
    }
    sets = {"": (), **{kind: one.limits for kind, one in files.items()}}
    ways: dict[str, Any] = {}
    found_out: dict[str, Any] = {}
    for name, search in searches.items():
        batch = rows[:64] if name == "marginals" else rows
        for kind, limits in sets.items():
            trie = PrefixTrie(LstmStep(weights), limits=limits)
            for first in range(0, 256 if name == "marginals" else WARM, BATCH):
                search(trie, warm[first : first + (256 if name == "marginals" else BATCH)])
            ways[f"{name} {kind}"] = partial(search, trie, batch)
            found = search(trie, batch)
            if name == "marginals":
                found_out[f"marginals {kind}"] = {
                    "kept": round(float(found.kept.mean()), 3),
                    "stderr": round(float(found.stderr.max(axis=1).mean()), 4),
                }
            if name == "certified":
                found_out[f"certified {kind}"] = {
                    "expansions": round(float(found.expansions.mean()), 1),
                    "labels": round(float(found.lengths.mean()), 2),
                    "exact": round(float(found.exact.mean()), 3),
                }
    taken = medians(interleaved(ways, rounds=ROUNDS, clock=time.process_time))
    figures = [
        Figure(
            f"{name}, {RULES} {kind} rules", "without", taken[f"{name} {kind}"] / taken[f"{name} "],
            most=1.5,
            measured=f"{1e6 * taken[f'{name} {kind}'] / (64 if name == 'marginals' else BATCH):.0f} us per image",
        )
        for name in searches
        for kind in files
    ]  # fmt: skip
    show(figures)
    sys.stdout.write(f"{found_out}\n")
    shares = {kind: round(float(one.kept_by(test_sets > 0).mean()), 3) for kind, one in files.items()}
    sys.stdout.write(f"share of test sets that keep them: {shares}\n")
    save(options.out, figures, found=found_out, kept=shares)


if __name__ == "__main__":
    main()
