"""Features are kept in half precision; a value that does not fit is an error, never a saturated number."""

import numpy as np
from jaxtyping import Float16, Float32

from labelbeam.errors import InputError

LARGEST = float(np.finfo(np.float16).max)
"""65504."""


def to_half(features: Float32[np.ndarray, "images features"]) -> Float16[np.ndarray, "images features"]:
    """Round features to float16.

    Args:
        features: what an encoder gave.

    Returns:
        The same numbers to 11 significant bits; below 6e-8 they become 0.

    Raises:
        InputError: a value that is not finite, or beyond 65504.

    Example:
        >>> to_half(np.array([[0.1]], dtype=np.float32)).tolist()
        [[0.0999755859375]]
    """
    largest = np.abs(features).max(initial=0.0)
    if not largest <= LARGEST:  # also true of NaN
        raise InputError(
            f"the encoder gave a feature of {largest:g}; half precision holds up to {LARGEST:g}. Its "
            "weights and the normalisation in front of it (--mean, --std, --scale) probably do not belong together."
        )
    return features.astype(np.float16)
