"""Turn operators that own parameters or a training mode back into modules, at their original paths.

`torch.export` spells a layer as an operator with its tensors as inputs. Where those tensors are stored under the names
that the ordinary `nn.Module` gives them, the operator becomes that module again, with the same state-dict keys.
"""

import operator
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from microjoule.capture.modules import DROPOUTS, LIFTED, RECURRENT_TARGETS, recurrent
from microjoule.capture.naming import renamed
from microjoule.graph.network import graph_module, set_submodule
from microjoule.graph.ops import FUNCTION_KINDS, WEIGHTED, arguments
from microjoule.records.facts import Skipped

aten = torch.ops.aten


def lift(module: GraphModule, stored: Mapping[str, Tensor]) -> tuple[GraphModule, list[Skipped]]:
    """Lift what can be lifted, into a new GraphModule with the original's state dict.

    Args:
        module: the canonical graph.
        stored: the model's own tensors, by name, in order.

    Returns:
        The module, and the operators with weights that stay functional, with the reason.
    """
    lifted: dict[str, nn.Module] = {}
    functional: list[Skipped] = []
    for node in list(module.graph.nodes):
        if node.target in LIFTED:
            reason = _lift_stored(module, node, lifted)
            if reason is not None and FUNCTION_KINDS.get(node.target) in WEIGHTED:
                functional.append(Skipped(node.name, reason))
        elif node.target in RECURRENT_TARGETS:
            reason = _lift_recurrent(module, node, lifted)
            if reason is not None:
                functional.append(Skipped(node.name, reason))
        elif node.target in DROPOUTS:
            _lift_dropout(module, node, lifted)
    return _assemble(module, stored, lifted), functional


def _lift_stored(module: GraphModule, node: Node, lifted: dict[str, nn.Module]) -> str | None:
    """Make one node call a module; returns why not, if it must stay a function."""
    rule, args = LIFTED[node.target], arguments(node)
    path, reason = _owner(args, rule.tensors)
    if path is None:
        return reason
    unread = _unread(module, path, [name for argument, name in rule.tensors.items() if args[argument] is None])
    if unread:
        return f"it does not read {path}.{unread[0]}, which the module at {path} would"
    made = rule.make(args)
    for argument, name in rule.tensors.items():
        if args[argument] is not None:
            _share(made, name, module, str(args[argument].target))
    before = lifted.setdefault(path, made)
    if repr(before) != repr(made):
        return f"another operator uses the weights of {path} with other settings"
    call = _call(module, node, path, tuple(args[name] for name in rule.inputs))
    if "native_batch_norm" in str(node.target):
        for user in list(node.users):
            user.replace_all_uses_with(call)
            module.graph.erase_node(user)
    else:
        node.replace_all_uses_with(call)
    module.graph.erase_node(node)
    return None


def _owner(args: dict[str, Any], names: dict[str, str]) -> tuple[str | None, str]:
    """The path of the module whose tensors are read under their ordinary names; or None, and why."""
    paths = set()
    for argument, name in names.items():
        stored = args[argument]
        if stored is None:
            continue
        if not isinstance(stored, Node) or stored.op != "get_attr":
            return None, f"its {argument} is computed, not stored"
        path, _, last = str(stored.target).rpartition(".")
        if last != name or not path:
            return None, f"its {argument} is stored as {stored.target}"
        paths.add(path)
    if len(paths) != 1:
        return None, f"its tensors are stored at {len(paths)} paths"
    return paths.pop(), ""


def _unread(module: GraphModule, path: str, names: list[str]) -> list[str]:
    """Those of some names under which a module stores a tensor."""
    owner = module.get_submodule(path)
    return [name for name in names if isinstance(getattr(owner, name, None), Tensor)]


def _share(made: nn.Module, name: str, module: GraphModule, target: str) -> None:
    """Give a module a stored tensor: the same parameter object, so that tied weights stay tied."""
    path, _, attribute = target.rpartition(".")
    stored = getattr(module.get_submodule(path), attribute)
    if isinstance(stored, nn.Parameter):
        made._buffers.pop(name, None)
        made.register_parameter(name, stored)
    else:
        made._parameters.pop(name, None)
        made.register_buffer(name, stored)


def _call(module: GraphModule, node: Node, path: str, inputs: tuple[Any, ...]) -> Node:
    with module.graph.inserting_before(node):
        call = module.graph.create_node("call_module", path, inputs)
    call.meta = dict(node.meta)
    return call


def _lift_recurrent(module: GraphModule, node: Node, lifted: dict[str, nn.Module]) -> str | None:
    """Make one node call a recurrent module; returns why not, if it must stay a function."""
    args, name = arguments(node), node.target._schema.name.partition("::")[2]  # type: ignore[union-attr]
    stored = [weight for weight in args["params"] if weight.op == "get_attr"]
    paths = {str(weight.target).rpartition(".")[0] for weight in stored}
    path = next(iter(paths), "")
    if len(stored) < len(args["params"]) or len(paths) != 1 or not path:
        return "its weights are not stored in a module of its own"
    made = recurrent(name, args)
    names = [str(weight.target).rpartition(".")[2] for weight in stored]
    if names != made._flat_weights_names:
        return f"its weights are stored as {', '.join(names)}"
    for weight in stored:
        _share(made, str(weight.target).rpartition(".")[2], module, str(weight.target))
    made._flat_weights = [getattr(made, one) for one in made._flat_weights_names]
    if repr(lifted.setdefault(path, made)) != repr(made):
        return f"another operator uses the weights of {path} with other settings"
    state = args["hx"]
    call = _call(module, node, path, (args["input"], tuple(state) if isinstance(state, list | tuple) else state))
    for user in list(node.users):
        _reread(module, user, call, lstm=name == "lstm")
    module.graph.erase_node(node)
    return None


def _reread(module: GraphModule, user: Node, call: Node, *, lstm: bool) -> None:
    """The operator gives (output, h, c); the module gives (output, (h, c)) or (output, h)."""
    index = user.args[1]
    with module.graph.inserting_before(user):
        if index == 0 or not lstm:
            read = module.graph.call_function(operator.getitem, (call, index))
        else:
            state = module.graph.call_function(operator.getitem, (call, 1))
            read = module.graph.call_function(operator.getitem, (state, int(str(index)) - 1))
    read.meta = dict(user.meta)
    user.replace_all_uses_with(read)
    module.graph.erase_node(user)


def _lift_dropout(module: GraphModule, node: Node, lifted: dict[str, nn.Module]) -> None:
    """Dropout is a module at the path that called it, or beside it under the node's name if it was a function."""
    args = arguments(node)
    stack = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    innermost = [type_name for _, type_name in (node.meta.get("nn_module_stack") or {}).values()][-1:]
    is_module = bool(innermost) and "Dropout" in str(innermost[0]) and bool(stack[-1])
    path = stack[-1] if is_module else ".".join(filter(None, (*stack[-1:], node.name)))
    lifted.setdefault(path, DROPOUTS[node.target](args["p"]))
    call = _call(module, node, path, (args["input"],))
    node.replace_all_uses_with(call)
    module.graph.erase_node(node)


def _assemble(module: GraphModule, stored: Mapping[str, Tensor], lifted: dict[str, nn.Module]) -> GraphModule:
    """A fresh GraphModule of the lifted modules and every other stored tensor of the original."""
    root = nn.Module()
    place: dict[str, int] = {}
    for index, name in enumerate(stored):
        place.setdefault(name.rpartition(".")[0], index)
    for path in sorted(lifted, key=lambda one: (place.get(one, len(stored)), one)):
        set_submodule(root, path, lifted[path])
    for name, value in _stored_tensors(module, stored):
        path, _, attribute = name.rpartition(".")
        if path and not _has(root, path):
            set_submodule(root, path, nn.Module())
        owner = root.get_submodule(path)
        if attribute not in owner._parameters or owner._parameters[attribute] is None:
            _place(owner, attribute, value, persistent=name in stored)
    return graph_module(root, renamed(module.graph))


def _stored_tensors(module: GraphModule, stored: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield from stored.items()
    for node in module.graph.nodes:
        if node.op == "get_attr" and str(node.target) not in stored:
            path, _, name = str(node.target).rpartition(".")
            yield str(node.target), getattr(module.get_submodule(path), name)


def _has(root: nn.Module, path: str) -> bool:
    try:
        root.get_submodule(path)
    except AttributeError:
        return False
    return True


def _place(owner: nn.Module, name: str, value: Tensor, *, persistent: bool) -> None:
    if isinstance(value, nn.Parameter):
        owner.register_parameter(name, value)
    else:
        owner._buffers.pop(name, None)
        owner.register_buffer(name, value, persistent=persistent)
