"""Measure suggestions after a click: `python benchmarks/suggest.py [--out FILE] [--quick] [--noise X]`.

COCO's real label sets and made-up image vectors (`coco_like`), 80 labels, one thread. Of held-out images with at
least two labels, 0, 1, 2 and 4 true labels are accepted, drawn at random or the most frequent first, and half as many
absent ones rejected. Told are milliseconds per click from stored features, on the clock and of this process's time,
cold (an empty trie) and warm; how often the effective sample size is too low; the widest label's bounds; and nats
per image of the labels that are not known, for each mechanism and for the prefix feed. Then the prefix
feed's error on small random models, whose conditionals are exact.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from coco_like import image_vectors, load_label_sets
from prefix_feed import prefix_feed

from decoding import machine
from labelbeam.decoding.evidence import conditional_marginals
from labelbeam.decoding.step import AllowedRule, TableStep
from labelbeam.decoding.trie import PrefixTrie
from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
from labelbeam.heads import arrays_torch as handing_over
from labelbeam.labels.vocabulary import Vocabulary, drawn_evidence
from labelbeam.metrics.calibration import remaining_nats
from labelbeam.runs.build import build_head
from labelbeam.runs.config import configure
from labelbeam.runs.run_directory import Run
from labelbeam.runs.tagger import Tagger

NOISE, STEPS, BATCH = 0.75, 1000, 256
HEADS = ("cnn-rnn", "any-subset", "sigmoid-mlp")


def trained(head_name: str, targets: np.ndarray, vectors: np.ndarray, *, steps: int) -> Tagger:
    """Fit a head by so many steps of AdamW with a rate that falls to zero."""
    config = configure(head=head_name)
    encoder = build_encoder(EncoderConfig("tiny", width=32))  # never run: only its 64 features count
    torch.manual_seed(0)
    head = build_head(config, num_labels=targets.shape[1], feature_size=encoder.num_features)
    head.scaling.fit(vectors)
    if hasattr(head, "start_from"):
        head.start_from(torch.from_numpy(targets))
    optimiser = torch.optim.AdamW(head.parameters(), lr=4e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
    head.train()
    order = np.random.default_rng(0)
    for _ in range(steps):
        rows = order.choice(len(targets), BATCH, replace=False)
        loss = head(torch.from_numpy(vectors[rows]), torch.from_numpy(targets[rows])).mean()
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    names = tuple(f"label {i}" for i in range(targets.shape[1]))
    run = Run(
        config, Vocabulary(names), tuple(map(int, targets.sum(axis=0))), encoder, handing_over.trained(head)
    )
    return Tagger(run)


def clicks(tagger: Tagger, vectors: np.ndarray, given: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Ask for every label of each image; return scores and what was measured."""
    names, num_labels = tagger.labels, len(tagger.labels)
    scores, seconds, effective, doubtful, bounds = [], [], [], 0, []
    for vector, row in zip(vectors, given, strict=True):
        known, rejected = ([names[i] for i in np.flatnonzero(row == value)] for value in (1, 0))
        begun = time.perf_counter(), time.process_time()
        found = tagger.suggest(vector, accepted=known, rejected=rejected, count=num_labels)
        seconds.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
        bounds.append(max(one.high - one.low for one in found))
        scored = np.zeros(num_labels)
        for one in found:
            scored[tagger.run.vocabulary.id_of(one.label)] = one.score
        scores.append(scored)
        doubtful += bool(found.note) and tagger.run.config.head == "cnn-rnn"
        effective.append(found.effective_samples or np.nan)
    milliseconds = 1e3 * np.array(seconds)
    told: dict[str, Any] = {
        "ms_median": round(median(milliseconds[:, 0]), 2),
        "ms_95": round(float(np.quantile(milliseconds[:, 0], 0.95)), 2),
        "cpu_ms_median": round(median(milliseconds[:, 1]), 2),
    }
    if tagger.run.config.head == "cnn-rnn":
        told["effective_samples_median"] = round(float(np.nanmedian(effective)), 1)
        told["too_low"] = round(doubtful / len(vectors), 4)
        told["widest_bounds_median"] = round(median(bounds), 3)
    return np.array(scores), told


def prefix_error(rule: AllowedRule, num_labels: int, *, models: int = 100) -> dict[str, float]:
    """Compare the prefix feed with exact conditionals of small random models; one label accepted, one rejected."""
    errors = []
    for seed in range(models):
        random = np.random.default_rng(seed)
        trie = PrefixTrie(TableStep({}, num_labels=num_labels, allowed=rule, seed=seed))
        rows = random.standard_normal((1, num_labels + 1)).astype(np.float32)
        known = np.full((1, num_labels), -1, dtype=np.int8)
        known[0, random.permutation(num_labels)[:2]] = 1, 0
        exact = conditional_marginals(trie, rows, known, expansions=2000, samples=0)
        assert float((exact.high - exact.low).max()) < 1e-4
        errors.append(np.abs(prefix_feed(trie, rows, known) - exact.score)[known == -1])
    told = np.concatenate(errors)
    return {"mean": round(float(told.mean()), 3), "largest": round(float(told.max()), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--quick", action="store_true", help="fewer steps and images")
    parser.add_argument("--noise", type=float, default=NOISE, help="of the made-up image vectors")
    options = parser.parse_args()
    torch.set_num_threads(1)
    steps, images = (200, 100) if options.quick else (STEPS, 500)
    train_targets, targets = load_label_sets()
    train_vectors = image_vectors(train_targets, noise=options.noise, seed=1)
    vectors = image_vectors(targets, noise=options.noise, seed=2)
    chosen = np.flatnonzero(targets.sum(axis=1) >= 2)[: images + 100]
    targets, vectors = targets[chosen], vectors[chosen]
    taggers = {
        name: trained(name, train_targets, train_vectors, steps=steps * (1 if name == "cnn-rnn" else 4))
        for name in HEADS
    }
    told: dict[str, Any] = {"machine": machine(), "noise": options.noise, "steps": steps, "images": images}
    cold = Tagger(replace(taggers["cnn-rnn"].run))
    for tagger in (cold, *taggers.values()):  # compile and load what the first call loads
        tagger.suggest(vectors[0])
    cold = Tagger(replace(taggers["cnn-rnn"].run))
    _, told["cold"] = clicks(cold, vectors[:50], drawn_evidence(targets[:50], accepted=2, rejected=1, seed=9))
    warm_up = drawn_evidence(targets[images:], accepted=2, rejected=1, seed=9)
    clicks(taggers["cnn-rnn"], vectors[images:], warm_up)
    targets, vectors = targets[:images], vectors[:images]
    for frequent_first in (False, True):
        for accepted in (0, 1, 2, 4):
            known = drawn_evidence(
                targets,
                accepted=accepted,
                rejected=accepted // 2,
                frequent_first=frequent_first,
                seed=accepted,
            )
            row: dict[str, Any] = {}
            for name, tagger in taggers.items():
                scores, row[name] = clicks(tagger, vectors, known)
                row[name]["nats"] = round(float(remaining_nats(scores, targets, known).mean()), 3)
            answerer: Any = taggers["cnn-rnn"].answerer
            fed = prefix_feed(answerer.trie, answerer.step.image_rows(vectors), known, samples=200)
            row["prefix feed"] = {"nats": round(float(remaining_nats(fed, targets, known).mean()), 3)}
            told[f"{accepted} known, {'most frequent' if frequent_first else 'random'}"] = row
            print(json.dumps({accepted: row}), flush=True)
    told["prefix_feed_error"] = {
        f"{rule}, {n} labels": prefix_error(rule, n) for rule, n in (("canonical", 8), ("no-repeat", 5))
    }
    text = json.dumps(told, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
