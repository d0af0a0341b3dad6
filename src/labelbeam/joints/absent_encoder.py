"""The encoder that an export to NumPy leaves behind: it knows what features must be made by, and makes none.

Stands in a run where the images' features come from somewhere else. Knows no network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError


@dataclass(frozen=True)
class AbsentEncoder(Encoder):
    """What is known of an encoder that is not there.

    Attributes:
        num_features: columns of its features.
        preprocess: from a decoded picture to its input.
        described: identity and encoder, as `encoders.graph_encoder.GraphEncoder.described`.
        precision: of its features.
    """

    num_features: int
    preprocess: Preprocess
    described: Mapping[str, Any]
    precision: str = "float32"

    @property
    def config(self) -> dict[str, Any]:
        """What it was, as `ImageEncoder.config` says it."""
        return dict(self.described["encoder"])

    @property
    def identity(self) -> str:
        """The identity of the encoder whose features are wanted."""
        return str(self.described["identity"])

    def ready(self, device: str) -> "AbsentEncoder":
        """Refuse: there is nothing to run.

        Raises:
            InputError: always.
        """
        self._refuse()

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Refuse: there is nothing to run.

        Raises:
            InputError: always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        made_by = self.config.get("arguments", {}).get("model", self.config["architecture"])
        raise InputError(
            f"this run was exported to NumPy: it holds no image encoder, so it cannot read pictures. Give it features "
            f"({self.num_features} numbers an image, made by {made_by!r}): python decode.py "
            "features.npy, labelbeam suggest RUN --vector FILE, or Tagger.tag_features. To tag pictures, export with "
            "--to onnx."
        )
