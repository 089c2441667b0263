"""What a layer becomes by a fit, as a part of a run folder: checked against the layer that it is for."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from microjoule.graph.ops import Layer
from microjoule.jobs.nested import pack, unpack
from microjoule.jobs.part import Part
from microjoule.jobs.run_folder import RunFolder

SLACK_BYTES = 2**20
"""Of a layer's file, beside its tensors."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a layer becomes.

    Args:
        integers: of a quantized weight, in the layer's layout, within its grid; None for a weight in floating point.
        bias: (out,).
        error_before: mean squared error of the output over its variance, before.
        error_after: the same, after.
        scale: of the grid, () or (channels / block,), where it was chosen anew; None leaves the grid as it is.
        zero_point: as `scale`.
        weight: in floating point, in the layer's layout, where there are no integers.
    """

    integers: Tensor | None
    bias: Tensor
    error_before: float
    error_after: float
    scale: Tensor | None = None
    zero_point: Tensor | None = None
    weight: Tensor | None = None


NAMES = ("integers", "bias", "error_before", "error_after", "scale", "zero_point", "weight")


def write_fitted(run: RunFolder, layer: Layer, fitted: Fitted) -> None:
    """Keep a layer that was fitted."""
    part = pack({name: getattr(fitted, name) for name in NAMES}, layer.path)
    run.write(layer.path, part.tensors, part.text)


def read_fitted(run: RunFolder, layer: Layer) -> Fitted | None:
    """A layer that was fitted already, or None; one that does not fit the layer is not taken, and a warning tells so.

    Args:
        run: where it is kept.
        layer: which; it says which shapes and integers there can be.
    """
    limit = SLACK_BYTES + 32 * (layer.stored_weight.numel() + layer.out_channels)
    part = read_checked(run, layer.path, lambda part: _problems(_fitted(part), layer), limit_bytes=limit)
    return None if part is None else _fitted(part)


def read_checked(
    run: RunFolder, name: str, problems: Callable[[Part], Iterable[str]], *, limit_bytes: int
) -> Part | None:
    """A part that was finished, or None; one with a problem is not taken, and a warning tells so.

    Args:
        run: where it is kept.
        name: of the part.
        problems: what is wrong with it, in words.
        limit_bytes: of its file.
    """
    part = run.read(name, limit_bytes=limit_bytes)
    if part is None:
        return None
    try:
        found = list(problems(part))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        found = [f"it is of another form: {error!r}"]
    if found:
        run.say_damaged(name, found[0])
        return None
    return part


def _fitted(part: Part) -> Fitted:
    return Fitted(**unpack(part))


def _problems(fitted: Fitted, layer: Layer) -> Iterator[str]:
    """What is wrong with a fitted layer, in words."""
    yield from wrong_values("bias", fitted.bias, (layer.out_channels,))
    if not all(isinstance(error, int | float) for error in (fitted.error_before, fitted.error_after)):
        yield "its errors are no numbers"
    if (fitted.integers is None) == (fitted.weight is None):
        yield "it holds no weight, or two"
    if fitted.weight is not None:
        yield from wrong_values("weight", fitted.weight, tuple(layer.stored_weight.shape))
    if fitted.integers is not None:
        yield from wrong_integers(fitted.integers, layer)
    if (fitted.scale is None) != (fitted.zero_point is None):
        yield "it holds a scale or a zero point alone"
    if layer.quantizer is not None and fitted.scale is not None and fitted.zero_point is not None:
        shape = tuple(layer.quantizer.affine.scale.shape)
        yield from wrong_scale(fitted.scale, shape)
        yield from wrong_values("zero point", fitted.zero_point, shape)


def wrong_integers(found: Tensor, layer: Layer) -> Iterator[str]:
    """What is wrong with a layer's integers, in words.

    Args:
        found: to have the shape of the layer's weight, and lie within its grid.
        layer: whose they are.
    """
    if layer.quantizer is None:
        yield "it holds integers for a layer in floating point"
    elif found.shape != layer.stored_weight.shape:
        yield f"its integers have shape {tuple(found.shape)}, and not {tuple(layer.stored_weight.shape)}"
    elif not torch.equal(found, found.round()):
        yield "its integers are no whole numbers"
    else:
        grid = layer.quantizer.scheme.grid
        if not grid.qmin <= int(found.min()) <= int(found.max()) <= grid.qmax:
            yield f"its integers lie outside {grid.qmin} to {grid.qmax}"


def wrong_scale(found: Tensor, shape: tuple[int, ...]) -> Iterator[str]:
    """What is wrong with a scale, in words.

    Args:
        found: to have this shape, finite, above 0.
        shape: of it.
    """
    yield from wrong_values("scale", found, shape)
    if not bool((found > 0).all()):
        yield "its scale is not above 0"


def wrong_values(name: str, found: Tensor, shape: tuple[int, ...]) -> Iterator[str]:
    """What is wrong with some values, in words.

    Args:
        name: what they are called.
        found: to have this shape, finite.
        shape: of them.
    """
    if tuple(found.shape) != shape:
        yield f"its {name} has shape {tuple(found.shape)}, and not {shape}"
    elif not bool(torch.isfinite(found).all()):
        yield f"its {name} is not finite"
