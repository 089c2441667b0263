"""What a node computes, read in one place.

Layers are `nn.Module`s called by nodes (or functional operators that read a stored weight); every other node is a
functional ATen operator. `kind` names either by the field's word for it, and targets (TOML files) use these names.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from microjoule.graph.quantizer import Quantizer

aten = torch.ops.aten

MODULE_KINDS: tuple[tuple[type[nn.Module] | tuple[type[nn.Module], ...], str], ...] = (
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), "conv"),
    ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), "conv_transpose"),
    (nn.Linear, "linear"),
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), "batch_norm"),
    (nn.LayerNorm, "layer_norm"),
    (nn.GroupNorm, "group_norm"),
    (nn.Embedding, "embedding"),
    ((nn.Dropout, nn.Dropout2d), "dropout"),
    (nn.PReLU, "prelu"),
    (nn.LSTM, "lstm"),
    (nn.GRU, "gru"),
    (nn.RNN, "rnn"),
    (Quantizer, "quantizer"),
)

FUNCTION_KINDS: dict[Any, str] = {
    aten.conv1d.default: "conv",
    aten.conv2d.default: "conv",
    aten.conv3d.default: "conv",
    aten.conv_transpose1d.default: "conv_transpose",
    aten.conv_transpose2d.input: "conv_transpose",
    aten.conv_transpose3d.input: "conv_transpose",
    aten.linear.default: "linear",
    aten.batch_norm.default: "batch_norm",
    aten.layer_norm.default: "layer_norm",
    aten.group_norm.default: "group_norm",
    aten.dropout.default: "dropout",
    aten.relu.default: "relu",
    aten.relu6.default: "relu6",
    aten.hardtanh.default: "clamp",
    aten.clamp.default: "clamp",
    aten.clamp.Tensor: "clamp",
    aten.clamp_min.default: "clamp",
    aten.clamp_max.default: "clamp",
    aten.leaky_relu.default: "leaky_relu",
    aten.prelu.default: "prelu",
    aten.sigmoid.default: "sigmoid",
    aten.hardsigmoid.default: "hardsigmoid",
    aten.hardswish.default: "hardswish",
    aten.silu.default: "silu",
    aten.gelu.default: "gelu",
    aten.tanh.default: "tanh",
    aten.elu.default: "elu",
    aten.mish.default: "mish",
    aten.softplus.default: "softplus",
    aten.exp.default: "exp",
    aten.sqrt.default: "sqrt",
    aten.rsqrt.default: "rsqrt",
    aten.pow.Tensor_Scalar: "pow",
    aten.neg.default: "neg",
    aten.softmax.int: "softmax",
    aten.log_softmax.int: "log_softmax",
    aten.add.Tensor: "add",
    aten.sub.Tensor: "sub",
    aten.mul.Tensor: "mul",
    aten.div.Tensor: "div",
    aten.matmul.default: "matmul",
    aten.bmm.default: "matmul",
    aten.mm.default: "matmul",
    aten.baddbmm.default: "matmul",
    aten.where.self: "where",
    aten.scaled_dot_product_attention.default: "attention",
    aten.cat.default: "concat",
    aten.stack.default: "stack",
    aten.max_pool1d.default: "max_pool",
    aten.max_pool2d.default: "max_pool",
    aten.max_pool3d.default: "max_pool",
    aten.avg_pool1d.default: "avg_pool",
    aten.avg_pool2d.default: "avg_pool",
    aten.avg_pool3d.default: "avg_pool",
    aten.adaptive_avg_pool1d.default: "avg_pool",
    aten.adaptive_avg_pool2d.default: "avg_pool",
    aten.adaptive_avg_pool3d.default: "avg_pool",
    aten.mean.dim: "mean",
    aten.sum.dim_IntList: "sum",
    aten.view.default: "reshape",
    aten.reshape.default: "reshape",
    aten.flatten.using_ints: "reshape",
    aten.unflatten.int: "reshape",
    aten.squeeze.dim: "reshape",
    aten.squeeze.dims: "reshape",
    aten.squeeze.default: "reshape",
    aten.unsqueeze.default: "reshape",
    aten.permute.default: "transpose",
    aten.transpose.int: "transpose",
    aten.t.default: "transpose",
    aten.expand.default: "expand",
    aten.repeat.default: "expand",
    aten.slice.Tensor: "slice",
    aten.select.int: "slice",
    aten.narrow.default: "slice",
    aten.index_select.default: "slice",
    aten.split.Tensor: "split",
    aten.split_with_sizes.default: "split",
    aten.chunk.default: "split",
    aten.unbind.int: "split",
    aten.flip.default: "flip",
    aten.constant_pad_nd.default: "pad",
    aten.pad.default: "pad",
    aten.pixel_shuffle.default: "pixel_shuffle",
    aten.channel_shuffle.default: "pixel_shuffle",
    aten.upsample_nearest2d.vec: "upsample_nearest",
    aten.upsample_bilinear2d.vec: "upsample_bilinear",
    aten.clone.default: "identity",
    aten.sym_size.int: "size",
    operator.getitem: "getitem",
    operator.add: "size",
    operator.sub: "size",
    operator.mul: "size",
    operator.floordiv: "size",
    aten.zeros.default: "constant",
    aten.ones.default: "constant",
    aten.full.default: "constant",
    aten.arange.default: "constant",
    aten.arange.start: "constant",
}
"""The written list of canonical operators; what is not on it passes through untouched and is named in the record."""

WEIGHTED = ("conv", "conv_transpose", "linear")


def module_at(module: GraphModule, node: Node) -> nn.Module | None:
    """The module that a node calls, or None if it calls a function."""
    return module.get_submodule(str(node.target)) if node.op == "call_module" else None


def kind(module: GraphModule, node: Node) -> str | None:
    """The name of what a node computes, or None if it is not on the written list."""
    if node.op in ("placeholder", "output", "get_attr"):
        return node.op
    called = module_at(module, node)
    if called is None:
        return FUNCTION_KINDS.get(node.target)
    return next((name for types, name in MODULE_KINDS if isinstance(called, types)), None)


def arguments(node: Node) -> dict[str, Any]:
    """A functional operator's arguments by name, defaults taken from the operator's schema."""
    schema: Any = node.target._schema  # type: ignore[union-attr]
    given = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | node.kwargs
    return {argument.name: given.get(argument.name, argument.default_value) for argument in schema.arguments}


PADS = (aten.constant_pad_nd.default, aten.pad.default)


def fill_value(node: Node) -> float:
    """The number that an operator puts around what it reads: 0 for all but paddings by a constant."""
    if node.target not in PADS:
        return 0.0
    args = arguments(node)
    return float(args["value"] or 0.0) if args.get("mode", "constant") == "constant" else 0.0


def tensor_inputs(node: Node) -> list[Node]:
    """The nodes that a node reads, stored tensors and sizes left out, in the order of its arguments."""
    return [n for n in node.all_input_nodes if n.op != "get_attr" and FUNCTION_KINDS.get(n.target) != "size"]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution, transposed convolution or linear layer, and where its weight and bias are stored.

    A lifted layer owns them as `weight` and `bias`; a functional one reads them from a module by other names.
    """

    node: Node
    path: str
    kind: str
    owner: nn.Module
    weight_name: str
    bias_name: str | None
    groups: int

    @classmethod
    def at(cls, module: GraphModule, node: Node) -> "Layer | None":
        """The layer at a node, or None if something else is there, or its weight is computed and not stored."""
        name = kind(module, node)
        if name not in WEIGHTED:
            return None
        called = module_at(module, node)
        if called is not None:
            bias = "bias" if called.bias is not None else None
            return cls(node, str(node.target), name, called, "weight", bias, int(getattr(called, "groups", 1)))
        args = arguments(node)
        weight, bias_node = args["weight"], args["bias"]
        if any(not isinstance(n, Node) or n.op != "get_attr" for n in (weight, bias_node or weight)):
            return None
        owner, weight_name = _stored(module, weight)
        bias_owner, bias_name = (owner, None) if bias_node is None else _stored(module, bias_node)
        if bias_owner is not owner:
            return None
        return cls(node, str(weight.target), name, owner, weight_name, bias_name, int(args.get("groups", 1)))

    @property
    def weight(self) -> Tensor:
        """The weight as the layer uses it: quantized, if it has a quantizer."""
        weight: Tensor = getattr(self.owner, self.weight_name)
        return weight

    @property
    def bias(self) -> Tensor | None:
        """(out_channels,), or None."""
        return None if self.bias_name is None else getattr(self.owner, self.bias_name)

    @property
    def stored_weight(self) -> nn.Parameter:
        """The weight as it is stored, before any quantizer."""
        if self.quantizer is None:
            stored: nn.Parameter = getattr(self.owner, self.weight_name)
        else:
            stored = self.owner.parametrizations[self.weight_name].original  # type: ignore[index,union-attr]
        return stored

    @property
    def quantizer(self) -> Quantizer | None:
        """The weight's quantizer, if it has one."""
        parametrizations = getattr(self.owner, "parametrizations", {})
        return parametrizations[self.weight_name][0] if self.weight_name in parametrizations else None

    @property
    def out_axis(self) -> int:
        """The weight's dimension of output channels (within a group, for grouped transposed convolutions)."""
        return 1 if self.kind == "conv_transpose" else 0

    @property
    def out_channels(self) -> int:
        """How many channels it makes."""
        size = self.stored_weight.shape[self.out_axis]
        return size * self.groups if self.kind == "conv_transpose" else size

    @property
    def in_channels(self) -> int:
        """How many channels it reads."""
        shape = self.stored_weight.shape
        return shape[0] if self.kind == "conv_transpose" else shape[1] * self.groups

    @property
    def channel_axis(self) -> int:
        """The dimension of channels, of an input or output: before those of the kernel, counted from the end."""
        return min(-1, 1 - self.stored_weight.dim())

    @property
    def depthwise(self) -> bool:
        """Whether each output channel reads exactly one input channel and each input is read once."""
        return self.groups > 1 and self.groups == self.in_channels == self.out_channels

    def by_output(self, weight: Tensor) -> Tensor:
        """The weight with its output channels first, whatever the layer's own layout.

        Args:
            weight: (out_channels, in_channels / groups, *kernel), or as the layer's own layout has it.

        Returns:
            (out_channels, in_channels / groups, *kernel).
        """
        if self.kind != "conv_transpose":
            return weight
        return _swapped(weight, self.groups)

    def in_layout(self, weight: Tensor) -> Tensor:
        """The inverse of `by_output`.

        Args:
            weight: (out_channels, in_channels / groups, *kernel).
        """
        if self.kind != "conv_transpose":
            return weight
        return _swapped(weight, self.groups)


def _swapped(weight: Tensor, groups: int) -> Tensor:
    """Outputs and inputs change places within each group."""
    grouped: Tensor = weight.unflatten(0, (groups, -1))
    return grouped.transpose(1, 2).flatten(0, 1)


def _stored(module: GraphModule, node: Node) -> tuple[nn.Module, str]:
    """The module that holds a stored tensor, and its name there."""
    path, _, name = str(node.target).rpartition(".")
    return module.get_submodule(path), name


def layers(module: GraphModule) -> list[Layer]:
    """Every layer with a stored weight, in the order of the network, each once even if it is called twice."""
    found: dict[str, Layer] = {}
    for node in module.graph.nodes:
        layer = Layer.at(module, node)
        if layer is not None:
            found.setdefault(layer.path, layer)
    return list(found.values())


@dataclass(frozen=True, slots=True)
class Activation:
    """An elementwise clamp: max(low, min(high, x)), with slope `slope` below 0 if it has no lower bound.

    low and high are numbers, infinite where there is no bound, or a stored tensor of one number a channel.
    """

    low: float | Tensor
    high: float | Tensor

    @classmethod
    def at(cls, module: GraphModule, node: Node) -> "Activation | None":
        """The clamp at a node (ReLU, ReLU6, hardtanh, clamp), or None if something else is there."""
        reader = CLAMPS.get(node.target) if node.op == "call_function" else None
        if reader is None:
            return None
        low, high = reader(arguments(node))
        bounds = [_bound(module, low, -float("inf")), _bound(module, high, float("inf"))]
        if any(bound is None for bound in bounds):
            return None
        return cls(bounds[0], bounds[1])  # type: ignore[arg-type]


CLAMPS: dict[Any, Callable[[dict[str, Any]], tuple[Any, Any]]] = {
    aten.relu.default: lambda _: (0.0, None),
    aten.relu6.default: lambda _: (0.0, 6.0),
    aten.hardtanh.default: lambda a: (a["min_val"], a["max_val"]),
    aten.clamp.default: lambda a: (a["min"], a["max"]),
    aten.clamp.Tensor: lambda a: (a["min"], a["max"]),
    aten.clamp_min.default: lambda a: (a["min"], None),
    aten.clamp_max.default: lambda a: (None, a["max"]),
}


def _bound(module: GraphModule, value: Any, missing: float) -> float | Tensor | None:
    """A clamp's bound: a number, a stored tensor, or None if it is computed."""
    if value is None:
        return missing
    if isinstance(value, Node):
        return getattr(*_stored(module, value)) if value.op == "get_attr" else None
    return float(value)
