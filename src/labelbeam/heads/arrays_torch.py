"""From trained torch modules, one or several that answer as one, to the arrays that answer.

Models train; heads answer. Nothing is shared: a module may be trained on afterwards.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int8, Shaped
from torch import Tensor, nn

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.heads.label_model import GATES
from labelbeam.heads.label_model_torch import CNNRNN
from labelbeam.heads.label_scores_torch import LabelScores, SigmoidHead
from labelbeam.heads.nearest_neighbours_torch import NearestNeighbours
from labelbeam.heads.options import LabelModelOptions, SigmoidOptions
from labelbeam.heads.registry import HEADS, Head
from labelbeam.heads.scaling_torch import FeatureScaling


class Members(nn.Module):
    """Heads of one kind and size; in training each learns by itself, in evaluation their mean is judged.

    On small data what a training finds depends on its initial values and its dropout; the mean of a few depends less
    on them. The mean of K label models of one label order is a label model again: joint embeddings side by side,
    matrices in blocks, U_o and U_I divided by K, since h (c x) = c h (x) for c > 0. So nothing that answers, exports
    or explains knows of it.

    Source:
        A product of experts, normalised at each step (Hinton 2002), of members that differ in their random numbers
        alone (Lakshminarayanan et al. 2017, deep ensembles).

    Args:
        heads: at least two label models of one order, or sigmoid heads; their scaling becomes the first one's.
    """

    def __init__(self, heads: Sequence[CNNRNN] | Sequence[SigmoidHead]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.first: list[CNNRNN | SigmoidHead] = [heads[0]]  # a list, so that its arrays are not stored twice
        self._merged: list[CNNRNN | SigmoidHead] = []

    @property
    def head_name(self) -> str:
        """Name of the members' kind."""
        return self.first[0].head_name

    @property
    def scaling(self) -> "_SharedScaling":
        """What is done to features first, by every member."""
        return _SharedScaling([head.scaling for head in self.heads])  # type: ignore[misc]

    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Let every member start from what the labels alone say."""
        for head in self.heads:
            head.start_from(targets)  # type: ignore[operator]

    def forward(
        self, features: Float[Tensor, "batch features"], targets: Shaped[Tensor, "batch labels"]
    ) -> Float[Tensor, " batch"]:
        """Return nats per image: the members' mean in training, those of their mean in evaluation."""
        if self._merged:
            nats: Tensor = self._merged[0](features, targets)
            return nats
        return torch.stack([head(features, targets) for head in self.heads]).mean(dim=0)

    def train(self, mode: bool = True) -> "Members":
        """Go to training, or to evaluation of the members as they are now."""
        super().train(mode)
        self._merged = [] if mode else [self.merged()]
        return self

    @torch.no_grad()
    def merged(self) -> CNNRNN | SigmoidHead:
        """Return the one head that answers as the mean of the members, in evaluation mode; a copy."""
        head, count = self.first[0], len(self.heads)
        one = type(head)(
            head.num_labels,
            head.scaling.feature_size,
            wider(head.options, count),  # type: ignore[arg-type]
            scaling=head.scaling.name,
        )
        states = [member.state_dict() for member in self.heads]
        if isinstance(head.options, LabelModelOptions):
            states[0].pop("order", None)
            one.order, one.shuffle = head.order, head.shuffle
            one.load_state_dict({**states[0], **merged_label_model(states)}, strict=one.order is None)
        else:
            one.unknown_weight = head.unknown_weight
            one.load_state_dict({**states[0], **merged_scores(states)})
        return one.to(next(head.parameters()).device).eval()


class _SharedScaling:
    """The scalings of members, as one."""

    def __init__(self, scalings: Sequence[FeatureScaling]) -> None:
        self._scalings = scalings
        self.name, self.feature_size = scalings[0].name, scalings[0].feature_size

    def fit(self, features: Float[np.ndarray, "images features"] | FeatureRows) -> None:
        """Fit the first one, and give the others what it found."""
        first, *others = self._scalings
        first.fit(features)
        for other in others:
            other.load_state_dict(first.state_dict())


def wider(options: LabelModelOptions | SigmoidOptions, count: int) -> LabelModelOptions | SigmoidOptions:
    """Return the sizes of the head that so many members become.

    Example:
        >>> wider(SigmoidOptions(hidden_size=512), 3).hidden_size
        1536
    """
    if isinstance(options, SigmoidOptions):
        return replace(options, hidden_size=count * options.hidden_size)
    return replace(
        options,
        embedding_size=count * options.embedding_size,
        hidden_size=count * options.hidden_size,
        image_hidden_size=count * options.image_hidden_size,
    )


def merged_label_model(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the arrays of the mean of label models, by those that the members have."""
    count = len(states)

    def all_of(name: str) -> list[Tensor]:
        return [state[name] for state in states]

    merged = {name: torch.cat(all_of(name), dim=1) for name in ("U_l", "start")}
    merged["U_o.weight"] = torch.block_diag(*all_of("U_o.weight")) / count
    hidden = "before_U_I.1.weight" in states[0]
    projections = all_of("U_I.weight")
    merged["U_I.weight"] = (torch.block_diag(*projections) if hidden else torch.cat(projections)) / count
    if hidden:
        for name in ("before_U_I.1.weight", "before_U_I.1.bias"):
            merged[name] = torch.cat(all_of(name))
    for name in ("cell.from_state.weight", "cell.from_label.weight"):
        if name in states[0]:  # [gates * hidden, …]: a block for each gate
            gates = zip(*(weight.chunk(GATES) for weight in all_of(name)), strict=True)
            merged[name] = torch.cat([torch.block_diag(*gate) for gate in gates])
    if "cell.from_label.bias" in states[0]:
        gates = zip(*(bias.chunk(GATES) for bias in all_of("cell.from_label.bias")), strict=True)
        merged["cell.from_label.bias"] = torch.cat([torch.cat(gate) for gate in gates])
    if "per_label.weight" in states[0]:
        weights = all_of("per_label.weight")
        merged["per_label.weight"] = (
            torch.cat(weights, dim=1) / count if hidden else torch.stack(weights).mean(dim=0)
        )
        merged["per_label.bias"] = torch.stack(all_of("per_label.bias")).mean(dim=0)
    return merged


def merged_scores(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the arrays of the mean of heads with one number a label, by those that the members have."""
    last = [state["last.weight"] for state in states]
    merged = {"last.bias": torch.stack([state["last.bias"] for state in states]).mean(dim=0)}
    if "before.1.weight" not in states[0]:
        return merged | {"last.weight": torch.stack(last).mean(dim=0)}
    for name in ("before.1.weight", "before.1.bias"):
        merged[name] = torch.cat([state[name] for state in states])
    return merged | {"last.weight": torch.cat(last, dim=1) / len(states)}


Trainable = CNNRNN | LabelScores | NearestNeighbours | Members
"""What can be trained, and handed over."""


def arrays_of(module: CNNRNN | LabelScores | NearestNeighbours) -> dict[str, np.ndarray]:
    """Return copies of a module's arrays by name, as `model.safetensors` has them.

    A label model's rows are in label order already, so an order of columns is not among them.
    """
    state = {name: value.detach().cpu().numpy().copy() for name, value in module.state_dict().items()}
    state.pop("order", None)
    return state


def trained(module: Trainable) -> Head:
    """Return what answers as a module has been trained; a copy.

    Args:
        module: on any device, in any mode; members become one head.
    """
    if isinstance(module, Members):
        module = module.merged()
    row = HEADS[module.head_name]
    local = getattr(module, "local", None)
    more = {} if local is None else {"local": local.options}
    return row.trained(
        arrays_of(module), module.options, scaling=module.scaling.name, num_labels=module.num_labels, **more
    )
