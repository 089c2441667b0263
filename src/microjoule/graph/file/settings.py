"""The settings of layers in a saved network: which there are, what they may be, and which tensors they speak of.

Settings are checked before a layer is made, and against the tensors that are stored: those decide how large a layer is.
A layer of 16,000 inputs is one whose weight has 16,000 columns in the file.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

Shapes = dict[str, tuple[int, ...]]
Settings = Mapping[str, Any]
Check = Callable[[Any], bool]
"""a setting -> whether it may be so"""

LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Layer:
    """A class of layers.

    Args:
        settings: the attributes that its constructor takes under the same names, with what they may be.
        shapes: settings -> the tensors that such a layer has, and their shapes.
        optional: tensors that may be missing, with the switches of the constructor that leave them out.
    """

    settings: dict[str, Check]
    shapes: Callable[[Settings], Shapes]
    optional: tuple[str, ...] = ()


def check_settings(layer: Layer, settings: Any, stored: Shapes) -> dict[str, Any]:
    """What to give to the constructor of a layer.

    Args:
        layer: its class.
        settings: as the file has them; lists stand for tuples.
        stored: the shapes of the tensors that the file has for it.

    Raises:
        ValueError: if a setting is missing, unknown or cannot be so, or does not fit the tensors.
    """
    if not isinstance(settings, dict) or set(settings) != set(layer.settings):
        raise ValueError(f"its settings are {settings!r:.200}, expected {', '.join(layer.settings)}")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    for name, check in layer.settings.items():
        if not check(given[name]):
            raise ValueError(f"its {name} is {given[name]!r:.80}")
    expected = layer.shapes(given)
    for name, shape in expected.items():
        if name not in stored and name not in layer.optional:
            raise ValueError(f"it lacks the tensor {name}")
        if name in stored and stored[name] != shape:
            raise ValueError(f"its {name} has the shape {stored[name]}, and its settings say {shape}")
    return given | {name: name in stored for name in layer.optional}


# What a setting may be ------------------------------------------------------------------------------------------------


def _whole(least: int) -> Check:
    return lambda value: type(value) is int and least <= value <= LARGEST


def _wholes(count: int, least: int) -> Check:
    one = _whole(least)
    return lambda value: isinstance(value, tuple) and len(value) == count and all(map(one, value))


def _sizes(value: Any) -> bool:
    return isinstance(value, tuple) and 0 < len(value) < 16 and all(map(_whole(0), value))


def _switch(value: Any) -> bool:
    return isinstance(value, bool)


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _share(value: Any) -> bool:
    return _number(value) and 0 <= value <= 1


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _padding(count: int) -> Check:
    return lambda value: value in ("same", "valid") or _wholes(count, 0)(value)


# The layers -----------------------------------------------------------------------------------------------------------


def _conv(count: int) -> Layer:
    def shapes(given: Settings) -> Shapes:
        ins, outs, groups = given["in_channels"], given["out_channels"], given["groups"]
        return {"weight": (outs, ins // groups, *given["kernel_size"]), "bias": (outs,)}

    kinds = {"in_channels": _whole(1), "out_channels": _whole(1), "kernel_size": _wholes(count, 1)}
    kinds |= {"stride": _wholes(count, 1), "padding": _padding(count), "dilation": _wholes(count, 1)}
    return Layer({**kinds, "groups": _whole(1)}, shapes, ("bias",))


def _conv_transposed(count: int) -> Layer:
    def shapes(given: Settings) -> Shapes:
        ins, outs, groups = given["in_channels"], given["out_channels"], given["groups"]
        return {"weight": (ins, outs // groups, *given["kernel_size"]), "bias": (outs,)}

    kinds = {"in_channels": _whole(1), "out_channels": _whole(1), "kernel_size": _wholes(count, 1)}
    kinds |= {"stride": _wholes(count, 1), "padding": _wholes(count, 0), "output_padding": _wholes(count, 0)}
    return Layer({**kinds, "groups": _whole(1), "dilation": _wholes(count, 1)}, shapes, ("bias",))


def _batch_norm() -> Layer:
    def shapes(given: Settings) -> Shapes:
        channels = (given["num_features"],)
        found: Shapes = {"weight": channels, "bias": channels} if given["affine"] else {}
        if given["track_running_stats"]:
            found |= {"running_mean": channels, "running_var": channels, "num_batches_tracked": ()}
        return found

    kinds = {"num_features": _whole(1), "eps": _number, "momentum": _or_none(_number)}
    return Layer({**kinds, "affine": _switch, "track_running_stats": _switch}, shapes)


def _group_norm_shapes(given: Settings) -> Shapes:
    channels = (given["num_channels"],)
    return {"weight": channels, "bias": channels} if given["affine"] else {}


def _layer_norm_shapes(given: Settings) -> Shapes:
    shape = given["normalized_shape"]
    return {"weight": shape, "bias": shape} if given["elementwise_affine"] else {}


def _recurrent(gates: int, **more: Check) -> Layer:
    """A recurrent layer: each of its layers, in each direction, has two matrices and two biases."""

    def shapes(given: Settings) -> Shapes:
        hidden, projected = given["hidden_size"], given.get("proj_size", 0)
        rows, outputs, ways = gates * hidden, projected or hidden, ("", "_reverse")[: 1 + given["bidirectional"]]
        found: Shapes = {}
        for layer in range(given["num_layers"]):
            inputs = given["input_size"] if layer == 0 else len(ways) * outputs
            for way in ways:
                end = f"l{layer}{way}"
                found |= {f"weight_ih_{end}": (rows, inputs), f"weight_hh_{end}": (rows, outputs)}
                found |= {f"bias_{kind}_{end}": (rows,) for kind in ("ih", "hh") if given["bias"]}
                found |= {f"weight_hr_{end}": (projected, hidden)} if projected else {}
        return found

    kinds = {"input_size": _whole(1), "hidden_size": _whole(1), "num_layers": _few_layers, "bias": _switch}
    return Layer({**kinds, "batch_first": _switch, "dropout": _share, "bidirectional": _switch, **more}, shapes)


def _few_layers(value: Any) -> bool:
    """Each of them needs tensors in the file, but first they are counted out."""
    return type(value) is int and 1 <= value <= 1024


def _none(_: Settings) -> Shapes:
    return {}


LAYERS: dict[type[nn.Module], Layer] = {
    nn.Conv1d: _conv(1),
    nn.Conv2d: _conv(2),
    nn.Conv3d: _conv(3),
    nn.ConvTranspose1d: _conv_transposed(1),
    nn.ConvTranspose2d: _conv_transposed(2),
    nn.ConvTranspose3d: _conv_transposed(3),
    nn.Linear: Layer(
        {"in_features": _whole(0), "out_features": _whole(0)},
        lambda given: {"weight": (given["out_features"], given["in_features"]), "bias": (given["out_features"],)},
        ("bias",),
    ),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), _batch_norm()),
    nn.LayerNorm: Layer(
        {"normalized_shape": _sizes, "eps": _number, "elementwise_affine": _switch}, _layer_norm_shapes, ("bias",)
    ),
    nn.GroupNorm: Layer(
        {"num_groups": _whole(1), "num_channels": _whole(1), "eps": _number, "affine": _switch}, _group_norm_shapes
    ),
    nn.Embedding: Layer(
        {"num_embeddings": _whole(1), "embedding_dim": _whole(1), "padding_idx": _or_none(_whole(0))},
        lambda given: {"weight": (given["num_embeddings"], given["embedding_dim"])},
    ),
    **dict.fromkeys((nn.Dropout, nn.Dropout2d), Layer({"p": _share}, _none)),
    nn.PReLU: Layer({"num_parameters": _whole(1)}, lambda given: {"weight": (given["num_parameters"],)}),
    nn.GRU: _recurrent(3),
    nn.LSTM: _recurrent(4, proj_size=_whole(0)),
    nn.RNN: _recurrent(1, nonlinearity=lambda value: value in ("tanh", "relu")),
    nn.Module: Layer({}, _none),
}
"""The modules that a network consists of."""
