"""The shape of every value, and which share memory in PyTorch, by running the network once on tensors without data."""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses import DynamicOutputShapeException, FakeTensorMode
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.fx import Interpreter, Node
from torch.utils import _pytree as pytree

from microjoule.graph.modes import in_evaluation
from microjoule.graph.network import Network

Shape = tuple[int, ...]

BY_VALUES = (DynamicOutputShapeException, DataDependentOutputException)
"""What torch raises where a shape depends on values; those of the example then tell it."""


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


def shapes(network: Network, *, samples: int = 1) -> dict[Node, Shape]:
    """The shape of each node that gives one tensor.

    Args:
        network: the network.
        samples: of the batch; that of the example it is where the batch is fixed.
    """
    return {node: shape for node, (shape, _) in _recorded(network, samples).found.items()}


def typed_shapes(network: Network) -> dict[Node, tuple[Shape, torch.dtype]]:
    """Shape and dtype of each node that gives one tensor, for one sample (or the example's, if the batch is fixed)."""
    return _recorded(network, 1).found


def aliases(network: Network) -> set[Node]:
    """The nodes that give, in PyTorch, memory of what they read and no memory of their own."""
    return _recorded(network, 1).aliases


def _recorded(network: Network, samples: int) -> _Recorder:
    contract, row = network.contract, network.example.tensors
    sizes = contract.sizes_of(row)
    for name in contract.batch_names:
        sizes[name] = max(samples, contract.sizes[name][0])
    with torch.no_grad(), in_evaluation(network.module):
        try:
            with FakeTensorMode(allow_non_fake_inputs=True) as mode:
                fakes = [mode.from_tensor(tensor) for tensor in row]
                recorder = _Recorder(network.module)
                recorder.run(*(fake.new_empty(contract.shape(index, sizes)) for index, fake in enumerate(fakes)))
        except BY_VALUES:
            recorder = _Recorder(network.module)
            recorder.run(*_first(network, samples))
    return recorder


def _first(network: Network, samples: int) -> list[Tensor]:
    """The example, with some of its samples where the batch is free."""
    row, contract = network.example.tensors, network.contract
    held = contract.samples(row)
    if not contract.dynamic_batch or held is None:
        return row
    some = torch.arange(samples, device=network.device) % held
    pairs = zip(row, contract.batched, strict=True)
    return [tensor.index_select(contract.batch_axis, some) if counts else tensor for tensor, counts in pairs]


def _storages(values: Any) -> set[int]:
    """The addresses of the memory that tensors lie in."""
    return {leaf.untyped_storage()._cdata for leaf in pytree.tree_leaves(values) if isinstance(leaf, Tensor)}
