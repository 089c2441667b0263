"""What is learned of a block: roundings, biases and activation scales; set for good, or taken from a run folder."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from microjoule.execution.fitted import SLACK_BYTES, read_checked, wrong_integers, wrong_scale, wrong_values
from microjoule.graph.ops import Layer
from microjoule.graph.quantizer import Quantizer
from microjoule.jobs.part import Part
from microjoule.jobs.run_folder import RunFolder
from microjoule.numerics.affine import Affine, along
from microjoule.quantization.soft_rounding import inverse_rectified_sigmoid, rectified_sigmoid

RATES = {"rounding": 1e-2, "scale": 1e-3, "bias": 1e-3}
"""Of Adam: for V, for the logarithm of a scale, and for a bias in units of its layer's largest."""

HELD = 0.99
"""h of an integer that is held already: near it, so that biases and scales are learned for the weights that come out.

With 0.75, MobileNetV1-0.25 W4A4 fell from 22.5 to 13.7 % in 150 iterations; with 0.99 it rose to 24.5 in 100."""


class Rounding:
    """A layer's weights between two integers each, and its bias."""

    def __init__(self, layer: Layer) -> None:
        quantizer = layer.quantizer
        assert quantizer is not None
        weight, affine = layer.stored_weight.detach(), quantizer.affine
        self.layer, self.quantizer = layer, quantizer
        self.scale = along(affine.scale, weight, affine.scheme)
        self.zero_point = along(affine.zero_point, weight, affine.scheme)
        self.low, self.high = affine.grid.qmin - self.zero_point, affine.grid.qmax - self.zero_point
        exact = (weight / self.scale).clamp(self.low, self.high)
        if quantizer.integers is None:
            self.below, share = exact.floor(), exact - exact.floor()
        else:  # from the integer that is held, or to the one beside it where the trained weight lies
            held = (quantizer.integers - self.zero_point).to(exact.dtype)
            self.below, share = torch.where(exact < held, held - 1, held), torch.where(exact < held, HELD, 1 - HELD)
        self.v = inverse_rectified_sigmoid(share).requires_grad_()

    def apply(self) -> Tensor:
        """Let the layer use what is learned so far; returns h."""
        h = rectified_sigmoid(self.v)
        self.quantizer.held = (self.below + h).clamp(self.low, self.high) * self.scale
        return h

    def finish(self) -> dict[str, Tensor]:
        """Hold the integers for good; returns what was learned, by names that `restore` takes."""
        integers = self.below + (rectified_sigmoid(self.v.detach()) >= 0.5)
        self.quantizer.hold(integers.clamp(self.low, self.high) + self.zero_point)
        assert self.quantizer.integers is not None
        found = {f"{self.layer.path}/integers": self.quantizer.integers}
        return found if self.layer.bias is None else found | {f"{self.layer.path}/bias": self.layer.bias}

    def problems(self, known: Mapping[str, Tensor]) -> Iterator[str]:
        """Why what was kept cannot be what was learned for this layer."""
        yield from wrong_integers(known[f"{self.layer.path}/integers"], self.layer)
        if self.layer.bias is not None:
            yield from wrong_values("bias", known[f"{self.layer.path}/bias"], tuple(self.layer.bias.shape))

    def restore(self, known: Mapping[str, Tensor]) -> None:
        """Take what was learned before."""
        self.quantizer.hold(known[f"{self.layer.path}/integers"].to(self.below.device))
        if self.layer.bias is not None:
            with torch.no_grad():
                self.layer.bias.copy_(known[f"{self.layer.path}/bias"])


class Scale:
    """An activation's scale, learned while the quantizer itself passes values through."""

    def __init__(self, quantizer: Quantizer) -> None:
        affine = quantizer.affine
        zero_point = int(affine.zero_point)
        self.quantizer, self.affine = quantizer, affine
        self.low, self.high = affine.grid.qmin - zero_point, affine.grid.qmax - zero_point
        self.logarithm = affine.scale.log().requires_grad_()

    def finish(self) -> Tensor:
        """Set what was learned, and return it: ()."""
        scale = self.logarithm.detach().exp()
        self.restore(scale)
        return scale

    def restore(self, scale: Tensor) -> None:
        """Take what was learned before."""
        self.quantizer.set_affine(Affine(self.affine.scheme, scale.to(self.logarithm.device), self.affine.zero_point))


def finished(roundings: list[Rounding], scales: list[Scale]) -> dict[str, Tensor]:
    """Everything set for good, and what was learned."""
    found = {f"{number}/scale": scale.finish() for number, scale in enumerate(scales)}
    for rounding in roundings:
        found |= rounding.finish()
    return found


def _problems(roundings: list[Rounding], scales: list[Scale], part: Part) -> Iterator[str]:
    """Why what was kept cannot be what `finished` returned."""
    for number in range(len(scales)):
        yield from wrong_scale(part.tensors[f"{number}/scale"], ())
    for rounding in roundings:
        yield from rounding.problems(part.tensors)


def restore(roundings: list[Rounding], scales: list[Scale], known: Mapping[str, Tensor]) -> None:
    """Take what `finished` returned."""
    for rounding in roundings:
        rounding.restore(known)
    for number, scale in enumerate(scales):
        scale.restore(known[f"{number}/scale"])


def optimizer(roundings: list[Rounding], scales: list[Scale]) -> torch.optim.Adam:
    groups: list[dict[str, Any]] = [
        {"params": [rounding.v for rounding in roundings], "lr": RATES["rounding"]},
        {"params": [scale.logarithm for scale in scales], "lr": RATES["scale"]},
    ]
    for rounding in roundings:
        bias = rounding.layer.bias
        if bias is not None:
            groups.append({"params": [bias], "lr": RATES["bias"] * bias.detach().abs().max().clamp(min=1e-6).item()})
    return torch.optim.Adam([group for group in groups if group["params"]])


def read_block(
    run: RunFolder, name: str, roundings: list[Rounding], scales: list[Scale]
) -> Mapping[str, Tensor] | None:
    """What was learned for a block, or None if that was not kept, or cannot be, of which a warning tells.

    Args:
        run: where it is kept.
        name: of the block.
        roundings: of its layers.
        scales: of its activations.
    """
    limit = SLACK_BYTES + 64 * sum(rounding.v.numel() for rounding in roundings)
    part = read_checked(run, name, lambda part: _problems(roundings, scales, part), limit_bytes=limit)
    return None if part is None else part.tensors
