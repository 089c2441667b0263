"""What a network from a file would take when it runs, found before anything of it runs.

A file of some KB can ask for any size: `zeros` of 10^12 numbers, an expansion, a power. So each node is first computed
on tensors that have shapes and no values (torch's "meta" device). A file is refused if the values that are alive at one
time, and what an operator takes beside them, have more bytes than

    LIVE_BYTES + LIVE_RATIO * (bytes of the tensors that the file stores),

or if all operators together take more multiplications than WORK and WORK_RATIO allow in the same way. Nothing in a real
network comes near: its largest values are some hundred times its inputs.

Where the size of a value or the success of an operator depends on numbers (indices, masks, matrices that must be
invertible), or kernels may lack a type, the network is also run, each node behind its check. So what was loaded runs on
its own example.
"""

import math
import operator
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node
from torch.fx.node import map_arg
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from microjoule.graph.file.layer_extent import layer_on_shapes
from microjoule.graph.file.measured_mode import Measured, TooLargeError, bytes_of, on_meta
from microjoule.graph.file.settings import LAYERS
from microjoule.graph.file.value_extent import by_values
from microjoule.graph.quantizer import Quantizer

aten = torch.ops.aten
LIVE_BYTES, LIVE_RATIO = 1 << 28, 1 << 10
WORK, WORK_RATIO = 10**11, 10**6
COMMON = frozenset((torch.float32, torch.float64))
"""Types for which there is every kernel, where all tensors are of the same one."""

TYPES = (torch.dtype, torch.device, torch.layout)

VALUE_DEPENDENT = re.compile(
    r".*(index|gather|scatter|take|put|embedding|nonzero|argwhere|unique|masked_(select|scatter)|one_hot|bincount|item"
    r"|_local_scalar|repeat_interleave|linalg|cholesky|inverse|solve|det|svd|qr|hist|lu_|_loss|tensor_split|unpool).*"
)
"""Names of operators whose success, or size, can depend on numbers."""

ELEMENTWISE = frozenset(
    (
        *(aten.relu.default, aten.relu6.default, aten.hardtanh.default, aten.leaky_relu.default, aten.elu.default),
        *(aten.sigmoid.default, aten.hardsigmoid.default, aten.hardswish.default, aten.silu.default, aten.gelu.default),
        *(aten.tanh.default, aten.mish.default, aten.softplus.default, aten.clamp.default, aten.neg.default),
    )
)
"""Operators on one tensor that give one of its shape and type, and take numbers beside it."""


def check_extent(root: nn.Module, graph: Graph, inputs: Sequence[Any], *, stored_bytes: int) -> None:
    """Raise if a network would take more than its file makes likely, or does not run on its example.

    Args:
        root: holds the modules and tensors that the graph names.
        graph: its nodes.
        inputs: for each of its inputs, in order.
        stored_bytes: what the tensors of the file take.

    Raises:
        ValueError: naming the node, and what is wrong with it.
    """
    most_bytes = LIVE_BYTES + LIVE_RATIO * stored_bytes
    measured = Measured(most_bytes, WORK + WORK_RATIO * stored_bytes)
    writes = any(_writes(node.target) for node in graph.nodes)
    walk = _Walk(root, measured, runs=_needs_running(root, graph, inputs), writes=writes)
    given = iter(inputs)
    placeholders = sum(node.op == "placeholder" for node in graph.nodes)
    if placeholders != len(inputs):
        raise ValueError(f"it takes {placeholders} inputs, and its example has {len(inputs)}")
    with torch.no_grad():
        for node in graph.nodes:
            try:
                walk.step(node, given)
            except TooLargeError as error:
                raise ValueError(f"at {node.name}, {error}") from error
            except Exception as error:  # whatever torch's operators raise
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                raise ValueError(f"it does not run on its own example: at {node.name}, {reason}") from error


def _needs_running(root: nn.Module, graph: Graph, inputs: Sequence[Any]) -> bool:
    """Whether shapes alone do not tell that it runs."""
    tensors = [one for one in inputs if isinstance(one, Tensor)]
    for node in graph.nodes:
        if node.op == "get_attr":
            tensors.append(_attribute(root, node))
        elif node.op == "call_module":
            called = root.get_submodule(str(node.target))
            if isinstance(called, nn.Embedding) or not _is_ours(called):
                return True
            tensors += called.parameters()
        elif node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload):
            name = node.target._overloadpacket.__name__
            if node.target.namespace != "aten" or VALUE_DEPENDENT.fullmatch(name) or _is_unusual(node):
                return True
    found = {tensor.dtype for tensor in tensors}
    return len(found) > 1 or not found <= COMMON


def _is_unusual(node: Node) -> bool:
    """Whether an operator is asked for a type, a device, a layout or a memory that this machine may lack."""
    usual = COMMON | {torch.strided}
    settings = [leaf for leaf in pytree.tree_leaves((node.args, node.kwargs)) if isinstance(leaf, TYPES)]
    devices = [one.type for one in settings if isinstance(one, torch.device)]
    others = {one for one in settings if not isinstance(one, torch.device)}
    return bool(others - usual or set(devices) - {"cpu"} or node.kwargs.get("pin_memory"))


def _is_ours(module: nn.Module) -> bool:
    """Whether a module is no class of the caller's."""
    return type(module) is Quantizer or parametrize.type_before_parametrizations(module) in LAYERS


class _Walk:
    """A network, computed node by node without values, and with them where that is needed.

    Args:
        root: holds the modules and tensors.
        measured: counts what is taken.
        runs: whether nodes are run as well.
        writes: whether some of them write into what they read.
    """

    def __init__(self, root: nn.Module, measured: Measured, *, runs: bool, writes: bool) -> None:
        self.root, self.measured, self.runs, self.writes = root, measured, runs, runs and writes
        self.shapes: dict[Node, Any] = {}
        self.values: dict[Node, Any] = {}
        self.readers: dict[Node, int] = {}
        self.live_bytes = 0

    def step(self, node: Node, given: Iterator[Any]) -> None:
        """Compute a node, and forget the values that nobody reads any more."""
        self.measured.bytes = 0
        args, kwargs = self._read(node, self.shapes)
        if node.op in ("placeholder", "get_attr"):
            value = next(given) if node.op == "placeholder" else _attribute(self.root, node)
            shape: Any = on_meta(value)
            value = value.clone() if self.writes and isinstance(value, Tensor) else value
        elif node.op == "output":
            return
        else:
            shape = self._without_values(node, args, kwargs)
            value = self._run(node) if self.runs else None
        self.shapes[node], self.values[node], self.readers[node] = shape, value, len(node.users)
        whole = self.live_bytes + max(self.measured.bytes, bytes_of(shape))
        self.live_bytes += bytes_of(shape)
        if whole > self.measured.most_bytes:
            raise TooLargeError(f"values would take {whole:,} bytes, and {self.measured.most_bytes:,} are the most")
        for other in node.all_input_nodes:
            self.readers[other] -= 1
        for other in (node, *node.all_input_nodes):
            if not self.readers[other]:
                self.live_bytes -= bytes_of(self.shapes[other])
                self.shapes[other] = self.values[other] = None

    def _read(self, node: Node, known: dict[Node, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of a node; it names none that is not there yet, as the graph was made in order."""
        args: tuple[Any, ...] = map_arg(node.args, known.__getitem__)
        kwargs: dict[str, Any] = map_arg(node.kwargs, known.__getitem__)
        return args, kwargs

    def _without_values(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node.op == "call_module":
            module = self.root.get_submodule(str(node.target))
            if _is_ours(module):
                return layer_on_shapes(module, args, kwargs, self.measured)
            return on_meta(self._run(node))  # the caller's own class, which need not know tensors without values
        if not isinstance(node.target, torch._ops.OpOverload):
            _require_numbers(node.target, args)
            return node.target(*args, **kwargs)  # type: ignore[operator]
        return self._operator(node, node.target, args, kwargs)

    def _operator(self, node: Node, target: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if target.namespace != "aten":
            return on_meta(self._run(node))  # the caller's own operator
        predicted = by_values(target, *self._read(node, self.values)) if self.runs else None
        if predicted is not None:
            self.measured.add(predicted)
            return on_meta(self._run(node))
        if _keeps_shape(node, args):
            self.measured.add(bytes_of(args[0]))
            return torch.empty_like(args[0])
        with self.measured:
            return target(*args, **kwargs)

    def _run(self, node: Node) -> Any:
        args, kwargs = self._read(node, self.values)
        function: Any = self.root.get_submodule(str(node.target)) if node.op == "call_module" else node.target
        return function(*args, **kwargs)


def _keeps_shape(node: Node, args: Sequence[Any]) -> bool:
    """Whether a node is one of those that need no call of torch to know what they give."""
    if node.target not in ELEMENTWISE or node.kwargs or len(args) > len(node.target._schema.arguments):
        return False
    x, *others = args
    return isinstance(x, Tensor) and x.dtype in COMMON and all(type(one) in (int, float) for one in others)


def _writes(target: Any) -> bool:
    return isinstance(target, torch._ops.OpOverload) and target._schema.is_mutable


def _attribute(root: nn.Module, node: Node) -> Any:
    owner, _, name = str(node.target).rpartition(".")
    return getattr(root.get_submodule(owner), name)


def _require_numbers(function: Any, args: Sequence[Any]) -> None:
    """A function of sizes gets numbers, and gives one of at most 64 bits; `getitem` takes one of several outputs."""
    if function is operator.getitem:
        whole, index = args
        if not isinstance(whole, list | tuple | Tensor) or type(index) is not int:
            raise ValueError("something else than one of several outputs is taken")
        return
    if not all(isinstance(one, int | float) for one in args):
        raise ValueError(f"{function.__name__} gets something else than numbers")
    if function is operator.pow and len(args) == 2 and abs(args[0]) > 1 and args[1] * math.log2(abs(args[0])) > 63:
        raise TooLargeError("a number would have more than 64 bits")
