"""What a layer gives for inputs without values: by a formula where it is short, else by calling the layer so."""

import copy
from collections.abc import Callable, Container
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from microjoule.graph.file.measured_mode import META, Measured
from microjoule.graph.quantizer import Quantizer


def layer_on_shapes(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], measured: Measured) -> Any:
    """The output of a layer, without values.

    Args:
        module: the layer.
        args: its inputs, tensors without values.
        kwargs: likewise.
        measured: counts what it takes.
    """
    x = args[0] if len(args) == 1 and not kwargs else None
    cls = parametrize.type_before_parametrizations(module)
    if isinstance(x, Tensor):
        rule = RULES.get(Quantizer if isinstance(module, Quantizer) else cls)
        made = None if rule is None else rule(module, x)
        if made is not None:
            measured.add(made.numel() * made.element_size(), _multiplications(module, made))
            return made
    if isinstance(module, nn.RNNBase):
        return _recurrent(module, args, kwargs, measured)
    with measured:
        return _without_values(module)(*args, **kwargs)


def weight_of(module: nn.Module, name: str = "weight") -> Tensor | None:
    """A layer's own tensor as it is stored, which has the shape and type of the quantized one."""
    if parametrize.is_parametrized(module, name):
        stored: Tensor = module.parametrizations[name].original  # type: ignore[index,union-attr]
        return stored
    return getattr(module, name, None)


# Rules: None where a rule does not hold -------------------------------------------------------------------------------


def _same(_: nn.Module, x: Tensor) -> Tensor | None:
    return torch.empty(x.shape, dtype=x.dtype, device=META) if x.is_floating_point() else None


def _quantizer(module: Any, x: Tensor) -> Tensor | None:
    axis, block = module.scheme.axis, module.scheme.block or 1
    if axis is not None and module.scale is not None:
        fits = -x.dim() <= axis < x.dim() and -(-x.shape[axis] // block) == module.scale.numel()
        return _same(module, x) if fits else None
    return _same(module, x)


def _channels(count: str) -> Callable[[Any, Tensor], Tensor | None]:
    """A normalization of channels, the second dimension."""

    def rule(module: Any, x: Tensor) -> Tensor | None:
        weight, dims = weight_of(module), DIMENSIONS.get(parametrize.type_before_parametrizations(module), range(2, 9))
        fits = x.dim() in dims and x.shape[1] == getattr(module, count) and (weight is None or weight.dtype == x.dtype)
        return _same(module, x) if fits and not module.training else None

    return rule


def _layer_norm(module: Any, x: Tensor) -> Tensor | None:
    weight, shape = weight_of(module), tuple(module.normalized_shape)
    fits = tuple(x.shape[-len(shape) :]) == shape and (weight is None or weight.dtype == x.dtype)
    return _same(module, x) if fits else None


def _linear(module: Any, x: Tensor) -> Tensor | None:
    weight = weight_of(module)
    if weight is None or x.dim() == 0 or x.shape[-1] != weight.shape[1] or x.dtype != weight.dtype:
        return None
    return torch.empty((*x.shape[:-1], weight.shape[0]), dtype=x.dtype, device=META)


def _conv(module: Any, x: Tensor) -> Tensor | None:
    weight, bias = weight_of(module), weight_of(module, "bias")
    if weight is None or x.dtype != weight.dtype or not x.is_floating_point():
        return None
    made: Tensor = module._conv_forward(x, weight.to(META), None if bias is None else bias.to(META))
    return made


def _embedding(module: Any, x: Tensor) -> Tensor | None:
    weight = weight_of(module)
    if weight is None or x.dtype not in (torch.int32, torch.int64):
        return None
    return torch.empty((*x.shape, weight.shape[1]), dtype=weight.dtype, device=META)


DIMENSIONS: dict[type[nn.Module], Container[int]] = {nn.BatchNorm1d: (2, 3), nn.BatchNorm2d: (4,), nn.BatchNorm3d: (5,)}
RULES: dict[type[nn.Module], Callable[[Any, Tensor], Tensor | None]] = {
    Quantizer: _quantizer,
    **dict.fromkeys((nn.Dropout, nn.Dropout2d), _same),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _channels("num_features")),
    nn.GroupNorm: _channels("num_channels"),
    nn.LayerNorm: _layer_norm,
    nn.Linear: _linear,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), _conv),
    nn.Embedding: _embedding,
}


def _multiplications(module: nn.Module, made: Tensor) -> int:
    """Each number of a weight is multiplied once for each place of the output."""
    weight = weight_of(module)
    if weight is None or weight.dim() < 2 or isinstance(module, nn.Embedding):
        return 0
    return weight.numel() * (made.numel() // max(1, weight.shape[0]))


# Calling it -----------------------------------------------------------------------------------------------------------


def _recurrent(module: nn.RNNBase, args: tuple[Any, ...], kwargs: dict[str, Any], measured: Measured) -> Any:
    """A recurrent layer, called for one step of time; it gives as much for each of the others."""
    x, *state = args
    time = 1 if module.batch_first and x.dim() == 3 else 0
    steps = x.shape[time]
    with measured:
        made, last = _without_values(module)(x.narrow(time, 0, 1), *state, **kwargs)
    shape = [*made.shape[:time], steps, *made.shape[time + 1 :]]
    whole = torch.empty(shape, dtype=made.dtype, device=META)
    weights = sum(p.numel() for p in module.parameters())
    measured.add(whole.numel() * whole.element_size(), weights * max(1, whole.numel() // max(1, whole.shape[-1])))
    return whole, last


def _without_values(module: nn.Module) -> nn.Module:
    """A copy of a layer whose tensors have no values."""
    memo: dict[int, Any] = {id(tensor): tensor.to(META) for tensor in module.buffers()}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to(META), requires_grad=False)
    return copy.deepcopy(module, memo)
