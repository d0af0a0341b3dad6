"""The one place that builds heads and answerers from configuration."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int8

from labelbeam.answers.answers import Answerer
from labelbeam.answers.of_label_model import LabelModelAnswerer
from labelbeam.answers.of_ranking import RankingAnswerer
from labelbeam.answers.of_sigmoid import SigmoidAnswerer
from labelbeam.answers.of_tree import TreeAnswerer
from labelbeam.joints.config import RunConfig
from labelbeam.models.any_subset import AnySubsetHead
from labelbeam.models.asymmetric_head import AsymmetricHead
from labelbeam.models.feature_scaling import FeatureScaling
from labelbeam.models.label_model import LabelModel
from labelbeam.models.nearest_neighbours import NearestNeighbours
from labelbeam.models.ranking_head import RankingHead
from labelbeam.models.sigmoid_head import LabelScores, SigmoidHead
from labelbeam.models.softmax_head import SoftmaxHead
from labelbeam.models.tree_head import TreeHead
from labelbeam.models.warp_head import WarpHead
from labelbeam.rivals.chow_liu import ChowLiuTree

Head = LabelModel | LabelScores | NearestNeighbours


def build_head(config: RunConfig, *, num_labels: int, feature_size: int) -> Head:
    """Build a head with initial values drawn from the configuration's seed.

    The global random state is as before.

    Raises:
        InputError: names that the configuration could not check.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        scaling = FeatureScaling(config.scaling, feature_size)
        if (network := OF_LABEL_SCORES.get(config.head)) is not None:
            return network(num_labels, scaling, config.sigmoid)
        if config.head == "asymmetric":
            return AsymmetricHead(num_labels, scaling, config.sigmoid, config.asymmetric)
        if config.head == "knn":
            return NearestNeighbours(num_labels, scaling, config.neighbours)
        return LabelModel(num_labels, scaling, config.label_model, shuffle=config.order == "shuffle")


OF_LABEL_SCORES: Mapping[str, type[LabelScores]] = {
    "sigmoid": SigmoidHead,
    "sigmoid-mlp": SigmoidHead,
    "any-subset": AnySubsetHead,
    "softmax": SoftmaxHead,
    "warp": WarpHead,
    "chow-liu": TreeHead,
}
"""Heads that are a sigmoid head's network with another meaning or loss, and no option of their own."""


def start_head(head: Head, targets: Int8[np.ndarray, "images labels"]) -> None:
    """Let a head start from what the training labels alone say: frequencies, the tree."""
    if isinstance(head, TreeHead):
        tree = ChowLiuTree.fit(targets)
        head.set_tree(torch.from_numpy(tree.parent), torch.from_numpy(tree.given).float())
    elif isinstance(head, LabelScores):
        head.start_from(torch.from_numpy(targets.copy()))


def build_answerer(head: Head, config: RunConfig) -> Answerer:
    """Build what answers with a trained head."""
    if isinstance(head, TreeHead):
        return TreeAnswerer(head, config.search)
    if isinstance(head, RankingHead):
        return RankingAnswerer(head)
    if isinstance(head, (SigmoidHead, NearestNeighbours)):
        return SigmoidAnswerer(head)
    if not isinstance(head, LabelModel):
        raise TypeError(f"nothing answers with a {type(head).__name__}")
    return LabelModelAnswerer(head, config.search)
