"""A trained label model as arrays, as searches see it: prefix rows, image rows, one step.

Fills `decoding.step.LabelStep`; the twin of `models.label_model`, whose equations and letters it shares. With h the
identity a row holds one number per label and END, because U_l^T (U_o o + U_I I) = U_l^T U_o o + U_l^T U_I I; with
h = ReLU it holds the two terms of the joint embedding, and `combine` multiplies by U_l.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Float32, Int

from labelbeam.heads.cells import cell_of, row_products
from labelbeam.heads.options import Allowed, LabelModelOptions
from labelbeam.heads.scaling import Scaling
from labelbeam.heads.tensors import Tensors

BLOCK = 8192
"""Images projected at a time: bounds the memory of single-precision copies."""


class LabelModelHead:
    """A trained label model.

    Attributes:
        arrays: by name, as they are stored.
        options: of the training.
        scaling: of features.
        num_labels: END not counted.
        allowed: which outcomes may follow a prefix.
        additive: whether logits are the sum of a prefix row and an image row.
        U_l: label embeddings [labels+1 embedding], END's last.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        options: LabelModelOptions,
        *,
        scaling: str,
        num_labels: int,
        num_features: int | None = None,
    ) -> None:
        """Take a label model's arrays.

        Args:
            arrays: by name, as training stored them.
            options: of the training.
            scaling: its name.
            num_labels: END not counted.
            num_features: what the encoder gives; None: what the arrays say.

        Raises:
            InputError: an array is missing, of another shape, or not known.
        """
        tensors, size = Tensors(arrays), options.embedding_size
        self.arrays, self.options = arrays, options
        self.scaling = Scaling.of(tensors, scaling, num_features)
        self.num_labels = num_labels
        self.allowed: Allowed = options.allowed  # type: ignore[assignment]  # the options checked it
        self.additive = options.activation == "identity"
        self.U_l = tensors.take("U_l", num_labels + 1, size)
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
        tensors.finish()

    def start(self) -> tuple[Float32[np.ndarray, "1 state"], Float32[np.ndarray, "1 width"]]:
        """Return the state and the row of the empty prefix, START read."""
        output, state = self._cell.start()
        return state, self._prefix_rows(output)

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
            return rows + image_rows
        return self.h(rows + image_rows) @ self.U_l.T

    def image_rows(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float32[np.ndarray, "images width"]:
        """Return what the searches need of images, from their features."""
        vectors = self.image_vectors(features)
        return vectors @ self.U_l.T if self.additive else vectors

    def image_vectors(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float32[np.ndarray, "images embedding"]:
        """Return U_I I, the image as the label model knows it."""
        blocks = [features[first : first + BLOCK] for first in range(0, max(1, len(features)), BLOCK)]
        return np.concatenate([self._image_vectors(block) for block in blocks])

    def joint_points(
        self, features: Float[np.ndarray, "1 features"], path: Int[np.ndarray, " labels"]
    ) -> Float32[np.ndarray, "steps embedding"]:
        """Return x_t of an image, nothing said yet and after each label of a path.

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

    def _prefix_rows(self, outputs: np.ndarray) -> np.ndarray:
        terms = row_products(outputs, self._from_output)
        return row_products(terms, self.U_l.T) if self.additive else terms

    def before_projection(
        self, features: Float[np.ndarray, "images features"]
    ) -> Float32[np.ndarray, "images width"]:
        """Return what U_I reads: hidden units, or the scaled features."""
        values = self.scaling(features)
        if self._hidden is None:
            return values
        weight, bias = self._hidden
        return np.maximum(values @ weight + bias, 0)

    def _image_vectors(self, features: np.ndarray) -> np.ndarray:
        return self.before_projection(features) @ self._U_I
