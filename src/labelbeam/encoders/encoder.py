"""What features are made with: pixels in, features out, whatever runs the network.

`ImageEncoder` (PyTorch; can be trained) and `GraphEncoder` (an exported graph; needs no PyTorch) are the two.
Knows nothing of files, caches or engines.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from labelbeam.encoders.preprocess import Preprocess


class Encoder(ABC):
    """A network from pixels to features, with its transform.

    Attributes:
        num_features: columns of what it returns.
        preprocess: from a decoded picture to what `encode` takes (`Preprocess.resized`).
        precision: "float32" for the network's own numbers; else what they were rounded to: "bfloat16", or
            "int8" and what it was calibrated on. Features of different precisions are different features.
        engine: what computes: "torch", "onnx" or "openvino".
    """

    num_features: int
    preprocess: Preprocess
    precision: str
    engine: str = "torch"

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What it is, as plain JSON values: architecture, arguments, num_features, preprocess."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Architecture, arguments and a hash of the weights: equal where the network is, whatever runs it."""

    @property
    def key(self) -> dict[str, str]:
        """Everything that features depend on beside the image: the key of caches and stores.

        Engines agree on float32; what they round, each rounds in its own way.
        """
        rounded = self.precision if self.precision == "float32" else f"{self.precision} by {self.engine}"
        return {"encoder": self.identity, "transform": self.preprocess.identity, "precision": rounded}

    @abstractmethod
    def ready(self, device: str) -> "Encoder":
        """Return the encoder ready to run on a device, in evaluation mode; itself where it is already.

        Raises:
            InputError: the device cannot be used here.
        """

    @abstractmethod
    def encode(self, pixels: UInt8[np.ndarray, "batch 3 size size"]) -> Float32[np.ndarray, "batch features"]:
        """Return the features of resized pictures (RGB, 0..255); called by several threads at once.

        The encoder must be `ready`.
        """
