"""The one representation: a captured, lifted, canonical graph, what fed it, and what was done to it."""

import copy
import difflib
import itertools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.utils import _pytree as pytree

from microjoule.errors import GraphError, SettingError
from microjoule.graph.bind import Binder
from microjoule.graph.card import ModelCard
from microjoule.graph.contract import Contract, contract_of
from microjoule.graph.file.write import write
from microjoule.graph.ops import Layer, layers
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.facts import Record
from microjoule.records.suffixes import NETWORK, check_suffix


@dataclass(frozen=True, slots=True)
class Example:
    """Inputs of the kind that the network takes; tensors may be nested in tuples, lists and dicts."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor in it, in the order of the network's placeholders."""
        return [leaf for leaf in pytree.tree_leaves((self.args, self.kwargs)) if isinstance(leaf, Tensor)]


class Network:
    """A network as a graph that techniques edit and exporters read.

    The graph takes a row of tensors; how they lie in what a caller gives, the contract says.

    Args:
        module: the graph, with layers as modules at their original paths.
        example: inputs of the kind that it takes.
        contract: what inputs it takes; by default those of the example's shapes, in any number of samples.
    """

    def __init__(self, module: GraphModule, example: Example, *, contract: Contract | None = None) -> None:
        self.module = module
        self.example = example
        self.contract = contract_of(example.args, example.kwargs) if contract is None else contract
        self.card = ModelCard()
        self.preactivations: dict[str, Gaussian] = {}
        self.history: list[Record] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the network on inputs by place, by name, or in one dict by name.

        Raises:
            DataError: naming the input that is none of those that the network was captured for.
        """
        return self.module(*self._binder(args, kwargs))

    def bind(self, *args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        """The tensors of some inputs, in the order of the graph's placeholders, in the types that it takes.

        Raises:
            DataError: naming the input that is none of those that the network was captured for.
        """
        return tuple(self._binder(args, kwargs))

    def row(self, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
        """As `bind`, for data: a value for each input that there was at capture, in the order of the signature.

        Args:
            inputs: of a batch; Python arguments may be left out.

        Raises:
            DataError: as `bind`.
        """
        return tuple(self._binder.captured(inputs))

    @property
    def contract(self) -> Contract:
        """What inputs it takes."""
        return self._binder.contract

    @contract.setter
    def contract(self, contract: Contract) -> None:
        self._binder = Binder(contract)

    @property
    def dynamic_batch(self) -> bool:
        """Whether any number of samples goes through it."""
        return self.contract.dynamic_batch

    @dynamic_batch.setter
    def dynamic_batch(self, free: bool) -> None:
        """Fix the batch to that of the example; it cannot be freed."""
        if free and not self.dynamic_batch:
            remedy = "capture the model again; what keeps its batch fixed, the record of the capture says"
            raise SettingError("dynamic_batch", "cannot be set: the network holds for one batch", remedy=remedy)
        if not free:
            self.contract = self.contract.fixed_batch(self.example.tensors)

    @property
    def batch_axis(self) -> int:
        """The dimension of its inputs that counts samples."""
        return self.contract.batch_axis

    @property
    def graph(self) -> Graph:
        """The graph of nodes."""
        return self.module.graph

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        tensors = itertools.chain(self.module.parameters(), self.module.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def layers(self) -> list[Layer]:
        """Its convolutions and linear layers, in order, each once."""
        return layers(self.module)

    @property
    def parameter_count(self) -> int:
        """How many numbers its parameters hold, shared ones once."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def layer(self, path: str) -> Layer:
        """The layer at a path.

        Raises:
            GraphError: if there is none; the message names the nearest paths.
        """
        found = {layer.path: layer for layer in self.layers}
        if path not in found:
            raise unknown_layer(path, list(found))
        return found[path]

    @property
    def quantizers(self) -> dict[str, Quantizer]:
        """The activations' quantizers by the value that they stand on, in order."""
        nodes = (node for node in self.graph.nodes if node.op == "call_module")
        called = ((str(node.target), self.module.get_submodule(str(node.target))) for node in nodes)
        return {path.removeprefix("quantizers."): q for path, q in called if isinstance(q, Quantizer)}

    def node(self, name: str) -> Node:
        """The node of a name.

        Raises:
            GraphError: if there is none.
        """
        found: Node | None = next((node for node in self.graph.nodes if node.name == name), None)
        if found is not None:
            return found
        raise GraphError(name, "is no node of this network", remedy="print(network.graph) names all of them")

    def recompile(self) -> None:
        """Check the graph after an edit, drop what nobody reads, and make its code anew."""
        self.graph.eliminate_dead_code(is_impure_node=lambda node: node.op in ("placeholder", "output"))
        self.graph.lint()
        self.module.recompile()

    def copy(self) -> "Network":
        """A network that shares nothing with this one but its (immutable) records and example."""
        other = Network(copied(self.module), self.example, contract=self.contract)
        other.card = self.card
        other.preactivations = dict(self.preactivations)
        other.history = list(self.history)
        return other

    def to(self, device: torch.device | str | torch.dtype) -> "Network":
        """Move it to a device, or let it compute in another floating-point type, in place."""
        self.module.to(device)
        if isinstance(device, torch.dtype):
            self.contract = self.contract.to_dtype(device)

        def moved(tensor: Tensor) -> Tensor:
            return tensor.to(device) if tensor.is_floating_point() or not isinstance(device, torch.dtype) else tensor

        args, kwargs = pytree.tree_map_only(Tensor, moved, (self.example.args, self.example.kwargs))
        self.example = Example(args, kwargs)
        known = self.preactivations.items()
        self.preactivations = {path: Gaussian(g.mean.to(device), g.std.to(device)) for path, g in known}
        return self

    def eval(self) -> "Network":
        """Set every layer to evaluation, in place."""
        self.module.eval()
        return self

    def train(self) -> "Network":
        """Set every layer to training, in place."""
        self.module.train()
        return self

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and buffers under the original's keys."""
        return self.module.state_dict()

    def save(self, path: str | Path) -> None:
        """Write it to a file, whole or not at all; `mj.load(path)` reads it back.

        Raises:
            FileError: if it cannot be written, or holds something that cannot be stored.
            SettingError: for a name with the suffix of another kind of file.
        """
        check_suffix(path, NETWORK)
        write(self, path)

    def __repr__(self) -> str:
        """A line that says what it is."""
        return f"Network({len(self.graph.nodes)} nodes, {len(self.layers)} layers, {self.parameter_count:,} parameters)"


def unknown_layer(path: str, known: list[str]) -> GraphError:
    """The error for a path at which there is no layer."""
    near = difflib.get_close_matches(path, known, n=3, cutoff=0.3) or known[:3]
    return GraphError(path, "is no layer of this network", remedy=f"nearest: {', '.join(near) or 'it has no layers'}")


def set_submodule(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module at a path, keeping the children that a plain container there already holds."""
    parent = root
    *above, name = path.split(".")
    for part in above:
        if not hasattr(parent, part):
            parent.add_module(part, nn.Module())
        parent = parent.get_submodule(part)
    before = parent._modules.get(name)
    parent.add_module(name, module)
    for child_name, child in before.named_children() if before is not None else ():
        module.add_module(child_name, child)


def copied(module: GraphModule) -> GraphModule:
    """A copy of a graph and all that it stores; torch's own copy would make every buffer of the root persistent."""
    memo: dict[int, Any] = {}
    root = nn.Module()
    for name, child in module._modules.items():
        root.add_module(name, copy.deepcopy(child, memo))
    for name, parameter in module._parameters.items():
        root.register_parameter(name, copy.deepcopy(parameter, memo))
    for name, buffer in module._buffers.items():
        persistent = name not in module._non_persistent_buffers_set
        root.register_buffer(name, copy.deepcopy(buffer, memo), persistent=persistent)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own copying of an input tree
        made = graph_module(root, copy.deepcopy(module.graph))
    made.training = module.training
    return made


def graph_module(root: nn.Module, graph: Graph) -> GraphModule:
    """A GraphModule with everything that its root stores, not only what the graph reads."""
    made = GraphModule(root, graph)
    for stored in (made._modules, made._parameters, made._buffers):  # they are in the order of the graph's calls
        stored.clear()
    for name, child in root._modules.items():
        made.add_module(name, child)
    for name, parameter in root._parameters.items():
        made.register_parameter(name, parameter)
    for name, buffer in root._buffers.items():
        made.register_buffer(name, buffer, persistent=name not in root._non_persistent_buffers_set)
    return made


P = ParamSpec("P")
R = TypeVar("R")


def takes_network(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function refuse a model that has not been captured, and all else that is no network.

    Raises:
        SettingError: when the function is called with anything else as its first argument.
    """
    name = next(iter(signature(function).parameters))

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if args or name in kwargs:
            given = args[0] if args else kwargs[name]
            if not isinstance(given, Network):
                raise not_captured(name, given)
        return function(*args, **kwargs)

    return run


def not_captured(name: str, given: object) -> SettingError:
    """The error for something else in a network's place."""
    if isinstance(given, nn.Module):
        remedy = "capture it first, mj.capture(model, example_inputs)"
    else:
        remedy = "give what mj.capture, mj.load or a recipe gives"
    return SettingError(name, f"is a {type(given).__name__}, and no captured network", remedy=remedy)


def no_quantized_weight(network: "Network") -> GraphError:
    """The error where the weights of layers are to be fitted, and none is quantized."""
    if network.quantizers:
        fact = "has quantizers, but none for the weight of a layer, which is what this would fit"
        return GraphError("network", fact, remedy="leave this step out: mj.recipes.data_free does")
    return GraphError("network", "has no quantized weight", remedy="call mj.quantize(network, ...) first")
