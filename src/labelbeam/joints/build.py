"""The one place that builds heads and answerers from configuration."""

import torch

from labelbeam.answers.answers import Answerer
from labelbeam.answers.of_label_model import LabelModelAnswerer
from labelbeam.answers.of_sigmoid import SigmoidAnswerer
from labelbeam.joints.config import RunConfig
from labelbeam.models.any_subset import AnySubsetHead
from labelbeam.models.feature_scaling import FeatureScaling
from labelbeam.models.label_model import LabelModel
from labelbeam.models.sigmoid_head import SigmoidHead

Head = LabelModel | SigmoidHead


def build_head(config: RunConfig, *, num_labels: int, feature_size: int) -> Head:
    """Build a head with initial values drawn from the configuration's seed.

    The global random state is as before.

    Raises:
        InputError: names that the configuration could not check.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        scaling = FeatureScaling(config.scaling, feature_size)
        if config.head in ("sigmoid", "sigmoid-mlp"):
            return SigmoidHead(num_labels, scaling, config.sigmoid)
        if config.head == "any-subset":
            return AnySubsetHead(num_labels, scaling, config.sigmoid)
        return LabelModel(num_labels, scaling, config.label_model)


def build_answerer(head: Head, config: RunConfig) -> Answerer:
    """Build what answers with a trained head."""
    if isinstance(head, SigmoidHead):
        return SigmoidAnswerer(head)
    return LabelModelAnswerer(head, config.search)
