"""The shape of every value, and which share memory in PyTorch, by running the network once on tensors without data."""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network

Shape = tuple[int, ...]


class _Recorder(Interpreter):
    """Keeps the shape and type of what each node gives, and whether that lies in memory of what the node read."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module, garbage_collect_values=True)
        self.found: dict[Node, tuple[Shape, torch.dtype]] = {}
        self.aliases: set[Node] = set()

    def run_node(self, n: Node) -> Any:
        """Run a node and note what comes out, if it is one tensor."""
        result = super().run_node(n)
        given = _storages(result) if n.op in ("call_function", "call_module") else set()
        if given and given <= _storages(self.fetch_args_kwargs_from_env(n)):
            self.aliases.add(n)
        if isinstance(result, Tensor):
            self.found[n] = tuple(int(size) for size in result.shape), result.dtype
        return result


def shapes(network: Network) -> dict[Node, Shape]:
    """The shape of each node that gives one tensor, for a batch of one (or the example's, if the batch is fixed)."""
    return {node: shape for node, (shape, _) in typed_shapes(network).items()}


def typed_shapes(network: Network) -> dict[Node, tuple[Shape, torch.dtype]]:
    """Shape and dtype of each node that gives one tensor, as `shapes`."""
    return _recorded(network).found


def aliases(network: Network) -> set[Node]:
    """The nodes that give, in PyTorch, memory of what they read and no memory of their own."""
    return _recorded(network).aliases


def _recorded(network: Network) -> _Recorder:
    batch = next((tensor.shape[:1] for tensor in network.example.tensors if tensor.dim() > 0), None)

    def narrow(tensor: Tensor) -> Tensor:
        return tensor[:1] if network.dynamic_batch and tensor.shape[:1] == batch else tensor

    inputs = pytree.tree_map_only(Tensor, narrow, (network.example.args, network.example.kwargs))
    with FakeTensorMode(allow_non_fake_inputs=True) as mode, torch.no_grad(), in_evaluation(network.module):
        args, kwargs = pytree.tree_map_only(Tensor, mode.from_tensor, inputs)
        flat = network.graph._codegen.process_inputs(*args) if not kwargs else pytree.tree_leaves((args, kwargs))
        recorder = _Recorder(network.module)
        recorder.run(*flat, enable_io_processing=False)
    return recorder


def _storages(values: Any) -> set[int]:
    """The addresses of the memory that tensors lie in."""
    return {leaf.untyped_storage()._cdata for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor)}
