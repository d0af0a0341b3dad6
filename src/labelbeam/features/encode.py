"""From pictures in memory to features: the arithmetic that files and arrays have in common.

Knows nothing of files or caches; `features.extract` is the way for files.
"""

import copy
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float16, UInt8
from torch import Tensor, nn

from labelbeam.encoders.image_encoder import ImageEncoder
from labelbeam.encoders.preprocess import Preprocess
from labelbeam.features.half_precision import to_half


def encode_pictures(
    pictures: Iterable[UInt8[np.ndarray, "_ _ 3"]],
    encoder: ImageEncoder,
    *,
    device: str = "cpu",
    batch_size: int = 64,
) -> Float16[np.ndarray, "images features"]:
    """Return the features of pictures that are in memory, in this thread.

    Args:
        pictures: decoded, RGB, 0..255, each of any size.
        encoder: in whatever mode; it is used as in evaluation, and left as it is.
        device: where the network runs, as torch names it.
        batch_size: pictures at a time.

    Returns:
        One row per picture: the numbers that `extract` gives for a lossless file of it.

    Raises:
        InputError: a picture without pixels, or a feature that does not fit half precision.

    Example:
        >>> from labelbeam.encoders.catalogue import EncoderConfig, build_encoder
        >>> black = np.zeros((50, 70, 3), dtype=np.uint8)
        >>> encode_pictures([black, black], build_encoder(EncoderConfig("tiny"))).shape
        (2, 256)
    """
    module = on_device(encoder.module, device)
    remaining = iter(pictures)
    rows = [np.empty((0, encoder.num_features), dtype=np.float16)]
    while batch := list(itertools.islice(remaining, batch_size)):
        resized = [encoder.preprocess.resized(picture) for picture in batch]
        rows.append(encode_batch(resized, module, encoder.preprocess, device=device))
    return np.concatenate(rows)


def encode_batch(
    pictures: Sequence[UInt8[Tensor, "3 size size"]],
    module: nn.Module,
    preprocess: Preprocess,
    *,
    device: str,
    bfloat16: bool = False,
) -> Float16[np.ndarray, "images features"]:
    """Return the features of resized pictures, one pass through the network.

    Args:
        pictures: at least one, as `Preprocess.resized` gives them.
        module: the network, in evaluation mode, on `device`.
        preprocess: for the normalisation.
        device: where the network is.
        bfloat16: let convolutions and products run in bfloat16.

    Raises:
        InputError: a feature that does not fit half precision.
    """
    where = torch.device(device)
    with torch.inference_mode(), torch.autocast(where.type, torch.bfloat16, enabled=bfloat16):
        batch = preprocess.normalize(torch.stack(list(pictures)).to(where))
        return to_half(module(batch.contiguous(memory_format=torch.channels_last)).float().cpu().numpy())


def on_device(module: nn.Module, device: str) -> nn.Module:
    """Return the module in evaluation mode on a device; a copy where that changes anything."""
    where = torch.device(device)
    first = next(itertools.chain(module.parameters(), module.buffers()), None)
    if not module.training and (first is None or first.device == where):
        return module
    return copy.deepcopy(module).eval().to(where)
