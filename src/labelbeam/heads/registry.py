"""Every head in one row: its options, its two forms, and what it can do. A new head is two files and a row here.

A head is trained as a PyTorch module (named here, imported when a training asks for it) and answers as NumPy arrays.
Whoever needs to know what a head can do asks its row, never its class; an option that a head cannot use is refused by
`require`, with the reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any, Literal

from labelbeam.errors import InputError, unknown_name
from labelbeam.heads.label_model import TrainedLabelModel
from labelbeam.heads.label_scores import (
    TrainedAnySubset,
    TrainedRanking,
    TrainedScores,
    TrainedSigmoid,
    TrainedTree,
)
from labelbeam.heads.nearest_neighbours import TrainedNeighbours
from labelbeam.heads.new_label import OF_ANY_SUBSET, OF_LABEL_MODEL, OF_SIGMOID, NewLabel

Head = TrainedLabelModel | TrainedScores | TrainedNeighbours
"""A trained head that answers."""

Distribution = Literal["sequence", "independent", "tree", "ranking"]
"""What a head's numbers are. `sequence`: p(next label), searched for sets. `independent`: p(label), each by itself.
`tree`: p(set) on a tree of labels, exact without a search. `ranking`: only which label comes first."""

Capability = Literal[
    "searches", "probabilities", "extends", "explains", "label_points", "learns", "ordered", "weighs", "local"
]


@dataclass(frozen=True)
class HeadRow:
    """What there is to know of a head.

    Attributes:
        about: what it is, in a few words.
        module: `package.module:class` of the PyTorch module.
        trained: builds what answers, from arrays, options and sizes.
        options: parts of a run's configuration that the module is built with, in its order.
        distribution: what its numbers are.
        reads: other parts of the configuration that it uses.
        differences: of its configuration from the defaults.
        new_label: how it gets one more label without being trained anew; None: it cannot.
        explains: whether pictures can show what in an image speaks for a label.
        label_points: whether it has a point per label, so that labels have neighbours.
        learns: whether it is trained step by step; one that is not takes no recipe and trains no encoder.
        weighs: whether its loss can count an unknown label as absent with a small weight.
        local: whether places of the encoder's map can add to its scores.
        conditions: whether it takes accepted and rejected labels as input.
        decoder: how the decoder of an export reads it: "label-model", "sigmoid", or "other" (it does not).
    """

    about: str
    module: str
    trained: Callable[..., Head]
    options: tuple[str, ...]
    distribution: Distribution
    reads: tuple[str, ...] = ()
    differences: Mapping[str, Any] = field(default_factory=dict)
    new_label: NewLabel | None = None
    explains: bool = False
    label_points: bool = True
    learns: bool = True
    weighs: bool = False
    local: bool = False
    conditions: bool = False
    decoder: Literal["label-model", "sigmoid", "other"] = "other"

    @property
    def searches(self) -> bool:
        """Whether it says labels one after the other, so that sets are searched for."""
        return self.distribution == "sequence"

    @property
    def ordered(self) -> bool:
        """Whether the order in which labels are predicted matters to it."""
        return self.searches

    @property
    def probabilities(self) -> bool:
        """Whether its numbers are probabilities before any calibration."""
        return self.distribution != "ranking"

    @property
    def extends(self) -> bool:
        """Whether it can be given one more label without being trained anew."""
        return self.new_label is not None

    def module_class(self) -> Any:
        """Return the PyTorch module's class; imports PyTorch."""
        name, _, cls = self.module.partition(":")
        return getattr(import_module(name), cls)


_MLP = {"sigmoid": {"hidden_size": 512, "hidden_dropout": 0.5}}
_SEQUENCE: dict[str, Any] = {
    "module": "labelbeam.heads.label_model_torch:CNNRNN",
    "trained": TrainedLabelModel,
    "options": ("label_model",),
    "distribution": "sequence",
    "local": True,
    "reads": ("sigmoid", "local"),  # the first of the any-subset head beside it, for suggestions
    "new_label": OF_LABEL_MODEL,
    "explains": True,
    "decoder": "label-model",
    "weighs": True,
}
_SIGMOID: dict[str, Any] = {
    "module": "labelbeam.heads.label_scores_torch:SigmoidHead",
    "trained": TrainedSigmoid,
    "options": ("sigmoid",),
    "distribution": "independent",
    "new_label": OF_SIGMOID,
    "explains": True,
    "decoder": "sigmoid",
}

_LOCAL: dict[str, Any] = {"local": True, "reads": ("local",)}

HEADS: Mapping[str, HeadRow] = {
    "cnn-rnn": HeadRow("the paper's model: labels predicted one after the other", **_SEQUENCE),
    "no-rnn": HeadRow(
        "the same without recurrence: the sum of the label embeddings",
        **_SEQUENCE,
        differences={"label_model": {"cell": "none"}},
    ),
    "sigmoid": HeadRow("a sigmoid per label, linear in the features", **_SIGMOID, **_LOCAL, weighs=True),
    "sigmoid-mlp": HeadRow(
        "a sigmoid per label after a hidden layer", **_SIGMOID, **_LOCAL, differences=_MLP, weighs=True
    ),
    "any-subset": HeadRow(
        "a sigmoid per label that reads which other labels are accepted or rejected",
        **_SIGMOID
        | {
            "module": "labelbeam.heads.label_scores_torch:AnySubsetHead",
            "trained": TrainedAnySubset,
            "new_label": OF_ANY_SUBSET,
        },
        differences=_MLP,
        conditions=True,
    ),
    "softmax": HeadRow(
        "one softmax over the labels, which ranks them",
        "labelbeam.heads.label_scores_torch:SoftmaxHead",
        partial(TrainedRanking, name="softmax"),
        ("sigmoid",),
        "ranking",
    ),
    "warp": HeadRow(
        "a ranking by the WARP loss",
        "labelbeam.heads.label_scores_torch:WarpHead",
        partial(TrainedRanking, name="warp"),
        ("sigmoid",),
        "ranking",
    ),
    "asymmetric": HeadRow(
        "a sigmoid per label under the asymmetric loss, whose scores rank",
        "labelbeam.heads.label_scores_torch:AsymmetricHead",
        partial(TrainedRanking, name="asymmetric"),
        ("sigmoid", "asymmetric"),
        "ranking",
    ),
    "chow-liu": HeadRow(
        "a network on top of a tree of labels",
        "labelbeam.heads.label_scores_torch:TreeHead",
        TrainedTree,
        ("sigmoid",),
        "tree",
    ),
    "knn": HeadRow(
        "the labels of the training images most alike",
        "labelbeam.heads.nearest_neighbours_torch:NearestNeighbours",
        TrainedNeighbours,
        ("neighbours",),
        "independent",
        label_points=False,
        learns=False,
    ),
}
"""The heads by name: the paper's model and its variant (Table 3), sigmoid heads, and those of research/rivals.md."""

_WITHOUT: Mapping[Capability, str] = {
    "searches": "says no labels one after the other, so there is nothing to search",
    "ordered": "says no labels one after the other, so their order has no meaning",
    "probabilities": "only ranks labels: its scores are no probabilities",
    "extends": "cannot be given a label without training it anew",
    "explains": "has no gradient that a picture could show",
    "label_points": "compares images, not labels: it has no point per label",
    "local": "does not look at places of the picture",
    "weighs": "cannot count a missing tag as absent with a small weight",
    "learns": "learns nothing: it remembers the training images",
}


def row_of(head: str) -> HeadRow:
    """Return a head's row.

    Raises:
        InputError: an unknown name; the nearest is proposed.
    """
    if head not in HEADS:
        raise unknown_name("head", head, HEADS)
    return HEADS[head]


def heads_that(capability: Capability) -> tuple[str, ...]:
    """Return the names of the heads that have a capability.

    Example:
        >>> heads_that("searches")
        ('cnn-rnn', 'no-rnn')
    """
    return tuple(name for name, row in HEADS.items() if getattr(row, capability))


def require(head: str, capability: Capability, asked: str) -> None:
    """Refuse what a head cannot do.

    Args:
        asked: what the user asked for, such as `--beam 5`.

    Raises:
        InputError: the head has not got it; the message says why, and which heads have.

    Example:
        >>> require("knn", "label_points", "neighbors")
        Traceback (most recent call last):
        ...
        labelbeam.errors.InputError: neighbors: the head 'knn' compares images, not labels: it has no point per label. \
Leave it out, or train with --head cnn-rnn, no-rnn, sigmoid, sigmoid-mlp, any-subset, softmax, warp, asymmetric or \
chow-liu.
    """
    if getattr(row_of(head), capability):
        return
    *others, last = heads_that(capability)
    able = f"{', '.join(others)} or {last}" if others else last
    raise InputError(
        f"{asked}: the head {head!r} {_WITHOUT[capability]}. Leave it out, or train with --head {able}."
    )
