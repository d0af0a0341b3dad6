"""The label model of CNN-RNN in training: recurrent cells over label embeddings, and which label comes next."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, cast, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int8, Shaped
from torch import Tensor, nn

from labelbeam.errors import InputError, unknown_name
from labelbeam.heads.local_torch import LocalScores, local_scores
from labelbeam.heads.options import NEEDS_PER_LABEL, CellName, LabelModelOptions, LocalOptions
from labelbeam.heads.order_free_torch import aligned_nats, remaining_set_nats
from labelbeam.heads.scaling_torch import FeatureScaling, check_batch, check_sizes
from labelbeam.heads.sequences_torch import PAD, distinct_prefixes, lstm_over_prefixes, sequences_of
from labelbeam.labels.vocabulary import ABSENT, PRESENT, UNKNOWN

# Recurrent cells over label embeddings: what o(t) is, given the labels so far.
#
# A cell sees label embeddings only; the image joins after it (`CNNRNN`). Its state is one tensor
# [batch state], so that a prefix trie can store it as bytes without knowing what is inside.
#
# Letters are those of Wang et al. 2016, eq. 1: r the state, w the label embedding, x the candidate,
# i, f, o the input, forget and output gates.

GATES = 4
FORGET = 1  # which quarter of the gate vector is the forget gate, in every cell


class Cell(nn.Module):
    """A recurrent cell; subclasses fill `forward`.

    Attributes:
        state_size: numbers in a state.
        output_size: numbers in an output o(t).
    """

    def __init__(self, state_size: int, output_size: int) -> None:
        super().__init__()
        self.state_size, self.output_size = state_size, output_size
        # Knows the device; a cell need not have parameters.
        self.register_buffer("origin", torch.zeros(1), persistent=False)

    origin: Tensor

    def start(self, batch: int) -> Float[Tensor, "{batch} state"]:
        """Return the state before START is read: zeros."""
        return self.origin.new_zeros(batch, self.state_size)


class LSTM(Cell):
    """Textbook LSTM: sigmoid gates, tanh candidate and output, recurrence on the gated output."""

    def __init__(self, embedding_size: int, hidden_size: int, *, bias: bool = True) -> None:
        super().__init__(2 * hidden_size, hidden_size)
        self.from_label = nn.Linear(embedding_size, GATES * hidden_size, bias=bias)
        self.from_state = nn.Linear(hidden_size, GATES * hidden_size, bias=False)
        initialise_gates(self.from_label, self.from_state)

    def forward(
        self, w: Float[Tensor, "batch embedding"], state: Float[Tensor, "batch state"]
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch state"]]:
        """Read one label embedding; return the output o(t) and the next state."""
        output, r = state.chunk(2, dim=1)
        i, f, x, o = (self.from_label(w) + self.from_state(output)).chunk(GATES, dim=1)
        r = torch.sigmoid(f) * r + torch.sigmoid(i) * torch.tanh(x)
        output = torch.sigmoid(o) * torch.tanh(r)
        return output, torch.cat((output, r), dim=1)


class PaperLSTM(Cell):
    """The paper's eq. 1: recurrence on the cell state r(t-1), ReLU candidate, no squashing of the output.

    `literal` is the print: the same ReLU for the three gates, which are then unbounded. Differs from the
    print in o(t) = r(t) * o_t, whose right-hand side prints o(t) for the gate o_t.
    """

    def __init__(self, embedding_size: int, hidden_size: int, *, bias: bool = True, literal: bool) -> None:
        super().__init__(hidden_size, hidden_size)
        self.gate = torch.relu if literal else torch.sigmoid
        self.from_label = nn.Linear(embedding_size, GATES * hidden_size, bias=bias)
        self.from_state = nn.Linear(hidden_size, GATES * hidden_size, bias=False)
        initialise_gates(self.from_label, self.from_state)

    def forward(
        self, w: Float[Tensor, "batch embedding"], state: Float[Tensor, "batch state"]
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch state"]]:
        """Read one label embedding; return the output o(t) and the next state r(t)."""
        i, f, x, o = (self.from_label(w) + self.from_state(state)).chunk(GATES, dim=1)
        r = self.gate(f) * state + self.gate(i) * torch.relu(x)
        return self.gate(o) * r, r


class LabelSum(Cell):
    """No recurrence: o(t) is the sum of the label embeddings so far, START included."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__(embedding_size, embedding_size)

    def forward(
        self, w: Float[Tensor, "batch embedding"], state: Float[Tensor, "batch state"]
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch state"]]:
        """Add one label embedding; the output is the state."""
        total = state + w
        return total, total


def initialise_gates(from_label: nn.Linear, from_state: nn.Linear) -> None:
    """Draw gate weights uniformly within 1/sqrt(hidden), biases zero but the forget gate's, which is 1.

    The paper gives no initialisation; this is PyTorch's, with the forget bias of Jozefowicz et al. 2015.
    """
    hidden = from_state.in_features
    for linear in (from_label, from_state):
        nn.init.uniform_(linear.weight, -(hidden**-0.5), hidden**-0.5)
    if from_label.bias is not None:
        nn.init.zeros_(from_label.bias)
        from_label.bias.data[FORGET * hidden : (FORGET + 1) * hidden] = 1.0


def build_cell(name: str, embedding_size: int, hidden_size: int, *, bias: bool = True) -> Cell:
    """Build a cell by name.

    Raises:
        InputError: the name is not one of `CellName`.
    """
    if name == "lstm":
        return LSTM(embedding_size, hidden_size, bias=bias)
    if name in ("paper", "paper-gated"):
        return PaperLSTM(embedding_size, hidden_size, bias=bias, literal=name == "paper")
    if name == "none":
        return LabelSum(embedding_size)
    raise unknown_name("cell", name, get_args(CellName))


# The label model of CNN-RNN: which label comes next, given an image and the labels so far.
#
# Takes features (not pixels) and label sequences; returns logits or the loss. Searches are elsewhere
# (`decoding`), and see the trained model as arrays (`heads.label_model`).
#
# Equations, Wang et al. 2016, Section 3 (K labels, I the image's features, t the position):
#     w_k = U_l e_k                          label embedding                         (2)
#     o(t), r(t) = cell(r(t-1), w_k(t))      recurrence over the labels so far     (3)
#     x_t = h(U_o^x o(t) + U_I^x I)          joint embedding; the image joins here, at every step   (4)
#     s(t) = U_l^T x_t                       scores, with the same U_l               (5)
#            + r(z), z = W I                  where labels have logits of their own (`per_label_row`); not in the paper
#     p(t) = softmax(s(t)) over the allowed labels and END


MOSTLY_ZERO = 0.1
"""Share of features that are not zero below which only those are read."""


def mostly_zero(features: Tensor) -> bool:
    """Tell whether hardly any feature of a batch says something, as words do."""
    return int(features.count_nonzero()) < MOSTLY_ZERO * features.numel()


class OfWords(nn.Linear):
    """A linear layer that can read only the features that are not zero; a feature's weights lie together in memory.

    Trained as [features units], where such a row is read, and its gradient written, in one piece; stored as any linear
    layer is, [units features].
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.weight = nn.Parameter(self.weight.detach().T.contiguous())

    def forward(self, input: Float[Tensor, "batch features"]) -> Float[Tensor, "batch units"]:
        """Return the layer's answer."""
        return input @ self.weight + self.bias

    def of_few(
        self, features: Float[Tensor, "batch features"], dropout: nn.Dropout
    ) -> Float[Tensor, "batch units"]:
        """Return what `forward` does of features after dropout, which is drawn for those that are not zero alone."""
        rows, columns = features.nonzero().unbind(dim=1)
        first = torch.searchsorted(rows, torch.arange(len(features), device=rows.device))
        values = dropout(features[rows, columns]).to(self.weight.dtype)
        summed = nn.functional.embedding_bag(
            columns, self.weight, first, mode="sum", per_sample_weights=values
        )
        return summed + self.bias

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = destination[f"{prefix}weight"].T.contiguous()

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        name = f"{prefix}weight"
        turned = {name: state_dict[name].T} if name in state_dict else {}
        super()._load_from_state_dict({**state_dict, **turned}, prefix, *args)


class CNNRNN(nn.Module):
    """CNN-RNN's label model on features of any encoder; `U_l` rows are labels in label order, then END.

    Called with features and targets it returns the loss, in nats per image; `labelbeam.decode` searches it.

    Args:
        num_labels: how many labels there are, END not counted.
        num_features: how many features an image has.
        options: shape, cell, allowed outcomes, loss and dropouts.
        scaling: what is done to features first: `standardize` (call `.scaling.fit` with training features), `l2` or
            `none`.
        order: the order in which labels are predicted, as columns of the targets; None: as the columns stand. The most
            frequent first is the paper's (`labelbeam.order_labels`).
        shuffle: whether each image's labels come in a new random order whenever it is taught; needs the allowed
            outcomes `no-repeat`.

    Raises:
        InputError: a size below 1, an unknown scaling, an order that is not every column once, or a shuffle that the
            allowed outcomes forbid.

    Example:
        >>> model = CNNRNN(num_labels=3, num_features=8)
        >>> model(torch.zeros(2, 8), torch.tensor([[1, 0, 1], [0, -1, 0]], dtype=torch.int8)).shape
        torch.Size([2])
    """

    head_name: ClassVar[str] = "cnn-rnn"

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        options: LabelModelOptions | None = None,
        *,
        scaling: str = "none",
        order: Sequence[int] | Int[np.ndarray, " labels"] | None = None,
        shuffle: bool = False,
        local: LocalOptions | None = None,
        channels: int = 0,
    ) -> None:
        super().__init__()
        options = options or LabelModelOptions()
        check_sizes(num_labels, num_features)
        if shuffle and options.allowed == "canonical":
            raise InputError(
                "a shuffled order says labels in any order, which the allowed outcomes 'canonical' forbid. Give "
                "options with allowed='no-repeat'."
            )
        self.num_labels, self.options, self.shuffle = num_labels, options, shuffle
        self.unknown_weight = 0.0
        self.scaling = FeatureScaling(scaling, num_features)
        self.register_buffer("order", None if order is None else checked_order(order, num_labels))
        size = options.embedding_size
        self.U_l = nn.Parameter(torch.randn(num_labels + 1, size) * size**-0.5)
        self.start = nn.Parameter(torch.randn(1, size) * size**-0.5, requires_grad=options.start == "learned")
        if options.start == "zero":
            self.start.data.zero_()
        self.cell = build_cell(options.cell, size, options.hidden_size, bias=options.cell_bias)
        self.U_o = nn.Linear(self.cell.output_size, size, bias=False)
        width = num_features
        before: list[nn.Module] = [nn.Dropout(options.feature_dropout)]
        if options.image_hidden_size:
            kind = OfWords if scaling == "none" else nn.Linear
            hidden = kind(width, options.image_hidden_size)
            before += [hidden, nn.ReLU(), nn.Dropout(options.image_hidden_dropout)]
            width = options.image_hidden_size
        self.before_U_I = nn.Sequential(*before)
        self.U_I = nn.Linear(width, size, bias=False)
        self.per_label = nn.Linear(width, num_labels) if options.scores_labels else None
        if self.per_label is not None:
            nn.init.zeros_(self.per_label.weight)
            nn.init.zeros_(self.per_label.bias)
        self.local = local_scores(local, num_labels, channels, after=num_features)
        if self.local is not None and not options.per_label:
            raise InputError(NEEDS_PER_LABEL)
        self.empty_apart = options.nothing == "independent"
        if self.empty_apart:
            # Log-odds of an empty set: if labels were independent and as frequent as in training; and in training.
            self.register_buffer("nothing_base", torch.zeros(1))
            self.register_buffer("nothing_share", torch.zeros(1))
        self.projection_dropout = nn.Dropout(options.projection_dropout)

    order: Tensor | None
    per_label: nn.Linear | None
    local: LocalScores | None
    nothing_base: Tensor
    nothing_share: Tensor

    @torch.no_grad()
    def start_from(self, targets: Int8[Tensor, "images labels"]) -> None:
        """Start as drawn; labels by themselves start at their frequencies, of which the empty set's share is taken."""
        if self.per_label is None:
            return
        unknown = (targets == UNKNOWN).sum(dim=0)
        known = len(targets) - unknown + self.unknown_weight * unknown
        share = ((targets == PRESENT).sum(dim=0) + 0.5) / (known + 1.0)
        self.per_label.bias.copy_(torch.logit(share if self.order is None else share[self.order.cpu()]))
        if self.empty_apart:
            self.nothing_base.copy_(log_odds(torch.log1p(-share).sum())[None])
            empty = (targets == ABSENT).all(dim=1).sum()
            self.nothing_share.copy_(torch.logit((empty + 1) / (len(targets) + 2))[None])

    def h(self, joint: Tensor) -> Tensor:
        """Eq. (4)'s h."""
        return torch.relu(joint) if self.options.activation == "relu" else joint

    def prefix_vectors(self, levels: list[tuple[Tensor, Tensor]]) -> Float[Tensor, "prefixes embedding"]:
        """Return U_o o(t) for the empty prefix, then every prefix of `DistinctPrefixes.levels`."""
        if isinstance(self.cell, LSTM) and levels:
            emitted = nn.functional.embedding(torch.cat([label for _, label in levels]), self.U_l)
            gates = self.cell.from_label(torch.cat((self.start, emitted)))
            parents = [parent for parent, _ in levels]
            return self.U_o(lstm_over_prefixes(gates, self.cell.from_state.weight, parents))
        output, state = self.cell(self.start, self.cell.start(1))
        outputs = [output]
        for parent, label in levels:
            output, state = self.cell(self.U_l[label], state[parent])
            outputs.append(output)
        return self.U_o(torch.cat(outputs))

    def image_inputs(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch width"]:
        """Return what U_I and the labels' own logits read: hidden units, or the scaled features."""
        scaled = self.scaling(features)
        if len(self.before_U_I) > 1 and isinstance(self.before_U_I[1], OfWords) and mostly_zero(scaled):
            dropout, hidden, *after = self.before_U_I
            return nn.Sequential(*after)(cast(OfWords, hidden).of_few(scaled, cast(nn.Dropout, dropout)))
        return self.before_U_I(scaled)

    def image_vectors(self, features: Float[Tensor, "batch features"]) -> Float[Tensor, "batch embedding"]:
        """Return U_I I, the image as the label model knows it."""
        return self.U_I(self.image_inputs(features))

    def _z(
        self, v: Float[Tensor, "batch width"], features: Float[Tensor, "batch row"]
    ) -> Float[Tensor, "batch labels"] | None:
        """Return the logits of labels by themselves, local evidence included, where there are any."""
        if self.per_label is None:
            return None
        z = self.per_label(v)
        return z if self.local is None else z + self.local(features)

    def _row_beside(self, z: Float[Tensor, "batch labels"]) -> Float[Tensor, "batch outcomes"]:
        """Return what z adds to the scores of every step, through which the sequence's loss teaches it or not."""
        return self.per_label_row(z.detach() if self.options.per_label_detached else z)

    def per_label_row(self, z: Float[Tensor, "batch labels"]) -> Float[Tensor, "batch outcomes"]:
        """Return what labels that are independent given the image add to the scores of every step.

        Under `canonical` r_l = z_l + sum over later labels m of log(1 + exp z_m), and 0 for END: with nothing else in
        the scores, the probability of a set is then exactly the product over labels of sigmoid(z_l) or its complement.
        Under the other rules r_l = z_l.

        Args:
            z: log-odds of each label by itself; -inf for one that has none.

        Example:
            >>> model = CNNRNN(num_labels=2, num_features=1)
            >>> model.per_label_row(torch.tensor([[0.0, 0.0]]))
            tensor([[0.6931, 0.0000, 0.0000]])
        """
        row = z.masked_fill(z == -torch.inf, 0.0)
        if self.options.allowed == "canonical":
            softplus = nn.functional.softplus(z)
            row = row + softplus.flip(1).cumsum(dim=1).flip(1) - softplus
        return nn.functional.pad(row, (0, 1))

    def logits(
        self, features: Float[Tensor, "batch features"], sequences: Int[Tensor, "batch steps"]
    ) -> Float[Tensor, "batch steps outcomes"]:
        """Return s(t) for every step, each given the true labels before it (teacher forcing), unmasked.

        `forward` computes the same for the steps that are taught alone.
        """
        every_step = torch.ones_like(sequences, dtype=torch.bool)
        return self._taught_logits(features, sequences, every_step)[0].unflatten(0, sequences.shape)

    def _taught_logits(
        self,
        features: Float[Tensor, "batch features"],
        sequences: Int[Tensor, "batch steps"],
        taught: Bool[Tensor, "batch steps"],
    ) -> tuple[Float[Tensor, "taught outcomes"], Float[Tensor, "batch labels"] | None]:
        """Return s(t) of the taught steps, image by image, and the logits of labels by themselves, where there are any.

        The recurrence runs once per distinct prefix of the batch. Dropout comes after the gather, drawn
        per image and step, so that sharing changes neither loss nor gradients.
        """
        prefixes = distinct_prefixes(sequences, self.num_labels)
        o = nn.functional.embedding(prefixes.rows[taught], self.prefix_vectors(prefixes.levels))
        v = self.image_inputs(features)
        I = self.U_I(v)  # noqa: E741  the paper's letter
        if self.training and self.projection_dropout.p:
            # Drawn for steps behind END too, so that what is drawn does not depend on how steps are stored.
            o = o * self.projection_dropout(o.new_ones(*sequences.shape, o.shape[1]))[taught]
        I = self.projection_dropout(I)  # noqa: E741
        image, step = taught.nonzero().unbind(dim=1)
        x = self.h(o + nn.functional.embedding(image, I))  # [taught embedding]
        s = x @ self.U_l.T  # [taught outcomes]
        z = self._z(v, features)
        if z is not None and self.options.per_label:
            s = s + nn.functional.embedding(image, self._row_beside(z))
        if z is not None and self.empty_apart and not self.training:
            first = step == 0
            s = s.clone()
            s[first, -1] = self.nothing_logit(z[image[first]], s[first, :-1])
        return s, z

    def nothing_logit(
        self, z: Float[Tensor, "batch labels"], s: Float[Tensor, "batch labels"]
    ) -> Float[Tensor, " batch"]:
        """Return END's logit at the first step: the odds of the labels' absences, shifted to the share of empty sets.

        Args:
            z: log-odds of each label by itself.
            s: scores of the labels at the first step.
        """
        absent = nn.functional.logsigmoid(-z).sum(dim=1)
        asked = (z > -torch.inf).any(dim=0)  # a label that came later has no probability there
        shift = self.nothing_share - self.nothing_base
        return log_odds(absent) + shift + s[:, asked].logsumexp(dim=1)

    def forward(
        self,
        features: Float[Tensor, "batch features"],
        targets: Shaped[Tensor, "batch labels"],
        shuffle: torch.Generator | None = None,
    ) -> Float[Tensor, " batch"]:
        """Return the loss that the options name, per image in nats: -log p(sequence | image) for `sequence`.

        Under `canonical` this is the exact negative log-likelihood of the label set. With `unknown_weight` above 0
        unknown labels stay in the softmax, their probabilities times this weight, as weakly absent; 1 would be absent
        ("weak negatives", Cole et al. 2021, arXiv 2106.09708, carried over from sigmoids). A model made to `shuffle`
        draws orders from torch's generator in training, and always the same ones out of training.

        Args:
            features: encoder features.
            targets: 1 present, 0 absent, -1 unknown, columns in label order where no `order` was given. Unknown
                labels leave the image's softmax at every step: an approximation, conditional on their absence.
            shuffle: where given, each image's labels come in a new random order.

        Raises:
            InputError: features or targets of another width than the model's.
        """
        targets = check_batch(self, features, targets)
        if self.order is not None:
            targets = targets[:, self.order]
        if self.options.loss != "sequence":
            nats, z = self._order_free_nats(features, targets)
            return self._with_absences(nats, z, targets)
        if shuffle is None and self.shuffle:
            shuffle = torch.default_generator if self.training else torch.Generator().manual_seed(0)
        sequences = sequences_of(targets, shuffle=shuffle)
        allowed = allowed_outcomes(sequences, self.num_labels, self.options.allowed)
        unknown, weight = targets == UNKNOWN, self.unknown_weight
        if not weight:
            allowed[:, :, :-1] &= ~unknown[:, None]
        taught = sequences != PAD
        if self.empty_apart and self.training:
            allowed[:, 0, -1] = False
            taught[:, 0] &= sequences[:, 0] < self.num_labels
        logits, z = self._taught_logits(features, sequences, taught)  # [taught outcomes]
        if weight:
            weakly = nn.functional.pad(unknown, (0, 1))[taught.nonzero()[:, 0]]
            logits = torch.where(weakly, logits + math.log(weight), logits)
        nats = nn.functional.cross_entropy(
            logits.masked_fill(~allowed[taught], -torch.inf), sequences[taught], reduction="none"
        )
        total = nats.new_zeros(len(targets)).index_add(0, taught.nonzero()[:, 0], nats)
        return self._with_absences(total, z, targets)

    def _with_absences(
        self, nats: Float[Tensor, " batch"], z: Float[Tensor, "batch labels"] | None, targets: Tensor
    ) -> Float[Tensor, " batch"]:
        """Return what training lowers: in training, the labels' own cross-entropies are added with their weight."""
        if z is None or not self.training:
            return nats
        own = nn.functional.binary_cross_entropy_with_logits(
            z, (targets == PRESENT).to(z.dtype), reduction="none"
        )
        own = own.where(targets != UNKNOWN, self.unknown_weight * own)
        return nats + (self.options.per_label or 1.0) * own.sum(dim=1)

    def _order_free_nats(
        self, features: Float[Tensor, "batch features"], targets: Int8[Tensor, "batch labels"]
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, "batch labels"] | None]:
        present, observed = targets == PRESENT, targets != UNKNOWN
        remaining_set, steps = self.options.loss == "remaining-set", int(present.sum(dim=1).max()) + 1
        sayable = present if remaining_set else observed
        log_probs, emitted, z = self.own_run(features, observed, sayable=sayable, steps=steps)
        if remaining_set:
            return remaining_set_nats(log_probs, emitted, targets), z
        return aligned_nats(log_probs, emitted, targets, keep_hits=self.options.loss == "pla"), z

    def own_run(
        self,
        features: Float[Tensor, "batch features"],
        observed: Bool[Tensor, "batch labels"],
        *,
        sayable: Bool[Tensor, "batch labels"],
        steps: int,
    ) -> tuple[
        Float[Tensor, "batch steps outcomes"],
        Int[Tensor, "batch paths"],
        Float[Tensor, "batch labels"] | None,
    ]:
        """Let the model say labels of its own choice: at each step the most probable one that it may say.

        END is never chosen. An image whose sayable labels are all emitted goes on with anything; its steps from
        there on mean nothing. Gradients flow through the probabilities, not through the choices.

        Args:
            features: encoder features.
            observed: labels that take part in the softmax; those emitted take no part after.
            sayable: labels that may be emitted, all of them observed.
            steps: how many steps; one label fewer is emitted.

        Returns:
            Log-probabilities at each step (-inf: not allowed), the labels emitted, [batch steps-1], and the logits of
            labels by themselves, where there are any.
        """
        batch = len(features)
        v = self.image_inputs(features)
        image = self.projection_dropout(self.U_I(v))  # [batch embedding]
        z = self._z(v, features)
        w, state, remaining = self.start.expand(batch, -1), self.cell.start(batch), observed
        end = observed.new_ones(batch, 1)
        log_probs, emitted = [], []
        for step in range(steps):
            o, state = self.cell(w, state)
            s = self.h(self.projection_dropout(self.U_o(o)) + image) @ self.U_l.T  # [batch outcomes]
            if z is not None and self.options.per_label:
                s = s + self._row_beside(z)
            allowed = torch.cat((remaining, end), dim=1)
            log_probs.append(s.masked_fill(~allowed, -torch.inf).log_softmax(dim=1))
            if step < steps - 1:
                chosen = log_probs[-1][:, :-1].detach().masked_fill(~sayable, -torch.inf).argmax(dim=1)
                emitted.append(chosen)
                remaining = remaining.scatter(1, chosen[:, None], False)
                w = self.U_l[chosen]
        none = torch.zeros(batch, 0, dtype=torch.int64, device=image.device)
        return torch.stack(log_probs, dim=1), torch.stack(emitted, dim=1) if emitted else none, z


def log_odds(log_prob: Tensor) -> Tensor:
    """Return log p - log(1 - p) of log p; p is taken to be at most 1 - 1e-6."""
    log_prob = log_prob.clamp(max=-1e-6)
    return log_prob - torch.log(-torch.expm1(log_prob))


def checked_order(
    order: Sequence[int] | Int[np.ndarray, " labels"], num_labels: int
) -> Int[Tensor, " labels"]:
    """Return an order of labels as a tensor.

    Raises:
        InputError: it is not every column once.
    """
    ids = np.asarray(order)
    if ids.dtype.kind not in "iu" or sorted(ids.ravel().tolist()) != list(range(num_labels)):
        raise InputError(
            f"the order must hold each of the {num_labels} columns 0 to {num_labels - 1} once, given {order!s:.80}."
        )
    return torch.as_tensor(ids.astype(np.int64))


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
    before = torch.cat((before.new_full((batch, 1), -1), before[:, :-1]), dim=1)  # the label before
    if allowed == "canonical":
        return ids > before[:, :, None]
    if allowed == "no-repeat":
        emitted = nn.functional.one_hot(before + 1, num_labels + 2)[:, :, 1:].cumsum(dim=1) > 0
        return ~emitted
    return torch.ones(batch, steps, num_labels + 1, dtype=torch.bool, device=sequences.device)
