"""Which values of a network must not lie on a grid of some hundred steps, though they are real numbers.

- Angles, indices and what is compared: a rounded position is another position. All that leads only there stays as it
  is, through arithmetic and changes of shape, up to the sine, the index, the comparison. What a layer gives may be
  rounded before it is compared, as its order is all that counts; what it gives to a sine may not.
- What a root, a logarithm, an exponential or a division by it would blow up: rounding 0.001 to 0 makes 1 / x infinite.
  That is statistics (a mean square, a norm); what a layer gives is rounded all the same.
- Masked values: beside -10,000 or -infinity at the masked places a grid has no steps left for the others. They stay as
  they are from the mask to the softmax, or whatever else makes an end of them.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Node

from microjoule.graph.network import Network
from microjoule.graph.ops import FUNCTION_KINDS, WEIGHTED, arguments, kind
from microjoule.graph.shapes import Shape, typed_shapes
from microjoule.graph.walk import stored_tensor

MOVING = frozenset(
    (
        *("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose"),
        *("t", "movedim", "expand", "expand_as", "repeat", "repeat_interleave", "slice", "select", "narrow", "index"),
        *("index_select", "gather", "split", "split_with_sizes", "chunk", "unbind", "getitem", "flip", "roll", "clone"),
        *("contiguous", "to", "_to_copy", "alias", "detach", "dropout", "cat", "stack", "tril", "triu"),
    )
)
"""Operators that move values, and change none (or set some to 0)."""

ARITHMETIC = frozenset(
    (
        *("add", "sub", "rsub", "mul", "div", "neg", "abs", "clamp", "clamp_min", "clamp_max", "hardtanh", "relu"),
        *("maximum", "minimum", "where", "masked_fill", "pow", "square", "cumsum"),
    )
)
"""Operators on one value at a time."""

SUMMING = frozenset(("mean", "sum", "linalg_vector_norm", "norm", "var", "std"))
"""Operators that add up, as statistics do."""

PERIODIC = frozenset(("sin", "cos", "tan"))
STEPPED = frozenset(("floor", "ceil", "round", "trunc", "fmod", "remainder", "sign"))
STEEP = frozenset(("rsqrt", "sqrt", "reciprocal", "log", "log2", "log10", "log1p", "exp", "exp2", "expm1"))
COMPARING = frozenset(("eq", "ne", "lt", "le", "gt", "ge", "argmax", "argmin", "argsort", "isnan", "isinf", "isfinite"))
NORMALIZERS = frozenset(("rsqrt", "reciprocal"))
SOFTMAX = frozenset(("softmax", "log_softmax", "_safe_softmax", "logsumexp", "exp"))
COUNTED = frozenset((*WEIGHTED, "matmul", "attention", "lstm", "gru", "rnn"))
"""Kinds of operators whose sums of products are what a network costs, and the reason to quantize it."""

COUNTED_NAMES = frozenset(
    (
        *(
            "einsum",
            "convolution",
            "_convolution",
            "conv_tbc",
            "addmm",
            "addbmm",
            "baddbmm",
            "mm",
            "mv",
            "addmv",
            "dot",
        ),
        *("tensordot", "bilinear", "cdist", "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell"),
        *("rnn_tanh_cell", "rnn_relu_cell"),
    )
)
"""Names of operators that are, too, and have no kind."""

WIDE = 32.0
"""exp(-32) is below 2^-46: of two entries of a softmax that are so far apart, no grid holds the smaller one's share."""

SENTINEL = 1e4
"""What is filled in to be out of the way is this large at least, by custom: -10,000, -65,504, the smallest float."""

ANGLE = "it leads to a sine alone, where a rounded angle is another one"
INDEX = "it leads to an index or a comparison alone, where a rounded value is another one"
STATISTIC = "it leads to a root, an exponential or a denominator alone, which would enlarge the rounding"
MASK = "it only rules out entries of another value"
MASKED = "it holds masked entries, beside which a grid has no steps for the others"
NOT_FINITE = "it holds infinity or NaN"


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of a network's values.

    Args:
        shapes: the shape of each value that is one tensor, for one sample.
        types: its type.
        off_grid: values that must not be quantized, and why.
        angles: layers and products whose outputs lead to sines alone.
        learned: values that depend on a layer or a matrix product.
        reached: values that depend on the network's inputs, and not on their sizes alone.
    """

    shapes: dict[Node, Shape]
    types: dict[Node, torch.dtype]
    off_grid: dict[Node, str] = field(default_factory=dict)
    angles: set[Node] = field(default_factory=set)
    learned: set[Node] = field(default_factory=set)
    reached: set[Node] = field(default_factory=set)

    def is_real(self, node: Node) -> bool:
        """Whether a value is one tensor of floating-point numbers."""
        return node in self.types and self.types[node].is_floating_point

    def may_be_quantized(self, node: Node) -> bool:
        """Whether a value may lie on a grid."""
        return self.is_real(node) and node not in self.off_grid


def find_signals(network: Network) -> Signals:
    """Look at every value of a network."""
    known = typed_shapes(network)
    found = Signals({node: one[0] for node, one in known.items()}, {node: one[1] for node, one in known.items()})
    for node in network.graph.nodes:
        _mark_origin(network, node, found)
    into_softmax = _leading_into_softmax(network)
    masks: set[tuple[Node, Node]] = set()
    for node in network.graph.nodes:
        stored = stored_tensor(network, node) if node.op == "get_attr" else None
        if stored is not None and stored.is_floating_point() and not bool(torch.isfinite(stored).all()):
            found.off_grid[node] = NOT_FINITE
        by = _Mask(network, found, node, deep=node in into_softmax)
        masked = carries(node) and any(found.off_grid.get(one) == MASKED for one in node.all_input_nodes)
        if found.is_real(node) and (masked or by.masks()):
            found.off_grid[node] = MASKED
        masks.update((mask, node) for mask in by.operands())
    _mark_controls(network, found, masks)
    return found


def name_of(node: Node) -> str:
    """What a node calls: the operator's name without its overload, or ""."""
    schema = getattr(node.target, "_schema", None)
    if schema is not None:
        return str(schema.name).rpartition("::")[2]
    return str(getattr(node.target, "__name__", "")) if node.op == "call_function" else ""


def constant_under(network: Network, node: Any) -> Tensor | None:
    """The stored tensor that a value holds numbers of, or the number that it is or is full of; None if computed."""
    while isinstance(node, Node) and node.op != "get_attr" and name_of(node) in MOVING and node.all_input_nodes:
        node = node.all_input_nodes[0]
    if not isinstance(node, Node):
        return torch.tensor(node) if isinstance(node, int | float) else None
    if name_of(node) in ("full", "full_like", "scalar_tensor"):
        number = node.args[0 if name_of(node) == "scalar_tensor" else 1]
        return torch.tensor(number) if isinstance(number, int | float) else None
    return stored_tensor(network, node) if node.op == "get_attr" else None


# Where values come from -----------------------------------------------------------------------------------------------


def _mark_origin(network: Network, node: Node, found: Signals) -> None:
    read = [one for one in node.all_input_nodes if FUNCTION_KINDS.get(one.target) != "size"]
    sized = FUNCTION_KINDS.get(node.target) == "size"
    if node.op == "placeholder" or (not sized and any(one in found.reached for one in read)):
        found.reached.add(node)
    if is_counted(network, node) or any(one in found.learned for one in read):
        found.learned.add(node)


def carries(node: Node) -> bool:
    """Whether a node moves values or computes one at a time, so that what they stand for stays."""
    return node.op != "output" and (name_of(node) in ARITHMETIC or name_of(node) in MOVING)


def _leading_into_softmax(network: Network) -> set[Node]:
    """The values that reach a softmax through arithmetic and changes of shape."""
    found: set[Node] = set()
    for node in reversed(network.graph.nodes):
        if any(name_of(user) in SOFTMAX or (user in found and carries(user)) for user in node.users):
            found.add(node)
    return found


# Masks ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mask:
    """What a node does to mask values.

    Args:
        deep: whether what the node gives leads into a softmax.
    """

    network: Network
    found: Signals
    node: Node
    deep: bool

    def masks(self) -> bool:
        """Whether the node's output holds masked entries that its inputs do not."""
        name = name_of(self.node)
        if name in ("add", "sub"):
            return bool(self.operands())
        return name != "clamp" and any(self._is_fill(fill) for fill in self._fills(name))

    def operands(self) -> list[Node]:
        """The operands of an addition or a choice that are a mask, and so no signal."""
        name = name_of(self.node)
        pair = [one for one in self.node.args[:2] if isinstance(one, Node)] if name in ("add", "sub") else []
        if len(pair) == 2:
            return [mask for mask, other in (pair, pair[::-1]) if self._is_mask(mask, other)]
        fills = [one for one in self._fills(name) if isinstance(one, Node)]
        return [one for one in fills if self._is_fill(one)]

    def _fills(self, name: str) -> list[Any]:
        """What is put in place of some values."""
        if name == "where":
            return list(self.node.args[1:3])
        if not hasattr(self.node.target, "_schema") or name in ("full", "full_like", "fill"):
            return []
        return [value for value in (arguments(self.node).get("value"),) if value is not None]

    def _is_fill(self, fill: Any) -> bool:
        stored = constant_under(self.network, fill)
        if stored is None:
            return False
        low, high = _ends(stored)
        return low == high and (not abs(low) < SENTINEL or (self.deep and abs(low) >= WIDE))

    def _is_mask(self, mask: Node, other: Node) -> bool:
        """Whether what is added to a value only rules out some of its entries."""
        if other not in self.found.reached or mask in self.found.learned or not self.found.is_real(mask):
            return False
        stored = constant_under(self.network, mask)
        if stored is not None:
            low, high = _ends(stored)
            return not high - low < SENTINEL or (self.deep and high - low > WIDE)
        return self.deep and other in self.found.learned


def _ends(stored: Tensor) -> tuple[float, float]:
    """The smallest and the largest entry; NaN counts as infinite."""
    if stored.numel() == 0:
        return 0.0, 0.0
    low, high = torch.aminmax(stored.detach().double().nan_to_num(nan=-torch.inf))
    return low.item(), high.item()


# Angles, indices, statistics ------------------------------------------------------------------------------------------


def _mark_controls(network: Network, found: Signals, masks: set[tuple[Node, Node]]) -> None:
    """Go from the end to the beginning, as what a value leads to decides what it is."""
    for node in reversed(network.graph.nodes):
        users = [user for user in node.users if FUNCTION_KINDS.get(user.target) != "size"]
        if not users or not found.is_real(node):
            continue
        counted = is_counted(network, node)
        if all(_is_angle(network, node, user, found) for user in users):
            found.off_grid.setdefault(node, ANGLE)
            if counted:
                found.angles.add(node)
        elif not counted:
            reasons = [_reason(network, node, user, found, masks) for user in users]
            if all(reasons):
                found.off_grid.setdefault(node, next(one for one in (STATISTIC, INDEX, MASK) if one in reasons))


def is_counted(network: Network, node: Node) -> bool:
    """Whether a node is a layer, a product of matrices or a recurrent cell."""
    return kind(network.module, node) in COUNTED or name_of(node) in COUNTED_NAMES


def _is_angle(network: Network, node: Node, user: Node, found: Signals) -> bool:
    """Whether a user takes a value for an angle; a layer does if it has it from positions, not from layers."""
    if is_counted(network, user):
        return user in found.angles and node not in found.learned
    return name_of(user) in PERIODIC or (_passes_on(user) and found.off_grid.get(user) == ANGLE)


def _reason(network: Network, node: Node, user: Node, found: Signals, masks: set[tuple[Node, Node]]) -> str | None:
    """For what else than a signal a user takes a value, or None if it takes it for one."""
    if (node, user) in masks:
        return MASK
    if _is_angle(network, node, user, found) or _is_place(node, user, found):
        return INDEX
    if _is_steep(node, user):
        return STATISTIC
    passed = found.off_grid.get(user) if _passes_on(user) and not is_counted(network, user) else None
    return passed if passed in (STATISTIC, INDEX, MASK) else None


def _is_place(node: Node, user: Node, found: Signals) -> bool:
    """Whether a user takes a value for a whole number, a truth or a place."""
    name = name_of(user)
    if name in COMPARING:
        return node not in found.learned
    if name.startswith("grid_sampler"):
        return user.args[0] is not node
    return name in STEPPED or (user in found.types and not found.is_real(user))


def _is_steep(node: Node, user: Node) -> bool:
    """Whether a user enlarges what is small in a value."""
    name = name_of(user)
    if name == "pow":
        return user.args[0] is node and not _is_flat(user.args[1])
    return name in STEEP or (name == "div" and user.args[0] is not node)


def _is_flat(exponent: Any) -> bool:
    return isinstance(exponent, int | float) and exponent >= 1


def _passes_on(user: Node) -> bool:
    return carries(user) or name_of(user) in SUMMING


def normalizers(node: Node) -> list[Node]:
    """The operands of a node that are one over a root or a norm, whose range is as wide as the norms differ."""
    found = []
    for one in node.all_input_nodes:
        source = one
        while name_of(source) in MOVING and source.all_input_nodes:
            source = source.all_input_nodes[0]
        if name_of(source) in NORMALIZERS:
            found.append(one)
    return found
