"""A trained label model as arrays, as searches see it: recurrent cells, prefix rows, image rows, one step."""

import math
import re
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Float32, Float64, Int

from labelbeam.errors import InputError
from labelbeam.heads.local import Local
from labelbeam.heads.options import Allowed, LabelModelOptions, LocalOptions
from labelbeam.heads.tensors import Scaling, Tensors

# The recurrent cells of a label model, as arrays: what o(t) is, given the labels so far.
#
# The twins of `heads.label_model_torch`, whose equations and letters they share. Every label's share of the gate
# vector is computed once, when the model is loaded: a step is then one matrix product, for the state alone.

GATES = 4


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) in the precision of x; it neither warns nor overflows, however large x is.

    Example:
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    return 0.5 * np.tanh(0.5 * x) + 0.5


def row_products(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return rows @ matrix, every row multiplied by itself: the same bits, whatever rows stand beside it.

    So what a trie holds of a prefix does not depend on the prefixes that were computed with it, and answers do not
    depend on the images before. For a few rows it is also faster than one product; for many it takes twice as long.

    Args:
        rows: [rows inner].
        matrix: [inner columns].
    """
    products: np.ndarray = np.matmul(rows[:, None], matrix)[:, 0]
    return products


def relu(x: np.ndarray) -> np.ndarray:
    """Return x where it is positive, else 0."""
    return np.maximum(x, 0)


@dataclass(frozen=True)
class Gated:
    """The textbook LSTM and the paper's two readings of eq. 1: r = f r + i x with gates of label and state.

    Attributes:
        from_label: the share of every label in the gate vector i, f, x, o, biases included; START is the last row.
        from_state: the matrix of the recurrence.
        gate: what squashes the three gates.
        squash: what squashes the candidate, and the textbook's output.
        textbook: whether recurrence is on the gated output, which is squashed (LSTM), or on r (the paper).
    """

    from_label: Float32[np.ndarray, "read gates"]
    from_state: Float32[np.ndarray, "hidden gates"]
    gate: Callable[[np.ndarray], np.ndarray]
    squash: Callable[[np.ndarray], np.ndarray]
    textbook: bool

    @property
    def output_size(self) -> int:
        """Units."""
        return len(self.from_state)

    @property
    def state_size(self) -> int:
        """Units, twice where the output is part of the state."""
        return len(self.from_state) * (2 if self.textbook else 1)

    def start(self) -> tuple[Float32[np.ndarray, "1 output"], Float32[np.ndarray, "1 state"]]:
        """Return output and state once START is read."""
        return self.step(np.zeros((1, self.state_size), np.float32), np.array([-1]))

    def step(
        self, states: Float32[np.ndarray, "prefixes state"], labels: Int[np.ndarray, " prefixes"]
    ) -> tuple[Float32[np.ndarray, "prefixes output"], Float32[np.ndarray, "prefixes state"]]:
        """Return output and next state, one label read."""
        hidden = self.output_size
        before, r = states[:, :hidden], states[:, -hidden:]  # the same columns in the paper's cells
        gates = row_products(before, self.from_state)  # [prefixes 4*hidden]
        gates += self.from_label[labels]
        i, f, x, o = (gates[:, k * hidden : (k + 1) * hidden] for k in range(GATES))
        r = self.gate(f) * r + self.gate(i) * self.squash(x)
        if not self.textbook:
            return self.gate(o) * r, r
        output = self.gate(o) * self.squash(r)
        return output, np.concatenate((output, r), axis=1)


@dataclass(frozen=True)
class TrainedLabelSum:
    """No recurrence: o(t) is the sum of the label embeddings so far, START's included.

    Attributes:
        embeddings: of every label; START is the last row.
    """

    embeddings: Float32[np.ndarray, "read embedding"]

    @property
    def output_size(self) -> int:
        """Numbers of an embedding."""
        return self.embeddings.shape[1]

    @property
    def state_size(self) -> int:
        """Numbers of an embedding."""
        return self.embeddings.shape[1]

    def start(self) -> tuple[Float32[np.ndarray, "1 output"], Float32[np.ndarray, "1 state"]]:
        """Return output and state once START is read."""
        return self.embeddings[-1:], self.embeddings[-1:]

    def step(
        self, states: Float32[np.ndarray, "prefixes state"], labels: Int[np.ndarray, " prefixes"]
    ) -> tuple[Float32[np.ndarray, "prefixes output"], Float32[np.ndarray, "prefixes state"]]:
        """Return output and next state, one label read."""
        total = states + self.embeddings[labels]
        return total, total


def cell_of(
    tensors: Tensors, name: str, embeddings: Float32[np.ndarray, "read embedding"], *, bias: bool
) -> Gated | TrainedLabelSum:
    """Take a cell's arrays.

    Args:
        tensors: of the label model.
        name: one of `heads.options.CellName`.
        embeddings: of every label, then START's.
        bias: whether gates have biases.

    Raises:
        InputError: an array is missing or of another shape.
    """
    if name == "none":
        return TrainedLabelSum(embeddings)
    from_state = tensors.take("cell.from_state.weight", None, None)
    hidden = from_state.shape[1]
    tensors.take("cell.from_state.weight", GATES * hidden, hidden)
    from_label = embeddings @ tensors.take("cell.from_label.weight", GATES * hidden, embeddings.shape[1]).T
    if bias:
        from_label += tensors.take("cell.from_label.bias", GATES * hidden)
    textbook = name == "lstm"
    return Gated(
        from_label,
        np.ascontiguousarray(from_state.T),
        relu if name == "paper" else sigmoid,
        np.tanh if textbook else relu,
        textbook,
    )


# A trained label model as arrays, as searches see it: prefix rows, image rows, one step.
#
# Fills `decoding.step.LabelStep`; the twin of `heads.label_model_torch`, whose equations and letters it shares.
# With h the identity a row holds one number per label and END, because U_l^T (U_o o + U_I I) = U_l^T U_o o
# + U_l^T U_I I; with h = ReLU it holds the two terms of the joint embedding, and `combine` multiplies by
# U_l.

#
# Where labels have logits of their own (`scores_labels`), z = W v + b reads what U_I reads, v. With `per_label` above 0
# the image row is U_l^T U_I v + r(z), r as in `per_label_row`; rows that are not additive hold r(z) beside U_I v, and 0
# in a prefix's row.
#
# Where p(empty set | image) is a number of its own (`nothing` = "independent"), it is that of z, and END of the empty
# prefix is decided by it: its logit is log p - log(1 - p) + log sum_l exp s_l, so that END gets p and the labels share
# 1 - p as they did. Additive rows then hold END twice: for the empty prefix in the last column, for all others in the
# one before. Other rows hold one number more: 1 for the empty prefix, else 0, beside the image's log p - log(1 - p).

BLOCK = 8192
"""Images projected at a time: bounds the memory of single-precision copies."""


NO_NOTHING = (
    "this run learned from images that show nothing how probable the empty set is (label_model.nothing is 'taught'), "
    "so --nothing has nothing to shift. Leave it out, or train with --set label_model.nothing=independent."
)

NO_PER_LABEL = (
    "this run has no score of each label by itself (label_model.per_label is 0). Take another score, or train with "
    "--set label_model.per_label=1."
)


@dataclass(frozen=True)
class Nothing:
    """The probability that an image shows none of the labels, as if they were independent given the image.

    Attributes:
        base: log-odds of the empty set if every label were as frequent as in training, independently.
        share: log-odds of the share of images that show nothing.
        trained_share: likewise, in training.
    """

    base: float
    share: float
    trained_share: float

    @classmethod
    def of(cls, tensors: Tensors) -> "Nothing":
        """Take the arrays.

        Raises:
            InputError: an array is missing or of another shape.
        """
        base, share = (float(tensors.take(name, 1)[0]) for name in ("nothing_base", "nothing_share"))
        return cls(base, share, share)

    def share_in(self, z: Float[np.ndarray, "images labels"]) -> float:
        """Return which share of some images shows nothing, one image added to each side.

        The share by which the images' own probabilities of the empty set add up to it (expectation maximisation).

        Source:
            Saerens, Latinne, Decaestecker 2002, Adjusting the outputs of a classifier to new a priori probabilities,
            Section 2.2.
        """
        evidence = self.log_odds(z) - self.share
        share = 0.5
        for _ in range(200):
            expected = sigmoid(evidence + math.log(share / (1 - share)))
            share = (float(expected.sum()) + 1) / (len(z) + 2)
        return share

    def log_odds(self, z: Float[np.ndarray, "images labels"]) -> Float[np.ndarray, " images"]:
        """Return log p - log(1 - p), p the product of the labels' absences, shifted from `base` to `share`."""
        log_p = np.minimum(-np.logaddexp(0.0, z.astype(np.float64)).sum(axis=1), -1e-6)
        odds: np.ndarray = log_p - np.log(-np.expm1(log_p)) + self.share - self.base
        return odds


def per_label_row(
    z: Float[np.ndarray, "images labels"], *, canonical: bool
) -> Float32[np.ndarray, "images labels"]:
    """Return what labels that are independent given the image add to their scores at every step; END gets 0.

    Under `canonical` r_l = z_l + sum over later labels m of log(1 + exp z_m): with nothing else in the scores, the
    probability of a set is then exactly the product over labels of sigmoid(z_l) or its complement. Else r_l = z_l.

    Args:
        z: log-odds of each label by itself; -inf for one that came later: it takes no part.
        canonical: whether only labels after the last one may come.

    Example:
        >>> per_label_row(np.zeros((1, 2)), canonical=True).round(3).tolist()
        [[0.6930000185966492, 0.0]]
    """
    row = np.where(z > -np.inf, z, 0).astype(np.float64)
    if canonical:
        row[:, :-1] += np.logaddexp(0, z[:, :0:-1].astype(np.float64)).cumsum(axis=1)[:, ::-1]
    return row.astype(np.float32)


class TrainedLabelModel:
    """A trained label model.

    Attributes:
        arrays: by name, as they are stored.
        options: of the training.
        scaling: of features.
        num_labels: END not counted.
        allowed: which outcomes may follow a prefix.
        additive: whether logits are the sum of a prefix row and an image row.
        U_l: label embeddings [labels+1 embedding], END's last.
        local: what places of the encoder's map add to z, the labels' own logits; None: nothing.
        outputs: the same, where h = ReLU: what searches multiply by.
        offsets: whether image rows then hold numbers that are added to the labels' logits.
        nothing: the probability of the empty set, where it is a number of its own; None: END was taught.
    """

    head_name: ClassVar[str] = "cnn-rnn"

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        options: LabelModelOptions,
        *,
        scaling: str,
        num_labels: int,
        num_features: int | None = None,
        local: LocalOptions | None = None,
    ) -> None:
        """Take a label model's arrays.

        Args:
            arrays: by name, as training stored them.
            options: of the training.
            scaling: its name.
            num_labels: END not counted.
            num_features: what the encoder gives; None: what the arrays say.
            local: of the training; None: the model has no local evidence.

        Raises:
            InputError: an array is missing, of another shape, or not expected.
        """
        # Before 0.1 the labels' own logits served the empty set alone, and were called after it.
        arrays = {re.sub(r"^nothing\.", "per_label.", name): array for name, array in arrays.items()}
        tensors, size = Tensors(arrays), options.embedding_size
        self.arrays, self.options = arrays, options
        self.scaling = Scaling.of(tensors, scaling, num_features)
        self.num_labels = num_labels
        self.allowed: Allowed = options.allowed  # type: ignore[assignment]  # the options checked it
        self.additive = options.activation == "identity"
        self.U_l = tensors.take("U_l", num_labels + 1, size)
        self.outputs = None if self.additive else self.U_l
        self.offsets = not self.additive and options.per_label > 0
        # A label's embedding where it is read; START in the place of END, which is never read.
        read = np.concatenate((self.U_l[:-1], tensors.take("start", 1, size)))
        self._cell = cell_of(tensors, options.cell, read, bias=options.cell_bias)
        self._from_output = tensors.take("U_o.weight", size, self._cell.output_size).T
        width = self.scaling.num_features
        self._hidden: tuple[np.ndarray, np.ndarray] | None = None
        if options.image_hidden_size:
            units = options.image_hidden_size
            weight = tensors.take("before_U_I.1.weight", units, width)
            self._hidden, width = (weight.T, tensors.take("before_U_I.1.bias", units)), units
        self._U_I = tensors.take("U_I.weight", size, width).T
        self._per_label: tuple[np.ndarray, np.ndarray] | None = None
        if options.scores_labels:
            weight = tensors.take("per_label.weight", num_labels, width)
            self._per_label = (weight.T, tensors.take("per_label.bias", num_labels))
        # Scores of labels that were added: they take no part in z, which decides what the old ones are.
        self._added: tuple[np.ndarray, np.ndarray] | None = None
        if "added.weight" in arrays:
            weight = tensors.take("added.weight", num_labels, width)
            self._added = (weight.T, tensors.take("added.bias", num_labels))
        after = self.scaling.num_features
        self.local = Local.of(tensors, local, num_labels, after=after) if local else None
        self.nothing = Nothing.of(tensors) if options.nothing == "independent" else None
        tensors.finish()

    @property
    def label_points(self) -> Float32[np.ndarray, "labels embedding"]:
        """The label embeddings: a point per label, END left out."""
        return self.U_l[:-1]

    def start(self) -> tuple[Float32[np.ndarray, "1 state"], Float32[np.ndarray, "1 width"]]:
        """Return the state and the row of the empty prefix, START read."""
        output, state = self._cell.start()
        return state, self._prefix_rows(output, empty=True)

    def step(
        self, states: Float32[np.ndarray, "prefixes state"], labels: Int[np.ndarray, " prefixes"]
    ) -> tuple[Float32[np.ndarray, "prefixes state"], Float32[np.ndarray, "prefixes width"]]:
        """Return state and row of each prefix extended by one label."""
        output, state = self._cell.step(states, labels)
        return state, self._prefix_rows(output)

    def combine(
        self, rows: Float32[np.ndarray, "pairs width"], image_rows: Float32[np.ndarray, "pairs width"]
    ) -> Float32[np.ndarray, "pairs outcomes"]:
        """Return the logits of pairs of a prefix row and an image row."""
        if self.additive:
            logits = rows + image_rows
            return (
                logits
                if self.nothing is None
                else np.hstack((logits[:, :-2], logits[:, -2:].max(axis=1, keepdims=True)))
            )
        size = self.U_l.shape[1]
        logits = self.h(rows[:, :size] + image_rows[:, :size]) @ self.U_l.T
        if self.options.per_label:
            logits[:, :-1] += image_rows[:, size : size + self.num_labels]
        if self.nothing is not None:
            empty = rows[:, -1] > 0
            logits[empty, -1] = self.end_logit(image_rows[empty, -1], logits[empty, :-1])
        return logits

    def image_rows(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float32[np.ndarray, "images width"]:
        """Return what the searches need of images, from their features."""
        blocks = [features[first : first + BLOCK] for first in range(0, max(1, len(features)), BLOCK)]
        return np.concatenate([self._image_rows(block) for block in blocks])

    def _image_rows(self, features: np.ndarray) -> np.ndarray:
        v = self.before_projection(features)
        I = v @ self._U_I  # noqa: E741  the paper's letter
        z = None if self._per_label is None else self._z(v, features)
        rows = I @ self.U_l.T if self.additive else I
        if z is not None and self.options.per_label:
            r = per_label_row(z, canonical=self.allowed == "canonical")
            if self.additive:
                rows[:, :-1] += r
            else:
                rows = np.hstack((rows, r))
        if z is None or self.nothing is None:
            return rows
        odds = self.nothing.log_odds(z)
        if self.additive:
            odds = self.end_logit(odds, rows[:, :-1] + self.start()[1][:, :-2])
        return np.hstack((rows, odds[:, None].astype(np.float32)))

    def per_label_logits(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float32[np.ndarray, "images labels"]:
        """Return the log-odds of each label by itself; -inf for one that came later.

        Raises:
            InputError: this model was trained without.
        """
        if self._per_label is None:
            raise InputError(NO_PER_LABEL)
        blocks = [features[first : first + BLOCK] for first in range(0, max(1, len(features)), BLOCK)]
        return np.concatenate([self._z(self.before_projection(block), block) for block in blocks])

    def per_label_scores(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float64[np.ndarray, "images labels"]:
        """Return p(label | image) by each label's own logit; of a label that was added, by the regression made for it.

        Where another share of images shows nothing than in training, that is times how much more or less probable it
        then is that the image shows something.

        Raises:
            InputError: as `require_per_label`.
        """
        z = self.require_per_label().per_label_logits(features).astype(np.float64)
        scores = sigmoid(z)
        if self._added is not None:
            weight, bias = self._added
            blocks = [features[first : first + BLOCK] for first in range(0, max(1, len(features)), BLOCK)]
            added = np.concatenate([self.before_projection(block) @ weight + bias for block in blocks])
            scores = np.where(z > -np.inf, scores, sigmoid(added.astype(np.float64)))
        if self.nothing is not None and self.nothing.share != self.nothing.trained_share:
            odds = self.nothing.log_odds(z)
            before = odds - self.nothing.share + self.nothing.trained_share
            scores *= np.exp(np.logaddexp(0, before) - np.logaddexp(0, odds))[:, None]
        return np.minimum(scores, 1.0)

    def require_per_label(self) -> "TrainedLabelModel":
        """Return the model if each of its labels has a logit of its own that the image's row holds.

        Raises:
            InputError: it was trained without, or a label was added by a version that gave it none.
        """
        if not self.options.per_label or self._per_label is None:
            raise InputError(NO_PER_LABEL)
        if self._added is None and not np.isfinite(self._per_label[1]).all():
            raise InputError(
                "a label that was added to this run has no score by itself. Take the score marginal, or train anew."
            )
        return self

    def _z(
        self, v: Float32[np.ndarray, "images width"], features: Float[np.ndarray, "images row"]
    ) -> Float32[np.ndarray, "images labels"]:
        assert self._per_label is not None
        weight, bias = self._per_label
        z: np.ndarray = v @ weight + bias
        return z if self.local is None else z + self.local.scores(features)

    def end_logit(
        self, odds: Float[np.ndarray, " images"], logits: Float[np.ndarray, "images labels"]
    ) -> Float[np.ndarray, " images"]:
        """Return END's logit after the empty prefix, by which it has these log-odds against the labels."""
        assert self._per_label is not None
        labels = logits[:, self._per_label[1] > -np.inf].astype(np.float64)
        return odds + np.logaddexp.reduce(labels, axis=1)

    def with_prior(self, share: float | None) -> "TrainedLabelModel":
        """Return the model for images of which a share shows nothing, instead of the training's share.

        Args:
            share: in (0, 1); None: as it was trained.

        Raises:
            InputError: END was taught.
        """
        if share is None:
            return self
        if self.nothing is None:
            raise InputError(NO_NOTHING)
        shifted = copy(self)
        shifted.nothing = replace(self.nothing, share=math.log(share / (1 - share)))
        return shifted

    def share_of_nothing(self, features: Float[np.ndarray, "images features"]) -> float:
        """Return which share of some images seems to show none of the labels.

        Raises:
            InputError: END was taught.
        """
        if self.nothing is None:
            raise InputError(NO_NOTHING)
        return self.nothing.share_in(self.per_label_logits(features))

    def image_vectors(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float32[np.ndarray, "images embedding"]:
        """Return U_I I, the image as the label model knows it."""
        blocks = [features[first : first + BLOCK] for first in range(0, max(1, len(features)), BLOCK)]
        return np.concatenate([self.before_projection(block) @ self._U_I for block in blocks])

    def joint_points(
        self, features: Float[np.ndarray, "1 features"], path: Int[np.ndarray, " labels"]
    ) -> Float32[np.ndarray, "steps embedding"]:
        """Return x_t of an image, before any label and after each label of a path.

        Source:
            Wang et al. 2016, eq. 4: x_t = h(U_o o(t) + U_I I).
        """
        output, state = self._cell.start()
        outputs = [output]
        for label in path:
            output, state = self._cell.step(state, np.array([label]))
            outputs.append(output)
        return self.h(np.concatenate(outputs) @ self._from_output + self.image_vectors(features))

    def h(self, joint: Float32[np.ndarray, "rows embedding"]) -> Float32[np.ndarray, "rows embedding"]:
        """Eq. (4)'s h."""
        return joint if self.additive else np.maximum(joint, 0)

    def _prefix_rows(self, outputs: np.ndarray, *, empty: bool = False) -> np.ndarray:
        terms = row_products(outputs, self._from_output)
        rows = row_products(terms, self.U_l.T) if self.additive else terms
        if not self.additive and self.options.per_label:
            rows = np.pad(rows, ((0, 0), (0, self.num_labels)))
        if self.nothing is None:
            return rows
        if not self.additive:
            return np.pad(rows, ((0, 0), (0, 1)), constant_values=float(empty))
        rows = np.pad(rows, ((0, 0), (0, 1)), constant_values=0.0 if empty else -np.inf)
        if empty:
            rows[:, -2] = -np.inf
        return rows

    def before_projection(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float32[np.ndarray, "images width"]:
        """Return what U_I reads: hidden units, or the scaled features."""
        values = self.scaling(features)
        if self._hidden is None:
            return values
        weight, bias = self._hidden
        return np.maximum(values @ weight + bias, 0)
