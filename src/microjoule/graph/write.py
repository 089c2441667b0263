"""Write a network as one file: a zip archive of `network.json` (the graph, by names) and `tensors.safetensors`.

Nothing in it is code: operators go by their names in torch's own registry, modules by their names in a written list.
`microjoule.graph.read` reads it back.
"""

import io
import itertools
import json
import math
import operator
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from microjoule.errors import FileError
from microjoule.graph.card import ModelCard, metadata
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.facts import Record
from microjoule.records.files import write_atomically
from microjoule.records.json_io import to_json

FORMAT = 1
RECURRENT = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
CONSTRUCTORS: dict[type[nn.Module], tuple[str, ...]] = {
    **dict.fromkeys(
        (nn.Conv1d, nn.Conv2d, nn.Conv3d),
        ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"),
    ),
    **dict.fromkeys(
        (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
        ("in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "groups", "dilation"),
    ),
    nn.Linear: ("in_features", "out_features"),
    **dict.fromkeys(
        (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d),
        ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    ),
    nn.LayerNorm: ("normalized_shape", "eps", "elementwise_affine"),
    nn.GroupNorm: ("num_groups", "num_channels", "eps", "affine"),
    nn.Embedding: ("num_embeddings", "embedding_dim", "padding_idx"),
    **dict.fromkeys((nn.Dropout, nn.Dropout2d), ("p",)),
    nn.PReLU: ("num_parameters",),
    nn.GRU: RECURRENT,
    nn.LSTM: (*RECURRENT, "proj_size"),
    nn.RNN: (*RECURRENT, "nonlinearity"),
    nn.Module: (),
}
"""The modules that a network consists of, and the attributes that their constructors take under the same names."""

TENSOR = "__tensor__"
"""The key that stands, in an example, for a stored tensor."""

PYTHON = {f.__name__: f for f in (operator.getitem, operator.add, operator.sub, operator.mul, operator.floordiv)}


class Writable(Protocol):
    """What is written of a network."""

    @property
    def module(self) -> GraphModule:
        """The graph and its modules."""

    @property
    def example(self) -> Any:
        """Inputs, as `args` and `kwargs`."""

    @property
    def dynamic_batch(self) -> bool:
        """Whether any number of samples goes through it."""

    @property
    def card(self) -> ModelCard:
        """What is known of it."""

    @property
    def preactivations(self) -> dict[str, Gaussian]:
        """How layers' outputs are distributed."""

    @property
    def history(self) -> list[Record]:
        """What was done to it."""


def write(network: Writable, path: str | Path) -> None:
    """Write a network to a file, whole or not at all.

    Raises:
        FileError: if it cannot be written, or holds a module or an argument that cannot be stored.
    """
    tensors = _Tensors()
    info = getattr(network.module.graph._codegen, "pytree_info", None)
    document = {
        "format": FORMAT,
        "dynamic_batch": network.dynamic_batch,
        "modules": _modules(network.module, tensors),
        "nodes": [_node_entry(node) for node in network.module.graph.nodes],
        "inputs": list(info.orig_args) if info else None,
        "in_spec": pytree.treespec_dumps(info.in_spec) if info else None,
        "out_spec": pytree.treespec_dumps(info.out_spec) if info and info.out_spec is not None else None,
        "example": _encode_tree((network.example.args, network.example.kwargs), tensors),
        "card": metadata(network),
        "preactivations": sorted(network.preactivations),
        "history": [json.loads(to_json(record)) for record in network.history],
    }
    for layer, gaussian in network.preactivations.items():
        tensors.store(f"preactivation/{layer}/mean", gaussian.mean)
        tensors.store(f"preactivation/{layer}/std", gaussian.std)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("network.json", json.dumps(document))
        archive.writestr("tensors.safetensors", safetensors.torch.save(tensors.copies()))
    write_atomically(path, buffer.getvalue())


class _Tensors:
    """Tensors to be stored by key; one that several owners share is stored once, under its first key."""

    def __init__(self) -> None:
        self._by_key: dict[str, Tensor] = {}
        self._keys: dict[int, str] = {}

    def store(self, key: str, tensor: Tensor) -> str:
        """The key under which a tensor is stored."""
        key = self._keys.setdefault(id(tensor), key)
        self._by_key[key] = tensor
        return key

    def copies(self) -> dict[str, Tensor]:
        """Every tensor by itself, as the file format wants them."""
        return {key: tensor.detach().cpu().contiguous().clone() for key, tensor in self._by_key.items()}


def _modules(module: GraphModule, tensors: _Tensors) -> list[dict[str, Any]]:
    """Every module that is not part of a parametrization, the root (with what it stores itself) first."""
    first: dict[nn.Module, str] = {}
    entries: list[dict[str, Any]] = []
    inner: tuple[str, ...] = ()
    for path, one in module.named_modules(remove_duplicate=False):
        if f"{path}.".startswith(inner):
            continue
        if parametrize.is_parametrized(one):
            inner = (*inner, f"{path}.parametrizations.")
        shared = first.setdefault(one, path) != path
        entries.append({"path": path, "same": first[one]} if shared else _module_entry(path, one, tensors))
    return entries


def _module_entry(path: str, module: nn.Module, tensors: _Tensors) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": path, "training": module.training}
    if isinstance(module, Quantizer):
        return entry | {"class": "Quantizer", **_quantizer_entry(path, module, tensors)}
    cls = parametrize.type_before_parametrizations(module) if path else nn.Module
    if cls not in CONSTRUCTORS:
        raise FileError(path, f"a {cls.__name__} cannot be saved", remedy="capture the model anew, or use torch.export")
    chains: dict[str, Any] = {}
    if parametrize.is_parametrized(module):
        chains.update(module.parametrizations)  # type: ignore[arg-type]
    for name, chain in chains.items():
        if not isinstance(chain[0], Quantizer) or len(chain) > 1:
            raise FileError(f"{path}.{name}", "has a parametrization that cannot be saved", remedy="remove it first")
    originals = {name: chain.original for name, chain in chains.items()}
    parameters = originals | {name: p for name, p in module._parameters.items() if p is not None}
    buffers = {name: b for name, b in module._buffers.items() if b is not None}
    return entry | {
        "class": cls.__name__,
        "settings": {name: getattr(module, name) for name in CONSTRUCTORS[cls]},
        "quantizers": {name: _quantizer_entry(f"{path}.{name}", c[0], tensors) for name, c in chains.items()},
        "parameters": {n: [tensors.store(f"parameter/{path}.{n}", p), p.requires_grad] for n, p in parameters.items()},
        "buffers": {
            n: [tensors.store(f"buffer/{path}.{n}", b), n not in module._non_persistent_buffers_set]
            for n, b in buffers.items()
        },
    }


def _quantizer_entry(path: str, quantizer: Quantizer, tensors: _Tensors) -> dict[str, Any]:
    entry: dict[str, Any] = {"scheme": asdict(quantizer.scheme), "enabled": quantizer.enabled}
    if quantizer.calibrated:
        entry["scale"] = tensors.store(f"scale/{path}", quantizer.affine.scale)
        entry["zero_point"] = tensors.store(f"zero_point/{path}", quantizer.affine.zero_point)
    if quantizer.integers is not None:
        entry["integers"] = tensors.store(f"integers/{path}", quantizer.integers)
    return entry


def _node_entry(node: Node) -> dict[str, Any]:
    target = str(node.target)
    if node.op == "call_function":
        python = getattr(node.target, "__name__", "")
        target = f"python.{python}" if PYTHON.get(python) is node.target else target
    return {
        "name": node.name,
        "op": node.op,
        "target": target,
        "args": _encode(node.args),
        "kwargs": _encode(node.kwargs),
    }


def _encode(value: Any) -> Any:
    """An argument as JSON; whatever JSON lacks is an object with one tag."""
    encoded: Any
    match value:
        case None | bool() | int() | str():
            encoded = value
        case float():
            encoded = value if math.isfinite(value) else {"float": str(value)}
        case Node():
            encoded = {"node": value.name}
        case tuple():
            encoded = {"tuple": [_encode(item) for item in value]}
        case list():
            encoded = [_encode(item) for item in value]
        case dict():
            encoded = {"dict": [[_encode(key), _encode(item)] for key, item in value.items()]}
        case slice():
            encoded = {"slice": [_encode(bound) for bound in (value.start, value.stop, value.step)]}
        case torch.device():
            encoded = {"device": str(value)}
        case torch.dtype() | torch.layout() | torch.memory_format():
            encoded = {"torch": str(value).removeprefix("torch.")}
        case _:
            raise FileError(repr(value), "is an argument that cannot be saved", remedy="use torch.export.save")
    return encoded


def _encode_tree(value: Any, tensors: _Tensors) -> Any:
    """Like `_encode`, for nested inputs that hold tensors."""
    counter = itertools.count()

    def store(tensor: Tensor) -> dict[str, str]:
        return {TENSOR: tensors.store(f"example/{next(counter)}", tensor)}

    return _encode(pytree.tree_map_only(Tensor, store, value))
