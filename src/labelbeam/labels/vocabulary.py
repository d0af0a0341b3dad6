"""The label vocabulary, the three values of a target, and evidence about an image's labels as a row of targets.

The position of a name is its id everywhere in labelbeam: in target matrices, in the label model, in paths. A trained
model's vocabulary is sorted in its label order (`labels.order`): "later in the order" is "greater id", and END, whose
id is `len(vocabulary)`, is always last.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int8

from labelbeam.errors import InputError, unknown_name


@dataclass(frozen=True)
class Vocabulary:
    """Label names; a name's position is its id.

    Attributes:
        names: distinct, non-empty label names in any script, without surrounding blanks.

    Raises:
        InputError: no name at all, an empty or blank-padded name, or a name given twice.

    Example:
        >>> vocabulary = Vocabulary(("person", "dog"))
        >>> vocabulary.id_of("dog"), len(vocabulary), vocabulary.end
        (1, 2, 2)
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.names:
            raise InputError("a vocabulary needs at least one label, none was given.")
        if bad := [name for name in self.names if not name or name != name.strip()]:
            raise InputError(f"label names must not be empty or padded with blanks; given: {bad[:5]!r:.300}.")
        if len(set(self.names)) < len(self.names):
            twice = sorted(name for name, count in Counter(self.names).items() if count > 1)
            raise InputError(f"each label name may occur once; given more than once: {twice[:5]!r:.300}.")

    @property
    def end(self) -> int:
        """The id of END, one past the last label."""
        return len(self.names)

    def id_of(self, name: str) -> int:
        """Return the id of a label name.

        Raises:
            InputError: the name is not in the vocabulary (the nearest one is proposed).
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise unknown_name("label", name, self.names) from None

    def names_of(self, ids: Iterable[int]) -> list[str]:
        """Return the names of label ids, in the order given."""
        return [self.names[i] for i in ids]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


PRESENT, ABSENT, UNKNOWN = 1, 0, -1
"""UNKNOWN means "nobody looked, or it could not be seen"; it is never the same as ABSENT."""


def evidence_row(
    vocabulary: Vocabulary, accepted: Iterable[str] = (), rejected: Iterable[str] = ()
) -> Int8[np.ndarray, " labels"]:
    """Turn the names of accepted and rejected labels into a row of targets.

    Returns:
        int8 [labels]: 1 accepted, 0 rejected, -1 nothing known.

    Raises:
        InputError: a name that is not in the vocabulary, or a label both accepted and rejected.

    Example:
        >>> evidence_row(Vocabulary(("person", "dog", "cat")), ["dog"], ["cat"]).tolist()
        [-1, 1, 0]
    """
    present, absent = (sorted({vocabulary.id_of(name) for name in names}) for names in (accepted, rejected))
    if both := sorted(set(present) & set(absent)):
        raise InputError(
            f"both accepted and rejected: {', '.join(map(repr, vocabulary.names_of(both)))}. A label is either in "
            "the picture or not: leave it out of one of the two lists."
        )
    evidence = np.full(len(vocabulary), UNKNOWN, dtype=np.int8)
    evidence[present], evidence[absent] = PRESENT, ABSENT
    return evidence


def drawn_evidence(
    targets: Int8[np.ndarray, "images labels"],
    *,
    accepted: int,
    rejected: int,
    frequent_first: bool = False,
    seed: int = 0,
) -> Int8[np.ndarray, "images labels"]:
    """Draw what a person might accept and reject of images whose labels are known.

    Args:
        targets: 1 present, 0 absent, -1 unknown (never drawn); columns by falling frequency if `frequent_first`.
        accepted: present labels revealed per image, at most as many as it has.
        rejected: absent labels revealed per image.
        frequent_first: reveal the first present columns instead of random ones, as people type. They tell more
            than they say: that the more frequent labels are absent.
        seed: decides what is drawn.

    Returns:
        int8 [images labels]: 1 accepted, 0 rejected, -1 not revealed.

    Example:
        >>> targets = np.array([[1, 0, 1, 0]], dtype=np.int8)
        >>> drawn_evidence(targets, accepted=1, rejected=0, frequent_first=True).tolist()
        [[1, -1, -1, -1]]
    """
    evidence = np.full(targets.shape, UNKNOWN, dtype=np.int8)
    random = np.random.default_rng(seed)
    for row, shown in zip(targets, evidence, strict=True):
        present, absent = random.permutation(np.flatnonzero(row == PRESENT)), np.flatnonzero(row == ABSENT)
        shown[(np.sort(present) if frequent_first else present)[:accepted]] = PRESENT
        shown[random.permutation(absent)[:rejected]] = ABSENT
    return evidence


# The arrays that travel between modules, by name: one row per image, one column per label in label order.

Targets = Int8[np.ndarray, "images labels"]
"""1 present, 0 absent, -1 unknown."""
ByLabel = Float[np.ndarray, "images labels"]
"""A number of every label of every image: scores, which are p(label | image) in [0, 1] where nothing else is said."""
LabelSets = Bool[np.ndarray, "images labels"]
"""Whether a label is in an image's set."""
Features = Float[np.ndarray, "images features"]
"""What an encoder says of images, any precision."""
PerImage = Float[np.ndarray, " images"]
PerLabel = Float[np.ndarray, " labels"]
