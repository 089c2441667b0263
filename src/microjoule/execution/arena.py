"""Running a network inside one block of memory, to prove that a plan of who lies where is right.

Each value is laid where the plan says; what nobody reads any more is overwritten at once, and so is the place of a
value before it is computed. If the plan puts two values that are needed at the same time over each other, something is
read that was overwritten, and the outputs are wrong. So outputs that equal those of an ordinary run, bit for bit, are
the proof: for this input, since a value that does not matter for the outputs cannot be seen in them.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from microjoule.errors import DataError, GraphError, MicrojouleError, SettingError
from microjoule.execution.run import MISFITS, misfit, to_device
from microjoule.graph.network import Network, takes_network
from microjoule.graph.ops import kind

POISON = 0xFF
"""Each byte that is free: as a number in floating point NaN, and as an integer -1."""


@takes_network
def run_in_arena(
    network: Network,
    inputs: tuple[Any, ...],
    places: Mapping[str, range],
    size_bytes: int,
    *,
    in_place: Collection[str] = (),
) -> Any:
    """The network's outputs for one batch, computed in an arena of exactly this size.

    An operator computes its output beside the arena first, from what lies in the arena; then it is copied to its place.

    Args:
        network: in evaluation, in the order that the plan was made for.
        inputs: the batch that the plan was made for: one sample, or the example's batch if it is fixed.
        places: for each value, by its node's name, the bytes in which it lies; views of others have none.
        size_bytes: of the arena.
        in_place: values that may be written where something lies that their operator reads.

    Raises:
        SettingError: for a place outside of the arena, or of something that is no node.
        GraphError: if a value has no place, or does not fit there.
        DataError: if the inputs do not fit the network.
    """
    _check(network, places, size_bytes)
    moved = to_device(inputs, network.device)
    try:
        with torch.no_grad():
            return _InArena(network, places, size_bytes, in_place).run(*network.row(moved))
    except MicrojouleError:
        raise
    except MISFITS as error:
        raise misfit(network, moved, error) from error


def _check(network: Network, places: Mapping[str, range], size_bytes: int) -> None:
    remedy = "make the plan for this network (mj.schedule(network, simulated=True))"
    for name in places.keys() - {node.name for node in network.graph.nodes}:
        raise SettingError(f"places[{name!r}]", "is no node of this network", remedy=remedy)
    for name, place in places.items():
        if place.step != 1 or not 0 <= place.start <= place.stop <= size_bytes:
            raise SettingError(f"places[{name!r}]", f"is {place} in an arena of {size_bytes} bytes", remedy=remedy)


@dataclass(eq=False, slots=True)
class _Region:
    """Bytes of the arena, and the nodes whose values lie there and will be read again."""

    place: range
    holders: set[Node] = field(default_factory=set)


class _InArena(Interpreter):
    """Runs the graph with every value in the arena."""

    def __init__(
        self, network: Network, places: Mapping[str, range], size_bytes: int, in_place: Collection[str]
    ) -> None:
        super().__init__(network.module, garbage_collect_values=True)
        self.places = places
        self.in_place = frozenset(in_place)
        self.memory = torch.full((size_bytes,), POISON, dtype=torch.uint8, device=network.device)
        self.sizes = {node for node in network.graph.nodes if kind(network.module, node) == "size"}
        self.unread = {node: set(node.users) - self.sizes for node in network.graph.nodes}
        self.regions: dict[Node, list[_Region]] = {}

    def run_node(self, n: Node) -> Any:
        """Run one node, free what it was the last to read, and lay what it gives in the arena."""
        if n.op == "output":
            return pytree.tree_map_only(Tensor, torch.clone, super().run_node(n))
        if n.op == "get_attr" or n in self.sizes:
            return super().run_node(n)
        place = self.places.get(n.name)
        if place is not None and n.name not in self.in_place:
            self._poison(place)
        result = super().run_node(n)
        if place is None:
            self._share(n, result)
            self._free_inputs(n)
            return result
        beside = pytree.tree_map_only(Tensor, torch.clone, result)
        self._free_inputs(n)
        self.regions[n] = [_Region(place, {n})]
        laid = self._laid(n, beside, place)
        self._free_unread(n)
        return laid

    def _share(self, node: Node, result: Any) -> None:
        """A view lies where what it reads lies."""
        tensors = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor) and leaf.numel()]
        shared = self.memory.untyped_storage().data_ptr()
        if any(leaf.untyped_storage().data_ptr() != shared for leaf in tensors):
            remedy = "make the plan for this network as PyTorch runs it (mj.schedule(network, simulated=True))"
            raise GraphError(node.name, "has no place in the arena and is no view", remedy=remedy)
        self.regions[node] = [region for one in node.all_input_nodes for region in self.regions.get(one, [])]
        for region in self.regions[node]:
            region.holders.add(node)

    def _free_inputs(self, node: Node) -> None:
        for one in node.all_input_nodes:
            self.unread[one].discard(node)
            self._free_unread(one)

    def _free_unread(self, node: Node) -> None:
        """Overwrite what a node's value lies in, if it was read for the last time and nothing else lies there."""
        if self.unread[node]:
            return
        for region in self.regions.pop(node, []):
            region.holders.discard(node)
            if not region.holders:
                self._poison(region.place)

    def _poison(self, place: range) -> None:
        self.memory[place.start : place.stop].fill_(POISON)

    def _laid(self, node: Node, value: Any, place: range) -> Any:
        """A value, or those of several that are read, one after another in its place."""
        if isinstance(value, Tensor):
            return self._copied(node, value, place)
        start, laid = place.start, dict[int, Tensor]()
        for part in _read_parts(node, value):
            if id(part) not in laid:
                laid[id(part)] = self._copied(node, part, range(start, place.stop))
                start += part.nbytes
        return pytree.tree_map_only(Tensor, lambda part: laid.get(id(part)), value)

    def _copied(self, node: Node, tensor: Tensor, place: range) -> Tensor:
        """A copy that starts where a place does, with the same strides.

        Raises:
            GraphError: if it does not fit.
        """
        end = place.start + tensor.nbytes
        if end > place.stop:
            fact = f"takes {tensor.nbytes} bytes, and its place has {len(place)}"
            raise _misfit_of(node, fact, "give one sample, or the batch that the plan was made for, as simulated=True")
        if place.start % tensor.itemsize:
            fact = f"starts at byte {place.start}, and one {tensor.dtype} has {tensor.itemsize}"
            raise GraphError(node.name, fact, remedy="make the plan with an alignment (mj.schedule(alignment=64))")
        strides = torch.empty_like(tensor, device="meta").stride()
        room = self.memory[place.start : end].view(tensor.dtype)
        return room.as_strided(tensor.shape, strides).copy_(tensor)


def _misfit_of(node: Node, fact: str, remedy: str) -> MicrojouleError:
    if node.op == "placeholder":
        return DataError(node.name, fact, remedy=remedy)
    return GraphError(node.name, fact, remedy=remedy)


def _read_parts(node: Node, value: Any) -> Iterator[Tensor]:
    """The tensors that are read of several."""
    for user in node.users:
        part = value[user.args[1]]
        if isinstance(part, Tensor):
            yield part
        else:
            yield from _read_parts(user, part)
