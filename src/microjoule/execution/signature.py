"""What a network takes: its inputs by name, in the order of its signature, and along which dimension samples lie."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from microjoule.graph.nest import filled
from microjoule.graph.network import Network

PIXELS = 255
"""The largest value of a stored pixel."""


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """One input.

    Args:
        name: in the signature.
        example: a tensor, a constant, or a tuple, list or dict of these.
        known: whether there is an example; there is none of a module that was not captured.
        stored: whether its range is that of stored pixels, 0 to 255, so that these need no preparation.
    """

    name: str
    example: Any = None
    known: bool = True
    stored: bool = False

    @property
    def constant(self) -> bool:
        """Whether it holds no tensor, so that the network has it built in."""
        return self.known and not any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(self.example))

    @property
    def text(self) -> str:
        """For messages: the name with types and shapes."""
        tensors = [leaf for leaf in pytree.tree_leaves(self.example) if isinstance(leaf, Tensor)]
        return f"{self.name} ({', '.join(shape_text(tensor) for tensor in tensors)})" if tensors else self.name


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """What a network takes.

    Args:
        inputs: in the order of the signature.
        axis: the dimension along which the samples of a batch lie.
        samples: how many the example holds.
        fixed: whether the network takes batches of as many samples, and no others.
        labels: names of the classes, for targets that are texts.
    """

    inputs: tuple[Input, ...]
    axis: int = 0
    samples: int = 1
    fixed: bool = False
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: "Network | nn.Module | None") -> "Signature | None":
        """Of a network; of a module, as far as its `forward` tells; None if nothing is told."""
        if isinstance(model, Network):
            return cls._of_network(model)
        return None if model is None else cls._of_module(model)

    @classmethod
    def _of_network(cls, network: Network) -> "Signature":
        row, contract = network.example.tensors, network.contract
        inputs = []
        for name, nest in contract.captured:
            known = network.card.range_of(name)
            stored = known is not None and known.low >= 0 and known.high > PIXELS / 2
            inputs.append(Input(name, filled(nest, row), stored=stored))
        samples = contract.samples(row) or 1
        return cls(tuple(inputs), network.batch_axis, samples, not network.dynamic_batch, network.card.labels)

    @classmethod
    def _of_module(cls, module: nn.Module) -> "Signature | None":
        parameters = inspect.signature(module.forward).parameters.values()
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        needed = [p for p in parameters if p.default is inspect.Parameter.empty]
        if not needed or any(p.kind not in kinds for p in needed):
            return None
        return cls(tuple(Input(p.name, known=False) for p in needed))

    @property
    def needed(self) -> tuple[Input, ...]:
        """The inputs that data must give: all but the constants."""
        return tuple(one for one in self.inputs if not one.constant)

    @property
    def text(self) -> str:
        """For messages: every input that data must give."""
        return ", ".join(one.text for one in self.needed)

    def count(self, inputs: Any) -> int:
        """How many samples a batch holds."""
        return samples_along(inputs, self.axis)

    def part(self, inputs: Any, some: slice) -> Any:
        """Some samples of a batch; what has no entry a sample stays whole."""
        return part_of(inputs, some, self.axis)


def samples_along(inputs: Any, axis: int = 0) -> int:
    """How many samples inputs hold: the size of the first tensor that has such a dimension.

    Args:
        inputs: tensors, nested in tuples, lists and dicts.
        axis: along which samples lie.
    """
    sizes = (leaf.shape[axis] for leaf in pytree.tree_leaves(inputs) if isinstance(leaf, Tensor) and leaf.dim() > axis)
    return int(next(sizes, 1))


def part_of(inputs: Any, some: slice | Tensor, axis: int = 0) -> Any:
    """Some samples of inputs; a tensor that has no entry a sample stays whole.

    Args:
        inputs: tensors, nested in tuples, lists and dicts.
        some: which, as a slice or by number.
        axis: along which samples lie.
    """
    samples = samples_along(inputs, axis)

    def cut(tensor: Tensor) -> Tensor:
        if tensor.dim() <= axis or tensor.shape[axis] != samples:
            return tensor
        return tensor[(slice(None),) * axis + (some,)]

    return pytree.tree_map_only(Tensor, cut, inputs)


def part_of_targets(targets: Any, some: slice | Tensor, samples: int, axis: int = 0) -> Any:
    """The targets of some samples.

    Args:
        targets: a tensor, a list with an entry a sample, or a dict, tuple or list of such.
        some: which samples, as a slice or by number.
        samples: how many there are in all.
        axis: along which samples lie in inputs; targets have them first, or there.
    """
    if isinstance(targets, Tensor):
        if targets.dim() and targets.shape[0] == samples:
            return targets[some]
        along = targets.dim() > axis and targets.shape[axis] == samples
        return targets[(slice(None),) * axis + (some,)] if along else targets
    if isinstance(targets, Mapping):
        return {key: part_of_targets(value, some, samples, axis) for key, value in targets.items()}
    if isinstance(targets, list) and len(targets) == samples:
        return targets[some] if isinstance(some, slice) else [targets[number] for number in some.tolist()]
    if isinstance(targets, list | tuple) and not hasattr(targets, "_fields"):
        return type(targets)(part_of_targets(value, some, samples, axis) for value in targets)
    return targets


def shape_text(tensor: Tensor) -> str:
    """A tensor's type and shape in words.

    Args:
        tensor: any shape.
    """
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def joined(parts: list[Any], axis: int = 0) -> Any:
    """Batches of one form as one: tensors along the samples; what is not one a sample is taken from the first.

    Args:
        parts: inputs of batches, at least one; nested alike.
        axis: along which samples lie.
    """
    if len(parts) == 1:
        return parts[0]
    leaves, forms = zip(*(pytree.tree_flatten(part) for part in parts), strict=True)
    sizes = [samples_along(part, axis) for part in parts]
    whole = [
        torch.cat(some, axis) if _is_per_sample(some, sizes, axis) else some[0] for some in zip(*leaves, strict=True)
    ]
    return pytree.tree_unflatten(whole, forms[0])


def _is_per_sample(tensors: tuple[Any, ...], sizes: list[int], axis: int) -> bool:
    return all(
        isinstance(tensor, Tensor) and tensor.dim() > axis and tensor.shape[axis] == size
        for tensor, size in zip(tensors, sizes, strict=True)
    )
