"""The things that are called "NUS-WIDE" in the literature: each a named choice of rows, and of labels.

Rows in, rows out. Knows no files.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from labelbeam.errors import InputError, unknown_name
from labelbeam.formats.nuswide_files.rows import photo_id

HASHING21 = (
    *(
        "sky",
        "clouds",
        "person",
        "water",
        "animal",
        "grass",
        "buildings",
        "window",
        "plants",
        "lake",
        "ocean",
    ),
    *("road", "flowers", "sunset", "reflection", "rocks", "vehicle", "snow", "tree", "beach", "mountain"),
)
"""The 21 most frequent concepts, which work on hashing uses; each has more than 5,000 images."""

PAPER_SIZES = (150_000, 59_347)
"""Training and test images of Gong et al. (2014), whose split the CNN-RNN paper appears to use."""

PAPER_SEED = 2016


@dataclass(frozen=True)
class Split:
    """A named split.

    Attributes:
        part: which rows are read: `all`, `train` or `test` of the official split.
        images: which of them stay: `all`, `labelled`, `paper-train`, `paper-test` or `hashing21`.
        convention: for the protocol.
        counts: format -> images of the complete data set, where known.
    """

    part: str
    images: str
    convention: str
    counts: dict[str, int]


def _counts(concepts: int, tags: int | None = None) -> dict[str, int]:
    return {"nuswide81": concepts} | ({} if tags is None else {"nuswide1000": tags})


SPLITS: dict[str, Split] = {
    "all": Split("all", "all", "official", _counts(269_648, 269_648)),
    "train": Split("train", "all", "official", _counts(161_789, 161_789)),
    "test": Split("test", "all", "official", _counts(107_859, 107_859)),
    "all-labelled": Split("all", "labelled", "official, labelled images only", _counts(209_347)),
    "train-labelled": Split("train", "labelled", "official, labelled images only", _counts(125_449)),
    "test-labelled": Split("test", "labelled", "official, labelled images only", _counts(83_898)),
    "paper-train": Split(
        "all", "paper-train", "the paper's sizes, other images", _counts(PAPER_SIZES[0], PAPER_SIZES[0])
    ),
    "paper-test": Split(
        "all", "paper-test", "the paper's sizes, other images", _counts(PAPER_SIZES[1], PAPER_SIZES[1])
    ),
    "hashing21": Split("all", "hashing21", "images with one of 21 concepts", _counts(195_834)),
}
"""Every split that can be made from the official files."""


def split_named(name: str, data_format: str, spec: str) -> Split:
    """Return a split by its name.

    Raises:
        InputError: there is none of that name, or it is of the 81 concepts only.
    """
    allowed = [one for one in SPLITS if data_format == "nuswide81" or one != "hashing21"]
    if name not in allowed:
        raise InputError(
            f"{spec}: {unknown_name('split', name, allowed)} Other splits of the literature (re-crawls, lists of "
            "one author) are not in the official files; read their own lists with csv:."
        )
    return SPLITS[name]


def paper_side(
    names: Iterable[str], labelled: Bool[np.ndarray, " images"], *, test: bool
) -> Int[np.ndarray, " picked"]:
    """Deal the images that have a concept out into parts of the paper's sizes; an approximation of its split.

    The paper's list of images is not public, only sizes that fit it. Here each image's place is a hash of its photo id,
    so the same photograph is on the same side in every copy of the data, and a photograph that is there twice is on
    one side.

    Args:
        names: of all rows.
        labelled: whether the row has one of the 81 concepts.
        test: which side.

    Returns:
        The rows of that side, in their order: 150,000 or 59,347 of the complete data set's 209,347, else in that
        proportion.

    Source:
        Sizes: Gong et al., Deep Convolutional Ranking for Multilabel Image Annotation (2014), as remembered by others;
        209,347 images have a concept, which is their sum.
    """
    rows = np.flatnonzero(labelled)
    listed = tuple(names)
    keys = [_place(photo_id(listed[i])) for i in rows]
    order = rows[np.argsort(np.array(keys, dtype=np.uint64), kind="stable")]
    cut = round(len(rows) * PAPER_SIZES[0] / sum(PAPER_SIZES))
    return np.sort(order[cut:] if test else order[:cut])


def _place(photo: str) -> int:
    digest = hashlib.blake2b(f"{PAPER_SEED}:{photo}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
