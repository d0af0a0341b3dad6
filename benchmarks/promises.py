"""Are promises kept, at what price, and what does a plain threshold do? `python benchmarks/promises.py`.

On the sets of $LABELBEAM_DATA/mulan (one logistic regression per label, on the official training part), or on a run and
labelled images that it has not seen (with its own calibration images). The images that were not trained on are the
population: calibration images are drawn from them again and again, so what a threshold really reaches is known.
`broken`: share of draws whose threshold reaches less than the target. A plain threshold is the lowest one with the
target's precision, or the highest with its recall, on the same calibration images. `unseen … on average` chooses among
100 images at a time; a batch of which none is chosen counts as right. About five minutes on one core.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy as np

from labelbeam.errors import InputError
from labelbeam.predict.promise_kinds import GRID, miss_losses, selection_cut, set_probability, tag_losses
from labelbeam.predict.promises import Promise, Promises, Sample, plain_cut, plain_threshold
from labelbeam.predict.set_lists import independent_sets, listed_until, mass_before

SETS = ("scene", "yeast", "emotions", "medical", "tmc2007-500")
TARGETS = (("precision", 0.9, 0.95), ("recall", 0.8, 0.95), ("recall", 0.8, None))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, help="a run trained with --calibrate or --calibrate-fraction")
    parser.add_argument("--data", help="labelled images that the run has not seen, FORMAT:PATH#SPLIT")
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--images", type=int, default=300, help="calibration images per draw")
    parser.add_argument("--draws", type=int, default=100)
    asked = parser.parse_args()
    if asked.run is not None:
        populations = {str(asked.data): _of_run(asked.run, asked.data)}
    else:
        folder = Path(os.environ["LABELBEAM_DATA"], "mulan")
        populations = {name: _of_vectors(folder, name) for name in asked.sets}
    heads = ("data", "promise", "given", "reaches", "broken", "plain reaches", "plain broken", "size")
    sys.stdout.write(f"| {' | '.join(heads)} |\n|---|---|--:|--:|--:|--:|--:|---|\n")
    for name, population in populations.items():
        for row in _rows(population, asked.images, asked.draws):
            sys.stdout.write(f"| {name} | {' | '.join(row)} |\n")
            sys.stdout.flush()


def _rows(population: Sample, images: int, draws: int):
    """Yield what became of each promise over draws of calibration images."""
    precision = np.array([1 - one.mean() if len(one := tag_losses(population, t)) else 1.0 for t in GRID])
    recall = np.array([1 - miss_losses(population, t).mean() for t in GRID])
    samples = [_drawn(population, images, seed) for seed in range(draws)]
    for kind, target, confidence in TARGETS:
        truth, promise = precision if kind == "precision" else recall, Promise(kind, target, confidence)
        reached, plain, sizes = [], [], []
        for one in samples:
            at = int(np.argmin(np.abs(GRID - plain_threshold(kind, target, one.sample))))
            plain.append(truth[at])
            try:
                kept = int(np.argmin(np.abs(GRID - one.keep(promise).thresholds[0])))
            except InputError:
                continue
            reached.append(truth[kept])
            sizes.append((population.scores >= GRID[kept]).sum(axis=1).mean())
        size = f"{np.mean(sizes):.2f} labels per image" if sizes else "-"
        yield [str(promise), *_shares(reached, plain, target, draws), size]
    sure = set_probability(population.scores, population.paths, population.log_probs)
    right = ((population.paths == (population.truth == 1)) | (population.truth == -1)).all(axis=1)
    reached, plain, sizes = [], [], []
    for one in samples:
        least = plain_cut(0.9, one.sample)
        if np.isfinite(least):
            plain.append(right[sure >= least].mean())
        try:
            least = one.keep_unseen(0.9, "path", None)
        except InputError:
            continue
        reached.append(right[sure >= least].mean() if (sure >= least).any() else 1.0)
        sizes.append((sure >= least).mean())
    size = f"{100 * np.mean(sizes):.0f} % of images" if sizes else "-"
    yield ["unseen >= 0.9 with confidence 0.95", *_shares(reached, plain, 0.9, draws), size]
    yield _selected(sure, right, samples, draws)
    yield _listed(population, samples, draws)


def _selected(sure: np.ndarray, right: np.ndarray, samples: list[Promises], draws: int) -> list[str]:
    """Return what became of images chosen together, 100 at a time, for nobody to look at."""
    shares, sizes = [], []
    for seed, one in enumerate(samples):
        at = np.random.default_rng([seed, 1]).integers(len(sure), size=100)
        chosen = sure[at] >= selection_cut(0.9, one.sample, None, sure[at])
        shares.append(right[at][chosen].mean() if chosen.any() else 1.0)
        sizes.append(chosen.mean())
    cells = _shares(shares, [], 0.9, draws)
    return ["unseen >= 0.9 on average", *cells, f"{100 * np.mean(sizes):.0f} % of images"]


def _listed(population: Sample, samples: list[Promises], draws: int) -> list[str]:
    lists = independent_sets(population.scores[:300])
    reached, plain, sizes = [], [], []
    for one in samples:
        plain.append((population.before <= np.quantile(one.sample.before, 0.9, method="inverted_cdf")).mean())
        try:
            most = one.keep_listed(0.9)
        except InputError:
            continue
        reached.append((population.before <= most).mean())
        sizes.append([len(listed_until(sets, most)) for sets in lists])
    size = "-"
    if sizes:
        size = (
            f"{np.mean(sizes):.1f} sets (median {np.median(sizes):.0f}, 90 % {np.quantile(sizes, 0.9):.0f})"
        )
    return ["sets-among 0.9 on average", *_shares(reached, plain, 0.9, draws), size]


def _shares(reached: list[float], plain: list[float], target: float, draws: int) -> list[str]:
    cells = [f"{100 * len(reached) / draws:.0f} %"]
    for values in (reached, plain):
        if not values:
            cells += ["-", "-"]
            continue
        cells += [f"{100 * np.mean(values):.1f} %", f"{100 * np.mean(np.array(values) < target):.0f} %"]
    return cells


def _drawn(population: Sample, images: int, seed: int) -> Promises:
    rng = np.random.default_rng(seed)
    sample, guide = (
        Sample(*(getattr(population, name)[at] for name in Sample.__dataclass_fields__))
        for at in (rng.integers(len(population), size=n) for n in (images, 100))
    )
    return Promises(sample, guide, "marginal", {}, "drawn")


def _of_run(run: Path, data: str) -> Sample:
    """Return the run's calibration images and labelled images that it has not seen, as one population."""
    from labelbeam.features.extract import readable_features
    from labelbeam.formats.registry import open_dataset
    from labelbeam.runs.choices import _sample
    from labelbeam.runs.run_directory import load_run

    loaded = load_run(run)
    dataset = open_dataset(data, options=loaded.config.read).with_vocabulary(loaded.vocabulary.names)
    dataset, features, _ = readable_features(dataset, loaded.encoder, flips=False)
    other, own = _sample(loaded, features[:, 0], dataset.targets), loaded.promises.sample
    return Sample(
        *(np.concatenate([getattr(own, name), getattr(other, name)]) for name in Sample.__dataclass_fields__)
    )


def _of_vectors(folder: Path, name: str) -> Sample:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from labelbeam.formats.registry import open_dataset

    (seen, learned), (new, truth) = (
        (data.features[:], data.targets == 1)
        for data in (open_dataset(f"vectors:{folder / name}-{part}.arff") for part in ("train", "test"))
    )
    some = learned.any(axis=0) & ~learned.all(axis=0)
    learned, truth, scaling = learned[:, some], truth[:, some], StandardScaler().fit(seen)
    scores = np.stack(
        [
            LogisticRegression(C=0.01, max_iter=200)
            .fit(scaling.transform(seen), learned[:, j])
            .predict_proba(scaling.transform(new))[:, 1]
            for j in range(learned.shape[1])
        ],
        axis=1,
    ).astype(np.float32)
    truth, nowhere = truth.astype(np.int8), np.full(len(truth), np.nan)
    return Sample(
        scores, truth, scores >= 0.5, nowhere, nowhere, mass_before(independent_sets(scores), truth)
    )


if __name__ == "__main__":
    main()
