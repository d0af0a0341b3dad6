"""Images of a data set, or their features through the cache; unreadable images are left out and reported."""

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from jaxtyping import Float, Float16

from labelbeam.data.dataset import Dataset
from labelbeam.data.feature_rows import FeatureRows
from labelbeam.data.images import UnreadableImage, read_rgb
from labelbeam.encoders.encoder import Encoder, accelerators, place_on
from labelbeam.encoders.given_features import GivenFeatures
from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.files import cache_folder
from labelbeam.progress import progress_bar

GRID_LIMIT = 20.0
"""GB of disk that the maps of a data set take at most, unless a user says another number."""


def disk_of_maps(encoder: Encoder, images: int, *, flips: bool, limit: float = GRID_LIMIT) -> str:
    """Return what the maps of some images take on disk, in a sentence; empty where the encoder gives none.

    Args:
        encoder: of the images.
        images: how many.
        flips: whether their mirror images count too.
        limit: most GB.

    Raises:
        InputError: they take more than the limit.
    """
    if encoder.map_shape is None:
        return ""
    grid, gigabytes = encoder.map_shape.grid, 2 * encoder.row_size * images * (1 + flips) / 1e9
    what = f"maps of {grid} x {grid} places of {images:,} images{', and of their mirror images,' if flips else ''}"
    if gigabytes > limit:
        raise InputError(
            f"{what} take {gigabytes:,.1f} GB of disk, and the limit is {limit:g}. Take a coarser --grid (half the "
            f"places a side is a quarter of it), fewer images, or --grid-limit {math.ceil(gigabytes)}."
        )
    return f"{what} take {gigabytes:,.2f} GB in the cache, and as much again while they are used."


def _room(shape: tuple[int, ...], *, mapped: bool) -> Float16[np.ndarray, "..."]:
    """Return an array to be filled: in memory, or in a file without a name that goes when the array does."""
    if not mapped or not math.prod(shape):
        return np.empty(shape, dtype=np.float16)
    folder = cache_folder() / "features"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            return np.memmap(file, dtype=np.float16, mode="w+", shape=shape)
    except OSError as error:
        raise InputError(
            f"there is no room for maps in {folder} ({error.strerror}). Make room, set LABELBEAM_CACHE to another "
            "folder, or take a coarser --grid."
        ) from error


def readable_features(
    dataset: Dataset, encoder: Encoder, *, flips: bool, device: str | None = None, limit: float = GRID_LIMIT
) -> tuple[Dataset, Float[np.ndarray, "images views features"], list[str]]:
    """Return the features of every image that can be read.

    Args:
        dataset: the images, or vectors in place of them, which are returned as they are.
        encoder: frozen; its features are cached under its weights, its transform and each image's content.
        flips: whether there is a second view, of the mirrored image.
        device: where the encoder runs; None: the best there is (`encoders.encoder`).
        limit: most GB of disk for maps, where the encoder gives them; they are mapped, not held in memory.

    Returns:
        The data set without unreadable images, half-precision [images views row] (vectors as they are), and
        sentences about what was left out.

    Raises:
        InputError: no image at all can be read, the cache cannot be written, vectors that are not the encoder's, or
            maps beyond the limit.
    """
    if dataset.features is not None:
        return dataset, accepted_rows(dataset, encoder)[:][:, None], []
    place = place_on(accelerators())
    encoders = [encoder]
    if flips:
        mirrored = replace(encoder.preprocess, horizontal_flip=not encoder.preprocess.horizontal_flip)
        encoders.append(replace(encoder, preprocess=mirrored))  # type: ignore[type-var]  # every encoder is one
    disk_of_maps(encoder, len(dataset), flips=flips, limit=limit)
    mapped = encoder.map_shape is not None
    values = _room((len(dataset), len(encoders), encoder.row_size), mapped=mapped)
    errors: dict[int, UnreadableImage] = {}
    for number, view in enumerate(encoders):
        with progress_bar(f"features of {dataset.spec}", len(dataset)) as advance:
            found = extract(
                dataset.paths,
                view,
                cache=cache_folder() / "features",
                device=device or place.device,
                batch_size=place.batch_size,
                progress=lambda done, _, advance=advance: advance(1),  # type: ignore[misc]
                on_error="keep",
                out=values[:, number],
            )
        errors |= found.errors
    kept, notes = _without(dataset, errors)
    if not errors:
        return dataset, values, notes
    whole = _room((len(kept), *values.shape[1:]), mapped=mapped)
    for row, old in enumerate(row for row in range(len(dataset)) if row not in errors):
        whole[row] = values[old]
    return kept, whole, notes


def accepted_rows(dataset: Dataset, encoder: Encoder) -> FeatureRows:
    """Return the features that came with a data set, where they are what an encoder's run reads.

    Args:
        dataset: with features in place of pictures.
        encoder: of the run; one that reads pictures takes vectors of as many numbers, on the user's word.

    Raises:
        InputError: features of another number, kind or name.
    """
    if dataset.features is None:
        raise TypeError(f"{dataset.spec} has no features")
    wanted = encoder if isinstance(encoder, GivenFeatures) else GivenFeatures(encoder.row_size)
    return wanted.accept(dataset.features, dataset.spec)


def readable_images(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """Decode every image once, so that one broken file does not end a long training from pixels.

    Args:
        dataset: the images.

    Returns:
        The data set without unreadable images, and sentences about what was left out.

    Raises:
        InputError: no image at all can be read.
    """
    dataset.refuse_without_pictures("training an encoder (--finetune)")
    errors: dict[int, UnreadableImage] = {}
    with (
        progress_bar(f"looking through {dataset.spec}", len(dataset)) as advance,
        ThreadPoolExecutor(max_workers=2) as pool,
    ):
        for row, error in enumerate(pool.map(_problem, dataset.paths)):
            if error is not None:
                errors[row] = error
            advance(1)
    return _without(dataset, errors)


def _problem(path: Path) -> UnreadableImage | None:
    try:
        read_rgb(path, at_least=(1, 1))
    except UnreadableImage as error:
        return error
    return None


def _without(dataset: Dataset, errors: Mapping[int, UnreadableImage]) -> tuple[Dataset, list[str]]:
    """Return the data set without the rows that have an error, and sentences about them."""
    if not errors:
        return dataset, []
    if len(errors) == len(dataset):
        raise InputError(f"{dataset.spec}: no image can be read; the first: {errors[0]}")
    notes = [f"{len(errors)} of {len(dataset)} images of {dataset.spec} cannot be read and are left out:"]
    notes += [f"  {errors[row]}" for row in sorted(errors)[:5]]
    return dataset.subset(row for row in range(len(dataset)) if row not in errors), notes
