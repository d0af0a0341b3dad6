"""A signed map laid over its picture: orange for, blue against; told apart with every kind of colour vision.

Pixels in, pixels out. Knows no label and no file.
"""

import numpy as np
from jaxtyping import Float, UInt8

BRIGHTEST = 99.7
"""Percentile of a map's absolute values that gets the full colour, so that one pixel does not dim the rest."""

_SUPPORT = np.array([[213, 94, 0], [240, 150, 20], [255, 226, 120]], dtype=np.float64)
"""Vermilion to pale yellow (Okabe and Ito's palette, lightened towards the top)."""
_OPPOSE = np.array([[0, 84, 150], [30, 125, 210], [140, 208, 255]], dtype=np.float64)
_FAINT = 0.12  # of full strength: below it nothing is laid over the picture


def overlaid(
    picture: UInt8[np.ndarray, "size size 3"], signed: Float[np.ndarray, "size size"]
) -> UInt8[np.ndarray, "size size 3"]:
    """Return the picture, grey and darkened, with a map's colours on it; each map has its own scale.

    Args:
        picture: RGB.
        signed: above 0 what speaks for, below 0 what speaks against.

    Example:
        >>> grey = np.full((2, 2, 3), 100, dtype=np.uint8)
        >>> shown = overlaid(grey, np.array([[1.0, 0.0], [0.0, -1.0]]))
        >>> shown[0, 0].tolist(), shown[0, 1].tolist()
        ([244, 216, 117], [66, 66, 66])
    """
    light = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    base = np.repeat((0.62 * light + 4.0)[:, :, None], 3, axis=2)
    strength = np.abs(signed)
    full = float(np.percentile(strength, BRIGHTEST)) or float(strength.max())
    if full <= 0:
        return np.rint(base).astype(np.uint8)
    strength = np.clip(strength / full, 0.0, 1.0)
    colour = np.where((signed > 0)[:, :, None], _ramp(_SUPPORT, strength), _ramp(_OPPOSE, strength))
    alpha = np.clip((strength - _FAINT) / (1 - _FAINT), 0.0, 1.0)[:, :, None] ** 0.75 * 0.94
    return np.rint((1 - alpha) * base + alpha * colour).astype(np.uint8)


def _ramp(colours: np.ndarray, strength: np.ndarray) -> np.ndarray:
    at = strength * (len(colours) - 1)
    low = np.minimum(at.astype(int), len(colours) - 2)
    part = (at - low)[..., None]
    return (1 - part) * colours[low] + part * colours[low + 1]
