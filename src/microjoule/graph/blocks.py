"""Blocks: a network as a chain of parts, each with one value going in and one coming out.

A value is a cut if every path from the inputs to the outputs goes through it: just after it is computed, no other value
is live. Between two cuts lies a part that can be run, compared and trained by itself. Residual branches, squeeze and
excitation, and the two arms of a U-Net have no cut inside.

Not every part is a block of its own. Cuts are passed over

- before a quantizer or anything else that works value by value: what follows a layer so belongs to it;
- where no layer is on one side: pooling and reshaping go with the layers that come next;
- after a depthwise layer, which mixes no channels, up to the layer that does; and before it, if that layer makes fewer
  channels than the depthwise one has. An inverted residual, expand -> depthwise -> project, is so one block, with or
  without an addition;
- between two calls of one layer.

Stored tensors and sizes are no values here: they may be read anywhere.
"""

import operator
from collections.abc import Iterator
from dataclasses import dataclass

from torch.fx import Graph, GraphModule, Node

from microjoule.graph.network import Network, graph_module
from microjoule.graph.ops import Layer, aten, kind
from microjoule.graph.shapes import shapes

ELEMENTWISE = frozenset(
    (
        *("relu", "relu6", "clamp", "leaky_relu", "prelu", "sigmoid", "hardsigmoid", "hardswish", "silu", "gelu"),
        *("tanh", "elu", "mish", "softplus", "exp", "sqrt", "rsqrt", "pow", "neg", "add", "sub", "mul", "div"),
        *("batch_norm", "dropout", "identity", "quantizer"),
    )
)
"""Operators that work value by value; those of a part without layers belong to the layer before."""


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a network that only its entry and its exit connect to the rest.

    Args:
        nodes: what computes the exit from the entry, in order, the exit last; stored tensors and sizes left out. What
            is computed from stored tensors alone may stand in several blocks.
        entry: the value that goes in; no node of the block.
        exit: the value that comes out, or the network's output node where several values come out.
        layers: paths of its layers, at least one.
    """

    nodes: tuple[Node, ...]
    entry: Node
    exit: Node
    layers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """Everything after one cut up to another, and the layers in it."""

    entry: Node
    nodes: tuple[Node, ...]
    layers: tuple[Layer, ...]


def blocks(network: Network) -> list[Block]:
    """The chain of blocks, each of which begins where the one before ends.

    A network of several inputs has its first block after the first value that they all went into; layers before that
    value are in no block. Where several values come out, the last block goes from the last cut to all of them.

    Args:
        network: with or without quantizers.

    Returns:
        Its blocks in order; none if it has no layer, or no value that all inputs go into.
    """
    parts = _with_layers(network, list(_parts(network)))
    parts = _merged(parts, [*_shared(parts), *_separable(parts)])
    return [_block(network, part) for part in parts]


def as_module(network: Network, block: Block) -> GraphModule:
    """A block as a module from its entry to its exit, which shares its layers and quantizers with the network.

    Args:
        network: that the block is of.
        block: one of `blocks(network)`.

    Returns:
        A module of one tensor (batch, *) that gives the exit; the network's outputs as a tuple, if that is the exit.
    """
    graph = Graph()
    copies = {block.entry: graph.placeholder("entry")}
    inside = {block.entry, *block.nodes}

    def copied(node: Node) -> Node:
        if node not in copies:
            far = node.target is aten.sym_size.int and node.args[0] not in inside
            copies[node] = size_elsewhere(node) if far else graph.node_copy(node, copied)
        return copies[node]

    def size_elsewhere(node: Node) -> Node:
        """What a size is for one sample, times the number of samples."""
        one = shapes(network)
        value, dim = node.args
        rows = graph.call_function(aten.sym_size.int, (copies[block.entry], 0))
        samples = graph.call_function(operator.floordiv, (rows, one[block.entry][0]))
        return graph.call_function(operator.mul, (samples, one[value][dim]))  # type: ignore[index]

    last = [copied(node) for node in block.nodes][-1]
    if block.exit.op != "output":
        graph.output(last)
    made = graph_module(network.module, graph)
    made.training = network.module.training
    return made


# Cuts -----------------------------------------------------------------------------------------------------------------


def _flow(network: Network) -> list[Node]:
    """The values that depend on an input and that an output depends on, in order; the output node is the last."""
    ahead: set[Node] = set()
    for node in network.graph.nodes:
        if node.op == "placeholder" or (kind(network.module, node) != "size" and ahead & set(node.all_input_nodes)):
            ahead.add(node)
    wanted: set[Node] = set()
    for node in reversed(network.graph.nodes):
        if node.op == "output" or (node in ahead and wanted & set(node.users)):
            wanted.add(node)
    return [node for node in network.graph.nodes if node in wanted]


def _parts(network: Network) -> Iterator[_Part]:
    """Everything between two cuts, and after the last one; quantizers go with the value before them."""
    *values, output = _flow(network)
    last_use = {source: node for node in (*values, output) for source in node.all_input_nodes}
    inputs = [node for node in values if node.op == "placeholder"]
    live, entry, since = set(inputs), inputs[0] if len(inputs) == 1 else None, []
    for node in (node for node in values if node.op != "placeholder"):
        since.append(node)
        live = {value for value in live if last_use[value] is not node} | {node}
        if len(live) == 1:
            if entry is not None:
                yield _part(network, entry, since)
            entry, since = node, []
    if entry is not None and since:
        yield _part(network, entry, [*since, output])


def _part(network: Network, entry: Node, nodes: list[Node]) -> _Part:
    found = {layer.path: layer for node in nodes if (layer := Layer.at(network.module, node)) is not None}
    return _Part(entry, tuple(nodes), tuple(found.values()))


def _with_layers(network: Network, parts: list[_Part]) -> list[_Part]:
    """Parts with a layer each: what works value by value joins the part before, all else the part after."""
    found: list[_Part] = []
    waiting: list[_Part] = []
    for part in parts:
        names = {kind(network.module, node) for node in part.nodes}
        if part.layers:
            found.append(_joined([*waiting, part]))
            waiting = []
        elif found and not waiting and names <= ELEMENTWISE:
            found[-1] = _joined([found[-1], part])
        elif found or waiting or names != {"quantizer"}:  # a quantized input is what the first block reads
            waiting.append(part)
    return [*found[:-1], _joined([found[-1], *waiting])] if found else []


def _joined(parts: list[_Part]) -> _Part:
    nodes = (node for part in parts for node in part.nodes)
    layers = {layer.path: layer for part in parts for layer in part.layers}
    return _Part(parts[0].entry, tuple(nodes), tuple(layers.values()))


# Which parts belong together ------------------------------------------------------------------------------------------


def _shared(parts: list[_Part]) -> Iterator[tuple[int, int]]:
    """The first and the last part that call one layer."""
    where: dict[str, list[int]] = {}
    for index, part in enumerate(parts):
        for layer in part.layers:
            where.setdefault(layer.path, []).append(index)
    yield from ((found[0], found[-1]) for found in where.values())


def _separable(parts: list[_Part]) -> Iterator[tuple[int, int]]:
    """From each depthwise part, and an expansion before it, to the part that mixes its channels."""
    for index, part in enumerate(parts):
        if not all(layer.depthwise for layer in part.layers):
            continue
        end = next((at for at in range(index + 1, len(parts)) if _mixes(parts[at])), len(parts) - 1)
        before = parts[index - 1] if index else part
        expands = len(before.layers) == 1 and not before.layers[0].depthwise
        narrower = parts[end].layers[-1].out_channels < part.layers[0].in_channels
        yield (index - 1 if expands and narrower else index), end


def _mixes(part: _Part) -> bool:
    """Whether every way through a part goes through a layer that mixes channels."""
    mixing = {layer.node for layer in part.layers if not layer.depthwise}
    reached = {part.entry}
    for node in part.nodes:
        if node not in mixing and reached & set(node.all_input_nodes):
            reached.add(node)
    return part.nodes[-1] not in reached


def _merged(parts: list[_Part], together: list[tuple[int, int]]) -> list[_Part]:
    """Join parts from the first to the last of each pair."""
    until = list(range(len(parts)))
    for first, last in together:
        until[first] = max(until[first], last)
    found = []
    start = end = 0
    for index, reach in enumerate(until):
        if index > end:
            found.append(_joined(parts[start:index]))
            start = index
        end = max(end, reach)
    return [*found, _joined(parts[start:])] if parts else []


def _block(network: Network, part: _Part) -> Block:
    needed: set[Node] = set(part.nodes)
    for node in reversed(network.graph.nodes):
        computed = node.op not in ("get_attr", "placeholder") and kind(network.module, node) != "size"
        if computed and node is not part.entry and needed & set(node.users) and node not in needed:
            needed.add(node)
    ordered = tuple(node for node in network.graph.nodes if node in needed)
    return Block(ordered, part.entry, part.nodes[-1], tuple(layer.path for layer in part.layers))
