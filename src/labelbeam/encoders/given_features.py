"""In place of an encoder, where the features came with the data: how many there are, and what they are.

A run that was trained on vectors holds this and answers vectors of the same kind. Knows no network, reads no picture.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.encoders.encoder import Encoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError

ARCHITECTURE = "given"
"""What `config` calls it, where encoders name their network."""


class NoEncoder(Encoder):
    """Features come from somewhere else: whatever would need a picture is refused, with `refusal`."""

    @property
    def refusal(self) -> str:
        """What it says to whoever asks it to read a picture."""
        raise NotImplementedError

    def ready(self, device: str) -> "NoEncoder":
        """Raise InputError: there is nothing to run."""
        raise InputError(self.refusal)

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        """Raise InputError: there is nothing to run."""
        raise InputError(self.refusal)


@dataclass(frozen=True)
class GivenFeatures(NoEncoder):
    """The description of features that no encoder of ours made.

    Attributes:
        num_features: numbers in a row.
        kind: what they are, in the words of whoever made them; empty: not stated.
        names: of the features, where they have names.
    """

    num_features: int
    kind: str = ""
    names: tuple[str, ...] = ()
    precision: str = "float32"

    @property
    def preprocess(self) -> Preprocess:  # type: ignore[override]
        """Raise InputError: there are no pictures to prepare."""
        raise InputError(self.refusal)

    @property
    def config(self) -> dict[str, Any]:
        """What it is, as plain values; `from_config` reads it."""
        arguments = {"model": self.kind or "given vectors", "kind": self.kind, "names": list(self.names)}
        return {"architecture": ARCHITECTURE, "arguments": arguments, "num_features": self.num_features}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "GivenFeatures":
        """Return what `config` described.

        Raises:
            KeyError: something is missing.
            ValueError: a number that is none, or as many names as there are not features.
        """
        arguments, count = config["arguments"], int(config["num_features"])
        names = tuple(map(str, arguments["names"]))
        if count < 1 or len(names) not in (0, count):
            raise ValueError(f"{count} features, {len(names)} names")
        return cls(count, str(arguments["kind"]), names)

    @property
    def identity(self) -> str:
        """Equal where number, kind and names of the features are."""
        named = hashlib.sha256(json.dumps(self.names).encode()).hexdigest()[:16] if self.names else ""
        return f"{ARCHITECTURE}:{self.num_features}:{self.kind}:{named}"

    @property
    def key(self) -> dict[str, str]:
        """What features depend on beside the example."""
        return {"encoder": self.identity, "transform": "", "precision": self.precision}

    def accept(self, features: FeatureRows, spec: str) -> FeatureRows:
        """Return features that fit what was trained on; sparse text that ends early is filled up with zeros.

        Args:
            spec: of the data, for messages.

        Raises:
            InputError: another number of them, another kind, or other names.
        """
        if features.open_ended and features.num_features < self.num_features:
            features = features.padded(self.num_features)
        wanted = f"this run was trained on {self.num_features:,} features a row"
        if features.num_features != self.num_features:
            raise InputError(f"{spec} has {features.num_features:,} features a row, {wanted}. Give those.")
        if features.kind and self.kind and features.kind != self.kind:
            raise InputError(
                f"{spec} holds features of the kind {features.kind!r}, {wanted} of {self.kind!r}."
            )
        if features.names and self.names and features.names != self.names:
            place = next(i for i, (a, b) in enumerate(zip(features.names, self.names, strict=True)) if a != b)
            raise InputError(
                f"{spec}: feature {place + 1} is {features.names[place]!r}; {wanted}, there {self.names[place]!r}. "
                "Give the same features in the same order."
            )
        return features

    @property
    def refusal(self) -> str:
        """What it says to whoever asks it to read a picture."""
        kind = f" ({self.kind})" if self.kind else ""
        return (
            f"this run was trained on vectors of {self.num_features:,} numbers{kind}, not on pictures, so it cannot "
            "read any. Give vectors:FILE."
        )


def given_features(features: FeatureRows) -> GivenFeatures:
    """Return the description of the features of a data set."""
    return GivenFeatures(features.num_features, features.kind, features.names)
