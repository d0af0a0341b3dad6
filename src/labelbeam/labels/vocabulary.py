"""The label vocabulary and its order, the three values of a target, and evidence about an image's labels.

The position of a name is its id everywhere in labelbeam: in target matrices, in the label model, in paths. A trained
model's vocabulary is sorted in its label order: "later in the order" is "greater id", and END, whose id is
`len(vocabulary)`, is always last.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

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


# In which order labels are predicted: the permutation that turns a reader's vocabulary into a model's.
# The paper sorts by training frequency, most frequent first (Section 3).

LabelOrder = Literal["frequent", "rare", "random", "easiest", "shuffle"]
"""`frequent`: most frequent first (the paper's). `rare`: rarest first. `random`: one fixed random order.
`easiest`: `easiest_first`, which needs features. `shuffle`: a new random order for every image and
epoch (ids are sorted as for `frequent`; needs `no-repeat`)."""


def order_labels(
    targets: Int8[np.ndarray, "images labels"],
    order: str = "frequent",
    *,
    seed: int = 0,
    features: Float[np.ndarray, "images features"] | None = None,
) -> Int[np.ndarray, " labels"]:
    """Return the columns of a target matrix in label order.

    Frequency counts images, not instances, and equal counts keep the reader's order; the paper says
    neither (both are stated so that ties cannot change a result between machines).

    Args:
        targets: training targets; 1 present, 0 absent, -1 unknown.
        order: one of `LabelOrder`.
        seed: decides the order `random`, and how `easiest` splits the images.
        features: of the images, for `easiest`; without them it is `frequent` (features can be had only once the
            data are read, and the columns are sorted then).

    Returns:
        Column numbers, first label first.

    Raises:
        InputError: `order` is not one of `LabelOrder`.

    Source:
        Wang et al. 2016, Section 3: labels are ordered by their frequency in the training data.

    Example:
        >>> order_labels(np.array([[1, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=np.int8)).tolist()
        [0, 1, 2]
        >>> order_labels(np.array([[0, 0, 1], [0, 1, 1]], dtype=np.int8)).tolist()
        [2, 1, 0]
    """
    if order not in get_args(LabelOrder):
        raise unknown_name("label order", order, get_args(LabelOrder))
    if order == "easiest" and features is not None:
        return easiest_first(features, targets, seed=seed)
    counts = (targets == PRESENT).sum(axis=0)
    if order == "random":
        return np.random.default_rng(seed).permutation(len(counts))
    return np.argsort(counts if order == "rare" else -counts, kind="stable")


MOST_IMAGES = 4000
"""More are not looked at: the time of a step grows with the cube of half of them."""


def easiest_first(
    features: Float[np.ndarray, "images features"],
    targets: Int8[np.ndarray, "images labels"],
    *,
    seed: int = 0,
) -> Int[np.ndarray, " labels"]:
    """Return label columns, easiest first.

    How easy a label is: the share of its variance that is explained in images left out (two halves, each predicted from
    the other). The ridge penalty is the mean squared length of the standardised features; all labels together
    weigh as much as all features. An unknown label counts as its mean, and is not judged.

    Args:
        features: of the training images, any scale.
        targets: 1 present, 0 absent, -1 unknown.
        seed: of the halves, and of the images taken where there are more than `MOST_IMAGES`.

    Returns:
        Column numbers; equally easy labels in the given order, labels that do not vary last.

    Raises:
        InputError: fewer than 4 images.

    Source:
        Wang et al. 2016, Section 3, tried "iteratively finding the easiest prediction ordering" after a reference [28]
        that could not be identified. This is our reading; Liu and Tsang 2015 (classifier chains by greedy search) is
        its nearest relative.

    Example:
        >>> image = np.random.default_rng(0).normal(size=(400, 1))
        >>> hidden = np.random.default_rng(1).integers(0, 2, size=(400, 1))
        >>> targets = np.concatenate((hidden, image > 0), axis=1).astype(np.int8)
        >>> easiest_first(image, targets).tolist()
        [1, 0]
    """
    if len(targets) < 4:
        raise InputError(
            f"the order 'easiest' is found on two halves of the training images; {len(targets)} are too few. Take "
            "another order, such as --order frequent."
        )
    rows = np.random.default_rng(seed).permutation(len(targets))[:MOST_IMAGES]
    inputs = _standardised(features[rows].astype(np.float64))
    observed = targets[rows] != UNKNOWN
    present = (targets[rows] == PRESENT).astype(np.float64)
    means = present.sum(axis=0) / np.maximum(observed.sum(axis=0), 1)
    filled = np.where(observed, present, means)
    standard = _standardised(filled) * np.sqrt(inputs.shape[1] / targets.shape[1])
    alike = inputs @ inputs.T
    penalty = max(float(alike.diagonal().mean()), 1e-12)
    placed: list[int] = []
    left = list(range(targets.shape[1]))
    while left:
        ease = _explained(alike, filled[:, left], observed[:, left], means[left], penalty)
        chosen = left.pop(int(ease.argmax()))
        placed.append(chosen)
        alike = alike + np.outer(standard[:, chosen], standard[:, chosen])
    return np.array(placed)


def _explained(
    alike: Float[np.ndarray, "images images"],
    values: Float[np.ndarray, "images labels"],
    observed: np.ndarray,
    means: Float[np.ndarray, " labels"],
    penalty: float,
) -> Float[np.ndarray, " labels"]:
    """Return 1 - squared error / variance of each label, both over left-out images; -inf where nothing varies."""
    half = len(values) // 2
    parts = slice(0, half), slice(half, None)
    errors = np.zeros_like(values)
    for fitted, held_out in (parts, parts[::-1]):
        center = values[fitted].mean(axis=0)
        matrix = alike[fitted, fitted] + penalty * np.eye(len(values[fitted]))
        weights = np.linalg.solve(matrix, values[fitted] - center)
        errors[held_out] = values[held_out] - center - alike[held_out, fitted] @ weights
    squared = ((errors**2) * observed).sum(axis=0)
    varied = (((values - means) ** 2) * observed).sum(axis=0)
    return np.where(varied > 0, 1 - squared / np.maximum(varied, 1e-12), -np.inf)


def _standardised(values: Float[np.ndarray, "images columns"]) -> Float[np.ndarray, "images columns"]:
    deviation = values.std(axis=0)
    scaled: np.ndarray = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return scaled
