"""The one place that builds heads and answerers from configuration.

A head that answers is NumPy arrays; one that is trained is a torch module, imported when it is asked for.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from jaxtyping import Int8

from labelbeam.heads.chow_liu import ChowLiuTree
from labelbeam.heads.label_model import LabelModelHead
from labelbeam.heads.label_scores import (
    AnySubsetHead,
    LabelScores,
    RankingHead,
    RankingName,
    SigmoidHead,
)
from labelbeam.heads.nearest_neighbours import NearestNeighbours
from labelbeam.heads.tree import TreeHead
from labelbeam.predict.answers import Answerer, RankingAnswerer, SigmoidAnswerer, TreeAnswerer
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.runs.config import RunConfig

if TYPE_CHECKING:
    from labelbeam.heads.arrays_torch import Trainable

Head = LabelModelHead | LabelScores | NearestNeighbours
"""A trained head that answers."""


def build_head(config: RunConfig, *, num_labels: int, feature_size: int) -> "Trainable":
    """Build a head to be trained, with initial values drawn from the configuration's seed; needs PyTorch.

    The global random state is as before.

    Raises:
        InputError: names that the configuration could not check.
    """
    import torch

    from labelbeam.heads.label_model_torch import LabelModel
    from labelbeam.heads.label_scores_torch import (
        AnySubsetHead,
        AsymmetricHead,
        SigmoidHead,
        SoftmaxHead,
        WarpHead,
    )
    from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours
    from labelbeam.heads.scaling_torch import FeatureScaling
    from labelbeam.heads.tree_torch import TreeHead

    # Heads that are a sigmoid head's network with another meaning or loss, and no option of their own.
    networks = {
        "sigmoid": SigmoidHead,
        "sigmoid-mlp": SigmoidHead,
        "any-subset": AnySubsetHead,
        "softmax": SoftmaxHead,
        "warp": WarpHead,
        "chow-liu": TreeHead,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        scaling = FeatureScaling(config.scaling, feature_size)
        if (network := networks.get(config.head)) is not None:
            return network(num_labels, scaling, config.sigmoid)
        if config.head == "asymmetric":
            return AsymmetricHead(num_labels, scaling, config.sigmoid, config.asymmetric)
        if config.head == "knn":
            return NearestNeighbours(num_labels, scaling, config.neighbours)
        return LabelModel(num_labels, scaling, config.label_model, shuffle=config.order == "shuffle")


def start_head(head: "Trainable", targets: Int8[np.ndarray, "images labels"]) -> None:
    """Let a head start from what the training labels alone say: frequencies, the tree."""
    import torch

    from labelbeam.heads.label_scores_torch import LabelScores
    from labelbeam.heads.tree_torch import TreeHead

    if isinstance(head, TreeHead):
        tree = ChowLiuTree.fit(targets)
        head.set_tree(torch.from_numpy(tree.parent), torch.from_numpy(tree.given).float())
    elif isinstance(head, LabelScores):
        head.start_from(torch.from_numpy(targets.copy()))


def stored_head(
    arrays: Mapping[str, np.ndarray], config: RunConfig, *, num_labels: int, num_features: int | None
) -> Head:
    """Build a trained head from its arrays.

    Args:
        arrays: by name, as training stored them.
        config: what the head was trained with.
        num_labels: of the run.
        num_features: what the run's encoder gives; None: what the arrays say.

    Raises:
        InputError: arrays that do not fit the configuration or the numbers.
    """
    shape: dict[str, Any] = {
        "scaling": config.scaling,
        "num_labels": num_labels,
        "num_features": num_features,
    }
    if config.head in ("cnn-rnn", "no-rnn"):
        return LabelModelHead(arrays, config.label_model, **shape)
    if config.head == "knn":
        return NearestNeighbours(arrays, config.neighbours, **shape)
    for name in get_args(RankingName):
        if config.head == name:
            return RankingHead(arrays, config.sigmoid.hidden_size, name=name, **shape)
    networks = {"any-subset": AnySubsetHead, "chow-liu": TreeHead}
    return networks.get(config.head, SigmoidHead)(arrays, config.sigmoid.hidden_size, **shape)


def trainable_head(head: Head, config: RunConfig) -> "Trainable":
    """Return a trained head as a torch module in evaluation mode, for what needs gradients; needs PyTorch."""
    import torch

    module = build_head(config, num_labels=head.num_labels, feature_size=head.scaling.num_features)
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in head.arrays.items()})
    return module.eval()


def build_answerer(head: "Head | Trainable", config: RunConfig) -> Answerer:
    """Build what answers with a head; a torch module hands over its arrays as they are now."""
    if not isinstance(head, Head):
        from labelbeam.heads.arrays_torch import trained

        return build_answerer(trained(head), config)
    if isinstance(head, TreeHead):
        return TreeAnswerer(head, config.search)
    if isinstance(head, RankingHead):
        return RankingAnswerer(head)
    if isinstance(head, (SigmoidHead, NearestNeighbours)):
        return SigmoidAnswerer(head)
    if not isinstance(head, LabelModelHead):
        raise TypeError(f"nothing answers with a {type(head).__name__}")
    return LabelModelAnswerer(head, config.search)
