"""Let a layer read fewer inputs than there are: those that it needs are picked by an index."""

from torch import Tensor, nn

from microjoule.errors import GraphError
from microjoule.graph.network import Network, set_submodule
from microjoule.graph.ops import aten


def select_inputs(network: Network, path: str, keep: Tensor) -> None:
    """Leave away inputs of a linear layer, in place: columns of its weight go, and the others are picked before it.

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
    holder = nn.Module()
    holder.register_buffer("index", keep.nonzero().flatten().to(layer.stored_weight.device))
    place = f"selected.{path.replace('.', '_')}"
    set_submodule(network.module, place, holder)
    (node,) = called
    with network.graph.inserting_before(node):
        index = network.graph.get_attr(f"{place}.index")
        picked = network.graph.call_function(aten.index_select.default, (node.args[0], -1, index))
    node.args = (picked,)
    weight = layer.stored_weight.detach()[:, holder.get_buffer("index")].clone()
    layer.owner.weight = nn.Parameter(weight, requires_grad=layer.stored_weight.requires_grad)
    layer.owner.in_features = weight.shape[1]
    network.recompile()
