"""A quantizer: a module that maps a tensor to the nearest values on a grid.

On an activation it is a node of the graph, on a weight a parametrization of the layer that owns it. Whatever
algorithm found its scale, what is left in the network is this: a grid, a scale, a zero point.
"""

import torch
from torch import Tensor, nn

from microjoule.errors import DataError, GraphError
from microjoule.numerics.affine import Affine, affine_from_range, centred_ends, dequantize, fake_quantize
from microjoule.numerics.grid import Scheme


class Quantizer(nn.Module):
    """Rounds to a grid once its range is set; until then (or while it is not `enabled`) passes values through.

    Args:
        scheme: the grid, and how it is laid over the tensor.
    """

    scale: Tensor | None
    zero_point: Tensor | None
    integers: Tensor | None
    held: Tensor | None

    def __init__(self, scheme: Scheme) -> None:
        super().__init__()
        self.scheme = scheme
        self.enabled = True
        self.register_buffer("scale", None)
        self.register_buffer("zero_point", None)
        self.register_buffer("integers", None)
        self.register_buffer("held", None, persistent=False)
        self._ends: tuple[int, int] | None = None

    @property
    def calibrated(self) -> bool:
        """Whether the range is known."""
        return self.scale is not None

    @property
    def affine(self) -> Affine:
        """The grid with its place on the real line.

        Raises:
            GraphError: before a range was set.
        """
        if self.scale is None or self.zero_point is None:
            raise GraphError("quantizer", "has no range yet", remedy="calibrate the network first (mj.calibrate)")
        return Affine(self.scheme, self.scale, self.zero_point)

    def set_affine(self, affine: Affine) -> None:
        """Take a grid as it is, with its scheme."""
        self.scheme, self.scale, self.zero_point, self.held = affine.scheme, affine.scale, affine.zero_point, None
        self.integers, self._ends = None, centred_ends(affine)

    def set_range(self, low: Tensor, high: Tensor) -> None:
        """Lay the grid over [low, high].

        Args:
            low: () or (channels / block,).
            high: as `low`.

        Raises:
            DataError: if a bound is not finite.
        """
        if not (torch.isfinite(low).all() and torch.isfinite(high).all()):
            raise DataError("range", "is not finite", remedy="look for NaN or infinity in the weights and the data")
        self.set_affine(affine_from_range(low, high, self.scheme))

    def hold(self, integers: Tensor) -> None:
        """Stand for these integers from now on, whatever comes in: the frozen form of a weight, rounded for good.

        Args:
            integers: the weight's shape, within the grid.
        """
        self.integers, self.held = integers.to(torch.int32), dequantize(integers, self.affine)

    def release(self) -> None:
        """Round what comes in again."""
        self.integers, self.held = None, None

    def forward(self, x: Tensor) -> Tensor:
        """The nearest values on the grid.

        Args:
            x: any shape; channels at the scheme's axis.
        """
        if not self.enabled or self.scale is None:
            return x
        if self.held is not None:
            return self.held.to(x.dtype)
        return fake_quantize(x, self.affine, ends=self._ends)

    def extra_repr(self) -> str:
        """The grid and, for one scale a tensor, the scale."""
        grid = self.scheme.grid
        text = f"{'int' if grid.signed else 'uint'}{grid.bits}"
        if self.scale is None:
            return text + ", no range yet"
        return text + (f", scale={self.scale.item():.6g}" if self.scale.dim() == 0 else f", {len(self.scale)} scales")
