"""What features are made with: pixels in, features out, whatever runs the network.

`ImageEncoder` (PyTorch; can be trained) and `GraphEncoder` (an exported graph; needs no PyTorch) are the two.
Knows nothing of files, caches or engines.
"""

import hashlib
import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt8

from labelbeam.data.feature_rows import FeatureRows
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.errors import InputError

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class MapShape:
    """The last map of an encoder, which stands behind the pooled vector in each of its rows, place by place.

    Attributes:
        grid: places a side.
        channels: numbers of a place.
        tiles: parts a side that it was put together from.

    Raises:
        InputError: a number below 1.

    Example:
        >>> MapShape(11, 1280).numbers
        154880
    """

    grid: int
    channels: int
    tiles: int = 1

    def __post_init__(self) -> None:
        if self.grid < 1 or self.channels < 1 or self.tiles < 1:
            raise InputError(
                f"a map has at least one place and one channel, given {self.grid} x {self.grid} places of "
                f"{self.channels}."
            )

    @property
    def numbers(self) -> int:
        """Numbers of a map."""
        return self.grid**2 * self.channels

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "MapShape | None":
        """Return the map that an encoder's configuration speaks of; None: it has none.

        Raises:
            KeyError: a number is missing.
            ValueError: it is none.
        """
        stored = config.get("map")
        if stored is None:
            return None
        return cls(int(stored["grid"]), int(stored["channels"]), int(stored.get("tiles", 1)))


class Encoder(ABC):
    """A network from pixels to features, with its transform.

    Attributes:
        num_features: numbers of its pooled vector: the first columns of what it returns.
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
    def map_shape(self) -> MapShape | None:
        """Its last map, where rows hold it behind the pooled vector (`encoders.image_encoder`); None: they do not."""
        return MapShape.of(self.config)

    @property
    def row_size(self) -> int:
        """Columns of what it returns."""
        return self.num_features + (self.map_shape.numbers if self.map_shape else 0)

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """What it is, as plain JSON values: architecture, arguments, num_features, preprocess."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """Architecture, arguments and a hash of the weights: equal where the network is, whatever runs it."""

    @property
    def source(self) -> str:
        """Whose features these are, in whatever precision: network, weights and transform."""
        return "".join(value for name, value in self.key.items() if name != "precision")

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
    def encode(self, pixels: UInt8[np.ndarray, "batch 3 size size"]) -> Float32[np.ndarray, "batch row"]:
        """Return the pooled vectors, and maps where there are, of resized pictures (RGB, 0..255).

        Called by several threads at once; the encoder must be `ready`.
        """


# What a user may ask of an image encoder, as plain values; imports no network, so that help stays fast.


@dataclass(frozen=True)
class EncoderConfig:
    """What the user asks for. None means: as the weights, or the architecture, say.

    Attributes:
        name: "tiny", "vgg16", "squeezenet1_1", "efficientnet-lite0" (or 1, 2), a short name ("dinov2", "siglip",
            "convnext"), or any timm model with or without a tag; "" takes the name from the weights file, or is
            `lite.usual_encoder` in training.
        weights: a .safetensors file, or a .pth; None for published weights (fetched where there is a
            network), and for "tiny" initial values.
        pretrained: False for initial values from `seed`.
        grid: places a side of the last map, at most, that are kept beside the pooled vector; 0 for none.
        tiles: parts a side that this map is made of, each seen at the network's own size.
        pooling: of the last map: "default", or one the architecture has ("avg", "max", "avg+max", "gem", …).
        feature: of VGG-16: "fc7-relu" (the usual one) or "fc7".
        width: of "tiny" and of reduced VGG-16s; None for the usual one.
        size: side of the square input, pixels.
        resize: "center" or "squash", see `Preprocess`.
        resize_to: shortest side before the centre crop, pixels; None keeps the usual proportion to `size`.
        interpolation: "bilinear" or "bicubic".
        channels: "RGB" or "BGR".
        scale: the value of white, 1.0 or 255.0.
        mean: per channel, in units of `scale`.
        std: per channel, likewise.
        pad_type: "" (symmetric) or "same" (TensorFlow's), for timm's EfficientNets and MobileNets.
        horizontal_flip: True for mirrored pictures.
        seed: of initial values.
    """

    name: str = ""
    weights: Path | None = None
    pretrained: bool = True
    grid: int = 0
    tiles: int = 1
    pooling: str = "default"
    feature: str | None = None
    width: int | None = None
    size: int | None = None
    resize: str | None = None
    resize_to: int | None = None
    interpolation: str | None = None
    channels: str | None = None
    scale: float | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    pad_type: str | None = None
    horizontal_flip: bool = False
    seed: int = 0


# Where networks run: the first accelerator that torch sees, else the processor.

MEMORY_OF_A_PICTURE = 64 * 2**20
"""Bytes that a picture takes on its way through an encoder, generously: a ViT-B at 224 pixels takes about 20 MB."""

ON_PROCESSOR, MOST_TOGETHER = 16, 256
"""Pictures that go through a network together: on a processor (more would only wait), and at most."""


@dataclass(frozen=True)
class Place:
    """Where a network runs, and how.

    Attributes:
        device: as torch names it.
        precision: of training an encoder there, as `runs.recipe.Recipe` names it: mixed where it is as exact in effect
            and several times as fast.
    """

    device: str
    batch_size: int
    precision: str

    def __str__(self) -> str:
        mixed = "" if self.precision == "no" else f", training in {self.precision}"
        return f"{self.device}, {self.batch_size} pictures together{mixed}"


@dataclass(frozen=True)
class Accelerators:
    """What torch sees on a machine.

    Attributes:
        cuda: free bytes of the first CUDA device; None: there is none.
        bf16: whether it computes in bfloat16.
        mps: whether Apple's Metal can be used.
    """

    cuda: int | None = None
    bf16: bool = False
    mps: bool = False


def place_on(seen: Accelerators) -> Place:
    """Choose the device, how many pictures go together and the precision of fine-tuning.

    Features are computed in single precision everywhere: rounded ones would be other features than those of the machine
    that tags later (`Encoder.key`); `--precision bfloat16` asks for them.

    Example:
        >>> place_on(Accelerators(cuda=8 * 2**30, bf16=True)), place_on(Accelerators()).device
        (Place(device='cuda', batch_size=64, precision='bf16'), 'cpu')
    """
    if seen.cuda is not None:
        fitting = max(1, seen.cuda // 2 // MEMORY_OF_A_PICTURE)
        together = 2 ** (min(MOST_TOGETHER, fitting).bit_length() - 1)
        return Place("cuda", together, "bf16" if seen.bf16 else "fp16")
    if seen.mps:
        return Place(
            "mps", 2 * ON_PROCESSOR, "no"
        )  # Accelerate mixes no precision there that torch trains in
    return Place("cpu", ON_PROCESSOR, "no")


def accelerators() -> Accelerators:
    """Ask torch what there is; nothing where nobody has needed torch yet."""
    torch = sys.modules.get("torch")
    if torch is None:
        return Accelerators()
    if torch.cuda.is_available():
        return Accelerators(torch.cuda.mem_get_info()[0], torch.cuda.is_bf16_supported())
    return Accelerators(mps=torch.backends.mps.is_available())


def best_device() -> str:
    """Return the device for frozen encoders, as torch names it; the processor where nothing has needed torch yet."""
    return place_on(accelerators()).device


def accelerator_for(precision: str) -> "Accelerator":
    """Return Accelerate's view of devices, processes and precision.

    Raises:
        InputError: a launcher started several processes, but Accelerate did not join them: each would
            take itself for the only one and write the same files.
    """
    from accelerate import Accelerator, InitProcessGroupKwargs

    launched = int(os.environ.get("WORLD_SIZE", "1"))
    accelerator = Accelerator(
        mixed_precision=precision,
        cpu=launched > 1
        and not _has_cuda(),  # else Accelerate does not join processes without an accelerator
        # The first process makes the features of all images while the others wait.
        kwargs_handlers=[InitProcessGroupKwargs(timeout=timedelta(days=7))],
    )
    if launched > 1 and accelerator.num_processes == 1:
        raise InputError(
            f"{launched} processes were launched, but they are not joined. Launch them with torchrun, or launch one "
            "process."
        )
    return accelerator


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


# In place of an encoder, where the features came with the data: how many there are, and what they are.
#
# A run that was trained on vectors holds this and answers vectors of the same kind. Knows no network, reads no picture.

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
