"""A request that is not answered: the status, the reason, and when to come again.

Raised by whatever notices it, turned into JSON in one place (`service.app`). Every refusal has the same form:
`{"error": "what is wrong and what to do"}`.
"""

import math

from fastapi.responses import JSONResponse


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


def refused(status: int, reason: str, *, retry_after: float | None = None) -> JSONResponse:
    """Return the response for a request that is not answered.

    Example:
        >>> refused(503, "too busy", retry_after=0.2).headers["retry-after"]
        '1'
    """
    headers = {} if retry_after is None else {"Retry-After": str(max(1, math.ceil(retry_after)))}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": reason}, status_code=status, headers=headers)
