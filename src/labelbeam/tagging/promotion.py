"""A new run in the place of an old one, only where it is better on the same labelled photographs."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from labelbeam.data.dataset import DEFAULTS, Dataset, ReadOptions
from labelbeam.data.image_bytes import image_mark
from labelbeam.errors import InputError
from labelbeam.formats.registry import for_learning, open_dataset
from labelbeam.labels.vocabulary import PRESENT, UNKNOWN
from labelbeam.runs.tagger import Tagger
from labelbeam.tagging.journal import mark_of

DRAWS = 10_000
"""Resamples of the photographs."""


@dataclass(frozen=True)
class Promotion:
    """What a comparison of two runs found, and what was done.

    Attributes:
        images: how many photographs both were asked about.
        new, old: mean over photographs of the F1 of decided sets, as fractions.
        low, high: 95 % interval of the difference, new minus old, over resampled photographs.
        promoted: whether the new run is in the old one's place now.
        kept: where the old run is then.
    """

    images: int
    new: float
    old: float
    low: float
    high: float
    promoted: bool = False
    kept: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def promote(
    new: Path,
    old: Path,
    data: str,
    *,
    options: ReadOptions = DEFAULTS,
    report: Callable[[str], None] = lambda line: None,
) -> Promotion:
    """Compare two runs on photographs that neither learnt from; put the new one in the old one's place if it is better.

    Photographs that a run learnt from (training, validation, calibration) count for neither, by whatever name they are
    given: they are found by path and by content. Better is: the interval of the paired difference lies above zero. Each
    decides as it does by itself; labels that a run does not have it never says, and what is unknown of a photograph
    counts for neither.

    Raises:
        InputError: one run given twice, or fewer than two readable photographs that neither learnt from.
    """
    if new.resolve() == old.resolve():
        raise InputError(f"{new} and {old} are one run. Give two.")
    taggers = [Tagger.load(new), Tagger.load(old)]
    dataset = open_dataset(data, options=for_learning(data, options))
    for note in dataset.notes:
        report(note)
    dataset = _unseen(dataset, dict(zip((new, old), taggers, strict=True)), report)
    scores = np.array([_f1(tagger, dataset) for tagger in taggers])
    scores = scores[:, ~np.isnan(scores).any(axis=0)]
    count = scores.shape[1]
    if count < 2:
        raise InputError(
            f"{data}: {count} photographs can be compared; give at least two, better some hundreds."
        )
    difference = scores[0] - scores[1]
    rng = np.random.default_rng(0)
    means = [difference[rng.integers(0, count, count)].mean() for _ in range(DRAWS)]
    low, high = (float(end) for end in np.quantile(means, (0.025, 0.975)))
    found = (count, float(scores[0].mean()), float(scores[1].mean()), low, high)
    if low <= 0:
        return Promotion(*found)
    kept = _free(old)
    fresh = old.with_name(old.name + ".promoting")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(new, fresh)
    old.rename(kept)
    fresh.rename(old)
    return Promotion(*found, promoted=True, kept=str(kept))


def _unseen(dataset: Dataset, taggers: Mapping[Path, Tagger], report: Callable[[str], None]) -> Dataset:
    """Return the photographs that no run learnt from."""
    left = list(range(len(dataset)))
    for folder, tagger in taggers.items():
        seen = _rows_among(dataset.paths, _learnt_from(folder, tagger, report))
        left = [row for row in left if row not in seen]
        if len(left) < 2:
            raise InputError(
                f"{folder} was trained on the photographs of {dataset.spec} (found by path and content), so its "
                "answers there say nothing. Give at least two photographs that neither run learnt from."
            )
        if seen:
            report(
                f"{len(seen):,} of {len(dataset):,} photographs are among those that {folder} learnt from; they do not "
                "count."
            )
    return dataset if len(left) == len(dataset) else dataset.subset(left)


def _learnt_from(folder: Path, tagger: Tagger, report: Callable[[str], None]) -> list[Path]:
    """Return the images that a run learnt from, as far as they can be found here."""
    config = tagger.run.config
    paths: list[Path] = []
    for spec in filter(None, (config.data, config.validation, config.promise_data)):
        try:
            paths += open_dataset(spec, options=for_learning(spec, config.read)).paths
        except InputError as error:
            report(
                f"{folder} learnt from {spec}, which cannot be read here: photographs that are among it are not found "
                f"({error})"
            )
    return paths


def _rows_among(images: Sequence[Path], others: Sequence[Path]) -> set[int]:
    """Return the rows of images that are among others, by path or by what makes their pixels.

    Files are read only where another has the same size or the same name.
    """
    places = {path.resolve() for path in others}
    sizes = {image_mark(path)[1] for path in images}
    names = {path.name.casefold() for path in images}
    alike = [path for path in others if image_mark(path)[1] in sizes or path.name.casefold() in names]
    contents = {mark.hash for path in alike if (mark := mark_of(path)) is not None}

    def is_among(image: Path) -> bool:
        if image.resolve() in places:
            return True
        mark = mark_of(image) if contents else None
        return mark is not None and mark.hash in contents

    return {row for row, image in enumerate(images) if is_among(image)}


def _f1(tagger: Tagger, dataset: Dataset) -> list[float]:
    """Return the F1 of each photograph's decided set; NaN where it cannot be read or none of its labels is known."""
    found = []
    paths = [dataset.path(i) for i in range(len(dataset))]
    for row, prediction in zip(dataset.targets, tagger.tag(paths), strict=True):
        labelled = {name for name, value in zip(dataset.vocabulary, row, strict=True) if value != UNKNOWN}
        present = {name for name, value in zip(dataset.vocabulary, row, strict=True) if value == PRESENT}
        decided = {one.label for one in prediction.labels} & labelled
        if prediction.error or not labelled:
            found.append(float("nan"))
        else:
            size = len(decided) + len(present)
            found.append(2 * len(decided & present) / size if size else 1.0)
    return found


def _free(old: Path) -> Path:
    number = 1
    while (kept := old.with_name(f"{old.name}.before-{number}")).exists():
        number += 1
    return kept
