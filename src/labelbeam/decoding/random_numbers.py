"""Random numbers that are hashes: of a seed, a stream, a sample, a step, or of a prefix and an outcome.

Nothing is drawn in order, so no number depends on the batch that an image is in. Numbers that belong to
prefixes make images that come by the same prefix choose the same continuation as often as their probabilities
allow: they meet in few prefixes, which the trie holds already. Knows numbers only; `sampling` uses them.
"""

import numpy as np
from jaxtyping import Float, Int, UInt64

from labelbeam.errors import InputError

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)
EMPTY_PREFIX = np.uint64(0)
"""Key of the prefix without labels."""


def mix(numbers: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """Return a bijective scrambling of 64-bit numbers.

    Source:
        The finaliser of splitmix64 (Steele, Lea, Flood 2014).
    """
    mixed = (numbers ^ (numbers >> np.uint64(30))) * MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX_2
    return mixed ^ (mixed >> np.uint64(31))


def sub_keys(
    keys: UInt64[np.ndarray, " items"], numbers: Int[np.ndarray, " items"]
) -> UInt64[np.ndarray, " items"]:
    """Return the key of a numbered part of each key: a label after a prefix, a sample of an image.

    Args:
        keys: uint64.
        numbers: at least 0.

    Returns:
        uint64; different numbers give independent keys.
    """
    return mix(keys + (numbers.astype(np.uint64) + np.uint64(1)) * GOLDEN)


def sample_keys(
    seed: int, streams: Int[np.ndarray, " images"], samples: int
) -> UInt64[np.ndarray, "images samples"]:
    """Return the key of every sample, from which `uniforms` draws.

    Args:
        streams: a number per image; equal streams give equal random numbers.
        samples: samples (or rounds of samples) per image.

    Returns:
        uint64 [images samples].
    """
    image_keys = mix(streams.astype(np.uint64) + mix(np.array([seed % 2**64], dtype=np.uint64)) + GOLDEN)
    return mix(image_keys[:, None] + np.arange(1, samples + 1, dtype=np.uint64) * GOLDEN)


def check_streams(streams: Int[np.ndarray, " streams"] | None, images: int) -> Int[np.ndarray, " images"]:
    """Return the stream of each image: those given, or the same for all.

    Raises:
        InputError: streams of another number than the images.
    """
    if streams is None:
        return np.zeros(images, dtype=np.int64)
    if len(streams) != images:
        raise InputError(f"streams must have one number per image, {images}; given {len(streams)}.")
    return streams


def as_uniforms(mixed: UInt64[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Return scrambled 64-bit numbers as numbers strictly between 0 and 1."""
    return ((mixed >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def uniforms(keys: UInt64[np.ndarray, " items"], step: int) -> Float[np.ndarray, " items"]:
    """Return one uniform number per key, strictly between 0 and 1, for a step of its sample.

    Example:
        >>> uniforms(sample_keys(0, np.array([7]), 2)[0], 1).round(3).tolist()
        [0.535, 0.083]
    """
    return as_uniforms(mix(keys + np.array([step], dtype=np.uint64) * MIX_2))


def race(
    masses: Float[np.ndarray, "items outcomes"], keys: UInt64[np.ndarray, " items"]
) -> Int[np.ndarray, " items"]:
    """Draw one outcome per item in proportion to its mass: that of the least exponential clock.

    Every outcome has a random number of its own, so two items with equal keys draw the same outcome unless
    their masses differ much; drawing along a cumulative sum has no such property.

    Args:
        masses: not negative, at least one of each row above 0.
        keys: uint64.

    Returns:
        Outcomes.

    Example:
        >>> keys = sample_keys(0, np.array([0]), 10000)[0]
        >>> (np.bincount(race(np.tile([0.0, 1.0, 3.0], (10000, 1)), keys)) / 10000).round(2).tolist()
        [0.0, 0.25, 0.75]
    """
    numbers = np.arange(1, masses.shape[1] + 1, dtype=np.uint64) * GOLDEN
    clocks = -np.log(as_uniforms(mix(keys[:, None] + numbers)))
    with np.errstate(divide="ignore", over="ignore"):  # no or hardly any mass: never first
        return (clocks / masses).argmin(axis=1)
