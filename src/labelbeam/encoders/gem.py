"""Generalised-mean pooling, between average and maximum."""

from jaxtyping import Float
from torch import Tensor, nn


class Gem(nn.Module):
    """Generalised-mean pooling with the usual exponent 3.

    Source: Radenovic et al., TPAMI 2019, equation 4.
    """

    def __init__(self, *, channels_last: bool, power: float = 3.0) -> None:
        super().__init__()
        self.dims = (1, 2) if channels_last else (2, 3)
        self.power = power

    def forward(self, maps: Float[Tensor, "batch a b c"]) -> Float[Tensor, "batch channels"]:
        """Return the cube root of the mean of cubes over each map; negative values count as 1e-6."""
        return maps.clamp(min=1e-6).pow(self.power).mean(self.dims).pow(1.0 / self.power)
