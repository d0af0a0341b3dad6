"""What the tests of writers share: data sets with names of any kind, and what "the same" means."""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from labelbeam.data.dataset import Dataset
from labelbeam.errors import InputError
from labelbeam.labels.names import RESERVED, clean
from labelbeam.labels.vocabulary import Vocabulary

_PIECES = st.sampled_from(
    [
        *("a", "b", "A", "B", "0", "1", "nan", "none", "tags", "image", "犬", "海", "é", "ß", "😀", "\u0301"),
        *(
            " ",
            ",",
            ";",
            "|",
            "、",
            "/",
            "+",
            "&",
            '"',
            "'",
            "[",
            "]",
            "(",
            "\\",
            "#",
            "=",
            ":",
            "<",
            ">",
            "%",
        ),
        *("\u3000", "-", "_", "."),
    ]
)
LABELS = (
    st.lists(_PIECES, min_size=1, max_size=6)
    .map("".join)
    .map(clean)
    .filter(lambda name: name and name.casefold() not in RESERVED and name == name.strip())
    .filter(lambda name: name.isascii() or any(unicodedata.category(char)[0] not in "MCZ" for char in name))
)
"""Label names in any script, with whatever separates labels somewhere."""

_STEMS = st.text("ab犬 é'(),;#", min_size=1, max_size=5).map(str.strip).filter(bool)
KEYS = st.builds(
    lambda folder, stem, suffix: f"{folder}{stem}{suffix}",
    st.sampled_from(["", "x/", "x y/z/"]),
    _STEMS,
    st.sampled_from([".jpg", ".PNG"]),
)
"""Image keys with blanks, marks and other scripts."""


class Drawn(NamedTuple):
    """What a data set is made of.

    Strategies give this, not a data set: its types are checked at random places as it is made, and strategies must
    not draw at random themselves.
    """

    images: tuple[str, ...]
    names: tuple[str, ...]
    targets: np.ndarray

    def dataset(self, root: Path = Path("nowhere")) -> Dataset:
        return Dataset("made:up", root, self.images, Vocabulary(self.names), self.targets)


@st.composite
def drawn(draw: st.DrawFn, *, values: tuple[int, ...] = (0, 0, 1, -1)) -> Drawn:
    """Up to five images and labels."""
    names = draw(st.lists(LABELS, min_size=1, max_size=5, unique=True))
    images = draw(st.lists(KEYS, min_size=1, max_size=5, unique_by=str.casefold))
    cells = st.lists(st.sampled_from(values), min_size=len(names), max_size=len(names))
    targets = draw(st.lists(cells, min_size=len(images), max_size=len(images)))
    return Drawn(tuple(images), tuple(names), np.array(targets, dtype=np.int8))


def with_files(dataset: Dataset, root: Path) -> Dataset:
    """Return the data set with a file, of content of its own, for each image."""
    for i, image in enumerate(dataset.images):
        (root / image).parent.mkdir(parents=True, exist_ok=True)
        (root / image).write_bytes(b"\xff\xd8\xff picture %d" % i)
    return Dataset(dataset.spec, root, dataset.images, dataset.vocabulary, dataset.targets)


def said(dataset: Dataset, *, unknown: int = -1) -> dict[str, dict[str, int]]:
    """Return image -> label -> value, with unknown read as that value."""
    return {
        image: {
            name: unknown if value == -1 else value
            for name, value in zip(dataset.vocabulary, row.tolist(), strict=True)
        }
        for image, row in zip(dataset.images, dataset.targets, strict=True)
    }


def names_any(error: Exception, dataset: Dataset) -> bool:
    """Return whether an error quotes a label or an image of the data set."""
    return any(repr(name)[1:-1] in str(error) for name in (*dataset.vocabulary, *dataset.images))


def written(
    write: Callable[..., tuple[str, ...]], dataset: Dataset, path: Path
) -> tuple[tuple[str, ...], InputError | None]:
    """Write with links; return the notes and, where the writer refused, its error."""
    try:
        return write(dataset, path, split="", images="link"), None
    except InputError as error:
        return (), error
