"""Label sets of any number of labels with a likelihood that is known: "Zipf scenes". Used by `benchmarks/scale.py`.

A mixture of independent Bernoullis. An image shows one of K/4 scenes (at most 400), the j-th with a chance
proportional to 1 / (j + 2). A scene has 12 labels of its own, drawn by 1 / (k + 10), each there with a chance of
its own (0.2 on average); any other label is there by chance, 0.5 labels an image together. That makes 2.9 labels an
image as COCO has, and frequencies that fall as Zipf's.
"""

from dataclasses import dataclass

import numpy as np

OWN, OWN_CHANCE, STRAY = 12, 0.2, 0.5


@dataclass(frozen=True)
class ZipfScenes:
    """The mixture: `weights` of the scenes [scenes], `chances` of the labels [scenes labels]."""

    weights: np.ndarray
    chances: np.ndarray

    @classmethod
    def of(cls, num_labels: int, *, seed: int = 0) -> "ZipfScenes":
        """Return the mixture for so many labels; the first label is the most frequent."""
        random = np.random.default_rng(seed)
        scenes = int(np.clip(num_labels // 4, 5, 400))
        weights = 1 / (np.arange(scenes) + 2)
        base = 1 / (np.arange(num_labels) + 10)
        base /= base.sum()
        chances = np.tile(np.minimum(STRAY * base, 0.5), (scenes, 1))
        for scene in range(scenes):
            own = random.choice(num_labels, size=min(OWN, num_labels // 2), replace=False, p=base)
            chances[scene, own] = random.beta(0.8, 0.8 / OWN_CHANCE - 0.8, size=len(own)).clip(0.005, 0.95)
        weights /= weights.sum()
        order = np.argsort(-(weights @ chances), kind="stable")
        return cls(weights, chances[:, order])

    def draw(self, images: int, *, seed: int) -> np.ndarray:
        """Return int8 [images labels]."""
        random = np.random.default_rng(seed)
        scene = random.choice(len(self.weights), size=images, p=self.weights)
        sets = np.empty((images, self.chances.shape[1]), dtype=np.int8)
        for first in range(0, images, 512):
            chances = self.chances[scene[first : first + 512]]
            sets[first : first + 512] = random.random(chances.shape, dtype=np.float32) < chances
        return sets

    def nats(self, sets: np.ndarray) -> float:
        """Return the mean of -log p(set) under the mixture itself: no model without images can do better."""
        there, absent = np.log(self.chances), np.log1p(-self.chances)
        log_joint = sets.astype(np.float64) @ (there - absent).T + absent.sum(axis=1) + np.log(self.weights)
        return -float(np.logaddexp.reduce(log_joint, axis=1).mean())
