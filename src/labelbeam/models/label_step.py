"""The label model as searches see it: prefix rows, image rows, one step; NumPy in and out.

Fills `decoding.step.LabelStep` from a trained `LabelModel`. With h the identity a row holds one number per
label and END, because U_l^T (U_o o + U_I I) = U_l^T U_o o + U_l^T U_I I; with h = ReLU it holds the two
terms of the joint embedding, and `combine` multiplies by U_l.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from labelbeam.models.label_model import Allowed, LabelModel


class TrainedStep:
    """One step of a trained label model; see `decoding.step.LabelStep` for the members."""

    def __init__(self, model: LabelModel) -> None:
        self.model = model
        self.num_labels = model.num_labels
        self.allowed: Allowed = model.options.allowed  # type: ignore[assignment]  # the options checked it
        self.additive = model.options.activation == "identity"

    @torch.inference_mode()
    def start(self) -> tuple[Float[np.ndarray, "1 state"], Float[np.ndarray, "1 width"]]:
        """Return the state and the row of the empty prefix, START read."""
        output, state = self.model.cell(self.model.start, self.model.cell.start(1))
        return state.cpu().numpy(), self._row(self.model.U_o(output))

    @torch.inference_mode()
    def step(
        self, states: Float[np.ndarray, "prefixes state"], labels: Int[np.ndarray, " prefixes"]
    ) -> tuple[Float[np.ndarray, "prefixes state"], Float[np.ndarray, "prefixes width"]]:
        """Return state and row of each prefix extended by one label."""
        device = self.model.U_l.device
        w = self.model.U_l[torch.from_numpy(labels.astype(np.int64)).to(device)]
        output, state = self.model.cell(w, torch.from_numpy(states).to(device))
        return state.cpu().numpy(), self._row(self.model.U_o(output))

    @torch.inference_mode()
    def image_rows(self, features: Float[np.ndarray, "images features"]) -> Float[np.ndarray, "images width"]:
        """Return what the searches need of images, from their features."""
        device = self.model.U_l.device
        blocks = [
            self._row(self.model.image_vectors(torch.from_numpy(block.astype(np.float32)).to(device)))
            for block in np.array_split(features, max(1, len(features) // 8192))
        ]
        return np.concatenate(blocks)

    @torch.inference_mode()
    def combine(
        self, rows: Float[np.ndarray, "prefixes width"], image_rows: Float[np.ndarray, "prefixes width"]
    ) -> Float[np.ndarray, "prefixes outcomes"]:
        """Return the logits of pairs of a prefix row and an image row."""
        if self.additive:
            return rows + image_rows
        x = self.model.h(torch.from_numpy(rows + image_rows))
        return (x @ self.model.U_l.cpu().T).numpy()

    def _row(self, term: Tensor) -> Float[np.ndarray, "terms width"]:
        """Turn a term of the joint embedding into a row."""
        return (term @ self.model.U_l.T if self.additive else term).cpu().numpy()
