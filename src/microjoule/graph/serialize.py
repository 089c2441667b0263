"""A network as one file: a zip archive of `network.json` (the graph, by names) and `tensors.safetensors`.

Nothing in it is code: operators are looked up by name in torch's own registry, modules in a written list, and tensors
come from safetensors.
"""

import io
import json
import operator
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.fx import Graph, GraphModule, Node
from torch.fx.graph import _PyTreeCodeGen, _PyTreeInfo
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from microjoule.errors import FileError
from microjoule.graph.network import Example, Network, graph_module, set_submodule
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import Affine
from microjoule.numerics.gaussian import Gaussian
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.records.files import write_atomically
from microjoule.records.json_io import from_json, to_json

FORMAT = 1
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
    **dict.fromkeys(
        (nn.LSTM, nn.GRU),
        ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"),
    ),
    nn.Module: (),
}
"""The modules that a network consists of, and the attributes that their constructors take under the same names."""

CLASSES = {cls.__name__: cls for cls in CONSTRUCTORS}
BIASED = ("Conv", "Linear", "LayerNorm")
REFUSED = ("from_file",)
PYTHON = {f.__name__: f for f in (operator.getitem, operator.add, operator.sub, operator.mul, operator.floordiv)}


# Writing ----------------------------------------------------------------------------------------------------------


def save(network: Network, path: str | Path) -> None:
    """Write a network to a file, whole or not at all.

    Raises:
        FileError: if it cannot be written, or holds a module that is not on the written list.
    """
    tensors: dict[str, Tensor] = {}
    codegen = network.graph._codegen
    info = getattr(codegen, "pytree_info", None)
    document = {
        "format": FORMAT,
        "dynamic_batch": network.dynamic_batch,
        "modules": [_module_entry(path, m, tensors) for path, m in _modules(network.module)],
        "nodes": [_node_entry(node) for node in network.graph.nodes],
        "inputs": list(info.orig_args) if info else None,
        "in_spec": pytree.treespec_dumps(info.in_spec) if info else None,
        "out_spec": pytree.treespec_dumps(info.out_spec) if info and info.out_spec is not None else None,
        "example": _encode_tree((network.example.args, network.example.kwargs), tensors),
        "preactivations": sorted(network.preactivations),
        "history": [json.loads(to_json(record)) for record in network.history],
    }
    for layer, gaussian in network.preactivations.items():
        tensors[f"preactivation/{layer}/mean"], tensors[f"preactivation/{layer}/std"] = gaussian.mean, gaussian.std
    stored = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("network.json", json.dumps(document))
        archive.writestr("tensors.safetensors", safetensors.torch.save(stored))
    write_atomically(path, buffer.getvalue())


def _modules(module: GraphModule) -> list[tuple[str, nn.Module]]:
    """Every module that is not part of a parametrization, the root (with what it stores itself) first."""
    return [(path, m) for path, m in module.named_modules() if "parametrizations" not in path.split(".")]


def _module_entry(path: str, module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": path, "training": module.training}
    if isinstance(module, Quantizer):
        return entry | {"class": "Quantizer", **_quantizer_entry(path, module, tensors)}
    cls = parametrize.type_before_parametrizations(module) if path else nn.Module
    if cls not in CONSTRUCTORS:
        raise FileError(path, f"a {cls.__name__} cannot be saved", remedy="capture the model anew, or use torch.export")
    entry |= {"class": cls.__name__, "settings": {name: getattr(module, name) for name in CONSTRUCTORS[cls]}}
    parametrizations = getattr(module, "parametrizations", {})
    entry["quantizers"] = {}
    for name, chain in parametrizations.items():
        tensors[f"parameter/{path}.{name}"] = chain.original
        entry["quantizers"][name] = _quantizer_entry(f"{path}.{name}", chain[0], tensors)
    entry["parameters"] = [*parametrizations, *(n for n, p in module._parameters.items() if p is not None)]
    entry["buffers"] = {n: n not in module._non_persistent_buffers_set for n, b in module._buffers.items() if b is not None}
    for name in entry["parameters"][len(parametrizations) :]:
        tensors[f"parameter/{path}.{name}"] = module._parameters[name]  # type: ignore[assignment]
    for name in entry["buffers"]:
        tensors[f"buffer/{path}.{name}"] = module._buffers[name]  # type: ignore[assignment]
    return entry


def _quantizer_entry(path: str, quantizer: Quantizer, tensors: dict[str, Tensor]) -> dict[str, Any]:
    if quantizer.calibrated:
        tensors[f"scale/{path}"], tensors[f"zero_point/{path}"] = quantizer.affine.scale, quantizer.affine.zero_point
    held = quantizer.held is not None
    return {"scheme": asdict(quantizer.scheme), "enabled": quantizer.enabled, "held": held}


def _node_entry(node: Node) -> dict[str, Any]:
    target = str(node.target)
    if node.op == "call_function":
        python = getattr(node.target, "__name__", "")
        target = f"python.{python}" if PYTHON.get(python) is node.target else target
    return {
        "name": node.name, "op": node.op, "target": target, "args": _encode(node.args), "kwargs": _encode(node.kwargs)
    }


def _encode(value: Any) -> Any:
    """An argument as JSON; whatever JSON lacks is an object with one tag."""
    match value:
        case Node():
            return {"node": value.name}
        case tuple():
            return {"tuple": [_encode(item) for item in value]}
        case list():
            return [_encode(item) for item in value]
        case dict():
            return {"dict": {key: _encode(item) for key, item in value.items()}}
        case slice():
            return {"slice": [_encode(value.start), _encode(value.stop), _encode(value.step)]}
        case float() if value != value or value in (float("inf"), float("-inf")):
            return {"float": str(value)}
        case torch.dtype() | torch.layout() | torch.memory_format():
            return {"torch": str(value).removeprefix("torch.")}
        case torch.device():
            return {"device": str(value)}
        case None | bool() | int() | float() | str():
            return value
    raise FileError(repr(value), "is an argument that cannot be saved", remedy="save the model with torch.export.save")


def _encode_tree(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Like `_encode`, for nested inputs that hold tensors."""
    counter = iter(range(10**9))

    def store(tensor: Tensor) -> dict[str, str]:
        key = f"example/{next(counter)}"
        tensors[key] = tensor
        return {"__tensor__": key}

    return _encode(pytree.tree_map_only(Tensor, store, value))


# Reading ----------------------------------------------------------------------------------------------------------


def read(path: str | Path) -> Network:
    """Read a network that `save` wrote.

    Raises:
        FileError: if the file is missing, damaged, or of another kind or version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read("network.json"))
            tensors = safetensors.torch.load(archive.read("tensors.safetensors"))
    except FileNotFoundError as error:
        raise FileError(str(path), "does not exist", remedy="check the path") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, safetensors.SafetensorError) as error:
        raise FileError(
            str(path), f"is no whole network file: {error}", remedy="save it anew with network.save(path)"
        ) from error
    if document.get("format") != FORMAT:
        raise FileError(str(path), f"has format {document.get('format')!r}, expected {FORMAT}", remedy="save it anew")
    try:
        return _network(document, tensors)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise FileError(str(path), f"does not hang together: {error!r}", remedy="save it anew") from error


def _network(document: dict[str, Any], tensors: dict[str, Tensor]) -> Network:
    root = nn.Module()
    for entry in document["modules"]:
        if entry["path"]:
            set_submodule(root, entry["path"], _module(entry, tensors))
        else:
            root = _module(entry, tensors)
    graph = Graph()
    nodes: dict[str, Node] = {}
    for entry in document["nodes"]:
        args, kwargs = _decode(entry["args"], nodes), _decode(entry["kwargs"], nodes)
        target = _target(entry["op"], entry["target"])
        nodes[entry["name"]] = graph.create_node(entry["op"], target, args, kwargs, name=entry["name"])
    if document["in_spec"]:
        out_spec = pytree.treespec_loads(document["out_spec"]) if document["out_spec"] else None
        info = _PyTreeInfo(document["inputs"], pytree.treespec_loads(document["in_spec"]), out_spec)
        graph.set_codegen(_PyTreeCodeGen(info))
    module = graph_module(root, graph)
    for entry in document["modules"]:
        module.get_submodule(entry["path"]).training = entry["training"]
    args, kwargs = _with_tensors(_decode(document["example"], nodes), tensors)
    network = Network(module, Example(args, kwargs), dynamic_batch=document["dynamic_batch"])
    network.preactivations = {
        layer: Gaussian(tensors[f"preactivation/{layer}/mean"], tensors[f"preactivation/{layer}/std"])
        for layer in document["preactivations"]
    }
    network.history = [from_json(json.dumps(record)) for record in document["history"]]
    return network


def _module(entry: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    path = entry["path"]
    if entry["class"] == "Quantizer":
        return _quantizer(entry, path, tensors)
    cls = CLASSES[entry["class"]]
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in entry["settings"].items()}
    if entry["class"].startswith(BIASED):
        settings["bias"] = "bias" in entry["parameters"]
    module = cls(**settings)
    for name in entry["parameters"]:
        module.register_parameter(name, nn.Parameter(tensors[f"parameter/{path}.{name}"]))
    for name, persistent in entry["buffers"].items():
        module._parameters.pop(name, None)
        module._buffers.pop(name, None)
        module.register_buffer(name, tensors[f"buffer/{path}.{name}"], persistent=persistent)
    if isinstance(module, nn.RNNBase):
        module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]
    for name, quantizer in entry["quantizers"].items():
        weight = getattr(module, name)
        made = _quantizer(quantizer, f"{path}.{name}", tensors)
        parametrize.register_parametrization(module, name, made)
        if quantizer["held"]:
            made.hold(weight)
    return module


def _quantizer(entry: dict[str, Any], path: str, tensors: dict[str, Tensor]) -> Quantizer:
    scheme = dict(entry["scheme"])
    quantizer = Quantizer(Scheme(**scheme | {"grid": IntGrid(**scheme["grid"])}))
    if f"scale/{path}" in tensors:
        quantizer.set_affine(Affine(quantizer.scheme, tensors[f"scale/{path}"], tensors[f"zero_point/{path}"]))
    quantizer.enabled = entry["enabled"]
    return quantizer


def _target(op: str, target: str) -> Any:
    """The operator of a name, out of torch's registry of ATen operators and five Python ones."""
    if op != "call_function":
        return target
    space, _, name = target.partition(".")
    if space == "python":
        return PYTHON[name]
    if space != "aten":
        raise KeyError(f"operator {target} is not one of ATen's")
    packet, _, overload = name.partition(".")
    if packet in REFUSED:
        raise KeyError(f"operator {target} may read files")
    return getattr(getattr(torch.ops.aten, packet), overload)


def _decode(value: Any, nodes: dict[str, Node]) -> Any:
    if isinstance(value, list):
        return [_decode(item, nodes) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    match tag:
        case "node":
            return nodes[content]
        case "tuple":
            return tuple(_decode(item, nodes) for item in content)
        case "dict":
            return {key: _decode(item, nodes) for key, item in content.items()}
        case "slice":
            return slice(*(_decode(item, nodes) for item in content))
        case "float":
            return float(content)
        case "torch":
            value = getattr(torch, content)
            if not isinstance(value, torch.dtype | torch.layout | torch.memory_format):
                raise KeyError(f"torch.{content} is no dtype, layout or memory format")
            return value
        case "device":
            return torch.device(content)
    raise KeyError(f"unknown tag {tag!r}")


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Put the tensors back where `_encode_tree` left their keys."""
    if isinstance(value, dict) and set(value) == {"__tensor__"}:
        return tensors[value["__tensor__"]]
    if isinstance(value, dict):
        return {key: _with_tensors(item, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_tensors(item, tensors) for item in value)
    return value
