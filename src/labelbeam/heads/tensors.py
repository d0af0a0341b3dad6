"""The arrays of a trained head by name, as `model.safetensors` holds them; taken one by one and checked.

Between a file (or a torch module's state) and a head. Knows no head: each takes what it needs and then asks that
nothing is left.
"""

from collections.abc import Mapping

import numpy as np

from labelbeam.errors import InputError


class Tensors:
    """Arrays by name; `take` gives one in the shape that is needed, `finish` refuses what nobody took."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = arrays
        self._taken: set[str] = set()

    def take(self, name: str, *shape: int | None, dtype: type[np.generic] = np.float32) -> np.ndarray:
        """Return an array.

        Args:
            name: as it is stored.
            shape: its sizes; None where any size fits.
            dtype: what it is read as; stored may be another width of the same kind of number.

        Raises:
            InputError: there is none, or it has another shape or kind of numbers.
        """
        if name not in self._arrays:
            raise InputError(f"the array {name!r} is missing.")
        array = self._arrays[name]
        same_shape = len(array.shape) == len(shape) and all(
            wanted in (None, size) for wanted, size in zip(shape, array.shape, strict=True)
        )
        if not same_shape or array.dtype.kind != np.dtype(dtype).kind:
            wanted = " ".join("any" if size is None else str(size) for size in shape)
            raise InputError(
                f"the array {name!r} must be {np.dtype(dtype)} [{wanted}], it is {array.dtype} {list(array.shape)}."
            )
        self._taken.add(name)
        return array.astype(dtype, copy=False)

    def finish(self) -> None:
        """Refuse arrays that were not taken.

        Raises:
            InputError: there are some.
        """
        if left := sorted(set(self._arrays) - self._taken):
            raise InputError(f"it holds arrays that this kind of head does not have: {', '.join(left[:5])}.")
