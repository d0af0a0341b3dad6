"""Which arithmetic a search uses: plain NumPy, or Numba kernels where Numba is installed (extra `fast`).

Both give the same answers; tests compare them. Knows nothing of what is computed.
"""

from functools import cache
from importlib.util import find_spec

from labelbeam.errors import InputError, unknown_name

BACKENDS = ("numpy", "numba")


@cache
def has_numba() -> bool:
    """Tell whether Numba is installed, without importing it."""
    return find_spec("numba") is not None


def choose_backend(asked: str | None, *, additive: bool) -> str:
    """Return the backend to use.

    Args:
        asked: its name; None: `numba` where it is installed and can do the model, else `numpy`.
        additive: whether the label model's logits are prefix row plus image row; Numba does no others.

    Returns:
        The backend's name.

    Raises:
        InputError: an unknown name, Numba asked for and not installed, or a model that it cannot do.

    Example:
        >>> choose_backend(None, additive=False)
        'numpy'
    """
    if asked is None:
        return "numba" if additive and has_numba() else "numpy"
    if asked not in BACKENDS:
        raise unknown_name("backend", str(asked), BACKENDS)
    if asked == "numba" and not additive:
        raise InputError("backend 'numba' needs an additive label model (h = identity). Use 'numpy'.")
    if asked == "numba" and not has_numba():
        raise InputError("backend 'numba' needs Numba. Install labelbeam[fast], or use 'numpy'.")
    return asked
