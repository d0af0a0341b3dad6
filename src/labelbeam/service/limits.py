"""How much the service takes from whoever asks: bytes, files, pixels, seconds, requests at once.

One dataclass that everything in front of the model reads. Knows neither HTTP nor the model.
"""

import math
from dataclasses import dataclass, fields

from labelbeam.errors import InputError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What is taken; beyond it a request is refused, never the process.

    Raises:
        InputError: a number that is not positive (`rate`: negative).
    """

    body_bytes: int = 64 * MEGABYTE
    """Bytes of a request's body: a few dozen photographs from phones."""
    files: int = 32
    """Images of a request."""
    pixels: int = 64 * MEGABYTE
    """Pixels of an image; cameras of phones have up to 50 million."""
    scans: int = 64
    """Scans of a JPEG: cameras write 1, progressive ones about 10; a decoder goes over the whole picture for each."""
    receive_seconds: float = 60.0
    """From a request's first byte to its last, and again for the client to take the response."""
    answer_seconds: float = 60.0
    """From the whole request to its answer, waiting included."""
    requests: int = 64
    """Requests under way at once."""
    held_bytes: int = 256 * MEGABYTE
    """Bytes of bodies in memory, of all requests together."""
    waiting_images: int = 256
    """Images that wait for the encoder."""
    vector_bytes: int = 64 * MEGABYTE
    """Bytes of the feature vectors that are kept for later clicks; those longest not used go first."""
    rate: float = 0.0
    """Requests per second of one client, bursts of two seconds' worth allowed; 0: no limit."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not (0 < value < math.inf or (value == 0 and one.name == "rate")):
                least = "0 (no limit) or more" if one.name == "rate" else "more than 0"
                raise InputError(
                    f"the service's limit {one.name} is {value}; it must be {least}, and finite."
                )
