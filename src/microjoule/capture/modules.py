"""The modules that operators with parameters, or with a training mode, become again."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Node

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Lifted:
    """The module that an operator becomes.

    Args:
        make: builds it, from the operator's arguments by name.
        tensors: names of the operator's arguments that are stored tensors, with the module's names for them.
        inputs: names of the arguments that the module is called with.
    """

    make: Callable[[dict[str, Any]], nn.Module]
    tensors: dict[str, str]
    inputs: tuple[str, ...] = ("input",)


def value(node: Any) -> Any:
    return node.meta["val"] if isinstance(node, Node) else node


def _conv(types: dict[int, type[nn.Module]], args: dict[str, Any]) -> nn.Module:
    weight = value(args["weight"])
    transposed = "output_padding" in args
    groups = args["groups"]
    outs, ins = (
        (weight.shape[1] * groups, weight.shape[0]) if transposed else (weight.shape[0], weight.shape[1] * groups)
    )
    extra = {"output_padding": _tuple(args["output_padding"], weight)} if transposed else {}
    padding = args["padding"] if isinstance(args["padding"], str) else _tuple(args["padding"], weight)
    return types[weight.dim()](
        ins,
        outs,
        tuple(weight.shape[2:]),
        stride=_tuple(args["stride"], weight),
        padding=padding,
        dilation=_tuple(args["dilation"], weight),
        groups=groups,
        bias=args["bias"] is not None,
        device="meta",
        **extra,
    )


def _tuple(value: Any, weight: Tensor) -> tuple[int, ...]:
    """One number a spatial dimension."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * (weight.dim() - 2) if len(values) == 1 else values


def _conv_forward(args: dict[str, Any]) -> nn.Module:
    return _conv({3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}, args)


def _conv_transposed(args: dict[str, Any]) -> nn.Module:
    return _conv({3: nn.ConvTranspose1d, 4: nn.ConvTranspose2d, 5: nn.ConvTranspose3d}, args)


def _linear(args: dict[str, Any]) -> nn.Module:
    out, ins = value(args["weight"]).shape
    return nn.Linear(ins, out, bias=args["bias"] is not None, device="meta")


def _batch_norm(args: dict[str, Any]) -> nn.Module:
    types = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    normalized = value(args["input"])
    return types[normalized.dim()](
        normalized.shape[1],
        eps=args["eps"],
        momentum=args["momentum"],
        affine=args["weight"] is not None,
        track_running_stats=args["running_mean"] is not None,
        device="meta",
    )


def _layer_norm(args: dict[str, Any]) -> nn.Module:
    return nn.LayerNorm(
        tuple(args["normalized_shape"]),
        eps=args["eps"],
        elementwise_affine=args["weight"] is not None,
        bias=args["bias"] is not None,
        device="meta",
    )


def _group_norm(args: dict[str, Any]) -> nn.Module:
    channels = value(args["input"]).shape[1]
    return nn.GroupNorm(args["num_groups"], channels, eps=args["eps"], affine=args["weight"] is not None, device="meta")


def _embedding(args: dict[str, Any]) -> nn.Module:
    padding = args["padding_idx"] if args["padding_idx"] >= 0 else None
    count, features = value(args["weight"]).shape
    return nn.Embedding(count, features, padding_idx=padding, device="meta")


AFFINE = {"weight": "weight", "bias": "bias"}
STATISTICS = {**AFFINE, "running_mean": "running_mean", "running_var": "running_var"}
LIFTED: dict[Any, Lifted] = {
    aten.conv1d.default: Lifted(_conv_forward, AFFINE),
    aten.conv1d.padding: Lifted(_conv_forward, AFFINE),
    aten.conv2d.default: Lifted(_conv_forward, AFFINE),
    aten.conv2d.padding: Lifted(_conv_forward, AFFINE),
    aten.conv3d.default: Lifted(_conv_forward, AFFINE),
    aten.conv3d.padding: Lifted(_conv_forward, AFFINE),
    aten.conv_transpose1d.default: Lifted(_conv_transposed, AFFINE),
    aten.conv_transpose2d.input: Lifted(_conv_transposed, AFFINE),
    aten.conv_transpose3d.input: Lifted(_conv_transposed, AFFINE),
    aten.linear.default: Lifted(_linear, AFFINE),
    aten.batch_norm.default: Lifted(_batch_norm, STATISTICS),
    aten._native_batch_norm_legit_no_training.default: Lifted(_batch_norm, STATISTICS),
    aten.layer_norm.default: Lifted(_layer_norm, AFFINE),
    aten.group_norm.default: Lifted(_group_norm, AFFINE),
    aten.embedding.default: Lifted(_embedding, {"weight": "weight"}, ("indices",)),
    aten.prelu.default: Lifted(
        lambda a: nn.PReLU(value(a["weight"]).numel(), device="meta"), {"weight": "weight"}, ("self",)
    ),
}
"""Operators with stored tensors, and the modules that they become."""

RECURRENT: dict[str, tuple[type[nn.RNNBase], int]] = {
    "lstm": (nn.LSTM, 4),
    "gru": (nn.GRU, 3),
    "rnn_tanh": (nn.RNN, 1),
    "rnn_relu": (nn.RNN, 1),
}
"""Recurrent operators by name: the module, and how many gates a cell has."""

RECURRENT_TARGETS = (aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input)
DROPOUTS: dict[Any, type[nn.Module]] = {aten.dropout.default: nn.Dropout, aten.feature_dropout.default: nn.Dropout2d}


def recurrent(name: str, args: dict[str, Any]) -> nn.RNNBase:
    """The module of a recurrent operator: its sizes are read off its first matrices, (gates * hidden, inputs) and
    (gates * hidden, outputs), where outputs differ from hidden if it projects.
    """
    cls, gates = RECURRENT[name]
    (rows, inputs), (_, outputs) = (value(weight).shape for weight in args["params"][:2])
    extra: dict[str, Any] = {"proj_size": outputs} if outputs != rows // gates else {}
    if cls is nn.RNN:
        extra["nonlinearity"] = name.removeprefix("rnn_")
    return cls(
        inputs,
        rows // gates,
        args["num_layers"],
        bias=args["has_biases"],
        batch_first=args["batch_first"],
        dropout=args["dropout"],
        bidirectional=args["bidirectional"],
        **extra,
    )
