"""Read a network that `microjoule.graph.write` wrote.

Nothing in the file is run: operators are looked up by name in torch's own registry, modules in a written list, and
tensors come from safetensors.
"""

import json
import keyword
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.fx import Graph, Node
from torch.fx.graph import _PyTreeCodeGen, _PyTreeInfo
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from microjoule.errors import FileError
from microjoule.graph.card import card_of
from microjoule.graph.network import Example, Network, graph_module, set_submodule
from microjoule.graph.quantizer import Quantizer
from microjoule.graph.write import CONSTRUCTORS, FORMAT, PYTHON, TENSOR
from microjoule.numerics.affine import Affine
from microjoule.numerics.gaussian import Gaussian
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.records.json_io import records_from_json

CLASSES = {cls.__name__: cls for cls in CONSTRUCTORS}
BIASED = ("Conv", "Linear", "LayerNorm")
"""Starts of the names of modules whose constructors take `bias` as a switch, which is also a parameter's name."""

REFUSED = ("from_file",)
"""Operators that could reach outside the network."""


def read(path: str | Path) -> Network:
    """Read a network that `network.save(path)` wrote.

    Raises:
        FileError: if the file is missing, damaged, or of another kind or version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read("network.json"))
            tensors = safetensors.torch.load(archive.read("tensors.safetensors"))
        version = document["format"]
    except FileNotFoundError as error:
        raise FileError(str(path), "does not exist", remedy="check the path") from error
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise FileError(
            str(path), f"is no whole network file: {error}", remedy="save it anew with network.save(path)"
        ) from error
    if version != FORMAT:
        raise FileError(str(path), f"has format {version!r}, expected {FORMAT}", remedy="save it anew")
    try:
        return _network(document, tensors)
    except (LookupError, TypeError, AttributeError, RuntimeError, ValueError, AssertionError) as error:
        raise FileError(str(path), f"does not hang together: {error!r}", remedy="save it anew") from error


def _network(document: dict[str, Any], tensors: dict[str, Tensor]) -> Network:
    root = nn.Module()
    for entry in document["modules"]:
        if "same" in entry:
            set_submodule(root, _path(entry["path"]), root.get_submodule(entry["same"]))
        elif entry["path"]:
            set_submodule(root, _path(entry["path"]), _module(entry, tensors))
        else:
            root = _module(entry, tensors)
    module = graph_module(root, _graph(document))
    for entry in document["modules"]:
        if "training" in entry:
            module.get_submodule(entry["path"]).training = entry["training"]
    args, kwargs = _with_tensors(_decode(document["example"], {}), tensors)
    network = Network(module, Example(args, kwargs), dynamic_batch=document["dynamic_batch"])
    network.card = card_of(document.get("card", {}))
    network.preactivations = {
        layer: Gaussian(tensors[f"preactivation/{layer}/mean"], tensors[f"preactivation/{layer}/std"])
        for layer in document["preactivations"]
    }
    network.history = records_from_json(json.dumps(document["history"]))
    network.recompile()
    return network


def _graph(document: dict[str, Any]) -> Graph:
    graph = Graph()
    nodes: dict[str, Node] = {}
    for entry in document["nodes"]:
        args, kwargs = _decode(entry["args"], nodes), _decode(entry["kwargs"], nodes)
        target = _target(entry["op"], entry["target"])
        name = _identifier(entry["name"])
        nodes[name] = graph.create_node(entry["op"], target, args, {_identifier(k): v for k, v in kwargs.items()}, name)
    if document["in_spec"]:
        out_spec = _tree(document["out_spec"]) if document["out_spec"] else None
        inputs = [_identifier(name) for name in document["inputs"]]
        in_spec = _tree(document["in_spec"])
        for name in in_spec.child(1).context or ():
            _identifier(name)
        graph.set_codegen(_PyTreeCodeGen(_PyTreeInfo(inputs, in_spec, out_spec)))
    return graph


def _tree(text: str) -> pytree.TreeSpec:
    if "__enum__" in text:
        raise ValueError("a tree of inputs or outputs with an enumeration, which could import any module")
    return pytree.treespec_loads(text)


def _identifier(text: str) -> str:
    """A name that fx writes into the code it makes, so it must be one and nothing else."""
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ValueError(f"{text!r} is no name")
    return text


def _path(text: str) -> str:
    """A dotted path that fx writes into the code it makes; its parts may be numbers."""
    for part in text.split("."):
        if not part.isdigit():
            _identifier(part)
    return text


def _module(entry: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    if entry["class"] == "Quantizer":
        return _quantizer(entry, tensors)
    cls = CLASSES[entry["class"]]
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in entry["settings"].items()}
    if set(settings) != set(CONSTRUCTORS[cls]):
        raise ValueError(f"settings of {entry['class']} are {sorted(settings)}")
    if entry["class"].startswith(BIASED):
        settings["bias"] = "bias" in entry["parameters"]
    module = cls(**settings)
    for name, (key, requires_grad) in entry["parameters"].items():
        stored = tensors[key]
        if not isinstance(stored, nn.Parameter):
            stored = tensors[key] = nn.Parameter(stored, requires_grad=requires_grad)
        module.register_parameter(_identifier(name), stored)
    for name, (key, persistent) in entry["buffers"].items():
        module._parameters.pop(name, None)
        module._buffers.pop(name, None)
        module.register_buffer(_identifier(name), tensors[key], persistent=persistent)
    if isinstance(module, nn.RNNBase):
        module._flat_weights = [getattr(module, name) for name in module._flat_weights_names]
    for name, quantizer in entry["quantizers"].items():
        parametrize.register_parametrization(module, name, _quantizer(quantizer, tensors))
    return module


def _quantizer(entry: dict[str, Any], tensors: dict[str, Tensor]) -> Quantizer:
    scheme = dict(entry["scheme"])
    quantizer = Quantizer(Scheme(**scheme | {"grid": IntGrid(**scheme["grid"])}))
    if "scale" in entry:
        quantizer.set_affine(Affine(quantizer.scheme, tensors[entry["scale"]], tensors[entry["zero_point"]]))
    if "integers" in entry:
        quantizer.hold(tensors[entry["integers"]])
    quantizer.enabled = entry["enabled"]
    return quantizer


def _target(op: str, target: str) -> Any:
    """The operator of a name, out of torch's registry of ATen operators and five Python ones."""
    if op == "placeholder":
        return _identifier(target)
    if op in ("call_module", "get_attr", "output"):
        return _path(target)
    if op != "call_function":
        raise ValueError(f"{op} is no kind of node in a network")
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
    """An argument from JSON, as `microjoule.graph.write` encodes it."""
    if isinstance(value, list):
        return [_decode(item, nodes) for item in value]
    if not isinstance(value, dict):
        return value
    ((tag, content),) = value.items()
    if tag == "node":
        return nodes[content]
    if tag in PLAIN:
        return PLAIN[tag](content)
    items = [_decode(item, nodes) for item in content]
    return NESTED[tag](items)


def _torch_constant(name: str) -> Any:
    value = getattr(torch, name)
    if not isinstance(value, torch.dtype | torch.layout | torch.memory_format):
        raise ValueError(f"torch.{name} is no dtype, layout or memory format")
    return value


PLAIN: dict[str, Callable[[str], Any]] = {"float": float, "torch": _torch_constant, "device": torch.device}
"""What makes an argument of a text."""

NESTED: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "dict": dict,
    "slice": lambda bounds: slice(*bounds),
}
"""What makes an argument of others."""


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Put the tensors back where `_encode_tree` left their keys."""
    if isinstance(value, dict) and set(value) == {TENSOR}:
        return tensors[value[TENSOR]]
    if isinstance(value, dict):
        return {key: _with_tensors(item, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_tensors(item, tensors) for item in value)
    return value
