"""Points of a run's labels and images in the space where the model compares them."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from labelbeam.errors import InputError
from labelbeam.features.extract import extract
from labelbeam.joints.run_directory import Run
from labelbeam.models.label_model import LabelModel
from labelbeam.models.sigmoid_head import SigmoidHead


def label_points(run: Run) -> Float[np.ndarray, "labels embedding"]:
    """Return one point per label: rows of U_l, or the weights of a sigmoid head's last layer (a classifier's kNN)."""
    if isinstance(run.head, LabelModel):
        return run.head.U_l[:-1].detach().numpy()
    return run.head.last.weight.detach().numpy()


def image_point(run: Run, image: Path) -> Float[np.ndarray, " embedding"]:
    """Return an image's point h(U_I I), nothing said yet.

    Source:
        Wang et al. 2016, Table 6: the query has no recurrent term.

    Raises:
        InputError: the head is a sigmoid one, which has no joint space, or the image cannot be read.
    """
    if isinstance(run.head, SigmoidHead):
        raise InputError(
            f"--image needs a joint embedding space; the head of this run is {run.config.head!r}."
        )
    features = torch.from_numpy(extract([image], run.encoder).values.astype(np.float32))
    with torch.inference_mode():
        return run.head.h(run.head.image_vectors(features))[0].numpy()
