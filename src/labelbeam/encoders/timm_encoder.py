"""Any timm model as an image encoder: its features before the classifier, pooled as asked.

The one place that knows timm's ways: names and tags, poolings, input sizes, how a classifier comes off.
Needs the extra `encoders`. Knows nothing of weights files' metadata (`encoders.catalogue` reads it) nor of
the network (`encoders.catalogue`).
"""

import importlib
import importlib.util
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labelbeam.encoders.networks import Gem
from labelbeam.encoders.weights import load_strictly
from labelbeam.errors import InputError, unknown_name

# PyPI's Linux torchvision is linked against CUDA's torch; beside a CPU-only torch its operators cannot be loaded and
# `import torchvision` ends in "operator torchvision::nms does not exist", and with it every library that imports
# torchvision whenever it is installed. labelbeam needs none of those operators, so the two schemas that torchvision
# looks up at import are declared, without an implementation, and only where the compiled part really cannot be loaded;
# before the first import of timm.

_declared: list[torch.library.Library] = []
"""Keeps the declaration alive: a Library that is collected takes its schemas with it."""


def _compiled_part() -> Path | None:
    """Return torchvision's compiled operators, or None where torchvision or they are not installed."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    found = sorted(path for pattern in ("_C*.so", "_C*.pyd") for path in folder.glob(pattern))
    return found[0] if found else None


def declare_missing_schemas() -> bool:
    """Declare torchvision's `nms` and `qnms` where its compiled part cannot be loaded; else do nothing.

    Returns:
        True if this or an earlier call declared them; False where torchvision is whole or absent.

    Example:
        >>> declare_missing_schemas() == declare_missing_schemas()
        True
    """
    if _declared:
        return True
    compiled = _compiled_part()
    if compiled is None or hasattr(torch.ops.torchvision, "nms"):
        return False
    try:
        torch.ops.load_library(str(compiled))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        return True
    return False


POOLINGS = ("default", "avg", "max", "avgmax", "catavgmax", "gem", "token", "map")
"""timm's names ("avgmax" is the mean of both, "catavgmax" both side by side), and "gem"."""

FRIENDLY = {
    "dinov2": ("vit_base_patch14_reg4_dinov2.lvd142m", 224),
    "dinov2-small": ("vit_small_patch14_reg4_dinov2.lvd142m", 224),
    "siglip": ("vit_base_patch16_siglip_224.v2_webli", None),
    "convnext": ("convnext_base.fb_in22k", None),
    "convnext-tiny": ("convnext_tiny.fb_in22k", None),
}
"""One flag for modern frozen encoders: exact timm name, and the size where timm's own is for dense tasks
(DINOv2: 518 px, 1,369 patches; its authors judge whole images at 224)."""

_PADDING_NOT_IN_SHAPES = ("efficientnet", "mobilenetv3")
"""Modules of timm whose models run with either padding of the same weights."""


@cache
def timm_module() -> Any:
    """Return timm, imported beside whatever torchvision there is.

    Raises:
        InputError: timm is not installed.
    """
    declare_missing_schemas()
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise InputError(
            "this encoder needs timm: pip install 'labelbeam[encoders]', or use 'tiny' or 'vgg16'."
        ) from error


def full_name(name: str, *, ours: Sequence[str] = tuple(FRIENDLY)) -> tuple[str, str, int | None]:
    """Return a model's timm architecture, its tag ("" for none), and the size that its short name means.

    Args:
        name: a short name (`FRIENDLY`), or timm's, with or without a tag.
        ours: names that are proposed beside timm's.

    Raises:
        InputError: no such model or tag; the nearest is proposed.

    Example:
        >>> full_name("dinov2")
        ('vit_base_patch14_reg4_dinov2', 'lvd142m', 224)
    """
    timm = timm_module()
    given, size = FRIENDLY.get(name, (name, None))
    architecture, _, tag = given.partition(".")
    if not timm.is_model(architecture):
        close = get_close_matches(name.casefold(), [*ours, *timm.list_models()], n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise InputError(
            f"unknown encoder {name!r}.{hint} Allowed: {', '.join(ours)}, and every model of timm "
            f"{timm.__version__}."
        )
    if tag:
        tags = [full.partition(".")[2] for full in timm.list_pretrained(architecture + ".*")]
        if tag not in tags:
            raise unknown_name(f"tag of encoder '{architecture}'", tag, tags)
    return architecture, tag, size


def needs_padding(architecture: str) -> bool:
    """Say whether weights of this architecture run with either padding, so that somebody must say which."""
    if architecture.startswith("tf_"):
        return False
    return (
        timm_module().models.model_entrypoint(architecture).__module__.rsplit(".", 1)[-1]
        in _PADDING_NOT_IN_SHAPES
    )


def published_input(architecture: str, tag: str) -> dict[str, Any]:
    """Return the input that a published set of weights was made for, as fields of `Preprocess`.

    Returns:
        size, resize, resize_to, interpolation, mean, std, channels, scale.

    Raises:
        InputError: an input that is not a square RGB picture, or is padded.
    """
    published = timm_module().get_pretrained_cfg(f"{architecture}.{tag}").to_dict()
    depth, height, width = published["input_size"]
    if depth != 3 or height != width or published["crop_mode"] not in ("center", "squash"):
        raise InputError(
            f"{architecture}.{tag} wants {depth} x {height} x {width} input with crop mode "
            f"{published['crop_mode']!r}; labelbeam gives square RGB pictures ('center' or 'squash')."
        )
    squash = published["crop_mode"] == "squash"
    return {
        "size": height,
        "resize": published["crop_mode"],
        "resize_to": 0 if squash else int(height / published["crop_pct"]),
        "interpolation": "bicubic" if published["interpolation"] == "bicubic" else "bilinear",
        "channels": "RGB",
        "scale": 1.0,
        "mean": tuple(map(float, published["mean"])),
        "std": tuple(map(float, published["std"])),
    }


def native_size(architecture: str) -> int:
    """Return the side of the square input timm builds the architecture for, pixels."""
    return int(timm_module().get_pretrained_cfg(architecture).input_size[1])


def build(
    model: str, pooling: str = "default", pad_type: str | None = None, size: int | None = None
) -> nn.Module:
    """Build the encoder with timm's initial values.

    Args:
        pooling: one of `POOLINGS`; "default" is the model's own.
        pad_type: "" or "same" where the architecture takes it; None leaves timm's.
        size: side of the input where the architecture is bound to one, pixels; None leaves timm's.

    Returns:
        pixels `[batch 3 size size]` to features `[batch features]`.

    Raises:
        InputError: the architecture does not take this pooling, padding or size.
    """
    return _finished(_created(model, pad_type, num_classes=0), model, pooling=pooling, size=size)


def build_with_weights(
    model: str,
    tensors: Mapping[str, Tensor],
    *,
    source: str,
    num_classes: int | None = None,
    pooling: str = "default",
    pad_type: str | None = None,
    size: int | None = None,
) -> nn.Module:
    """Build the encoder from weights in timm's layout, loaded strictly, their classifier included.

    Args:
        num_classes: outputs of the file's classifier; None takes them from its shape, 0 where it has none.
        size: as in `build`; position embeddings are resampled to it.

    Raises:
        InputError: weights of another architecture, or what `build` raises.
    """
    if num_classes is None:
        num_classes = _classes_in(model, tensors)
    module = _created(model, pad_type, num_classes=num_classes)
    load_strictly(module, tensors, source=source)
    return _finished(module, model, pooling=pooling, size=size)


def build_published(
    architecture: str, tag: str, file: str, *, pooling: str = "default", size: int | None = None
) -> nn.Module:
    """Build the encoder from a published file, read by timm's own rules for that model.

    Args:
        file: local copy of the hub's safetensors file.

    Raises:
        InputError: the file does not fit the model, or what `build` raises.
    """
    name = f"{architecture}.{tag}"
    try:
        module = timm_module().create_model(name, pretrained=True, pretrained_cfg_overlay={"file": file})
    except RuntimeError as error:
        raise InputError(f"{file} does not hold the weights of {name}: {error}") from error
    return _finished(module, architecture, pooling=pooling, size=size)


def _created(model: str, pad_type: str | None, *, num_classes: int) -> Any:
    options: dict[str, Any] = {"num_classes": num_classes} | (
        {} if pad_type is None else {"pad_type": pad_type}
    )
    if ":" in model or "/" in model:  # timm would take it for an address and go to the network
        raise InputError(f"{model!r} is an address, not the name of an architecture. Name one that timm has.")
    try:
        return timm_module().create_model(model, pretrained=False, **options)
    except TypeError as error:
        raise InputError(f"encoder {model!r} takes no pad_type ({error}). Leave --pad-type out.") from error


def _finished(module: Any, model: str, *, pooling: str, size: int | None) -> nn.Module:
    """Take the classifier off, set pooling and input size; the same steps for new and for loaded values."""
    if pooling not in POOLINGS:
        raise unknown_name("pooling", pooling, POOLINGS)
    try:
        if pooling == "default":
            module.reset_classifier(0)
        else:
            module.reset_classifier(0, "avg" if pooling == "gem" else pooling)
    except (AssertionError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(
            f"encoder {model!r} takes no pooling {pooling!r} ({error}). Use --pooling default."
        ) from error
    if pooling == "gem":
        _put_gem(module, model)
    if size is not None and size != native_size(model) and hasattr(module, "set_input_size"):
        try:
            module.set_input_size(img_size=size)
        except (AssertionError, TypeError, ValueError, RuntimeError) as error:
            raise InputError(
                f"encoder {model!r} takes no pictures of {size} px ({error}). Try another --size."
            ) from error
    return module


def _put_gem(module: nn.Module, model: str) -> None:
    from timm.layers import SelectAdaptivePool2d

    pools = [name for name, part in module.named_modules() if isinstance(part, SelectAdaptivePool2d)]
    if len(pools) != 1:
        raise InputError(f"encoder {model!r} has no single pooled map for 'gem'. Use --pooling default.")
    where, _, name = pools[0].rpartition(".")
    # What the pooling did to a map of two channels shows its layout and whether it kept the map's dimensions.
    seen = module.get_submodule(pools[0])(torch.zeros(1, 2, 3, 5)).shape
    gem: nn.Module = Gem(channels_last=5 in seen)
    if len(seen) == 4:
        gem = nn.Sequential(gem, nn.Unflatten(1, (1, 1, -1) if 5 in seen else (-1, 1, 1)))
    setattr(module.get_submodule(where), name, gem)


def _classes_in(model: str, tensors: Mapping[str, Tensor]) -> int:
    """Return the outputs of the classifier in a weights file, from its shape; 0 where it has none."""
    named = timm_module().get_pretrained_cfg(model).classifier
    for key in (f"{named}.bias", f"{named}.weight"):
        if key in tensors:
            return int(tensors[key].shape[0])
    return 0


def usual_tag(architecture: str) -> str:
    """Return the tag of the weights timm itself uses for an architecture named without one.

    Raises:
        InputError: nobody has published weights for it.
    """
    tag = timm_module().get_pretrained_cfg(architecture).tag
    if not tag:
        raise InputError(
            f"there are no published weights for {architecture!r}. Give some with --weights FILE."
        )
    return str(tag)


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
