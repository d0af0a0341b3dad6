"""The label model of CNN-RNN: which label comes next, given an image and the labels said so far.

Takes features (not pixels) and label sequences; returns logits or the loss. Searches are elsewhere
(`decoding`), and see this model only through `models.label_step`.

Equations, Wang et al. 2016, Section 3 (K labels, I the image's features, t the position):
    w_k = U_l e_k                          label embedding                         (2)
    o(t), r(t) = cell(r(t-1), w_k(t))      recurrence over the labels said so far  (3)
    x_t = h(U_o^x o(t) + U_I^x I)          joint embedding; the image joins here, at every step   (4)
    s(t) = U_l^T x_t                       scores, with the same U_l               (5)
    p(t) = softmax(s(t)) over the allowed labels and END
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int, Int8
from torch import Tensor, nn

from labelbeam.errors import InputError, unknown_name
from labelbeam.labels.sequences import PAD, distinct_prefixes, sequences_of
from labelbeam.labels.targets import PRESENT, UNKNOWN
from labelbeam.models.cells import CellName, build_cell
from labelbeam.models.feature_scaling import FeatureScaling
from labelbeam.models.order_free import aligned_nats, remaining_set_nats

Allowed = Literal["canonical", "no-repeat", "paper"]
"""Which outcomes the softmax runs over, in training as in decoding (docs/architecture.md).
`canonical` (default): only labels after the last one said, and END; a set has exactly one path.
`no-repeat`: labels not said yet, and END; for orders that are not fixed. `paper`: all, repeats too
(Section 3 forbids none)."""

Loss = Literal["sequence", "mla", "pla", "remaining-set"]
"""What training lowers. `sequence` (default): -log p of the labels in the run's label order (the paper's).
`mla`, `pla`: of an order aligned with the model's own path; `remaining-set`: at every step any label not said
yet, alike (`models.order_free`). The last three need `no-repeat` and run the cell once per image and step,
instead of once per distinct prefix."""


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
    """`lstm`, `paper`, `paper-gated` or `none`; see `models.cells.CellName`. Default lstm: the printed
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

    def __post_init__(self) -> None:
        for name, allowed in (
            ("cell", get_args(CellName)),
            ("activation", ("identity", "relu")),
            ("start", ("learned", "zero")),
            ("allowed", get_args(Allowed)),
            ("loss", get_args(Loss)),
        ):
            if getattr(self, name) not in allowed:
                raise unknown_name(name, getattr(self, name), allowed)
        for name in ("projection_dropout", "feature_dropout", "image_hidden_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 0 and below 1.")
        if self.loss != "sequence" and self.allowed != "no-repeat":
            raise InputError(
                f"the loss {self.loss!r} has no fixed order, which the allowed outcomes {self.allowed!r} do not fit. "
                "Give --set label_model.allowed=no-repeat, before --set label_model.loss."
            )
        if self.embedding_size < 1 or self.hidden_size < 1 or self.image_hidden_size < 0:
            raise InputError(
                "embedding_size and hidden_size must be at least 1, image_hidden_size at least 0."
            )


class LabelModel(nn.Module):
    """The label model; `U_l` rows are labels in label order, then END.

    Args:
        num_labels: END not counted.
        scaling: of features.
        options: everything else.
        shuffle: whether each image's labels are said in a new random order whenever it is taught.
    """

    def __init__(
        self,
        num_labels: int,
        scaling: FeatureScaling,
        options: LabelModelOptions,
        *,
        shuffle: bool = False,
    ) -> None:
        super().__init__()
        self.num_labels, self.scaling, self.options, self.shuffle = num_labels, scaling, options, shuffle
        size = options.embedding_size
        self.U_l = nn.Parameter(torch.randn(num_labels + 1, size) * size**-0.5)
        self.start = nn.Parameter(torch.randn(1, size) * size**-0.5, requires_grad=options.start == "learned")
        if options.start == "zero":
            self.start.data.zero_()
        self.cell = build_cell(options.cell, size, options.hidden_size, bias=options.cell_bias)
        self.U_o = nn.Linear(self.cell.output_size, size, bias=False)
        width = scaling.feature_size
        before: list[nn.Module] = [nn.Dropout(options.feature_dropout)]
        if options.image_hidden_size:
            hidden = nn.Linear(width, options.image_hidden_size)
            before += [hidden, nn.ReLU(), nn.Dropout(options.image_hidden_dropout)]
            width = options.image_hidden_size
        self.before_U_I = nn.Sequential(*before)
        self.U_I = nn.Linear(width, size, bias=False)
        self.projection_dropout = nn.Dropout(options.projection_dropout)

    def h(self, joint: Tensor) -> Tensor:
        """Eq. (4)'s h."""
        return torch.relu(joint) if self.options.activation == "relu" else joint

    def prefix_vectors(self, levels: list[tuple[Tensor, Tensor]]) -> Float[Tensor, "prefixes embedding"]:
        """Return U_o o(t) for the empty prefix, then every prefix of `DistinctPrefixes.levels`."""
        output, state = self.cell(self.start, self.cell.start(1))
        outputs = [output]
        for parent, label in levels:
            output, state = self.cell(self.U_l[label], state[parent])
            outputs.append(output)
        return self.U_o(torch.cat(outputs))

    def image_vectors(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch embedding"]:
        """Return U_I I, the image as the label model knows it."""
        return self.U_I(self.before_U_I(self.scaling(features)))

    def logits(
        self, features: Float[Tensor, "batch features"], sequences: Int[Tensor, "batch steps"]
    ) -> Float[Tensor, "batch steps outcomes"]:
        """Return s(t) for every step, each given the true labels before it (teacher forcing), unmasked.

        The recurrence runs once per distinct prefix of the batch. Dropout comes after the gather, drawn
        per image and step, so that sharing changes neither loss nor gradients.
        """
        prefixes = distinct_prefixes(sequences, self.num_labels)
        o = self.prefix_vectors(prefixes.levels)[prefixes.rows]  # [batch steps embedding]
        I = self.image_vectors(features)  # noqa: E741  the paper's letter
        x = self.h(self.projection_dropout(o) + self.projection_dropout(I)[:, None])
        return x @ self.U_l.T  # [batch steps outcomes]

    def forward(
        self,
        features: Float[Tensor, "batch features"],
        targets: Int8[Tensor, "batch labels"],
        shuffle: torch.Generator | None = None,
    ) -> Float[Tensor, " batch"]:
        """Return the loss that the options name, per image in nats: -log p(sequence | image) for `sequence`.

        Under `canonical` this is the exact negative log-likelihood of the label set. A model made to `shuffle` draws
        orders from torch's generator in training, and always the same ones out of training.

        Args:
            features: encoder features.
            targets: 1 present, 0 absent, -1 unknown, columns in label order. Unknown labels leave the
                image's softmax at every step: an approximation, conditional on their absence.
            shuffle: where given, each image's labels are said in a new random order.
        """
        if self.options.loss != "sequence":
            return self._order_free_nats(features, targets)
        if shuffle is None and self.shuffle:
            shuffle = torch.default_generator if self.training else torch.Generator().manual_seed(0)
        sequences = sequences_of(targets, shuffle=shuffle)
        allowed = allowed_outcomes(sequences, self.num_labels, self.options.allowed)
        allowed[:, :, :-1] &= (targets != UNKNOWN)[:, None]
        logits = self.logits(features, sequences).masked_fill(~allowed, -torch.inf)
        log_probs = logits.log_softmax(dim=2)
        taught = sequences != PAD
        chosen = log_probs.gather(2, sequences.clamp(min=0)[:, :, None])[:, :, 0]  # [batch steps]
        return -chosen.masked_fill(~taught, 0.0).sum(dim=1)

    def _order_free_nats(
        self, features: Float[Tensor, "batch features"], targets: Int8[Tensor, "batch labels"]
    ) -> Float[Tensor, " batch"]:
        present, known = targets == PRESENT, targets != UNKNOWN
        remaining_set, steps = self.options.loss == "remaining-set", int(present.sum(dim=1).max()) + 1
        sayable = present if remaining_set else known
        log_probs, said = self.own_run(features, known, sayable=sayable, steps=steps)
        if remaining_set:
            return remaining_set_nats(log_probs, said, targets)
        return aligned_nats(log_probs, said, targets, keep_hits=self.options.loss == "pla")

    def own_run(
        self,
        features: Float[Tensor, "batch features"],
        known: Bool[Tensor, "batch labels"],
        *,
        sayable: Bool[Tensor, "batch labels"],
        steps: int,
    ) -> tuple[Float[Tensor, "batch steps outcomes"], Int[Tensor, "batch paths"]]:
        """Let the model say labels of its own choice: at each step the most probable one that it may say.

        END is never chosen. An image whose sayable labels are all said goes on with anything; its steps from
        there on mean nothing. Gradients flow through the probabilities, not through the choices.

        Args:
            features: encoder features.
            known: labels that take part in the softmax; those said take no part after.
            sayable: labels that may be said, all of them known.
            steps: how many steps; one label fewer is said.

        Returns:
            Log-probabilities at each step (-inf: not allowed), and the labels said, [batch steps-1].
        """
        batch = len(features)
        image = self.projection_dropout(self.image_vectors(features))  # [batch embedding]
        w, state, unsaid = self.start.expand(batch, -1), self.cell.start(batch), known
        end = known.new_ones(batch, 1)
        log_probs, said = [], []
        for step in range(steps):
            o, state = self.cell(w, state)
            s = self.h(self.projection_dropout(self.U_o(o)) + image) @ self.U_l.T  # [batch outcomes]
            allowed = torch.cat((unsaid, end), dim=1)
            log_probs.append(s.masked_fill(~allowed, -torch.inf).log_softmax(dim=1))
            if step < steps - 1:
                chosen = log_probs[-1][:, :-1].detach().masked_fill(~sayable, -torch.inf).argmax(dim=1)
                said.append(chosen)
                unsaid = unsaid.scatter(1, chosen[:, None], False)
                w = self.U_l[chosen]
        none = torch.zeros(batch, 0, dtype=torch.int64, device=image.device)
        return torch.stack(log_probs, dim=1), torch.stack(said, dim=1) if said else none


def allowed_outcomes(
    sequences: Int[Tensor, "batch steps"], num_labels: int, allowed: str
) -> Bool[Tensor, "batch steps outcomes"]:
    """Return which outcomes the softmax runs over at each step of taught sequences; END always may come.

    Example:
        >>> allowed_outcomes(torch.tensor([[1, 2, -1]]), 2, "canonical").int().tolist()
        [[[1, 1, 1], [0, 0, 1], [1, 1, 1]]]
    """
    batch, steps = sequences.shape
    ids = torch.arange(num_labels + 1, device=sequences.device)
    # Behind END nothing is taught; -1 there allows everything, which keeps the softmax finite.
    before = torch.where((sequences >= 0) & (sequences < num_labels), sequences, -1)
    before = torch.cat((before.new_full((batch, 1), -1), before[:, :-1]), dim=1)  # the label said last
    if allowed == "canonical":
        return ids > before[:, :, None]
    if allowed == "no-repeat":
        said = nn.functional.one_hot(before + 1, num_labels + 2)[:, :, 1:].cumsum(dim=1) > 0
        return ~said
    return torch.ones(batch, steps, num_labels + 1, dtype=torch.bool, device=sequences.device)
