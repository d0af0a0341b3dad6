"""Training batches of pixels, for encoders that are trained: decoded in parallel, mirrored at random.

Pictures that together fit into `KEEP_BYTES` are decoded once; others once an epoch.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int8
from torch import Tensor

from labelbeam.data.images import read_rgb
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.training.batches import filled

KEEP_BYTES = 2**30


class ImageBatches:
    """Batches of (float32 [batch 3 size size], int8 [batch labels]), the same for the same epoch."""

    def __init__(
        self,
        paths: Sequence[Path],
        targets: Int8[np.ndarray, "images labels"],
        preprocess: Preprocess,
        *,
        batch_size: int,
        seed: int,
        flips: bool,
        threads: int = 2,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        """Prepare batches; nothing is read yet.

        Args:
            paths: image files.
            targets: 1 present, 0 absent, -1 unknown.
            preprocess: the encoder's transform.
            batch_size: images per step over all processes.
            seed: with the epoch's number, decides order and mirroring.
            flips: whether every second picture, at random, is mirrored.
            threads: decoding threads.
            process: number of this process.
            processes: how many there are; each takes every `processes`-th image of a batch.
        """
        self.paths, self.targets, self.preprocess = paths, targets, preprocess
        self.batch_size, self.seed, self.flips, self.threads = batch_size, seed, flips, threads
        self.process, self.processes = process, processes
        self.kept: Tensor | None = None

    def __len__(self) -> int:
        return math.ceil(len(self.paths) / self.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches of an epoch.

        Raises:
            UnreadableImage: a file cannot be decoded.
        """
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.paths))
        mirrored = random.random(len(order)) < (0.5 if self.flips else 0.0)
        order = filled(order, batch_size=self.batch_size, processes=self.processes)
        yield from self._batches(order, mirrored)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every image once, in the order given, none mirrored.

        Raises:
            UnreadableImage: a file cannot be decoded.
        """
        yield from self._batches(np.arange(len(self.paths)), np.zeros(len(self.paths), dtype=bool))

    def _batches(self, order: np.ndarray, mirrored: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        with ThreadPoolExecutor(self.threads) as pool:
            if self.kept is None and len(self.paths) * 3 * self.preprocess.size**2 <= KEEP_BYTES:
                self.kept = torch.stack(list(pool.map(self._pixels, range(len(self.paths)))))
            for first in range(0, len(order), self.batch_size):
                rows = order[first : first + self.batch_size][self.process :: self.processes]
                if self.kept is not None:
                    pixels = self.kept[torch.from_numpy(rows)]
                else:
                    pixels = torch.stack(list(pool.map(self._pixels, rows)))
                flip = torch.from_numpy(mirrored[rows])[:, None, None, None]
                pixels = torch.where(flip, pixels.flip(3), pixels)
                yield self.preprocess.normalize(pixels), torch.from_numpy(self.targets[rows].copy())

    def _pixels(self, row: int) -> Tensor:
        return torch.from_numpy(self.preprocess.resized(read_rgb(self.paths[int(row)])))
