"""A network made smaller as a plan says: channels taken out, layers in factors, and every layer fitted to the original.

What a plan changes is first written into the weights where they are: columns that read removed channels are 0, and a
layer in factors has their product. So one pass through the network can fit every layer, in order, to what it gave in
the original, from inputs as the layers before it now make them (microjoule.execution.reconstruct); each makes up for
what went before. Only then channels are removed and layers replaced, which changes nothing any more.

Source: He, Zhang, Sun 2017, https://arxiv.org/abs/1707.06168, sections 3.1 and 3.2 (the readers of what is left, by
least squares, layer after layer, targets from the original).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from microjoule.compression.cuts import Cut, cuts
from microjoule.compression.prices import Form
from microjoule.execution.batches import batches
from microjoule.execution.fitted import Fitted
from microjoule.execution.reconstruct import ROWS, Look, Rows, reconstruct
from microjoule.graph.channels import channel_groups
from microjoule.graph.edit import bias_of
from microjoule.graph.factor import replace_by_factors
from microjoule.graph.network import Network
from microjoule.graph.ops import Layer
from microjoule.graph.patches import weight_from_rows, weight_rows
from microjoule.graph.prune import remove_channels
from microjoule.graph.walk import is_private
from microjoule.numerics.least_squares import Moments, best_bias, refit, squared_error, trusted
from microjoule.numerics.low_rank import Factored, approximated
from microjoule.numerics.low_rank_shapes import Method, Rank, factor_shapes
from microjoule.records.facts import LayerReconstructed, Reconstructed

RIDGE = 1e-2
"""How firmly refitted weights hold on to the trained ones, as a share of each input's mean square.

It matters little: ResNet-20 with all 3x3 layers in spatial form at half their products, 1000 images, has 79.4 % on 2000
others at 0.003, 0.01 and 0.03, and 79.6 at 0.3."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of a network.

    Args:
        removed: for channel groups, by name, the units that go.
        forms: for layers, by path, their low-rank form and its rank, of the weight that is left when channels are gone.
    """

    removed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    forms: Mapping[str, Form] = field(default_factory=dict)


def carry_out(
    network: Network,
    plan: Plan,
    data: Any,
    *,
    samples: int | None = None,
    rows: int = ROWS,
    ridge: float = RIDGE,
    seed: int = 0,
    folder: str | Path | None = None,
) -> Reconstructed:
    """Make a network smaller, in place, every layer fitted to the original.

    Args:
        network: in floating point; batch norms may stand in it.
        plan: what goes.
        data: inputs, in any form that `batches` takes; labels are not read.
        samples: how many of them to use; None for all.
        rows: how many places of a layer's output to look at, over all samples.
        ridge: how firmly weights hold on to what they were, relative to the mean square of each input; firmer where
            a layer has few rows for its inputs, by their ratio.
        seed: of the places.
        folder: keeps each layer as soon as it is fitted; the same call goes on from there.

    Raises:
        DataError: if the data is empty, not finite, or does not fit.
        SettingError: for a group, unit, form or rank that there is not; nothing is changed then.
        FileError: if the folder holds the work of another run, or cannot be written.
    """
    stays = cuts(network, channel_groups(network).groups, plan.removed)
    layers = [layer for layer in _after(network, stays, plan) if is_private(network, layer)]
    fit = partial(_fitted, stays=stays, forms=plan.forms, ridge=ridge)
    settings = {"plan": (sorted(plan.removed.items()), sorted(plan.forms.items())), "ridge": ridge}
    found = batches(data, network)
    done, count = reconstruct(network, found, layers, fit, Look(samples, rows, seed, folder), settings)
    restructure(network, plan)
    each = tuple(LayerReconstructed(one.layer, one.error_before, one.error_after, one.seconds) for one in done)
    record = Reconstructed("least squares", found.name, count, seed, each, ())
    network.history.append(record)
    return record


def restructure(
    network: Network, plan: Plan, *, factors: Callable[[Tensor, Method, Rank], Factored] = approximated
) -> None:
    """Take channels out and put layers in factors, in place; exact where weights are already what the plan makes them.

    Args:
        network: in floating point.
        plan: what goes.
        factors: gives a weight's factors.

    Raises:
        SettingError: as `carry_out`.
    """
    if plan.removed:
        remove_channels(network, plan.removed)
    for path, (method, rank) in plan.forms.items():
        layer = network.layer(path)
        replace_by_factors(network, layer, factors(layer.stored_weight.detach(), method, rank), layer.bias)
    network.recompile()


def sized(weight: Tensor, method: Method, rank: Rank) -> Factored:
    """Factors of the right shapes, all zero: enough to count what they cost.

    Args:
        weight: (out, in, *kernel).
        method: the form.
        rank: of it.
    """
    made = tuple(weight.new_zeros(shape) for shape in factor_shapes(tuple(weight.shape), method, rank))
    return Factored(method, made, torch.zeros_like(weight))


def _after(network: Network, stays: Mapping[str, Cut], plan: Plan) -> list[Layer]:
    """The layers from the first one on whose inputs or weights change."""
    layers = network.layers
    changed = [bool(plan.forms.get(one.path)) or not bool(stays[one.path].ins.all()) for one in layers]
    return layers[changed.index(True) :] if True in changed else []


# One layer ------------------------------------------------------------------------------------------------------------


def _fitted(rows: Rows, *, stays: Mapping[str, Cut], forms: Mapping[str, Form], ridge: float) -> Fitted:
    """A layer's weight of the channels that stay, in its form, with the least error."""
    layer, cut = rows.layer, stays[rows.layer.path]
    start, columns = weight_rows(layer, layer.stored_weight.detach()), cut.columns(layer)
    wanted, known = refit_reading(start, rows.known, columns, ridge=ridge)
    if layer.path in forms:
        wanted = _in_form(layer, wanted, known, cut, forms[layer.path])
    bias = best_bias(wanted, known)
    before, after = _error(start, rows.known, bias_of(layer), cut.outs), _error(wanted, known, bias, cut.outs)
    weight = weight_from_rows(layer, laid_out(wanted, columns, start.shape[2])).to(layer.stored_weight.dtype)
    return Fitted(None, bias.flatten().to(weight.dtype), before, after, weight=weight)


def refit_reading(rows: Tensor, known: Moments, columns: Tensor, *, ridge: float) -> tuple[Tensor, Moments]:
    """Weights of some of the inputs, fitted anew, (groups, outputs, inputs that are read), and the moments of these.

    Args:
        rows: (groups, outputs, inputs).
        known: of all inputs.
        columns: (groups, inputs that are read), their indices.
        ridge: as in `carry_out`.
    """
    read = columns.to(rows.device)
    some = reading(known, read)
    return refit(rows.gather(2, _places(read, rows.shape[1])), some, ridge=ridge + some.scarcity), some


def laid_out(weights: Tensor, columns: Tensor, inputs: int) -> Tensor:
    """Weights of some inputs among all, (groups, outputs, inputs), with zeros for the others.

    Args:
        weights: (groups, outputs, inputs that are read).
        columns: (groups, inputs that are read), their indices.
        inputs: how many there are in all.
    """
    places = _places(columns.to(weights.device), weights.shape[1])
    return weights.new_zeros(*weights.shape[:2], inputs).scatter(2, places, weights)


def _places(columns: Tensor, outputs: int) -> Tensor:
    """Indices of columns, (groups, inputs), for each output."""
    return columns[:, None].expand(-1, outputs, -1)


def reading(known: Moments, columns: Tensor) -> Moments:
    """Moments of some of the inputs.

    Args:
        known: of all inputs.
        columns: (groups, inputs that are read), their indices.
    """
    rows = columns[:, :, None].expand(-1, -1, known.second.shape[2])
    second = known.second.gather(1, rows).gather(2, columns[:, None].expand(-1, columns.shape[1], -1))
    cross = known.cross.gather(2, columns[:, None].expand(-1, known.cross.shape[1], -1))
    read = known.input_mean.gather(1, columns)
    return Moments(read, known.output_mean, second, cross, known.output_variance, known.rows)


def _in_form(layer: Layer, wanted: Tensor, known: Moments, cut: Cut, form: Form) -> Tensor:
    """The low-rank weight nearest in what it gives, of the outputs that stay; those that go need none."""
    outs, rows = cut.outs.to(wanted.device), torch.zeros_like(wanted)
    left = wanted[0, outs].reshape(cut.shape(layer))
    rows[0, outs] = approximated(left, *form, trusted(known)[0]).weight.flatten(1)
    return rows


def _error(weight: Tensor, known: Moments, bias: Tensor, outs: Tensor) -> float:
    """Mean squared error over the variance, of the outputs that stay."""
    parts = squared_error(weight, known, bias), known.output_variance
    error, total = (part.flatten()[outs.to(part.device)].sum() for part in parts)
    return (error.clamp(min=0) / total.clamp(min=torch.finfo(torch.float64).tiny)).item()
