"""What the results of a run depend on: the network, the values of its data, every option, the versions.

An identity is a list of facts, each with a place that a person understands ("the network: 3.stride"), so that of two
runs it can be said what differs.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from microjoule.graph.network import Network
from microjoule.jobs.describe import describe, describe_tensor, module_settings, shortened, tensor_bytes

Facts = dict[str, str | list[str]]
"""Place -> a text; or, of data, a digest for each batch."""

TOLD = 3
"""How many differences an error tells."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one run from others.

    Args:
        facts: what its results depend on, the ones first that a person changes most.
    """

    facts: Mapping[str, str | list[str]]

    @classmethod
    def of(cls, *parts: Mapping[str, str | list[str]]) -> "Identity":
        """The identity of several facts together, with the versions of microjoule and torch."""
        return cls({place: fact for part in (*parts, versions()) for place, fact in part.items()})

    @property
    def digest(self) -> str:
        """64 hexadecimal digits that tell it from others."""
        return hashlib.sha256(json.dumps(self.facts, sort_keys=True).encode()).hexdigest()

    def differences(self, there: Mapping[str, str | list[str]]) -> list[str]:
        """How other facts differ, in words; empty if they do not.

        Args:
            there: of the other run.
        """
        places = dict.fromkeys([*self.facts, *there])
        return [
            words for place in places if (words := _difference(place, self.facts.get(place), there.get(place))) != ""
        ]


def in_words(differences: list[str]) -> str:
    """The first differences, and how many more there are."""
    more = len(differences) - TOLD
    return "; ".join(differences[:TOLD]) + (f"; and {more} more" if more > 0 else "")


def _difference(place: str, here: str | list[str] | None, there: str | list[str] | None) -> str:
    if here == there:
        return ""
    if here is None or there is None:
        return f"{place} ({'only in the folder' if here is None else 'not in the folder'})"
    if isinstance(here, list) and isinstance(there, list):
        return _differing_batches(place, here, there)
    return f"{place} ({here} here, {shortened(str(there))} in the folder)"


def _differing_batches(place: str, here: list[str], there: list[str]) -> str:
    if len(here) != len(there):
        return f"{place} ({len(here)} {'batch' if len(here) == 1 else 'batches'} here, {len(there)} in the folder)"
    changed = [number for number, (one, other) in enumerate(zip(here, there, strict=True), 1) if one != other]
    more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
    return f"{place} (batch {changed[0]}{more} of {len(here)})"


# Facts ----------------------------------------------------------------------------------------------------------------


def versions() -> Facts:
    """The versions of what computes."""
    try:
        own = version("microjoule")
    except PackageNotFoundError:
        own = "not installed"
    return {"microjoule": own, "torch": torch.__version__}


def option_facts(options: Mapping[str, Any]) -> Facts:
    """Options by their names; see `describe`."""
    return {name: describe(value) for name, value in options.items()}


def network_facts(network: Network, label: str = "the network") -> Facts:
    """All that a network computes by: nodes, settings of modules, stored tensors, quantizers, modes.

    What was done to it, its history, does not count, nor do the values of its example inputs.

    Args:
        network: as it is.
        label: how it is called in words.
    """
    module, found = network.module, dict[str, str]()
    for node in module.graph.nodes:
        found[f"{node.name}"] = _node(node)
    found["training"] = str(module.training)
    for path, one in (pair for pair in module.named_modules() if pair[0]):
        found[f"class of {path}"] = parametrize.type_before_parametrizations(one).__qualname__
        found |= {f"{path}.{name}": text for name, text in module_settings(one).items()}
    found |= _tensors(module)
    found["inputs"] = ", ".join(f"{tensor.dtype} {tuple(tensor.shape)}" for tensor in network.example.tensors)
    info = getattr(module.graph._codegen, "pytree_info", None)
    found["forms of inputs and outputs"] = shortened("" if info is None else f"{info.in_spec} {info.out_spec}")
    found["dynamic batch"] = str(network.dynamic_batch)
    for layer, gaussian in sorted(network.preactivations.items()):
        found[f"statistics of {layer}"] = f"{describe_tensor(gaussian.mean)}, {describe_tensor(gaussian.std)}"
    return {f"{label}: {place}": fact for place, fact in found.items()}


def _tensors(module: GraphModule) -> dict[str, str]:
    """Parameters and buffers, those that are not saved too; what two names share is told as such."""
    first: dict[int, str] = {}
    found = {}
    named = itertools.chain(
        module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    )
    for name, tensor in named:
        owner = first.setdefault(id(tensor), name)
        fixed = isinstance(tensor, torch.nn.Parameter) and not tensor.requires_grad
        found[name] = (f"as {owner}" if owner != name else describe_tensor(tensor)) + (", fixed" if fixed else "")
    return found


def _node(node: Node) -> str:
    target = node.target if isinstance(node.target, str) else describe(node.target)
    return shortened(f"{node.op} {target} {describe(node.args)} {describe(node.kwargs)}")


# Data -----------------------------------------------------------------------------------------------------------------


class DataFacts:
    """The values of data, batch by batch: a digest of each, in bounded memory.

    Args:
        label: how the data is called in words.
    """

    def __init__(self, label: str = "data") -> None:
        self.label = label
        self._inputs: list[str] = []
        self._targets: list[str] = []

    def add(self, inputs: Any, targets: Any = None) -> None:
        """Take in a batch.

        Args:
            inputs: of the network, nested as they may be.
            targets: their labels; None where there are none.
        """
        self._inputs.append(values_digest(inputs))
        self._targets.append("" if targets is None else values_digest(targets))

    @property
    def facts(self) -> Facts:
        """Of all batches so far."""
        found: Facts = {self.label: self._inputs}
        return found | ({f"labels of {self.label}": self._targets} if any(self._targets) else {})


def data_facts(batches: Iterable[tuple[Any, Any]], label: str = "data") -> Facts:
    """The values of data, gone through once.

    Args:
        batches: inputs and targets.
        label: how the data is called in words.
    """
    found = DataFacts(label)
    for inputs, targets in batches:
        found.add(inputs, targets)
    return found.facts


def values_digest(value: Any) -> str:
    """Sixteen hexadecimal digits that tell a nest of tensors and other values from others, its form included.

    Args:
        value: any nest of tuples, lists and dicts.
    """
    leaves, form = pytree.tree_flatten(value)
    seen = hashlib.sha256(repr(form).encode())
    for leaf in leaves:
        plain = isinstance(leaf, Tensor) and leaf.layout is torch.strided and not leaf.is_quantized
        if plain:
            seen.update(f"{leaf.dtype} {tuple(leaf.shape)} ".encode())
            seen.update(tensor_bytes(leaf))
        else:
            seen.update(f"{describe(leaf)} ".encode(errors="replace"))
    return seen.hexdigest()[:16]
