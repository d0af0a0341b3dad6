"""A label model's second opinion for suggestions: an any-subset head, and which of the two is better.

What the run keeps of `joints.suggester_training`, which trains the head and compares the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from labelbeam.errors import unknown_name
from labelbeam.heads.label_scores import AnySubsetHead
from labelbeam.heads.options import SigmoidOptions
from labelbeam.joints.config import HEADS, RunConfig
from labelbeam.joints.mechanisms import ANY_SUBSET, LIKELIHOOD_WEIGHTING


@dataclass(frozen=True)
class Suggester:
    """The second opinion and what was measured.

    Attributes:
        head: told some labels, it predicts the others.
        better: the mechanism with the lower log-loss, which `suggest` asks.
        log_loss: mechanism -> labels accepted ("0", "1", "2") -> nats per image of the labels not told.
        images: held-out images that were asked about.
        seed: of the labels that were told.

    Raises:
        InputError: a mechanism of another name.
    """

    head: AnySubsetHead
    better: str
    log_loss: Mapping[str, Mapping[str, float]]
    images: int
    seed: int

    def __post_init__(self) -> None:
        if self.better not in (LIKELIHOOD_WEIGHTING, ANY_SUBSET):
            raise unknown_name("mechanism", self.better, (LIKELIHOOD_WEIGHTING, ANY_SUBSET))


def suggester_config(config: RunConfig) -> RunConfig:
    """Return the configuration of the any-subset head beside a label model: same data, same recipe."""
    sigmoid = config.sigmoid
    if not sigmoid.hidden_size:
        sigmoid = replace(
            SigmoidOptions(**HEADS[ANY_SUBSET]["sigmoid"]), feature_dropout=sigmoid.feature_dropout
        )
    return replace(config, head=ANY_SUBSET, sigmoid=sigmoid)
