"""How much the service takes from whoever asks, and what a refusal says."""

import math
import re
from dataclasses import dataclass, fields

from fastapi.responses import JSONResponse

from labelbeam.errors import InputError

# How much the service takes from whoever asks: bytes, files, pixels, seconds, requests at once.
#
# One dataclass that everything in front of the model reads. Knows neither HTTP nor the model.

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What is taken; beyond it a request is refused, never the process.

    Raises:
        InputError: a number that is not positive (`rate`: negative).
    """

    body_bytes: int = 64 * MEGABYTE
    """Bytes of a request's body: a few dozen photographs from phones."""
    json_bytes: int = 512_000
    """Bytes of a body that is no form of photographs: a question with the features of one image at most."""
    step_bytes: int = 8 * MEGABYTE
    """Bytes of a step in a project: a decision on each of 100,000 photographs."""
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
    wrong_keys: float = 1.0
    """Wrong API keys of one client per second, thirty at once."""
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


# A request that is not answered: the status, the reason, and when to come again.
#
# Raised by whatever notices it, turned into JSON in one place (`service.app`). Every refusal has the same
# form: `{"error": "what is wrong and what to do"}`.


class Refusal(Exception):  # noqa: N818  (named for what it is)
    """A request is refused.

    Attributes:
        status: HTTP status.
        reason: what is wrong and what to do.
        retry_after: seconds after which it may be tried again; None where that would not help.
    """

    def __init__(self, status: int, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        """Return it as the client gets it."""
        return refused(self.status, self.reason, retry_after=self.retry_after)


def without_places(reason: str) -> str:
    """Return a sentence without the folders of this machine: what a client may read names files only.

    Example:
        >>> without_places("/home/me/photos/a.jpg cannot be read. Look into '/tmp/x/'.")
        "a.jpg cannot be read. Look into ''."
    """
    return re.sub(r"(?<![\w.:/])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+", "", reason)


def refused(status: int, reason: str, *, retry_after: float | None = None) -> JSONResponse:
    """Return the response for a request that is not answered.

    Example:
        >>> refused(503, "too busy", retry_after=0.2).headers["retry-after"]
        '1'
    """
    headers = {} if retry_after is None else {"Retry-After": str(max(1, math.ceil(retry_after)))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": without_places(reason)}, status_code=status, headers=headers)
