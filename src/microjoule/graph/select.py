"""Let a layer read fewer inputs than there are: those that it needs are picked by an index."""

from typing import Any

from torch import Tensor, nn
from torch.fx import Node

from microjoule.errors import GraphError
from microjoule.graph.network import Network, set_submodule
from microjoule.graph.ops import aten

PICKED = "picked_inputs"
"""Where the indices are, each at the path of its layer."""


def select_inputs(network: Network, path: str, keep: Tensor) -> None:
    """Leave away inputs of a linear layer, in place: columns of its weight go, and the others are picked before it.

    A layer that picks its inputs already picks fewer of them, with the one index that it has.

    Args:
        network: the network.
        path: of a linear layer that one node calls.
        keep: (in_features,), which inputs stay; nothing changes if all do.

    Raises:
        GraphError: if the layer is no linear module that one node calls.
    """
    layer = network.layer(path)
    called = [node for node in network.graph.nodes if node.op == "call_module" and node.target == path]
    if not isinstance(layer.owner, nn.Linear) or len(called) != 1 or layer.quantizer is not None:
        remedy = "select inputs of a linear layer in floating point that is called once"
        raise GraphError(path, "cannot read fewer inputs", remedy=remedy)
    if bool(keep.all()):
        return
    kept, (node,) = keep.nonzero().flatten().to(layer.stored_weight.device), called
    earlier = _index_of(node.args[0])
    if earlier is not None:
        above, _, name = earlier.rpartition(".")
        owner = network.module.get_submodule(above)
        owner.register_buffer(name, owner.get_buffer(name)[kept.to(owner.get_buffer(name).device)])
    else:
        _pick(network, node, kept, path)
    weight = layer.stored_weight.detach()[:, kept].clone()
    layer.owner.weight = nn.Parameter(weight, requires_grad=layer.stored_weight.requires_grad)
    layer.owner.in_features = weight.shape[1]
    network.recompile()


def _index_of(value: Any) -> str | None:
    """The name of the index by which a value was picked, for the one node that reads it."""
    if not isinstance(value, Node) or value.target is not aten.index_select.default or len(value.users) > 1:
        return None
    index: Any = value.args[2]
    ours = index.op == "get_attr" and index.target.startswith(f"{PICKED}.") and len(index.users) == 1
    return str(index.target) if ours else None


def _pick(network: Network, node: Node, index: Tensor, path: str) -> None:
    """Let a node read, of its first argument, what an index names along the last axis."""
    place = f"{PICKED}.{path}"
    if place not in dict(network.module.named_modules()):
        set_submodule(network.module, place, nn.Module())
    holder = network.module.get_submodule(place)
    name = f"index{sum(1 for _ in holder.buffers(recurse=False)) or ''}"
    holder.register_buffer(name, index)
    with network.graph.inserting_before(node):
        stored = network.graph.get_attr(f"{place}.{name}")
        node.args = (network.graph.call_function(aten.index_select.default, (node.args[0], -1, stored)),)
