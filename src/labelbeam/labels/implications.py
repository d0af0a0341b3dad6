"""Labels that imply labels: where a dog is, an animal is; where no animal is, no dog is.

From a file of pairs to the transitive closure, and both onto targets (on import) and onto decided sets (on output).
Knows nothing of images and files of images.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int8

from labelbeam.errors import InputError
from labelbeam.labels.names import NamePair, read_pairs
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN, Vocabulary


@dataclass(frozen=True)
class Implications:
    """What labels imply, followed to the end.

    Attributes:
        implied: label to every label that it implies, directly or through others, in the file's order.

    Raises:
        InputError: a label that implies itself.

    Example:
        >>> pairs = [NamePair("dog", "mammal", "line 1"), NamePair("mammal", "animal", "line 2")]
        >>> implications_of(pairs).implied["dog"]
        ('mammal', 'animal')
    """

    implied: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if circles := [label for label, others in self.implied.items() if label in others]:
            raise InputError(f"labels must not imply themselves: {', '.join(map(repr, circles[:5]))}.")

    def implying(self, labels: Iterable[str]) -> dict[str, list[str]]:
        """Return each implied label with those of `labels` that imply it."""
        found: dict[str, list[str]] = {}
        for label in labels:
            for other in self.implied.get(label, ()):
                found.setdefault(other, []).append(label)
        return found


@dataclass(frozen=True)
class Closed:
    """Targets after the implications.

    Attributes:
        vocabulary: the labels that there were, then implied ones that are new.
        targets: int8 [images labels].
        notes: sentences for the user: what was added, and where the data contradicted the implications.
    """

    vocabulary: Vocabulary
    targets: Int8[np.ndarray, "images labels"]
    notes: tuple[str, ...]


def read_implications(file: Path) -> Implications:
    """Read a file of implications, `dog -> animal` on each line.

    Raises:
        InputError: whatever `read_pairs` and `implications_of` find wrong.
    """
    return implications_of(read_pairs(file))


def implications_of(pairs: Iterable[NamePair]) -> Implications:
    """Follow implications to the end.

    Raises:
        InputError: labels that imply each other in a circle (with the line that closes it).
    """
    direct: dict[str, dict[str, str]] = {}
    for pair in pairs:
        path = _path(pair.right, pair.left, direct)
        if path is not None:
            circle = " -> ".join(map(repr, [pair.left, *path]))
            raise InputError(
                f"{pair.where}: {circle} goes round in a circle, so these labels would be one. Remove one of "
                "the lines, or merge the labels with --aliases."
            )
        direct.setdefault(pair.left, {})[pair.right] = pair.where
    return Implications({label: _reached(label, direct) for label in direct})


def close_targets(
    targets: Int8[np.ndarray, "images labels"], vocabulary: Vocabulary, implications: Implications
) -> Closed:
    """Make targets agree with implications.

    What implies a label makes it present; where it is absent, what implies it is absent if nobody knew. An implied
    label that the data does not have is added: present where a label that implies it is, else unknown where one of
    them is, else absent.

    Example:
        >>> rules = Implications({"dog": ("animal",)})
        >>> closed = close_targets(np.array([[1], [0], [-1]], dtype=np.int8), Vocabulary(("dog",)), rules)
        >>> closed.vocabulary.names, closed.targets.tolist()
        (('dog', 'animal'), [[1, 1], [0, 0], [-1, -1]])
    """
    column = {name: j for j, name in enumerate(vocabulary)}
    by_implied = implications.implying(vocabulary)
    new = [name for name in by_implied if name not in column]
    closed = np.concatenate([targets, np.empty((len(targets), len(new)), dtype=np.int8)], axis=1)
    column |= {name: len(vocabulary) + j for j, name in enumerate(new)}
    corrected, settled = [], 0
    for name, children in by_implied.items():
        held = targets[:, [column[child] for child in children]]
        present = (held == PRESENT).any(axis=1)
        of_name = closed[:, column[name]]
        if name in new:
            of_name[:] = np.where((held == UNKNOWN).any(axis=1), UNKNOWN, ABSENT)
        elif against := int((present & (of_name == ABSENT)).sum()):
            corrected.append(f"{name} in {against:,} images with {_some(children)}")
        of_name[present] = PRESENT
    for name, children in by_implied.items():
        absent = closed[:, column[name]] == ABSENT
        for child in children:
            unsure = absent & (closed[:, column[child]] == UNKNOWN)
            settled += int(unsure.sum())
            closed[unsure, column[child]] = ABSENT
    notes = []
    if new:
        notes.append(
            f"labels added because others imply them: {_some(new)}; absent where none of those is present or unknown."
        )
    if corrected:
        notes.append(f"implied labels that were absent are now present: {'; '.join(corrected[:5])}.")
    if settled:
        notes.append(f"{settled:,} unknown labels are now absent, because what they imply is absent.")
    return Closed(Vocabulary((*vocabulary, *new)), closed, tuple(notes))


def close_upwards(
    decided: Bool[np.ndarray, "images labels"], vocabulary: Vocabulary, implications: Implications
) -> Bool[np.ndarray, "images labels"]:
    """Add to decided sets what their labels imply; labels that the vocabulary lacks are not added.

    Example:
        >>> rules = Implications({"dog": ("animal",)})
        >>> close_upwards(np.array([[False, True], [False, False]]), Vocabulary(("animal", "dog")), rules).tolist()
        [[True, True], [False, False]]
    """
    column = {name: j for j, name in enumerate(vocabulary)}
    closed = decided.copy()
    for name, children in implications.implying(vocabulary).items():
        if name in column:
            closed[:, column[name]] |= decided[:, [column[child] for child in children]].any(axis=1)
    return closed


def _path(start: str, end: str, direct: Mapping[str, Mapping[str, str]]) -> list[str] | None:
    """Return labels from one to another along implications, both included; None where there is no way."""
    before: dict[str, str | None] = {start: None}
    waiting = [start]
    while waiting:
        label = waiting.pop()
        if label == end:
            path: list[str] = []
            step: str | None = end
            while step is not None:
                path.append(step)
                step = before[step]
            return path[::-1]
        for other in direct.get(label, {}):
            if other not in before:
                before[other] = label
                waiting.append(other)
    return None


def _reached(label: str, direct: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    waiting = list(direct.get(label, {}))
    while waiting:
        other = waiting.pop(0)
        if other not in found:
            found[other] = None
            waiting += direct.get(other, {})
    return tuple(found)


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f", … ({len(names)} in all)" if len(names) > 5 else "")
