"""The one place that builds heads and answerers from configuration, by the rows of `heads.registry`.

A head that answers is NumPy arrays; one that is trained is a torch module, imported when it is asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Int8

from labelbeam.decoding.search import Search
from labelbeam.errors import InputError
from labelbeam.heads.chow_liu import ChowLiuTree
from labelbeam.heads.local import Local
from labelbeam.heads.registry import HEADS, Distribution, Head
from labelbeam.labels.rules import Limit, Rules
from labelbeam.predict.answers import Answerer, RankingAnswerer, SigmoidAnswerer, TreeAnswerer
from labelbeam.predict.label_model import LabelModelAnswerer
from labelbeam.predict.under_rules import RuledSigmoidAnswerer
from labelbeam.runs.config import RunConfig, weight_of_unknown

if TYPE_CHECKING:
    from labelbeam.heads.arrays_torch import Trainable
    from labelbeam.heads.label_scores_torch import TreeHead

ANSWERERS: Mapping[Distribution, Callable[[Any, Search], Answerer]] = {
    "sequence": LabelModelAnswerer,
    "tree": TreeAnswerer,
    "independent": lambda head, search: SigmoidAnswerer(head),
    "ranking": lambda head, search: RankingAnswerer(head),
}
"""What answers with a head, by what its numbers are."""

RULED: Mapping[Distribution, Callable[[Any, Search, tuple[Limit, ...]], Answerer]] = {
    "sequence": LabelModelAnswerer,
    "independent": lambda head, search, limits: RuledSigmoidAnswerer(head, limits),
}
"""What answers under rules; other heads cannot be conditioned on them."""


def build_head(config: RunConfig, *, num_labels: int, feature_size: int, channels: int = 0) -> "Trainable":
    """Build a head to be trained, or several as one, with initial values drawn from the seed; needs PyTorch.

    The global random state is as before.

    Args:
        num_labels: how many labels there are.
        feature_size: numbers of the encoder's pooled vector.
        channels: of its map, for local evidence.

    Raises:
        InputError: names that the configuration could not check.
    """
    import torch

    row = HEADS[config.head]
    more: dict[str, Any] = {"shuffle": config.order == "shuffle"} if row.ordered else {}
    if row.local:
        more |= {"local": config.local, "channels": channels}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        parts = [getattr(config, part) for part in row.options]
        heads = [
            row.module_class()(num_labels, feature_size, *parts, scaling=config.scaling, **more)
            for _ in range(config.members)
        ]
    for head in heads if row.weighs else ():
        head.unknown_weight = weight_of_unknown(config, num_labels)
    if len(heads) == 1:
        alone: Trainable = heads[0]
        return alone
    from labelbeam.heads.arrays_torch import Members

    return Members(heads)


def stored_config(config: RunConfig) -> RunConfig:
    """Return the configuration of the head that is stored: members have become one, as wide as all of them."""
    if config.members == 1:
        return config
    from labelbeam.heads.arrays_torch import wider

    part = HEADS[config.head].options[0]
    changes: dict[str, Any] = {part: wider(getattr(config, part), config.members)}
    return replace(config, members=1, **changes)


def start_head(head: "Trainable", targets: Int8[np.ndarray, "images labels"]) -> None:
    """Let a head start from what the training labels alone say: frequencies, the tree."""
    import torch

    if HEADS[head.head_name].distribution == "tree":
        tree = ChowLiuTree.fit(targets)
        cast("TreeHead", head).set_tree(torch.from_numpy(tree.parent), torch.from_numpy(tree.given).float())
    head.start_from(torch.from_numpy(targets.copy()))


def stored_head(
    arrays: Mapping[str, np.ndarray], config: RunConfig, *, num_labels: int, num_features: int | None
) -> Head:
    """Build a trained head from its arrays.

    Args:
        arrays: by name, as training stored them.
        config: what the head was trained with.
        num_features: what the run's encoder gives; None: what the arrays say.

    Raises:
        InputError: arrays that do not fit the configuration or the numbers.
    """
    row = HEADS[config.head]
    more = {"local": config.local} if row.local else {}
    return row.trained(
        arrays,
        getattr(config, row.options[0]),
        scaling=config.scaling,
        num_labels=num_labels,
        num_features=num_features,
        **more,
    )


def trainable_head(head: Head, config: RunConfig) -> "Trainable":
    """Return a trained head as a torch module in evaluation mode, for what needs gradients; needs PyTorch."""
    import torch

    local: Local | None = getattr(head, "local", None)
    channels = 0 if local is None else len(local.weight)
    module = build_head(
        config, num_labels=head.num_labels, feature_size=head.scaling.num_features, channels=channels
    )
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in head.arrays.items()})
    return module.eval()


def build_answerer(head: Head, config: RunConfig, rules: Rules | None = None) -> Answerer:
    """Build what answers with a trained head; `heads.arrays_torch.trained` makes one of a torch module.

    Raises:
        InputError: rules for a head that cannot be conditioned on them.
    """
    distribution = HEADS[config.head].distribution
    if rules is None:
        return ANSWERERS[distribution](head, config.search)
    if distribution not in RULED:
        raise InputError(
            f"rules cannot be kept with the head {config.head!r}: they condition probabilities of label models and of "
            "heads whose labels are independent. Train with --head cnn-rnn or sigmoid, or leave the rules out."
        )
    return RULED[distribution](head, config.search, rules.limits)
