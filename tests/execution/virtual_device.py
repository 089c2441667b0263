"""A second device on a machine that has none: tensors that say they are there, and refuse to meet those that are not.

PyTorch knows a device "lazy" that needs no hardware. A mode runs every operator on it with the CPU's kernels, and
raises an error where tensors of two devices meet, as a graphics card does (but for numbers, and indices on the CPU).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from microjoule.graph import shapes
from microjoule.graph.network import Example, Network

NAME = "lazy"
MOVES = ("aten::_to_copy", "aten::copy_")
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_unsafe_index")
FUSED = "_get_fused_kernels_supported_devices"
MAKERS = (torch.tensor, torch.as_tensor)


class There(Tensor):
    """A tensor on the other device, which is one on the CPU in truth."""

    @staticmethod
    def __new__(cls, held: Tensor) -> "There":
        given = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        return Tensor._make_wrapper_subclass(cls, held.shape, **given, device=torch.device(NAME, 0))

    def __init__(self, held: Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name, target = func._schema.name, kwargs.get("device")
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    there = any(isinstance(tensor, There) for tensor in tensors)
    here = [tuple(tensor.shape) for tensor in tensors if not isinstance(tensor, There) and tensor.dim()]
    if there and here and name not in MOVES + INDEXED:
        raise RuntimeError(f"{name} reads tensors on two devices, of which {here} are on the CPU")
    plain_args, plain_kwargs = pytree.tree_map_only(There, lambda tensor: tensor.held, (args, kwargs))
    if target is not None:
        plain_kwargs["device"] = torch.device("cpu")
        there = torch.device(target).type == NAME
    made = func(*plain_args, **plain_kwargs)
    if name == "aten::_local_scalar_dense":
        return made
    known = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, There)}
    known |= {id(tensor): tensor for tensor in tensors if not isinstance(tensor, There)}
    if func._schema.is_mutable:
        return pytree.tree_map_only(Tensor, lambda tensor: known.get(id(tensor), tensor), made)
    return pytree.tree_map_only(Tensor, There, made) if there else made


class _Operators(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What PyTorch does in one piece, without an operator that could be seen."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in MAKERS and kwargs.get("device") is not None and torch.device(kwargs["device"]).type == NAME:
            return func(args[0], **{**kwargs, "device": "cpu"}).to(NAME)
        if func is Tensor.new_tensor and isinstance(args[0], There):
            return torch.tensor(args[1], **{"dtype": args[0].dtype, **kwargs}).to(NAME)
        if func is Tensor.tolist and isinstance(args[0], There):
            return args[0].held.tolist()
        if func is Tensor.numpy and isinstance(args[0], There):
            raise TypeError("a tensor on another device has no array")
        return func(*args, **kwargs)


@contextmanager
def virtual_device(monkeypatch: Any) -> Iterator[str]:
    """The name of the device, which is there meanwhile."""
    monkeypatch.setattr(sys.modules["torch.optim.optimizer"], FUSED, lambda: ["cpu", NAME])
    recorded = shapes._recorded

    def of_shapes(network: Network, samples: int) -> Any:
        with _brought_here(network):
            return recorded(network, samples)

    monkeypatch.setattr(shapes, "_recorded", of_shapes)
    with _Operators(), _Functions():
        yield NAME


@contextmanager
def _brought_here(network: Network) -> Iterator[None]:
    """A network on the CPU, as fake tensors cannot be made of those that are there."""
    example, replaced = network.example, []
    network.example = Example(*pytree.tree_map_only(There, lambda t: t.held, (example.args, example.kwargs)))
    for module in network.module.modules():
        for stored in (module._parameters, module._buffers):
            for name, tensor in stored.items():
                if isinstance(tensor, There):
                    replaced.append((stored, name, tensor))
                    parameter, here = isinstance(tensor, nn.Parameter), tensor.held
                    stored[name] = nn.Parameter(here, requires_grad=tensor.requires_grad) if parameter else here
    try:
        yield
    finally:
        network.example = example
        for stored, name, tensor in replaced:
            stored[name] = tensor
