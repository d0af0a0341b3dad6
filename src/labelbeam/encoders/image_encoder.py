"""A built image encoder: the network, the transform in front of it, and what it takes to build it again.

Sits between pixels and features. Knows its architecture by name and plain arguments, so a run directory
rebuilds it from a dictionary and a safetensors file, offline, with nothing to guess.
"""

import copy
import hashlib
import itertools
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from safetensors.torch import save_file
from torch import Tensor, nn

from labelbeam.encoders.encoder import Encoder, EncoderConfig, MapShape
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.encoders.weights import ENCODER_KEY, Needs, Weights, content_hash
from labelbeam.errors import InputError
from labelbeam.files import written_whole

# The last feature map of any image encoder beside its pooled vector: where things are, not only that they are.
#
# A CNN's map before pooling, or a ViT's patch tokens, pooled to a grid of at most so many places a side. In tiles the
# map is that of parts of a larger picture, each seen by the network at its own size and put side by side; the pooled
# vector is that of the whole picture, averaged down.


class WithMap(nn.Module):
    """An encoder whose rows hold its pooled vector, then its last map place by place.

    Args:
        network: with `forward_features` (pixels to map or tokens) and `forward_head` (these to the pooled vector), as
            every model of timm and every network of `encoders.networks` has them.
        grid: places a side that the map is pooled to; one that has no more stays as it is.
        tiles: parts a side that the map is made of; pixels are as many times the network's size a side.

    Example:
        >>> from labelbeam.encoders.networks import TinyEncoder
        >>> encoder = WithMap(TinyEncoder(width=16), grid=2).eval()
        >>> tuple(encoder(torch.zeros(1, 3, 64, 64)).shape)  # 32 pooled, then 2 x 2 places of 16 channels
        (1, 96)
    """

    def __init__(self, network: nn.Module, grid: int, tiles: int = 1) -> None:
        super().__init__()
        self.network, self.grid, self.tiles = network, grid, tiles

    @property
    def output_fmt(self) -> str:
        """How the network lays its map out, in timm's words."""
        return str(getattr(self.network, "output_fmt", "NCHW"))

    def forward(self, pixels: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch row"]:
        """Return the pooled vector and the pooled map, side by side."""
        network = cast(Any, self.network)
        tiles = self.tiles
        found = network.forward_features(nn.functional.avg_pool2d(pixels, tiles) if tiles > 1 else pixels)
        maps = as_map(self.network, found)  # [batch channels h w]
        if tiles > 1:
            side = pixels.shape[2] // tiles
            cut = pixels.unflatten(3, (tiles, side)).unflatten(2, (tiles, side))
            parts = network.forward_features(cut.permute(0, 2, 4, 1, 3, 5).flatten(0, 2))  # row by row
            maps = as_map(self.network, parts).unflatten(0, (-1, tiles, tiles))
            maps = maps.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
        if maps.shape[2] > self.grid:
            maps = nn.functional.adaptive_avg_pool2d(maps, self.grid)
        places = maps.permute(0, 2, 3, 1).flatten(1)  # [batch grid*grid*channels]
        return torch.cat((network.forward_head(found), places), dim=1)


def as_map(network: nn.Module, found: object) -> Float[Tensor, "batch channels h w"]:
    """Return what `forward_features` gave as a map: patch tokens are put back to their places.

    Raises:
        InputError: the network has no square map.
    """
    if isinstance(found, Tensor) and found.ndim == 3:
        tokens = found[:, int(getattr(network, "num_prefix_tokens", 0)) :]
        side = math.isqrt(tokens.shape[1])
        if side * side == tokens.shape[1]:
            return tokens.transpose(1, 2).unflatten(2, (side, side))
    elif isinstance(found, Tensor) and found.ndim == 4:
        maps = found.permute(0, 3, 1, 2) if getattr(network, "output_fmt", "NCHW") == "NHWC" else found
        if maps.shape[2] == maps.shape[3]:
            return maps
    raise InputError(
        "this encoder has no square map of the picture, so there is no local evidence. Leave --local out, or take "
        "another --encoder."
    )


def with_map(network: nn.Module, config: EncoderConfig, *, size: int) -> tuple[WithMap, MapShape]:
    """Return an encoder with its last map, and the map's shape.

    Args:
        config: of which the grid and the tiles are asked for.
        size: side of what the network looks at, pixels: of a tile.

    Raises:
        InputError: a grid or number of tiles below 1, or a network that has no map.
    """
    grid, tiles = config.grid, config.tiles
    if grid < 1:
        raise InputError(
            f"--grid is the places a side of the map, at least 1, given {grid}. 7 or 11 are usual."
        )
    if tiles < 1:
        raise InputError(
            f"--tiles is the parts a side of the picture, at least 1, given {tiles}. 2 is usual."
        )
    if not (hasattr(network, "forward_features") and hasattr(network, "forward_head")):
        as_map(network, None)
    with torch.inference_mode():
        maps = as_map(network, cast(Any, network).forward_features(torch.zeros(1, 3, size, size)))
    side = min(grid, tiles * maps.shape[2])
    return WithMap(network, side, tiles).eval(), MapShape(side, maps.shape[1], tiles)


@dataclass(frozen=True)
class ImageEncoder(Encoder):
    """A network from pixels to features, with its transform, in PyTorch.

    Attributes:
        module: pixels float32 `[batch 3 size size]` to rows `[batch row]`; built in evaluation mode.
        num_features: numbers of the pooled vector.
        preprocess: from a decoded picture to its input.
        architecture: one of `catalogue.LIBRARIES`.
        arguments: plain JSON values that the architecture is built with.
        map_shape: of its last map, where its rows hold that behind the pooled vector.
        precision: of `encode`: "float32", or "bfloat16" (convolutions and products; features to 8 bits).
    """

    module: nn.Module
    num_features: int
    preprocess: Preprocess
    architecture: str
    arguments: Mapping[str, Any]
    precision: str = "float32"
    map_shape: MapShape | None = None

    @property
    def config(self) -> dict[str, Any]:
        """What it takes to build it again, beside its weights: plain JSON values."""
        there = {} if self.map_shape is None else {"map": asdict(self.map_shape)}
        return {
            "architecture": self.architecture,
            "arguments": dict(self.arguments),
            "num_features": self.num_features,
            "preprocess": self.preprocess.to_dict(),
            **there,
        }

    @property
    def identity(self) -> str:
        """Architecture, arguments and a hash of the present weights; another one after every training step.

        The transform is not in it: `preprocess.identity` is the other half of a cache key. Hashed at every
        call (10 ms for MobileNetV2, half a second for VGG-16): a remembered hash could be a stale one.
        """
        arguments = json.dumps(dict(self.arguments), sort_keys=True, separators=(",", ":"))
        grid, shape = "", self.map_shape
        if shape is not None:
            grid = f":map {shape.grid}" + f" in {shape.tiles} x {shape.tiles}" * (shape.tiles > 1)
        return f"{self.architecture}{arguments}{grid}:{content_hash(self.module)}"

    def ready(self, device: str) -> "ImageEncoder":
        """Return the encoder in evaluation mode on a device, a copy where that changes anything.

        Raises:
            InputError: the device cannot be used here.
        """
        _check_device(device)
        first = self._first()
        if not self.module.training and (first is None or first.device == torch.device(device)):
            return self
        return replace(self, module=copy.deepcopy(self.module).eval().to(device))

    def encode(self, pixels: UInt8[np.ndarray, "batch 3 size size"]) -> Float32[np.ndarray, "batch row"]:
        """Return the rows of resized pictures, one pass through the network where it is."""
        first = self._first()
        where = first.device if first is not None else torch.device("cpu")
        rough = self.precision == "bfloat16"
        with torch.inference_mode(), torch.autocast(where.type, torch.bfloat16, enabled=rough):
            batch = self.preprocess.normalize(torch.from_numpy(pixels).to(where))
            features = self.module(batch.contiguous(memory_format=torch.channels_last))
            return features.float().cpu().numpy()

    def _first(self) -> Tensor | None:
        return next(itertools.chain(self.module.parameters(), self.module.buffers()), None)


def channels_last(module: nn.Module) -> nn.Module:
    """Lay a network's convolutions out channels last, in place: on CPUs they run a third faster."""
    for parameter in module.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return module


def save_encoder(encoder: ImageEncoder, path: Path, *, store: Path | None = None) -> Path:
    """Write an encoder into one safetensors file that says everything needed to build it again.

    Args:
        path: the file to appear, whole or not at all.
        store: folder that keeps each encoder once, under the hash of its weights and its configuration;
            `path` becomes a hard link into it, or a copy where the file system cannot link.

    Raises:
        InputError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from labelbeam.encoders.catalogue import load_encoder
        >>> from labelbeam.encoders.networks import TinyEncoder
        >>> module, transform = TinyEncoder(width=16).eval(), Preprocess(64, "squash")
        >>> encoder = ImageEncoder(module, 32, transform, "tiny", {"width": 16})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = load_encoder(save_encoder(encoder, Path(folder) / "encoder.safetensors"))
        >>> again.identity == encoder.identity and again.config == encoder.config
        True
    """
    try:
        if store is None:
            _write(encoder, path)
            return path
        name = f"{content_hash(encoder.module)[:32]}-{_short_hash(encoder.config)}.safetensors"
        store.mkdir(parents=True, exist_ok=True)
        if not (store / name).is_file():
            _write(encoder, store / name)
        with written_whole(path) as part:
            _link_or_copy(store / name, part)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}). Choose another folder or make room."
        ) from error
    return path


def _check_device(device: str) -> None:
    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"device {device!r} cannot be used here ({reason}). Use cpu, or what this machine has: cuda, mps, xpu."
        ) from error


def _write(encoder: ImageEncoder, path: Path) -> None:
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in encoder.module.state_dict().items()
    }
    with written_whole(path) as part:
        save_file(tensors, part, metadata={ENCODER_KEY: json.dumps(encoder.config, sort_keys=True)})


def _short_hash(config: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]


def _link_or_copy(stored: Path, path: Path) -> None:
    try:
        path.hardlink_to(stored)
    except OSError:
        shutil.copyfile(stored, path)


# What every library of encoders (`encoders.catalogue`) makes one with: what was asked for, and what weights say.


def refuse_options(config: EncoderConfig, *options: str) -> None:
    """Refuse options that an architecture does not have, rather than ignore them."""
    for option in options:
        if (value := getattr(config, option)) is not None:
            raise InputError(
                f"encoder {config.name!r} has no {option}, given {value!r}. "
                f"Leave --{option.replace('_', '-')} out."
            )


def made(
    module: nn.Module,
    architecture: str,
    arguments: Mapping[str, Any],
    preprocess: Preprocess,
    config: EncoderConfig,
) -> ImageEncoder:
    """Return the encoder of a network: its features counted, with its last map where a grid is asked for."""
    module, shape = channels_last(module.eval()), None
    num_features = probe(module, size=preprocess.size, name=str(arguments.get("model", architecture)))
    if config.grid:
        module, shape = with_map(module, config, size=preprocess.size)
        preprocess = larger(preprocess, config.tiles)
    return ImageEncoder(module, num_features, preprocess, architecture, arguments, map_shape=shape)


def seeded(seed: int, build: Any) -> Any:
    """Build with initial values drawn from `seed`, leaving the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def own_pooling(config: EncoderConfig, usual: str) -> str:
    """Return the pooling that is asked for, or the usual one; `usual` "default" says that there is no choice."""
    if config.pooling == "default":
        return usual
    if usual == "default":
        raise InputError(
            f"encoder {config.name!r} has no pooling to choose, given {config.pooling!r}; leave it out."
        )
    return config.pooling


def stated_input(
    config: EncoderConfig, weights: Weights, base: Mapping[str, Any], *, complete: bool = False
) -> dict[str, Any]:
    """Return `base` with what file and flags state of the input; an error names what is stated nowhere.

    `complete`: `base` itself states the normalisation (a published tag); size is the file's, a size
    that is asked for comes after it (`transform`).
    """
    needs: Needs = weights.needs
    chosen = dict(base) if needs.size is None else resized(base, needs.size)
    stated = set(chosen) if complete else set()
    for key in ("mean", "std", "channels", "scale"):
        for value in (getattr(needs, key), getattr(config, key)):
            if value is not None:
                chosen[key] = value
                stated.add(key)
    wanted = {"mean": "mean", "std": "std", "channels": "input"}
    if missing := [shown for key, shown in wanted.items() if key not in stated]:
        raise not_stated(weights.path, missing)
    return chosen


def not_stated(path: Path, missing: list[str]) -> InputError:
    """Return the error that names what neither a file nor an option says."""
    examples = {
        "mean": "--mean 0.485,0.456,0.406",
        "std": "--std 0.229,0.224,0.225",
        "input": "--channels RGB",
        "pad_type": "--pad-type same (TensorFlow's) or --pad-type '' (symmetric)",
    }
    return InputError(
        f"{path} does not say {', '.join(missing)}, and shapes cannot tell. Put them into its safetensors "
        f"metadata or into {path.with_suffix('.json').name} beside it, or give e.g. "
        + ", ".join(examples[key] for key in missing)
        + "."
    )


def resized(base: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return the same input at another size; what is cropped away keeps its proportion."""
    resize_to = base.get("resize_to", 0)
    return {**base, "size": size, "resize_to": int(resize_to * size / base["size"])}


def larger(preprocess: Preprocess, tiles: int) -> Preprocess:
    """Return the transform to a picture of so many tiles a side.

    Raises:
        InputError: that is more than 4,096 pixels.
    """
    return replace(preprocess, size=tiles * preprocess.size, resize_to=tiles * preprocess.resize_to)


def transform(config: EncoderConfig, base: Mapping[str, Any]) -> Preprocess:
    """Return the transform: what the flags say, else `base`, else the usual values of `Preprocess`.

    Where neither says how much the centre crop leaves out, it is an eighth of the side, as for most
    ImageNet weights.
    """
    chosen = dict(base)
    if config.resize is not None and config.resize != chosen.get("resize", "center"):
        chosen |= {"resize": config.resize, "resize_to": 0}
    if config.size is not None and "size" in chosen:
        chosen = resized(chosen, config.size)
    flags = {field.name: getattr(config, field.name) for field in fields(Preprocess)}
    chosen |= {name: value for name, value in flags.items() if value is not None}
    chosen.setdefault("resize", "center")
    size = chosen.setdefault("size", 224)
    if chosen["resize"] == "center" and not chosen.get("resize_to"):
        chosen["resize_to"] = int(size / 0.875)
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in chosen.items()
    }
    return Preprocess(**values)


def probe(module: nn.Module, *, size: int, name: str) -> int:
    """Return how many features an encoder gives, by one pass over an empty picture.

    Raises:
        InputError: it cannot look at pictures of this size, or gives something else than one row per image.
    """
    training = module.training
    module.eval()
    try:
        with torch.inference_mode():
            features = module(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError) as error:
        raise InputError(
            f"encoder {name!r} takes no pictures of {size} px ({error}). Try another --size."
        ) from error
    finally:
        module.train(training)
    if features.ndim != 2:
        raise InputError(
            f"encoder {name!r} gives {list(features.shape)} instead of one row per image; name a --pooling."
        )
    return int(features.shape[1])
