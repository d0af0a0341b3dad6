"""The labelled data set, as every reader returns it and everything downstream receives it.

Columnar: one tuple of image keys and one int8 matrix, so that a quarter of a million images with a
thousand labels stay well below 1 GiB. Knows nothing of formats, pixels or models.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from labelbeam.errors import InputError
from labelbeam.labels.targets import PRESENT, UNKNOWN
from labelbeam.labels.vocabulary import Vocabulary


@dataclass(frozen=True)
class Example:
    """One image and what is known of its labels.

    Attributes:
        image: key of the image, a path relative to the data set's root with forward slashes.
        path: where the file is.
        present: names of the labels it has, in the data set's label order.
        unknown: names of the labels of which nobody knows.
    """

    image: str
    path: Path
    present: tuple[str, ...]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with present, absent and unknown labels.

    Attributes:
        spec: the argument that named it, `FORMAT:PATH#SPLIT`.
        root: folder that the image keys are relative to.
        images: distinct keys, in the reader's stated order.
        vocabulary: label names; a name's position is its column in `targets`.
        targets: int8 [images labels] of PRESENT (1), ABSENT (0), UNKNOWN (-1); read-only.
        protocol: choices that change what is measured (e.g. {"difficult": "unknown"}).
        notes: sentences for the user: what was understood, what looked odd.

    Raises:
        InputError: no image, repeated keys, or a matrix of another shape or other values.

    Example:
        >>> data = Dataset("csv:a.csv", Path("."), ("a.jpg",), Vocabulary(("cat", "dog")),
        ...                np.array([[1, -1]], dtype=np.int8))
        >>> data.example(0)
        Example(image='a.jpg', path=PosixPath('a.jpg'), present=('cat',), unknown=('dog',))
    """

    spec: str
    root: Path
    images: tuple[str, ...]
    vocabulary: Vocabulary
    targets: np.ndarray
    protocol: Mapping[str, str | int | float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.images:
            raise InputError(f"{self.spec}: the data set has no images.")
        if len(set(self.images)) < len(self.images):
            twice = [image for image, count in Counter(self.images).items() if count > 1]
            raise InputError(f"{self.spec}: each image may occur once; given more than once: {twice[:5]!r}.")
        shape = (len(self.images), len(self.vocabulary))
        if self.targets.shape != shape or self.targets.dtype != np.int8:
            given = f"{self.targets.dtype} {self.targets.shape}"
            raise InputError(f"{self.spec}: targets must be int8 {shape}, given {given}.")
        if self.targets.min(initial=0) < UNKNOWN or self.targets.max(initial=0) > PRESENT:
            raise InputError(f"{self.spec}: targets must be 1 (present), 0 (absent) or -1 (unknown).")
        # A view, so that the caller's array stays writable.
        targets = self.targets.view()
        targets.flags.writeable = False
        object.__setattr__(self, "targets", targets)

    def __len__(self) -> int:
        return len(self.images)

    def path(self, i: int) -> Path:
        """Return where the file of image `i` is."""
        return self.root / self.images[i]

    @property
    def paths(self) -> list[Path]:
        """Where the files are, in the order of `images`."""
        return [self.root / image for image in self.images]

    def example(self, i: int) -> Example:
        """Return image `i` with its labels by name."""
        row = self.targets[i]
        names = self.vocabulary.names
        present = tuple(names[j] for j in np.flatnonzero(row == PRESENT))
        unknown = tuple(names[j] for j in np.flatnonzero(row == UNKNOWN))
        return Example(self.images[i], self.path(i), present, unknown)

    def subset(self, indices: Iterable[int] | Int[np.ndarray, " picked"]) -> "Dataset":
        """Return the data set of the images at `indices`, in that order."""
        rows = np.fromiter(indices, dtype=np.int64)
        return replace(self, images=tuple(self.images[i] for i in rows), targets=self.targets[rows].copy())

    def with_vocabulary(self, names: Sequence[str]) -> "Dataset":
        """Return the data set with columns for `names`, in that order; labels it does not have are UNKNOWN.

        Labels of this data set that are not among `names` are dropped: a caller for whom they matter
        (evaluation counts them) compares the vocabularies first.
        """
        column = {name: j for j, name in enumerate(self.vocabulary.names)}
        targets = np.full((len(self), len(names)), UNKNOWN, dtype=np.int8)
        for j, name in enumerate(names):
            if name in column:
                targets[:, j] = self.targets[:, column[name]]
        return replace(self, vocabulary=Vocabulary(tuple(names)), targets=targets)
