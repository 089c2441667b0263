"""The shape of every value, by running the network once on tensors without data."""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from microjoule.graph.network import Network

Shape = tuple[int, ...]


class _Recorder(Interpreter):
    """Keeps the shape and type of what each node gives."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=True)
        self.found: dict[Node, tuple[Shape, torch.dtype]] = {}

    def run_node(self, n: Node) -> Any:
        """Run a node and note what comes out, if it is one tensor."""
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(int(size) for size in result.shape), result.dtype
        return result


def shapes(network: Network) -> dict[Node, Shape]:
    """The shape of each node that gives one tensor, for a batch of one (or the example's, if the batch is fixed)."""
    return {node: shape for node, (shape, _) in typed_shapes(network).items()}


def typed_shapes(network: Network) -> dict[Node, tuple[Shape, torch.dtype]]:
    """Shape and dtype of each node that gives one tensor, as `shapes`."""
    batch = next((tensor.shape[:1] for tensor in network.example.tensors if tensor.dim() > 0), None)

    def narrow(tensor: Tensor) -> Tensor:
        return tensor[:1] if network.dynamic_batch and tensor.shape[:1] == batch else tensor

    inputs = pytree.tree_map_only(Tensor, narrow, (network.example.args, network.example.kwargs))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad():
        args, kwargs = pytree.tree_map_only(Tensor, mode.from_tensor, inputs)
        flat = network.graph._codegen.process_inputs(*args) if not kwargs else pytree.tree_leaves((args, kwargs))
        recorder = _Recorder(network.module)
        recorder.run(*flat, enable_io_processing=False)
    return recorder.found
