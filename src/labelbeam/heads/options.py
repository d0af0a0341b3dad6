"""What a head is: the choices that decide its shape, its meaning and its training; the same trained or to be trained.

Plain values that validate themselves. Torch modules are trained by them, arrays answer by them; a
configuration holds them. Knows no array.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from labelbeam.errors import InputError, unknown_name

ScalingName = Literal["standardize", "common", "l2", "none"]
"""`standardize` (default): zero mean and unit variance per feature; `common`: zero mean, and one deviation for all
features, for rare 0/1 features, which their own would blow up; one learning rate then serves every
encoder. `l2`: unit length. `none`: as the encoder gives them (the paper says nothing of scaling)."""

CellName = Literal["lstm", "paper", "paper-gated", "none"]
"""`lstm`: the textbook LSTM (default: it trains without care, and every re-implementation used it).
`paper`: eq. 1 as printed, ReLU for candidate and gates alike, recurrence on the cell state r.
`paper-gated`: eq. 1 with sigmoid gates and a ReLU candidate, the likeliest meaning of the print.
`none`: no recurrence; o(t) is the sum of the embeddings so far (the paper's "No RNN", Table 3)."""

Allowed = Literal["canonical", "no-repeat", "paper"]
"""Which outcomes the softmax runs over, in training as in decoding (docs/architecture.md).
`canonical` (default): only labels after the last one, and END; a set has exactly one path.
`no-repeat`: labels not emitted yet, and END; for orders that are not fixed. `paper`: all, repeats too
(Section 3 forbids none)."""

Loss = Literal["sequence", "mla", "pla", "remaining-set"]
"""What training lowers. `sequence` (default): -log p of the labels in the run's label order (the paper's).
`mla`, `pla`: of an order aligned with the model's own path; `remaining-set`: at every step any label not emitted
yet, alike (`heads.order_free_torch`). The last three need `no-repeat` and run the cell once per image and step,
instead of once per distinct prefix."""

EmptySet = Literal["taught", "independent"]
"""How p(empty set | image) is known. `taught` (default): END may come first, as it did in training. `independent`, for
training images of which none is empty: a probability of its own, that of every label being absent if labels were
independent given the image (`per_label`'s numbers), shifted to the share of empty images, in training or stated by a
user (`heads.label_model`)."""

WEIGHTINGS = ("equal", "cosine")


@dataclass(frozen=True)
class LabelModelOptions:
    """The choices the paper leaves open, each with its default and the reason for it.

    Raises:
        InputError: a name or number outside what is allowed.
    """

    embedding_size: int = 64
    """Numbers in a label embedding and in the joint embedding (the paper's 64)."""
    hidden_size: int = 512
    """LSTM units (the paper's 512)."""
    cell: str = "lstm"
    """`lstm`, `paper`, `paper-gated` or `none`; see `CellName`. Default lstm: the printed
    equation has unbounded gates and trains only with care."""
    cell_bias: bool = True
    """Biases in the gates, the forget gate's starting at 1. The paper prints none;
    without them a START of 0 stays 0."""
    activation: str = "identity"
    """h of eq. (4), `identity` or `relu`; the paper does not say. Identity makes scores additive in image and
    prefix, which the searches exploit, and measured no worse."""
    start: str = "learned"
    """What the cell reads first: a `learned` vector, or `zero`. The paper does not say."""
    allowed: str = "canonical"
    """`canonical`, `no-repeat` or `paper`; see `Allowed`."""
    loss: str = "sequence"
    """`sequence`, `mla`, `pla` or `remaining-set`; see `Loss`."""
    projection_dropout: float = 0.0
    """Chance of dropping each number of U_o o(t) and of U_I I, drawn per image and step."""
    feature_dropout: float = 0.0
    """Chance of dropping each feature before U_I."""
    image_hidden_size: int = 0
    """Units of a hidden ReLU layer before U_I; 0 for the paper's linear projection. With it, what the image
    says is no longer linear in its features; it stays `embedding_size` numbers."""
    image_hidden_dropout: float = 0.0
    """Chance of dropping each of those units."""
    nothing: str = "taught"
    """`taught` or `independent`; see `EmptySet`. Training chooses it by the data unless a user does."""
    per_label: float = 0.0
    """Weight of each label's own cross-entropy beside the sequence's loss. Above 0 the image row is the paper's U_l^T
    U_I I plus the logits z of labels that are independent given the image (`heads.label_model`); 0: the paper's."""
    per_label_detached: bool = False
    """Whether that cross-entropy alone teaches z, so that the sequences learn what it leaves; else both do."""

    @property
    def scores_labels(self) -> bool:
        """Whether the model has a logit of each label by itself, for the image row or for the empty set."""
        return self.per_label > 0 or self.nothing == "independent"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("cell", get_args(CellName)),
            ("activation", ("identity", "relu")),
            ("start", ("learned", "zero")),
            ("allowed", get_args(Allowed)),
            ("loss", get_args(Loss)),
            ("nothing", get_args(EmptySet)),
        ):
            if getattr(self, name) not in allowed:
                raise unknown_name(name, getattr(self, name), allowed)
        for name in ("projection_dropout", "feature_dropout", "image_hidden_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1.")
        if not 0 <= self.per_label < float("inf"):
            raise InputError(
                f"per_label is {self.per_label}; it must be 0 (no such term) or a weight, such as 1."
            )
        if self.loss != "sequence" and self.allowed != "no-repeat":
            raise InputError(
                f"the loss {self.loss!r} has no fixed order, which the allowed outcomes {self.allowed!r} do not fit. "
                "Give --set label_model.allowed=no-repeat, before --set label_model.loss."
            )
        if self.nothing == "independent" and self.loss != "sequence":
            raise InputError(
                f"the loss {self.loss!r} teaches END itself, so the empty set has no probability of its own. Give "
                "--set label_model.nothing=taught."
            )
        if self.embedding_size < 1 or self.hidden_size < 1 or self.image_hidden_size < 0:
            raise InputError(
                "embedding_size and hidden_size must be at least 1, image_hidden_size at least 0."
            )


@dataclass(frozen=True)
class SigmoidOptions:
    """Shape of a sigmoid head.

    Raises:
        InputError: a negative size or a dropout outside [0, 1).
    """

    hidden_size: int = 0
    """Units of the hidden ReLU layer; 0 for a linear head."""
    feature_dropout: float = 0.0
    """Chance of dropping each feature."""
    hidden_dropout: float = 0.0
    """Chance of dropping each hidden unit."""

    def __post_init__(self) -> None:
        if self.hidden_size < 0:
            raise InputError(f"hidden_size is {self.hidden_size}; give 0 (linear) or a number of units.")
        for name in ("feature_dropout", "hidden_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1.")


NEEDS_PER_LABEL = (
    "local evidence enters a label model as a number per label, so it needs label_model.per_label above 0. Leave "
    "--set label_model.per_label=0 out."
)

LOCAL = ("none", "csra", "log-sum-exp", "query-attention")
"""How the places of the encoder's last map are pooled into one score per label; each has a file in `heads`."""


@dataclass(frozen=True)
class LocalOptions:
    """Local evidence: what each place of the encoder's last map says of each label, beside the pooled vector.

    Raises:
        InputError: a name or number outside what is allowed.
    """

    name: str = "none"
    """`none`, `csra` (class-specific residual attention), `log-sum-exp` or `query-attention`."""
    weight: float = 1.0
    """Of the strongest places beside the average of all, for `csra`."""
    temperature: float = 3.0
    """How much the strongest places count above others: near 0 all alike, large the strongest alone."""
    dropout: float = 0.5
    """Chance of dropping each channel of an image's map."""

    def __post_init__(self) -> None:
        if self.name not in LOCAL:
            raise unknown_name("local evidence", self.name, LOCAL)
        if not 0 <= self.dropout < 1:
            raise InputError(f"local.dropout is {self.dropout}; it must be at least 0 and below 1.")
        if not self.weight >= 0 or not self.temperature > 0:
            raise InputError(
                f"local.weight must be at least 0 and local.temperature above 0, given {self.weight} and "
                f"{self.temperature}."
            )


@dataclass(frozen=True)
class AsymmetricOptions:
    """The loss's three numbers; the defaults are those that its authors use for COCO.

    Raises:
        InputError: a negative number, or a margin that is not below 1.
    """

    gamma_positive: float = 0.0
    """Focusing of present labels."""
    gamma_negative: float = 4.0
    """Focusing of absent labels."""
    margin: float = 0.05
    """Absent labels of at most this probability do not count."""

    def __post_init__(self) -> None:
        for name in ("gamma_positive", "gamma_negative", "margin"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must not be negative.")
        if not self.margin < 1:
            raise InputError(f"the margin is {self.margin}; it must be below 1, such as 0.05.")


@dataclass(frozen=True)
class NeighbourOptions:
    """Choices of the nearest-neighbour head.

    Raises:
        InputError: a number or name outside what is allowed.
    """

    neighbours: int = 20
    """k; with fewer training images, all of them."""
    weighting: str = "cosine"
    """`equal`: each neighbour counts 1. `cosine`: by its cosine, at least 0."""
    smoothing: float = 1.0
    """s: imagined neighbours in which labels are as frequent as in training; above 0, so that no label is
    impossible."""

    def __post_init__(self) -> None:
        if self.weighting not in WEIGHTINGS:
            raise unknown_name("weighting", self.weighting, WEIGHTINGS)
        if self.neighbours < 1:
            raise InputError(f"neighbours is {self.neighbours}; it must be at least 1.")
        if not 0 < self.smoothing < float("inf"):
            raise InputError(f"smoothing is {self.smoothing}; it must be above 0, such as 1.")
