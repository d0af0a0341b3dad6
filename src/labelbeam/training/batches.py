"""Training batches from features that are there already: order and views are drawn from (seed, epoch)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Int8
from torch import Tensor


@dataclass(frozen=True)
class FeatureBatches:
    """Batches of cached features.

    Attributes:
        features: float16 or float32 [images views features]; a view is what the encoder says of the image
            as it is, of its mirror image, …; one is drawn per image and epoch.
        targets: 1 present, 0 absent, -1 unknown.
        batch_size: images per step over all processes.
        seed: with the epoch's number, decides order and views.
        process: number of this process.
        processes: how many there are; each takes every `processes`-th image of a batch.
    """

    features: Float[np.ndarray, "images views features"]
    targets: Int8[np.ndarray, "images labels"]
    batch_size: int
    seed: int
    process: int = 0
    processes: int = 1

    def __len__(self) -> int:
        return math.ceil(len(self.features) / self.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (features float32 [batch features], targets int8 [batch labels]) in this epoch's order."""
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.features))
        views = random.integers(self.features.shape[1], size=len(order))
        order = filled(order, batch_size=self.batch_size, processes=self.processes)
        for first in range(0, len(order), self.batch_size):
            rows = order[first : first + self.batch_size][self.process :: self.processes]
            features = self.features[rows, views[rows]].astype(np.float32)
            yield torch.from_numpy(features), torch.from_numpy(self.targets[rows].copy())

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every image once, in the order given, its views averaged: how validation sees them."""
        for first in range(0, len(self.features), self.batch_size):
            rows = slice(first, first + self.batch_size)
            yield (
                torch.from_numpy(self.features[rows].astype(np.float32).mean(axis=1)),
                torch.from_numpy(self.targets[rows].copy()),
            )


def filled(order: Int[np.ndarray, " images"], *, batch_size: int, processes: int) -> Int[np.ndarray, " more"]:
    """Return an epoch's order with so many images in its last batch that every process has one.

    Args:
        order: rows in the order of the epoch.
        batch_size: images per step over all processes, at least as many as there are processes.
        processes: how many there are.

    Example:
        >>> filled(np.arange(5), batch_size=4, processes=3).tolist()
        [0, 1, 2, 3, 4, 0, 1]
        >>> filled(np.arange(7), batch_size=4, processes=3).tolist()
        [0, 1, 2, 3, 4, 5, 6]
    """
    last = len(order) % batch_size or batch_size
    return np.resize(order, len(order) + max(0, processes - last))
