"""Labels in order: names in one form, other names merged, implications closed, labels left out that nobody wants.

The step behind every reader (`formats.registry.open_dataset`): data set in, data set out, in the order of the sentence
above. Knows nothing of formats.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int8

from labelbeam.data.dataset import Dataset, ReadOptions
from labelbeam.errors import InputError
from labelbeam.labels.implications import close_targets, read_implications
from labelbeam.labels.names import clean, read_aliases, read_names, refuse_reserved, variants_note
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary


def tidy(dataset: Dataset, options: ReadOptions) -> Dataset:
    """Put the labels of a data set in order.

    Returns:
        The data set with notes about what changed; what changes the labels is in its protocol too.

    Raises:
        InputError: a file of names that cannot be read; a label with the name of a special token; no label or, where
            images without a label are left out, no image stays.

    Example:
        >>> from pathlib import Path
        >>> data = Dataset("csv:a.csv", Path("."), ("a.jpg",), Vocabulary(("cat", "dog")),
        ...                np.array([[1, 0]], dtype=np.int8))
        >>> tidy(data, ReadOptions(deny="dog")).vocabulary.names
        ('cat',)
    """
    if options.missing_tags != "absent":
        dataset = _with_missing_tags(dataset, options.missing_tags)
    dataset = _renamed(
        dataset, {name: clean(name) for name in dataset.vocabulary}, why="are one when composed"
    )
    if options.aliases is not None:
        aliases = read_aliases(options.aliases)
        used = {old: new for old, new in aliases.items() if old in dataset.vocabulary.names}
        dataset = _renamed(dataset, used, why="were merged as aliases")
        dataset = _noted(dataset, f"{len(used)} of {len(aliases)} aliases of {options.aliases} were used.")
        dataset = _with_protocol(dataset, aliases=len(used))
    refuse_reserved(dataset.vocabulary, dataset.spec)
    if options.implications is not None:
        closed = close_targets(dataset.targets, dataset.vocabulary, read_implications(options.implications))
        dataset = replace(dataset, vocabulary=closed.vocabulary, targets=closed.targets)
        dataset = _with_protocol(_noted(dataset, *closed.notes), implications=options.implications.name)
    # A matrix of a million rows is compared only where somebody asked for it: that takes as much memory again.
    labelled = None if options.keep_unlabelled else (dataset.targets == PRESENT).any(axis=1)
    dataset = _chosen(dataset, options)
    if labelled is not None:
        dataset = _without_emptied(dataset, labelled)
    notes = [note for note in variants_note(dataset.vocabulary) if note not in dataset.notes]
    return _noted(dataset, *notes)


def _with_missing_tags(dataset: Dataset, meaning: str) -> Dataset:
    """Take what is not tagged for unknown, unless the reader has: where nothing is unknown, it cannot tell the two."""
    targets = dataset.targets
    if not (targets == UNKNOWN).any():
        targets = np.where(targets == ABSENT, np.int8(UNKNOWN), targets)
    written = int((targets == ABSENT).sum())
    note = (
        f"missing tags are {meaning}: {int((targets == UNKNOWN).sum()):,} labels of images are unknown, "
        f"{written:,} are known to be absent."
    )
    return _with_protocol(_noted(replace(dataset, targets=targets), note), missing_tags=meaning)


def _renamed(dataset: Dataset, new_names: Mapping[str, str], *, why: str) -> Dataset:
    """Return the data set with labels under new names; columns that get the same name become one."""
    if all(old == new for old, new in new_names.items()):
        return dataset
    sources: dict[str, list[int]] = {}
    for j, name in enumerate(dataset.vocabulary):
        sources.setdefault(new_names.get(name, name), []).append(j)
    if "" in sources:
        raise InputError(f"{dataset.spec}: a label has an empty name. Name it in the data.")
    columns = [any_of(dataset.targets[:, columns]) for columns in sources.values()]
    merged = [
        f"{' and '.join(repr(dataset.vocabulary.names[j]) for j in columns)} ({name})"
        for name, columns in sources.items()
        if len(columns) > 1
    ]
    dataset = replace(
        dataset, vocabulary=Vocabulary(tuple(sources)), targets=np.stack(columns, axis=1).astype(np.int8)
    )
    return _noted(dataset, f"labels that {why}: {_some(merged)}.") if merged else dataset


def any_of(targets: Int8[np.ndarray, "images labels"]) -> Int8[np.ndarray, " images"]:
    """Return what "any of these labels" is: present where one is, else unknown where one is, else absent.

    An unknown label beside an absent one leaves the answer open: the two names may mean parts of what the new one
    means.

    Example:
        >>> any_of(np.array([[1, -1], [-1, 0], [0, 0]], dtype=np.int8)).tolist()
        [1, -1, 0]
    """
    merged = np.full(len(targets), ABSENT, dtype=np.int8)
    merged[(targets == UNKNOWN).any(axis=1)] = UNKNOWN
    merged[(targets == PRESENT).any(axis=1)] = PRESENT
    return merged


def _chosen(dataset: Dataset, options: ReadOptions) -> Dataset:
    """Return the data set without the labels that the options leave out."""
    stay = list(dataset.vocabulary)
    if options.keep_only is not None:
        wanted = read_names(options.keep_only)
        dataset = _noted(dataset, *_strangers(wanted, stay, "--keep-only"))
        stay = [name for name in stay if name in set(wanted)]
        dataset = _with_protocol(dataset, keep_only=f"{len(stay)} labels")
    if options.deny is not None:
        denied = read_names(options.deny)
        dataset = _noted(dataset, *_strangers(denied, list(dataset.vocabulary), "--deny"))
        gone = [name for name in stay if name in set(denied)]
        stay = [name for name in stay if name not in set(denied)]
        dataset = _with_protocol(dataset, denied=f"{len(gone)} labels")
    if options.min_images:
        counts = dict(zip(dataset.vocabulary, (dataset.targets == PRESENT).sum(axis=0).tolist(), strict=True))
        rare = [name for name in stay if counts[name] < options.min_images]
        if rare:
            dataset = _noted(
                dataset, f"labels with fewer than {options.min_images} images, left out: {_some(rare)}."
            )
        stay = [name for name in stay if counts[name] >= options.min_images]
        dataset = _with_protocol(dataset, min_images=options.min_images)
    if not stay:
        raise InputError(
            f"{dataset.spec}: of {len(dataset.vocabulary)} labels none is left ({_some(list(dataset.vocabulary))}). "
            "Leave out fewer with --deny, --keep-only and --min-images."
        )
    return dataset if len(stay) == len(dataset.vocabulary) else dataset.with_vocabulary(stay)


def _strangers(named: Sequence[str], there: Collection[str], option: str) -> list[str]:
    strange = [name for name in named if name not in there]
    return [f"labels of {option} that the data does not have: {_some(strange)}."] if strange else []


def _without_emptied(dataset: Dataset, labelled: np.ndarray) -> Dataset:
    """Leave out images that had labels and lost them all; their reader has dealt with the others."""
    stays = (dataset.targets == PRESENT).any(axis=1)
    if stays.all():
        return dataset
    if not stays.any():
        raise InputError(
            f"{dataset.spec}: no image has one of the labels that are left. Leave out fewer labels."
        )
    lost = int((labelled & ~stays).sum())
    return _noted(
        dataset.subset(np.flatnonzero(stays)), f"{lost} images whose labels were all left out went too."
    )


def _noted(dataset: Dataset, *notes: str) -> Dataset:
    return replace(dataset, notes=(*dataset.notes, *notes)) if notes else dataset


def _with_protocol(dataset: Dataset, **entries: str | int) -> Dataset:
    return replace(dataset, protocol={**dataset.protocol, **entries})


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f", … ({len(names)} in all)" if len(names) > 5 else "")
