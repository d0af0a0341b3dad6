"""Features of a data set through the cache; unreadable images are left out and told."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float16

from labelbeam.data.cache_folder import cache_folder
from labelbeam.data.dataset import Dataset
from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.joints.progress import progress_bar


def readable_features(
    dataset: Dataset, encoder: ImageEncoder, *, flips: bool, device: str = "cpu"
) -> tuple[Dataset, Float16[np.ndarray, "images views features"], list[str]]:
    """Return the features of every image that can be read.

    Args:
        dataset: the images.
        encoder: frozen; its features are cached under its weights, its transform and each image's content.
        flips: whether there is a second view, of the mirrored image.
        device: where the encoder runs.

    Returns:
        The data set without unreadable images, float16 [images views features], and sentences about what
        was left out.

    Raises:
        InputError: no image at all can be read, or the cache cannot be written.
    """
    encoders = [encoder]
    if flips:
        mirrored = replace(encoder.preprocess, horizontal_flip=not encoder.preprocess.horizontal_flip)
        encoders.append(replace(encoder, preprocess=mirrored))
    views = []
    for view in encoders:
        with progress_bar(f"features of {dataset.spec}", len(dataset)) as advance:
            views.append(
                extract(
                    dataset.paths,
                    view,
                    cache=cache_folder() / "features",
                    device=device,
                    progress=lambda done, _, advance=advance: advance(1),  # type: ignore[misc]
                    on_error="keep",
                )
            )
    readable = np.logical_and.reduce([view.readable for view in views])
    if not readable.any():
        raise InputError(f"{dataset.spec}: no image can be read; the first: {views[0].errors[0]}")
    values = np.stack([view.values for view in views], axis=1)
    if readable.all():
        return dataset, values, []
    errors = {row: error for view in views for row, error in view.errors.items()}
    notes = [f"{len(errors)} of {len(dataset)} images of {dataset.spec} cannot be read and are left out:"]
    notes += [f"  {errors[row]}" for row in sorted(errors)[:5]]
    return dataset.subset(np.flatnonzero(readable)), values[readable], notes
