"""From a trained torch module to the arrays that answer: the one bridge from `labelbeam.models` to `labelbeam.heads`.

Models train; heads answer. Nothing is shared: a module may be trained on afterwards.
"""

from typing import Any

import numpy as np

from labelbeam.heads import label_scores_torch as any_subset
from labelbeam.heads import label_scores_torch as sigmoid_head
from labelbeam.heads import tree_torch as tree_head
from labelbeam.heads.label_model import LabelModelHead
from labelbeam.heads.label_model_torch import LabelModel
from labelbeam.heads.label_scores import AnySubsetHead, RankingHead, RankingName, SigmoidHead
from labelbeam.heads.label_scores_torch import AsymmetricHead, SoftmaxHead, WarpHead
from labelbeam.heads.nearest_neighbours import NearestNeighbours
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours as RememberedImages
from labelbeam.heads.tree import TreeHead

Trainable = LabelModel | sigmoid_head.LabelScores | RememberedImages
"""What can be trained, and handed over."""

RANKINGS: dict[type[sigmoid_head.LabelScores], RankingName] = {
    SoftmaxHead: "softmax",
    WarpHead: "warp",
    AsymmetricHead: "asymmetric",
}


def arrays_of(module: Trainable) -> dict[str, np.ndarray]:
    """Return copies of a module's arrays by name, as `model.safetensors` has them."""
    return {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}


def trained(
    module: Trainable,
) -> LabelModelHead | SigmoidHead | AnySubsetHead | RankingHead | TreeHead | NearestNeighbours:
    """Return what answers as a module has been trained; a copy.

    Args:
        module: on any device, in any mode.

    Raises:
        TypeError: a module that nothing answers with.
    """
    arrays = arrays_of(module)
    shape: dict[str, Any] = {"scaling": module.scaling.name, "num_labels": module.num_labels}
    if isinstance(module, LabelModel):
        return LabelModelHead(arrays, module.options, **shape)
    if isinstance(module, RememberedImages):
        return NearestNeighbours(arrays, module.options, **shape)
    units = module.options.hidden_size
    if (name := RANKINGS.get(type(module))) is not None:
        return RankingHead(arrays, units, name=name, **shape)
    if isinstance(module, tree_head.TreeHead):
        return TreeHead(arrays, units, **shape)
    if isinstance(module, any_subset.AnySubsetHead):
        return AnySubsetHead(arrays, units, **shape)
    if isinstance(module, sigmoid_head.SigmoidHead):
        return SigmoidHead(arrays, units, **shape)
    raise TypeError(f"nothing answers with a {type(module).__name__}")
