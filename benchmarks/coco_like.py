"""A label model with COCO's statistics, trained in a minute on real label sets and made-up image vectors.

Image vectors are noisy random projections of the true set, so no picture is needed; the noise is such that
the held-out log-likelihood is about 6.7 nats per image. Used by `benchmarks/decoding.py`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labelbeam.heads.label_model import Gated, row_products, sigmoid

DIM, HIDDEN = 64, 512


def load_label_sets() -> tuple[np.ndarray, np.ndarray]:
    """Return multi-hot training and held-out sets, labels in descending training frequency."""
    root = Path(os.environ.get("LABELBEAM_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    with np.load(root / "labels" / "coco80_labels.npz") as file:
        labels, held_out = file["labels"], file["is_val2014"] == 1
    order = np.argsort(-labels[~held_out].sum(axis=0, dtype=np.int64), kind="stable")
    return labels[~held_out][:, order].astype(np.int8), labels[held_out][:, order].astype(np.int8)


def image_vectors(targets: np.ndarray, *, noise: float, seed: int) -> np.ndarray:
    """Return float32 [images 64]: a fixed random projection of the set, plus noise."""
    projection = np.random.default_rng(0).standard_normal((targets.shape[1], DIM)).astype(np.float32)
    disturbance = np.random.default_rng(seed).standard_normal((len(targets), DIM)).astype(np.float32)
    return targets.astype(np.float32) @ projection / 8 + noise * disturbance


@dataclass(frozen=True)
class Weights:
    """A trained label model in float32 arrays: `table` is the input half of the gates, START last."""

    table: np.ndarray  # [labels+1 2048]
    recurrent: np.ndarray  # [512 2048]
    to_logits: np.ndarray  # [512 labels+1], U_o then U_l
    image_to_logits: np.ndarray  # [64 labels+1], U_I then U_l
    bias: np.ndarray  # [labels+1]

    @property
    def num_labels(self) -> int:
        """How many labels there are."""
        return len(self.bias) - 1

    def image_rows(self, vectors: np.ndarray) -> np.ndarray:
        """Return the image's part of the logits, float32 [images labels+1]."""
        return vectors @ self.image_to_logits


def train(targets: np.ndarray, vectors: np.ndarray, *, steps: int, seed: int = 0) -> Weights:
    """Fit the canonical-mask label model by so many steps of Adam, batch 256."""
    import torch

    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    count, num_labels = targets.shape
    end, start = num_labels, num_labels + 1
    longest = int(targets.sum(1).max())
    paths = np.full((count, longest + 1), -100, dtype=np.int64)
    for i, row in enumerate(targets):
        ids = np.flatnonzero(row)
        paths[i, : len(ids)], paths[i, len(ids)] = ids, end
    embed = torch.nn.Parameter(torch.randn(num_labels + 2, DIM) * 0.3)
    bias = torch.nn.Parameter(torch.zeros(num_labels + 1))
    lstm = torch.nn.LSTM(DIM, HIDDEN, batch_first=True)
    project = torch.nn.Linear(HIDDEN, DIM, bias=False)
    image = torch.nn.Linear(DIM, DIM, bias=False)
    parameters = [embed, bias, *lstm.parameters(), *project.parameters(), *image.parameters()]
    optimiser = torch.optim.Adam(parameters, lr=4e-3)
    all_paths, all_vectors = torch.from_numpy(paths), torch.from_numpy(vectors)
    batch = 256
    for step in range(0, steps, 8):
        for group in optimiser.param_groups:
            group["lr"] = 4e-3 * (1 - step / steps)
        pool = generator.choice(count, batch * 8, replace=False)
        pool = pool[np.argsort((paths[pool] >= 0).sum(1))]  # alike in length, so little padding
        for part in generator.permutation(8):
            ids = torch.from_numpy(pool[part * batch : (part + 1) * batch])
            goal = all_paths[ids]
            goal = goal[:, : int((goal >= 0).sum(1).max())]
            given = torch.cat([torch.full((batch, 1), start), goal[:, :-1].clamp(min=0)], 1)
            out, _ = lstm(embed[given])
            joint = project(out) + image(all_vectors[ids])[:, None]
            logits = joint @ embed[:-1].T + bias
            last = torch.where(given == start, -1, given)
            masked = torch.arange(num_labels + 1) <= last[..., None]
            masked[..., end] = False
            logits = logits.masked_fill(masked, -1e9)
            loss = (
                torch.nn.functional.cross_entropy(logits.flatten(0, 1), goal.flatten(), reduction="sum")
                / batch
            )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimiser.step()
    with torch.no_grad():
        table = embed @ lstm.weight_ih_l0.T + lstm.bias_ih_l0 + lstm.bias_hh_l0
        table = torch.cat([table[:end], table[start:]])
        arrays = (
            table, lstm.weight_hh_l0.T, project.weight.T @ embed[:-1].T, image.weight.T @ embed[:-1].T, bias,
        )  # fmt: skip
        return Weights(*(np.ascontiguousarray(array.numpy(), dtype=np.float32) for array in arrays))


class LstmStep:
    """The trained model as a `LabelStep`, by labelbeam's own cell."""

    allowed = "canonical"
    additive = True

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.num_labels = weights.num_labels
        self.cell = Gated(weights.table, weights.recurrent, sigmoid, np.tanh, textbook=True)

    def start(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the state and row of the empty prefix."""
        output, state = self.cell.start()
        return state, self._rows(output)

    def step(self, states: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the states and rows of prefixes extended by one label."""
        output, state = self.cell.step(states, labels)
        return state, self._rows(output)

    def combine(self, rows: np.ndarray, image_rows: np.ndarray) -> np.ndarray:
        """Return logits."""
        return rows + image_rows

    def _rows(self, outputs: np.ndarray) -> np.ndarray:
        return row_products(outputs, self.weights.to_logits) + self.weights.bias
