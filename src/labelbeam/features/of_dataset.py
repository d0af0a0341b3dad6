"""Images of a data set, or their features through the cache; unreadable images are left out and reported."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from labelbeam.data.dataset import Dataset
from labelbeam.data.feature_rows import FeatureRows
from labelbeam.data.images import UnreadableImage, read_rgb
from labelbeam.encoders.encoder import Encoder, accelerators, place_on
from labelbeam.encoders.given_features import GivenFeatures
from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.files import cache_folder
from labelbeam.progress import progress_bar


def readable_features(
    dataset: Dataset, encoder: Encoder, *, flips: bool, device: str | None = None
) -> tuple[Dataset, Float[np.ndarray, "images views features"], list[str]]:
    """Return the features of every image that can be read.

    Args:
        dataset: the images, or vectors in place of them, which are returned as they are.
        encoder: frozen; its features are cached under its weights, its transform and each image's content.
        flips: whether there is a second view, of the mirrored image.
        device: where the encoder runs; None: the best there is (`encoders.encoder`).

    Returns:
        The data set without unreadable images, half-precision [images views features] (vectors as they are), and
        sentences about what was left out.

    Raises:
        InputError: no image at all can be read, the cache cannot be written, or vectors that are not the encoder's.
    """
    if dataset.features is not None:
        return dataset, accepted_rows(dataset, encoder)[:][:, None], []
    place = place_on(accelerators())
    encoders = [encoder]
    if flips:
        mirrored = replace(encoder.preprocess, horizontal_flip=not encoder.preprocess.horizontal_flip)
        encoders.append(replace(encoder, preprocess=mirrored))  # type: ignore[type-var]  # every encoder is one
    views = []
    for view in encoders:
        with progress_bar(f"features of {dataset.spec}", len(dataset)) as advance:
            views.append(
                extract(
                    dataset.paths,
                    view,
                    cache=cache_folder() / "features",
                    device=device or place.device,
                    batch_size=place.batch_size,
                    progress=lambda done, _, advance=advance: advance(1),  # type: ignore[misc]
                    on_error="keep",
                )
            )
    errors = {row: error for view in views for row, error in view.errors.items()}
    kept, notes = _without(dataset, errors)
    values = np.stack([view.values for view in views], axis=1)
    return kept, np.delete(values, list(errors), axis=0) if errors else values, notes


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
    wanted = encoder if isinstance(encoder, GivenFeatures) else GivenFeatures(encoder.num_features)
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
