"""Measure what stopping at a standard error costs: `python benchmarks/stopping.py [--images N]`.

Random models of 8 labels, whose marginals are known exactly. Each is asked for the same image many times with
independent random numbers: how far the mean score lies from the truth (bias; noise of the mean beside it), with
stopping and with a fixed number of samples, and how often a score misses the truth by more than k standard errors.
"""

import argparse
import sys

import numpy as np

from labelbeam.decoding.marginals import label_marginals
from labelbeam.decoding.step import TableStep
from labelbeam.decoding.trie import PrefixTrie

LABELS, AIM, MODELS, SCALES = 8, 0.03, 12, (1.0, 2.0, 3.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=4000, help="repetitions per model")
    count = parser.parse_args().images
    for name, samples, stderr in (("stopping", 400, AIM), ("fixed", 64, None)):
        bias, noise, missed = [], [], []
        for seed in range(MODELS):
            for scale in SCALES:
                trie = PrefixTrie(TableStep({}, num_labels=LABELS, seed=seed, scale=scale))
                row = np.random.default_rng(seed).standard_normal((1, LABELS + 1)).astype(np.float32) * scale
                truth = label_marginals(trie, row, expansions=2**LABELS, samples=0).score[0]
                rows = np.repeat(row, count, axis=0)
                found = label_marginals(
                    trie, rows, expansions=2, samples=samples, stderr=stderr, streams=np.arange(count)
                )
                off = np.abs(found.score.mean(axis=0) - truth)
                worst = off.argmax()
                bias.append(off[worst])
                noise.append(found.score[:, worst].std() / np.sqrt(count))
                sampled = found.stderr > 1e-6
                error = np.abs(found.score - truth)[sampled] / found.stderr[sampled]
                missed.append([(error > k).mean() for k in (1, 2, 3, 5)] if sampled.any() else [0.0] * 4)
        sys.stdout.write(
            f"{name:9} largest |bias| of a model's labels: mean {np.mean(bias):.5f}, most {max(bias):.5f} "
            f"(noise: mean {np.mean(noise):.5f}, most {max(noise):.5f})\n"
            f"{'':9} share of scores beyond 1, 2, 3, 5 standard errors: {np.mean(missed, axis=0).round(5).tolist()}\n"
        )


if __name__ == "__main__":
    main()
