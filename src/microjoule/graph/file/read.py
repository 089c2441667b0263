"""Read a network that `microjoule.graph.file.write` wrote.

Nothing in the file is run, and nothing in it is believed. It can name operators and modules out of written lists,
tensors that it holds itself, and classes and operators that the caller hands over; all else is refused. How large
anything is, the stored tensors say. What the network would take when it runs is found before anything of it runs.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn
from torch._ops import OpOverload
from torch.fx import Graph, Node
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from microjoule.errors import FileError, MicrojouleError
from microjoule.formats.bounded_text import read_json
from microjoule.formats.zip_archive import open_zip
from microjoule.graph.card import card_of
from microjoule.graph.contract import contract_from_plain, require_fit
from microjoule.graph.file.extent import check_extent
from microjoule.graph.file.modules import Classes, decode_module, require_declared
from microjoule.graph.file.names import argument, identifier
from microjoule.graph.file.names import path as module_path
from microjoule.graph.file.operators import by_name, operator_at
from microjoule.graph.file.own_classes import classes_by_name
from microjoule.graph.file.tensors import TensorReader
from microjoule.graph.file.trees import decode_tree
from microjoule.graph.file.values import decode
from microjoule.graph.file.write import DOCUMENT, FORMAT, TENSOR, TENSORS
from microjoule.graph.network import Example, Network, graph_module, set_submodule
from microjoule.numerics.gaussian import Gaussian
from microjoule.records.json_io import records_of

REMEDY = "save it anew with network.save(path)"
KEYS = frozenset(("format", "contract", "card", "modules", "nodes", "example", "preactivations", "history"))

UNSOUND = (LookupError, TypeError, AttributeError, RuntimeError, ValueError, AssertionError, SyntaxError, OverflowError)
"""What a document that does not hang together raises somewhere."""


def read(path: str | Path, *, allow: Iterable[Any] = ()) -> Network:
    """Read a network that `network.save(path)` wrote.

    Args:
        path: of the file.
        allow: classes of modules and quantizers of one's own, and operators of one's own (overloads, such as
            torch.ops.mine.operator.default), that the file may name.

    Raises:
        FileError: if the file is missing, damaged, or of another kind or version; if it names a class or an operator
            that is not handed over; or if it would take more than its size makes likely.
    """
    given = list(allow)
    classes = classes_by_name(one for one in given if isinstance(one, type) and issubclass(one, nn.Module))
    operators = by_name(one for one in given if not (isinstance(one, type) and issubclass(one, nn.Module)))
    with open_zip(path, remedy=REMEDY) as archive:
        document = read_json(bytes(archive.read(DOCUMENT)), f"{path}/{DOCUMENT}", remedy=REMEDY)
        version = document.get("format") if isinstance(document, dict) else None
        if version != FORMAT:
            fact = f"has format {version!r}, expected {FORMAT}"
            raise FileError(str(path), fact, remedy="save it anew with this version of microjoule")
        content = archive.read(TENSORS)
    try:
        tensors = TensorReader(safetensors.torch.load(bytes(content)))
        return _network(document, tensors, classes, operators)
    except FileError as error:
        raise FileError(f"{path}: {error.place}", error.fact, remedy=error.remedy) from error
    except (safetensors.SafetensorError, MicrojouleError, RecursionError, *UNSOUND) as error:
        raise FileError(str(path), f"does not hang together: {_reason(error)}", remedy=REMEDY) from error


def _reason(error: Exception) -> str:
    if isinstance(error, MicrojouleError):
        return f"{error.place} {error.fact}"
    words = " ".join(str(error).split())[:300]
    return words if isinstance(error, ValueError | RuntimeError) and words else f"{type(error).__name__} {words}"


def _network(
    document: dict[str, Any], tensors: TensorReader, classes: Classes, operators: Mapping[str, OpOverload]
) -> Network:
    if set(document) != KEYS:
        lacks, beside = sorted(KEYS - set(document)), sorted(set(document) - KEYS)
        raise ValueError(f"it lacks {', '.join(lacks)}" if lacks else f"it has the unknown {', '.join(beside):.200}")
    root = _modules(document["modules"], tensors, classes)
    graph = _graph(document, root, operators)
    example = _example(document["example"], tensors)
    contract = contract_from_plain(document["contract"])
    require_fit(contract, example.tensors)
    check_extent(root, graph, example.tensors, stored_bytes=tensors.size_bytes)
    module = graph_module(root, graph)
    module.training = root.training
    network = Network(module, example, contract=contract)
    network.card = card_of(document["card"])
    network.preactivations = {
        layer: Gaussian(tensors.tensor(f"preactivation/{layer}/mean"), tensors.tensor(f"preactivation/{layer}/std"))
        for layer in document["preactivations"]
    }
    network.history = records_of(document["history"], source="history")
    network.recompile()
    return network


# The modules ----------------------------------------------------------------------------------------------------------


def _modules(entries: list[dict[str, Any]], tensors: TensorReader, classes: Classes) -> nn.Module:
    """The root, with all modules at their places."""
    first, *others = entries
    if first["path"] or first["class"] != "Module":
        raise ValueError("the first module is not the root")
    root, declared = decode_module(first, tensors, classes), {""}
    for entry in others:
        place = module_path(entry["path"])
        if place in declared:
            raise ValueError(f"two modules lie at {place!r}")
        if "same" in entry:
            if entry["same"] not in declared or not entry["same"]:
                raise ValueError(f"{place!r} is the same as {entry['same']!r:.80}, which is not there")
            module = root.get_submodule(entry["same"])
        else:
            module = decode_module(entry, tensors, classes)
        declared.add(place)
        set_submodule(root, place, module)
    require_declared(root, declared)
    return root


# The graph ------------------------------------------------------------------------------------------------------------


def _graph(document: dict[str, Any], root: nn.Module, operators: Mapping[str, OpOverload]) -> Graph:
    graph = Graph()
    nodes: dict[str, Node] = {}
    for entry in document["nodes"]:
        args, kwargs = decode(entry["args"], nodes), decode(entry["kwargs"], nodes)
        target = _target(entry["op"], entry["target"], root, operators)
        name = identifier(entry["name"])
        if name in nodes or not isinstance(args, tuple) or not isinstance(kwargs, dict):
            raise ValueError(f"two nodes are called {name}, or its arguments are none")
        named = {identifier(key): value for key, value in kwargs.items()}
        nodes[name] = graph.create_node(entry["op"], target, args, named, name)
    kinds = [node.op for node in nodes.values()]
    if kinds.count("output") != 1 or kinds[-1] != "output":
        raise ValueError("it has no output at its end, or several")
    last = nodes[document["nodes"][-1]["name"]]
    if len(last.args) != 1 or last.kwargs:
        raise ValueError("it gives other than 1 outputs")
    if not last.all_input_nodes:
        raise ValueError("it gives nothing that is computed")
    return graph


def _target(kind: str, target: str, root: nn.Module, operators: Mapping[str, OpOverload]) -> Any:
    """What a node calls or reads: an operator by its name on a list, or a module or tensor of the file."""
    if kind == "call_function":
        return operator_at(target, operators)
    if kind == "placeholder":
        return argument(target)
    if kind == "output" and target == "output":
        return target
    if kind == "call_module":
        root.get_submodule(module_path(target))
        return target
    if kind == "get_attr":
        owner, _, name = module_path(target).rpartition(".")
        module = root.get_submodule(owner)
        stored = {**module._parameters, **module._buffers}
        if stored.get(name) is None and not parametrize.is_parametrized(module, name):
            raise ValueError(f"{target!r} is no tensor of the file")
        return target
    raise ValueError(f"{str(kind)[:40]!r} is no kind of node in a network")


def _example(entry: Any, tensors: TensorReader) -> Example:
    values = [
        tensors.tensor(value[TENSOR]) if isinstance(value, dict) and set(value) == {TENSOR} else decode(value, {})
        for value in entry["values"]
    ]
    args, kwargs = pytree.tree_unflatten(values, decode_tree(entry["tree"]))
    if not isinstance(args, tuple) or not isinstance(kwargs, dict):
        raise ValueError("its example is no tuple and dict")
    return Example(args, kwargs)
