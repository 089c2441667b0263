"""The graph in a `.pt2` file (`models/model.json`), written anew from what is known of such documents.

`torch.export.load` believes a document: it looks names up anywhere in torch, writes names into the code that it makes,
imports modules that structures of inputs name, runs sizes and guards as Python. So what torch gets is not the document
but one of our own with the same graph: each name is a name, each operator on a list, each size arithmetic, each
structure of tuples, lists and dicts; guards, pickled objects, graphs within graphs and whatever else there is are left
out or refused.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from torch.utils import _pytree as pytree

from microjoule.capture.canonical import ASSERTIONS
from microjoule.capture.program_tree import structure
from microjoule.capture.size_expression import arithmetic, is_symbol
from microjoule.graph.file.names import identifier, path, text
from microjoule.graph.file.operators import PYTHON, listed

Entry = dict[str, Any]
DEVICES = ("cpu", "cuda", "mps", "xpu")
DIALECTS = ("ATEN", "TRAINING", "EDGE")
LARGEST = 2**63 - 1
STACK = re.compile(r"[^\"'\\\x00-\x1f\x7f-\x9f\u2028\u2029]*")
LONGEST_STACK = 1 << 16


def sound_document(document: Any) -> Entry:
    """A document that torch can read without running anything that the file says.

    Args:
        document: as the file has it, from JSON.

    Raises:
        ValueError, LookupError, TypeError, AttributeError: if it holds something that is not known.
    """
    module, version = document["graph_module"], document["schema_version"]
    signature = module["signature"]
    return {
        "graph_module": {
            "graph": _graph(module["graph"]),
            "signature": {
                "input_specs": [_tagged(one, INPUTS) for one in _list(signature["input_specs"])],
                "output_specs": [_tagged(one, OUTPUTS) for one in _list(signature["output_specs"])],
            },
            "module_call_graph": [_call(module["module_call_graph"])],
            "metadata": {},
            "treespec_namedtuple_fields": {},
        },
        "opset_version": {identifier(name): _whole(one) for name, one in document["opset_version"].items()},
        "range_constraints": {
            _symbol(name): {"min_val": _bound(one["min_val"]), "max_val": _bound(one["max_val"])}
            for name, one in document["range_constraints"].items()
        },
        "schema_version": {"major": _whole(version["major"]), "minor": _whole(version["minor"])},
        "verifiers": [_one_of(name, DIALECTS) for name in _list(document["verifiers"])],
        "torch_version": text(document["torch_version"]),
        "guards_code": [],
    }


# The graph ------------------------------------------------------------------------------------------------------------


def _graph(graph: Entry) -> Entry:
    if graph.get("custom_obj_values"):
        raise ValueError("objects that are no tensors")
    return {
        "inputs": [_argument(one) for one in _list(graph["inputs"])],
        "outputs": [_argument(one) for one in _list(graph["outputs"])],
        "nodes": [_node(one) for one in _list(graph["nodes"])],
        "tensor_values": {identifier(name): _meta(one) for name, one in graph["tensor_values"].items()},
        "sym_int_values": {identifier(name): _size(one) for name, one in graph["sym_int_values"].items()},
        "sym_bool_values": {identifier(name): _size(one) for name, one in graph["sym_bool_values"].items()},
        "sym_float_values": {identifier(name): _size(one) for name, one in graph.get("sym_float_values", {}).items()},
        "is_single_tensor_return": _switch(graph["is_single_tensor_return"]),
        "custom_obj_values": {},
    }


def _node(node: Entry) -> Entry:
    target, single = node["target"], node.get("is_hop_single_tensor_return")
    if not isinstance(target, str) or target not in _targets():
        raise ValueError(f"an operator {str(target)[:200]!r}, which is not one of ATen's that only compute")
    stack = (node.get("metadata") or {}).get("nn_module_stack")
    return {
        "target": target,
        "inputs": [
            {"name": one["name"] and identifier(one["name"]), "arg": _argument(one["arg"]), "kind": _kind(one)}
            for one in _list(node["inputs"])
        ],
        "outputs": [_argument(one) for one in _list(node["outputs"])],
        "metadata": {} if stack is None else {"nn_module_stack": _stack(stack)},
        "is_hop_single_tensor_return": None if single is None else _switch(single),
        "name": None if node.get("name") is None else identifier(node["name"]),
    }


@cache
def _targets() -> frozenset[str]:
    """Operators that only compute, those that write into their first input, and assertions, as torch names them."""
    known = {f"torch.ops.{name}" for name in listed()}
    for name in listed():
        aten, packet, overload = name.split(".")
        known.add(f"torch.ops.{aten}.{packet}_.{overload}")
    known |= {f"torch.ops.{target}" if "." in str(target) else "torch._check" for target in ASSERTIONS}
    return frozenset(known | {name.replace("python.", "_operator.") for name in PYTHON})


def _kind(named: Entry) -> int | None:
    return None if named.get("kind") is None else _whole(named["kind"])


def _stack(stack: Any) -> str:
    """The modules that a node was called in: "key,path,class" of each, with semicolons between."""
    if not isinstance(stack, str) or len(stack) > LONGEST_STACK or not STACK.fullmatch(stack):
        raise ValueError("a node in no modules")
    return stack


# Arguments ------------------------------------------------------------------------------------------------------------


def _tagged(entry: Any, kinds: dict[str, Callable[[Any], Any]]) -> Entry:
    """An object with one key, which says what its value is."""
    if not isinstance(entry, dict) or len(entry) != 1:
        raise ValueError("a value that is not said to be anything")
    ((tag, value),) = entry.items()
    if tag not in kinds:
        raise ValueError(f"a value {tag!r:.40}, which is no tensor, number or text")
    return {tag: kinds[tag](value)}


def _argument(entry: Any) -> Entry:
    return _tagged(entry, ARGUMENTS)


def _named(entry: Any) -> Entry:
    return {"name": identifier(entry["name"])}


def _many(one: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    return lambda values: [one(value) for value in _list(values)]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{str(value)[:40]!r}, which is no list")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int or abs(value) > LARGEST:
        raise ValueError(f"{str(value)[:40]!r}, which is no whole number")
    return value


def _number(value: Any) -> float | str:
    """JSON has no infinity and no NaN: torch writes them as texts."""
    if type(value) not in (int, float) and value not in ("Infinity", "-Infinity", "NaN", "inf", "-inf", "nan"):
        raise ValueError(f"{str(value)[:40]!r}, which is no number")
    found: float | str = value
    return found


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{str(value)[:40]!r}, which is neither true nor false")
    return value


def _bound(value: Any) -> int | None:
    return None if value is None else _whole(value)


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{str(value)[:40]!r}, which is none of {', '.join(known)}")
    return str(value)


def _symbol(name: Any) -> str:
    if not is_symbol(name):
        raise ValueError(f"a size {str(name)[:40]!r}, which is no symbol")
    return str(name)


def _device(entry: Any) -> Entry:
    index = entry.get("index")
    return {"type": _one_of(entry["type"], DEVICES), "index": None if index is None else _whole(index)}


def _size(entry: Any) -> Entry:
    """A size: a number, or an expression with the value that it had."""
    return _tagged(entry, SIZES)


def _expression(entry: Any) -> Entry:
    hint = entry.get("hint")
    return {"expr_str": arithmetic(entry["expr_str"]), "hint": None if hint is None else _tagged(hint, HINTS)}


def _meta(entry: Any) -> Entry:
    """Shape and type of a tensor."""
    return {
        "dtype": _whole(entry["dtype"]),
        "sizes": [_size(one) for one in _list(entry["sizes"])],
        "requires_grad": _switch(entry["requires_grad"]),
        "device": _device(entry["device"]),
        "strides": [_size(one) for one in _list(entry["strides"])],
        "storage_offset": _size(entry["storage_offset"]),
        "layout": _whole(entry["layout"]),
    }


def _symbolic(kind: str, plain: Callable[[Any], Any]) -> Callable[[Any], Entry]:
    return lambda entry: _tagged(entry, {"as_name": identifier, kind: plain})


HINTS: dict[str, Callable[[Any], Any]] = {"as_int": _whole, "as_bool": _switch, "as_float": _number}
SIZES = {"as_expr": _expression, **HINTS}
TENSOR_OR_NONE: dict[str, Callable[[Any], Any]] = {"as_tensor": _named, "as_none": _switch}
PLAIN: dict[str, Callable[[Any], Any]] = {
    "as_none": _switch,
    "as_int": _whole,
    "as_float": _number,
    "as_bool": _switch,
    "as_string": text,
}
ARGUMENTS: dict[str, Callable[[Any], Any]] = {
    **PLAIN,
    "as_tensor": _named,
    "as_tensors": _many(_named),
    "as_nested_tensors": _many(_many(_named)),
    "as_ints": _many(_whole),
    "as_floats": _many(_number),
    "as_bools": _many(_switch),
    "as_strings": _many(text),
    "as_sym_int": _symbolic("as_int", _whole),
    "as_sym_ints": _many(_symbolic("as_int", _whole)),
    "as_sym_bool": _symbolic("as_bool", _switch),
    "as_sym_bools": _many(_symbolic("as_bool", _switch)),
    "as_sym_float": _symbolic("as_float", _number),
    "as_sym_floats": _many(_symbolic("as_float", _number)),
    "as_scalar_type": _whole,
    "as_memory_format": _whole,
    "as_layout": _whole,
    "as_device": _device,
    "as_optional_tensor": lambda entry: _tagged(entry, TENSOR_OR_NONE),
    "as_optional_tensors": _many(lambda entry: _tagged(entry, TENSOR_OR_NONE)),
    "as_complex": lambda entry: {"real": _number(entry["real"]), "imag": _number(entry["imag"])},
}

# What goes in and out -------------------------------------------------------------------------------------------------


def _call(entries: Any) -> Entry:
    """How the whole is called; modules within it are called by nobody."""
    root = next((one for one in _list(entries) if one["fqn"] == ""), None)
    if root is None or root.get("signature") is None:
        raise ValueError("no way to be called")
    signature = root["signature"]
    taken, given = structure(signature["in_spec"]), structure(signature["out_spec"])
    names = signature.get("forward_arg_names")
    if not isinstance(taken, tuple) or [type(one) for one in taken] != [tuple, dict]:
        raise ValueError("inputs that are no tuple and dict")
    for name in taken[1]:
        identifier(name)
    if names is not None and len(_list(names)) != len(taken[0]) + len(taken[1]):
        raise ValueError(f"{len(names)} names for {len(taken[0]) + len(taken[1])} inputs")
    return {
        "fqn": "",
        "signature": {
            "inputs": [],
            "outputs": [],
            "in_spec": pytree.treespec_dumps(pytree.tree_structure(taken)),
            "out_spec": pytree.treespec_dumps(pytree.tree_structure(given)),
            "forward_arg_names": None if names is None else [identifier(name) for name in names],
        },
    }


def _stored(kind: str) -> Callable[[Any], Entry]:
    return lambda entry: {"arg": _named(entry["arg"]), f"{kind}_name": path(entry[f"{kind}_name"])}


INPUTS: dict[str, Callable[[Any], Any]] = {
    "user_input": lambda entry: {"arg": _argument(entry["arg"])},
    "parameter": _stored("parameter"),
    "buffer": lambda entry: {**_stored("buffer")(entry), "persistent": _switch(entry["persistent"])},
    "tensor_constant": _stored("tensor_constant"),
    "constant_input": lambda entry: {
        "name": entry["name"] and identifier(entry["name"]),
        "value": _tagged(entry["value"], PLAIN),
    },
}
OUTPUTS: dict[str, Callable[[Any], Any]] = {
    "user_output": lambda entry: {"arg": _argument(entry["arg"])},
    "buffer_mutation": _stored("buffer"),
    "parameter_mutation": _stored("parameter"),
    "user_input_mutation": lambda entry: {
        "arg": _named(entry["arg"]),
        "user_input_name": identifier(entry["user_input_name"]),
    },
}
