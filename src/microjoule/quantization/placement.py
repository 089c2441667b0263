"""Where quantizers stand: the target's rules, applied to a network.

A value gets a quantizer if an operator that runs in integer makes it or reads it, with these exceptions:

- what is no signal (`microjoule.graph.signals`): angles, indices, statistics, masked values;
- a layer or an addition followed by an activation that fuses into it: the activation's output is quantized instead;
- an operator that passes its input's scale through (pooling by maximum, reshaping): its output is on the grid already;
- an operator whose inputs and output share one scale (concatenation, on some targets): one quantizer for all of them;
- what is joined for the network's outputs alone: boxes and scores keep a grid each;
- integer sums that the target can hand on in floating point, if nothing reads them in integer.

An operator runs in integer if the target says so and all that it reads may be quantized. An addition or product with a
stored operand does so behind a layer alone: before the first one it prepares the input, which is better done exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch.fx import Node

from microjoule.costs.target import Target
from microjoule.graph.network import Network
from microjoule.graph.ops import WEIGHTED, Layer, arguments, fill_value, kind, tensor_inputs
from microjoule.graph.signals import Signals, constant_under, find_signals, is_counted, name_of, normalizers
from microjoule.graph.walk import only_user
from microjoule.numerics.grid import Interval
from microjoule.records.facts import Skipped

MAKES_NOTHING = ("output", "size", "constant")
COMBINING = frozenset(("add", "sub", "mul", "div", "matmul", "concat", "stack", "where", "attention"))
"""Operators of several signals; of the others the first input is one."""

WIDE_SOFTMAX = 32
BY_NUMBERS = frozenset(("add", "sub", "mul", "div"))
JOINING = frozenset(("concat", "stack"))
OTHER_OPERANDS = ("attn_mask", "condition")
"""Arguments that are no signals."""


@dataclass(frozen=True, slots=True)
class Place:
    """A value to be quantized.

    Args:
        node: what gives the value.
        layer: the path of the layer that makes it, if a layer does (an activation after it included).
        shares: the first of the values that it shares a scale with, or itself.
        fixed: what it lies in whatever the data, or None.
    """

    node: Node
    layer: str | None
    shares: Node
    fixed: Interval | None = None

    @property
    def stored(self) -> bool:
        """Whether the value is a stored operand, which no data changes."""
        return self.node.op == "get_attr"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where quantizers stand.

    Args:
        places: the values that get one, in the order of the network.
        exact: paths of layers whose weights stay as they are.
        skipped: what has multiply-accumulates and does not run in integer, and why.
    """

    places: tuple[Place, ...]
    exact: frozenset[str]
    skipped: tuple[Skipped, ...]


def find_places(network: Network, target: Target, excluded: frozenset[str] = frozenset()) -> list[Place]:
    """Every value that gets a quantizer, in the order of the network.

    Args:
        network: a network without activation quantizers.
        target: whose rules hold.
        excluded: layers (by path) that stay in floating point; values that only they touch stay so, too.
    """
    return list(place(network, target, excluded).places)


def place(network: Network, target: Target, excluded: frozenset[str] = frozenset()) -> Placement:
    """Where quantizers stand, and what with multiply-accumulates does not run in integer.

    Args:
        network: a network without activation quantizers.
        target: whose rules hold.
        excluded: as in `find_places`.
    """
    rules = _Rules(network, target, excluded)
    chosen = [node for node in network.graph.nodes if rules.is_quantized(node)]
    fixed = {node: rules.fixed(node) for node in chosen}
    shares = {node: node for node in chosen}
    for node in network.graph.nodes:
        if kind(network.module, node) in target.sharing and rules.in_integer(node):
            roots = (*map(rules.root, rules.operands(node)), rules.root(node))
            together = [other for other in roots if other in shares and fixed[other] is None]
            first = shares[together[0]] if together else node
            joined = {shares[other] for other in together}
            shares |= {other: first for other, head in shares.items() if head in joined}
    places = [Place(node, rules.maker(node), shares[node], fixed[node]) for node in chosen]
    angles = {layer.path for layer in network.layers if rules.computes_angles(layer.node)}
    return Placement(tuple(places), excluded | angles, tuple(rules.skipped()))


class _Rules:
    """A target's rules, asked of one network."""

    def __init__(self, network: Network, target: Target, excluded: frozenset[str]) -> None:
        self.network = network
        self.target = target
        self.excluded = excluded
        self.signals: Signals = find_signals(network)
        self._known: dict[Node, bool] = {}

    def kind(self, node: Node) -> str | None:
        """The name of what a node computes."""
        return kind(self.network.module, node)

    def is_quantized(self, node: Node) -> bool:
        """Whether a quantizer stands on a value."""
        name = self.kind(node)
        if name in MAKES_NOTHING or not self.signals.may_be_quantized(node) or self.source(node) is not None:
            return False
        if self._fuses_into_next(node) is not None:
            return False
        maker, readers = self._before_fused(node), list(self._readers(node))
        read = any(self.in_integer(user) for user in readers)
        if node.op == "get_attr" or not self.in_integer(maker):
            return read
        handed_on = self.kind(maker) in self.target.unrounded and all(user.op != "output" for user in readers)
        return read or not handed_on

    def maker(self, node: Node) -> str | None:
        """The path of the layer that makes a value, through an activation that fuses into it."""
        layer = Layer.at(self.network.module, self._before_fused(node))
        return layer.path if layer is not None else None

    def fixed(self, node: Node) -> Interval | None:
        """What a value lies in, whatever the data; None where a grid over all of that would be too coarse.

        On such a grid ONNX Runtime makes one operator of a softmax between two grids, which wraps around above its end.
        """
        interval = dict(self.target.fixed).get(str(self.kind(node)))
        coarse = self._is_wide_softmax(node) and not self.in_integer(node)
        return None if coarse and not self.is_quantized(self.root(self.operands(node)[0])) else interval

    def _is_wide_softmax(self, node: Node) -> bool:
        """Whether a softmax shares 1 among so many that a share alike is less than 8 steps of a grid of 8 bits."""
        if self.kind(node) != "softmax" or node not in self.signals.shapes:
            return False
        size: int = self.signals.shapes[node][arguments(node)["dim"]]
        return size > WIDE_SOFTMAX

    def root(self, node: Node) -> Node:
        """The value whose scale a node has: itself, or the input that it passes through."""
        before = self.source(node)
        while before is not None:
            node, before = before, self.source(before)
        return node

    def source(self, node: Node) -> Node | None:
        """The value that a node passes on with its scale, or None if its value is one of its own."""
        name = self.kind(node)
        if name not in self.target.passing or not node.all_input_nodes:
            return None
        before = node.all_input_nodes[0]
        if name == "getitem" and self.kind(before) not in self.target.passing:
            return None
        if fill_value(node) != 0:
            return None
        given = before if self.kind(before) != "split" else before.all_input_nodes[0]
        return before if self.signals.may_be_quantized(self.root(given)) else None

    def operands(self, node: Node) -> list[Node]:
        """The values that a node reads as signals."""
        if self.kind(node) not in COMBINING:
            return (tensor_inputs(node) or node.all_input_nodes)[:1]
        args = arguments(node)
        others = [args.get(name) for name in OTHER_OPERANDS]
        return [one for one in node.all_input_nodes if one not in others and self.kind(one) != "size"]

    def in_integer(self, node: Node) -> bool:
        """Whether a node runs in integer."""
        if node not in self._known:
            self._known[node] = self.kind(node) in self.target.integer and self.why_not(node) is None
        return self._known[node]

    def why_not(self, node: Node) -> str | None:
        """Why a node whose operator the target runs in integer does not run so, or None if it does."""
        if self.kind(node) in WEIGHTED:
            return self._why_not_layer(node)
        operands = self.operands(node)
        for one in (node, *operands):
            if not self.signals.may_be_quantized(one):
                return f"{one.name} stays in floating point: {self._why_off(one)}"
        return self._why_not_combined(node) if operands else "it reads no signal"

    def _why_off(self, node: Node) -> str:
        return self.signals.off_grid.get(node, "it is not one tensor of real numbers")

    def _why_not_layer(self, node: Node) -> str | None:
        layer, reads = Layer.at(self.network.module, node), self.operands(node)
        if layer is None:
            return "its weight is computed"
        if layer.path in self.excluded:
            return "excluded by the caller"
        if self.computes_angles(node):
            return "it computes angles from positions"
        off = [one for one in reads if not self.signals.may_be_quantized(one)]
        return f"{off[0].name} stays in floating point: {self._why_off(off[0])}" if off else None

    def computes_angles(self, node: Node) -> bool:
        """Whether a layer turns positions into angles: no more than the positions may it be rounded."""
        return node in self.signals.angles and not any(one in self.signals.learned for one in self.operands(node))

    def _why_not_combined(self, node: Node) -> str | None:
        name = self.kind(node)
        if self._is_wide_softmax(node) and "softmax" not in self.target.demanded:
            return f"its shares are of more than {WIDE_SOFTMAX} entries, too small for a fixed grid"
        if name in ("mul", "div") and normalizers(node):
            return "it divides by a norm"
        if name in JOINING and self._ends_outside(node):
            return "it joins outputs, whose scales differ"
        if name in BY_NUMBERS and any(constant_under(self.network, one) is not None for one in node.args[:2]):
            return self._why_not_by_numbers(node)
        return None

    def _why_not_by_numbers(self, node: Node) -> str | None:
        """A product or sum with a stored operand: before the first layer, and where nobody reads it in integer."""
        if node not in self.signals.learned:
            return "it prepares the input"
        if any(self._is_joined_outside(one) for one in self.operands(node)):
            return "it changes joined outputs, whose scales differ"
        stored = [constant_under(self.network, one) for one in node.args[:2]]
        if not any(one is not None and one.numel() == 1 for one in stored):
            return None
        readers = list(self._readers(node))
        read = any(self.in_integer(user) or self.kind(user) == "output" for user in readers)
        return None if read else "nobody reads it in integer"

    def _is_joined_outside(self, node: Node) -> bool:
        """Whether a value is joined outputs, whose shape or size was changed."""
        node = self.root(node)
        if self.kind(node) in JOINING:
            return self._ends_outside(node)
        changed = self.kind(node) in BY_NUMBERS and constant_under(self.network, node) is None
        return changed and any(self._is_joined_outside(one) for one in self.operands(node) if one.op != "get_attr")

    def _ends_outside(self, node: Node) -> bool:
        """Whether all that a value leads to are the network's outputs, through changes of shape and stored factors."""
        for user in node.users:
            name = self.kind(user)
            alone = name in BY_NUMBERS and all(
                one is node or constant_under(self.network, one) is not None for one in self.operands(user)
            )
            if name == "output":
                continue
            if not (name in self.target.passing or name in JOINING or alone) or not self._ends_outside(user):
                return False
        return bool(node.users)

    def _fuses_into_next(self, node: Node) -> Node | None:
        """The activation that fuses into a node, if one does."""
        user = only_user(node)
        if user is None or self.kind(node) not in self.target.fusing or not self.in_integer(node):
            return None
        return user if self.kind(user) in self.target.fused else None

    def _before_fused(self, node: Node) -> Node:
        """The layer or addition that an activation fuses into, or the node itself."""
        if self.kind(node) in self.target.fused and tensor_inputs(node):
            before = tensor_inputs(node)[0]
            if self._fuses_into_next(before) is node:
                return before
        return node

    def _readers(self, node: Node) -> Iterator[Node]:
        """Who reads a value as a signal, operators that pass its scale looked through."""
        for user in node.users:
            if self.source(user) is not None:
                yield from self._readers(user)
            elif user.op == "output" or node in self.operands(user):
                yield user

    def skipped(self) -> Iterator[Skipped]:
        """What has multiply-accumulates and does not run in integer, and why; those excluded by the caller left out."""
        told: set[str] = set()
        for node in self.network.graph.nodes:
            if not is_counted(self.network, node) or self.in_integer(node):
                continue
            name, layer = self.kind(node), Layer.at(self.network.module, node)
            at = layer.path if layer is not None else str(node.target) if node.op == "call_module" else node.name
            if at in self.excluded or at in told:
                continue
            told.add(at)
            yield Skipped(at, self._why_floating(node, name))

    def _why_floating(self, node: Node, name: str | None) -> str:
        if name not in self.target.integer:
            word = name or name_of(node)
            weights = "; its weights are quantized" if name in WEIGHTED and Layer.at(self.network.module, node) else ""
            return f"{self.target.name} does not run {word} in integer{weights}"
        return str(self.why_not(node))
