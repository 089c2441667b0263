"""Convolutions of concatenations as one convolution a branch, so that not all branches need to be there at once.

With the weights W = (W1 | W2) by input channels,

    conv(x1 | x2; W) + b  ==  (conv(x1; W1) + b) + conv(x2; W2)

and a grouped convolution (a depthwise one above all) whose groups keep to one branch each is

    conv(x1 | x2; W) + b  ==  conv(x1; W1) + b1 | conv(x2; W2) + b2          W and b by output channels

The sum is added up in another order, so outputs are equal to rounding; those of grouped convolutions have the same
terms in the same order.

Source: Ahn et al. 2020, Ordering Chaos (SERENITY), https://arxiv.org/abs/2003.02369, section 3.3.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.fx import Node

from microjoule.graph.network import Network, set_submodule, takes_network
from microjoule.graph.ops import Layer, arguments, aten, kind, tensor_inputs
from microjoule.graph.shapes import Shape, typed_shapes
from microjoule.graph.walk import is_private, only_user, readers, through_quantizers
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.facts import ConcatenationsSplit, Skipped

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
"""These alone, and nothing made of them: another class may compute something else."""

Types = Mapping[Node, tuple[Shape, torch.dtype]]
"""For each value its shape and type."""

UNASKED = "it was not asked for"

# The equation ---------------------------------------------------------------------------------------------------------


def by_branch(weight: Tensor, channels: Sequence[int], *, groups: int = 1) -> list[Tensor] | None:
    """A convolution's weight as one weight for each branch of what it reads.

    Args:
        weight: (out_channels, in_channels / groups, *kernel).
        channels: of each branch; together they are in_channels.
        groups: of the convolution.

    Returns:
        For each branch (out_channels, channels, *kernel), or with several groups
        (out_channels * channels / in_channels, in_channels / groups, *kernel); None if a group reads two branches.
    """
    if groups == 1:
        return list(weight.split(list(channels), dim=1))
    width = weight.shape[1]
    if any(count % width for count in channels):
        return None
    rows = weight.shape[0] // groups
    return list(weight.split([count // width * rows for count in channels], dim=0))


# Where it applies -----------------------------------------------------------------------------------------------------


@takes_network
def split_concatenations(network: Network, *, paths: Collection[str] | None = None) -> ConcatenationsSplit:
    """Give every convolution of a concatenation of channels one convolution a branch, in place.

    The outputs are equal to rounding. A layer at `path` becomes the layers `path.branch_0`, `path.branch_1`, ..., of
    which the first has the bias; their outputs are added, or concatenated where groups (a depthwise convolution's) keep
    to one branch each. Batch norms and activations stay after that, so fold batch norms before, and quantize after.

    A concatenation that something else reads as well has to be there in any case, so that its readers stay as they are.

    Args:
        network: in floating point.
        paths: the layers to split; None for all.

    Returns:
        What was split, and which layers that read a concatenation, or were asked for, were not, with the reason.

    Raises:
        GraphError: for a path at which there is no layer.
    """
    asked = None if paths is None else {network.layer(path).path for path in paths}
    edit = _Splitting(network, asked)
    todo = [node for node in network.graph.nodes if _is_concatenation(network, node)]
    while todo:
        todo = [*edit.split_readers(todo[0]), *todo[1:]]
    for path in sorted((asked or set()) - edit.added.keys() - edit.joined.keys() - edit.skipped.keys()):
        edit.skipped[path] = "it reads no concatenation"
    network.recompile()
    skipped = tuple(Skipped(path, reason) for path, reason in edit.skipped.items())
    record = ConcatenationsSplit(edit.added, edit.joined, skipped)
    network.history.append(record)
    return record


class _Splitting:
    """Takes concatenations one by one, and notes what became of their readers."""

    def __init__(self, network: Network, asked: set[str] | None) -> None:
        self.network, self.asked = network, asked
        self.values = typed_shapes(network)
        self.added: dict[str, tuple[str, ...]] = {}
        self.joined: dict[str, tuple[str, ...]] = {}
        self.skipped: dict[str, str] = {}

    def split_readers(self, concatenation: Node) -> list[Node]:
        """Split all layers that read a concatenation, or none of them; returns the concatenations that are new."""
        layers = [found for node in readers(self.network, concatenation) if (found := self._convolution(node))]
        branches = _branches(self.network, concatenation, self.values[concatenation][0])
        reasons = {layer.path: self._reason(layer, concatenation, branches) for layer in layers}
        others = [user.name for user in concatenation.users if user not in {layer.node for layer in layers}]
        stay = [*others, *(path for path, reason in reasons.items() if reason is not None)]
        for path, reason in reasons.items():
            if stay and reason != UNASKED:
                why = f"{', '.join(stay)} reads the concatenation ({concatenation.name}) as well"
                self.skipped.setdefault(path, reason or why)
        if stay:
            return []
        made = [self._split(layer, branches) for layer in layers]
        return [new for new in made if new is not None]

    def _convolution(self, node: Node) -> Layer | None:
        layer = Layer.at(self.network.module, node)
        return layer if layer is not None and layer.kind == "conv" else None

    def _reason(self, layer: Layer, concatenation: Node, branches: list[Node]) -> str | None:
        """Why a layer cannot be split."""
        if self.asked is not None and layer.path not in self.asked:
            return UNASKED
        return _unfit(self.network, layer, concatenation) or _unfit_parts(layer, concatenation, branches, self.values)

    def _split(self, layer: Layer, branches: list[Node]) -> Node | None:
        """Split a layer; returns the concatenation of what its parts give, if there is one."""
        shape, dtype = self.values[layer.node]
        axis = layer.channel_axis % len(shape)
        parts = _parts(layer, [self.values[branch][0][axis] for branch in branches])
        split = self.added if layer.groups == 1 else self.joined
        split[layer.path] = tuple(branch.name for branch in branches)
        _move_statistics(self.network, layer, parts)
        made, joined = _replace(self.network, layer, branches, parts, axis)
        for node, part in zip(made, parts, strict=True):
            self.values[node] = (*shape[:axis], part.out_channels, *shape[axis + 1 :]), dtype
        if joined is not None:
            self.values[joined] = shape, dtype
        return joined


def _is_concatenation(network: Network, node: Node) -> bool:
    return kind(network.module, node) == "concat"


def _branches(network: Network, concatenation: Node, shape: Shape) -> list[Node]:
    """What a concatenation is of; for parts that are such concatenations themselves, read by it alone, their parts."""
    axis, found = arguments(concatenation)["dim"] % len(shape), list[Node]()
    for part in arguments(concatenation)["tensors"]:
        inner = _is_concatenation(network, part) and only_user(part) is concatenation
        alike = inner and arguments(part)["dim"] % len(shape) == axis
        found += _branches(network, part, shape) if alike else [part]
    return found


def _unfit(network: Network, layer: Layer, concatenation: Node) -> str | None:
    """Why a layer cannot be split, whatever the branches are."""
    if layer.quantizer is not None:
        return "its weights are quantized already: split before that"
    if tensor_inputs(layer.node) != [concatenation]:
        assert through_quantizers(network, tensor_inputs(layer.node)[0]) is concatenation
        return f"a quantizer stands on the concatenation ({concatenation.name}): split before that"
    if layer.node.op != "call_module":
        return "it is a function, not a layer with weights of its own"
    if type(layer.owner) not in CONVOLUTIONS:
        return f"it is a {type(layer.owner).__name__}, which may compute something else than a convolution"
    if not is_private(network, layer):
        return "it is used more than once"
    return None


def _unfit_parts(layer: Layer, concatenation: Node, branches: list[Node], values: Types) -> str | None:
    """Why a layer cannot be split into one for each of these branches."""
    shape = values[concatenation][0]
    axis, channel_axis = arguments(concatenation)["dim"] % len(shape), layer.channel_axis % len(shape)
    if axis != channel_axis:
        return f"the concatenation ({concatenation.name}) is along dimension {axis}; channels are {channel_axis}"
    if len(branches) == 1:
        return f"the concatenation ({concatenation.name}) is of one value alone"
    twice = [branch.name for branch in branches if branches.count(branch) > 1]
    if twice:
        return f"{twice[0]} stands in the concatenation ({concatenation.name}) twice"
    return _unfit_channels(layer, branches, values, shape, axis)


def _unfit_channels(layer: Layer, branches: list[Node], values: Types, shape: Shape, axis: int) -> str | None:
    """Why a layer cannot be split at the borders of these branches."""
    channels = [values[one][0][axis] if len(values[one][0]) == len(shape) else 0 for one in branches]
    if 0 in channels:
        return f"{branches[channels.index(0)].name}, in the concatenation, has no channels"
    if len({values[branch][1] for branch in branches}) > 1:
        return "the values in the concatenation have several types"
    if by_branch(layer.stored_weight, channels, groups=layer.groups) is None:
        return f"it is grouped, and a group of {layer.stored_weight.shape[1]} channels reads two branches"
    return None


# Applying it ----------------------------------------------------------------------------------------------------------


def _parts(layer: Layer, channels: Sequence[int]) -> list[Convolution]:
    """A convolution for each branch, with its share of the weights and the bias."""
    weights = by_branch(layer.stored_weight.detach(), channels, groups=layer.groups)
    assert weights is not None
    sizes = [len(weight) for weight in weights]
    biases: list[Tensor | None] = [None] * len(weights)
    if layer.bias is not None:
        biases[:1] = [layer.bias.detach()]
        biases = biases if layer.groups == 1 else list(layer.bias.detach().split(sizes))
    given = zip(weights, biases, channels, strict=True)
    return [_part(layer, weight, bias, count) for weight, bias, count in given]


def _part(layer: Layer, weight: Tensor, bias: Tensor | None, channels: int) -> Convolution:
    owner = layer.owner
    assert isinstance(owner, CONVOLUTIONS)
    made = type(owner)(
        channels,
        len(weight),
        owner.kernel_size,  # type: ignore[arg-type]
        stride=owner.stride,  # type: ignore[arg-type]
        padding=owner.padding,  # type: ignore[arg-type]
        dilation=owner.dilation,  # type: ignore[arg-type]
        groups=channels // weight.shape[1],
        bias=bias is not None,
        padding_mode=owner.padding_mode,
        device="meta",
    )
    learns = layer.stored_weight.requires_grad
    made.weight = nn.Parameter(weight.clone(), requires_grad=learns)
    if bias is not None and layer.bias is not None:
        made.bias = nn.Parameter(bias.clone(), requires_grad=layer.bias.requires_grad)
    return made.train(owner.training)


def _replace(
    network: Network, layer: Layer, branches: list[Node], parts: list[Convolution], axis: int
) -> tuple[list[Node], Node | None]:
    """Put the parts where a layer stands, each just before it is needed; returns them, and their concatenation."""
    path, node, graph = layer.path, layer.node, network.graph
    set_submodule(network.module, path, nn.Module())
    network.module.get_submodule(path).train(layer.owner.training)
    made, total = list[Node](), None
    with graph.inserting_before(node):
        for index, (branch, part) in enumerate(zip(branches, parts, strict=True)):
            set_submodule(network.module, f"{path}.branch_{index}", part)
            made.append(graph.call_module(f"{path}.branch_{index}", (branch,)))
            if layer.groups == 1:
                total = made[-1] if total is None else graph.call_function(aten.add.Tensor, (total, made[-1]))
        joined = None if layer.groups == 1 else graph.call_function(aten.cat.default, (made, axis))
    result = total or joined
    assert result is not None
    result.meta = dict(node.meta)
    node.replace_all_uses_with(result)
    graph.erase_node(node)
    return made, joined


def _move_statistics(network: Network, layer: Layer, parts: list[Convolution]) -> None:
    """What is known of a grouped layer's outputs goes to its parts; of parts that are added nothing is known."""
    known = network.preactivations.pop(layer.path, None)
    if known is None or layer.groups == 1:
        return
    sizes = [part.out_channels for part in parts]
    for index, (mean, std) in enumerate(zip(known.mean.split(sizes), known.std.split(sizes), strict=True)):
        network.preactivations[f"{layer.path}.branch_{index}"] = Gaussian(mean.clone(), std.clone())
