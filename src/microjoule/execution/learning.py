"""Whether a network that is trained learns at all: which parameters the loss reaches, and that they change."""

import warnings

import torch
from torch import Tensor

from microjoule.errors import DataError, GraphError, SettingError
from microjoule.graph.network import Network
from microjoule.graph.quantizer import Quantizer
from microjoule.jobs.describe import describe_tensor

NAMED = 5
"""How many parameters a message names."""


class Learning:
    """Watches the first steps of a run, and that all parameters stay finite.

    Args:
        network: before its first step.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.parameters = {name: p for name, p in network.module.named_parameters() if p.requires_grad}
        self.before = {name: describe_tensor(parameter) for name, parameter in self.parameters.items()}
        self.finite = [name for name, parameter in self.parameters.items() if bool(torch.isfinite(parameter).all())]
        self.buffers = {name: buffer.clone() for name, buffer in network.module.named_buffers()}

    def see_loss(self, loss: object) -> None:
        """See that a loss can be learned from, before the first step is taken.

        Raises:
            SettingError: if it is no single number, or does not depend on any parameter.
        """
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            self._undo()
            given = f"of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise SettingError("loss", f"is {given}, not a single number", remedy="return the mean over the samples")
        if not loss.requires_grad:
            self._undo()
            remedy = (
                "compute it from the network's outputs with differentiable operators, without detach, round or argmax"
            )
            raise SettingError("loss", "does not depend on any parameter that learns", remedy=remedy)

    def see_gradients(self, loss: float) -> tuple[str, ...]:
        """See which parameters the first loss reaches, before the first step is taken.

        Args:
            loss: its value.

        Returns:
            The names of those that it does not reach.

        Raises:
            GraphError: if no weight gets a gradient; the network is as it was then.
        """
        reached = [name for name, p in self.parameters.items() if p.grad is not None and bool(p.grad.any())]
        fixed = tuple(name for name in self.parameters if name not in reached)
        quantized = _quantized(self.network)
        weights = {id(layer.stored_weight) for layer in self.network.layers}
        learnable = [name for name, parameter in self.parameters.items() if id(parameter) in weights]
        if loss != 0 and (not reached or (quantized and learnable and not set(learnable) & set(reached))):
            self._undo()
            if quantized:
                fact = f"cannot learn: quantizers hold or round its weights, without a gradient ({_some(quantized)})"
                remedy = "train it before mj.quantize; mj.unfreeze lets go of integers, but the rounding stays"
                raise GraphError("network", fact, remedy=remedy)
            fact = "cannot learn: no parameter gets a gradient from the loss"
            raise GraphError("network", fact, remedy="give a loss that is differentiable where the network is now")
        if fixed and quantized:
            told = f"{len(reached)} of {len(self.parameters)} parameters learn; no gradient comes to {_some(fixed)}"
            warnings.warn(f"network: {told}, as quantizers hold or round ({_some(quantized)})", stacklevel=2)
        return fixed

    def see_change(self, losses: list[float]) -> None:
        """See, after the first epoch, that some parameter has changed.

        Args:
            losses: of the epochs so far.

        Raises:
            SettingError: if none has; the network is as it was then.
        """
        changed = (describe_tensor(p) != self.before[name] for name, p in self.parameters.items())
        if not any(changed) and any(losses):
            self._undo()
            fact = "is so small that no parameter has changed in the first epoch"
            raise SettingError("learning_rate", fact, remedy="give a larger one (and no factor of 0 for all)")

    def see_finite(self, epoch: int) -> None:
        """See that every parameter is finite that was so before.

        Args:
            epoch: its number, from 1 on.

        Raises:
            DataError: if one is not, as a finite loss may have an infinite gradient.
        """
        for name in self.finite:
            if not bool(torch.isfinite(self.parameters[name]).all()):
                remedy = "lower learning_rate, give clip=1.0, or look for an infinite slope, as of a root at 0"
                raise DataError(f"epoch {epoch}", f"parameter {name} is not finite any more", remedy=remedy)

    @torch.no_grad()
    def _undo(self) -> None:
        """Let the statistics of batch norms be as before the first step."""
        for name, buffer in self.network.module.named_buffers():
            buffer.copy_(self.buffers[name])
        for parameter in self.parameters.values():
            parameter.grad = None


def _quantized(network: Network) -> list[str]:
    """The quantizers that are in use, by their places."""
    modules = network.module.named_modules()
    found = ((name, one) for name, one in modules if isinstance(one, Quantizer) and one.enabled and one.calibrated)
    return [name.removeprefix("quantizers.").replace(".parametrizations", "").removesuffix(".0") for name, _ in found]


def _some(names: "list[str] | tuple[str, ...]") -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
