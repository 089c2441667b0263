"""Turn operators that own parameters or a training mode back into modules, at their original paths.

`torch.export` spells a layer as an operator with its tensors as inputs. Where those tensors are stored under the names
that the ordinary `nn.Module` gives them, the operator becomes that module again, with the same state-dict keys.
"""

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from microjoule.capture.canonical import canonicalize, needs_functionalization
from microjoule.capture.naming import renamed
from microjoule.graph.network import graph_module, set_submodule
from microjoule.graph.ops import FUNCTION_KINDS, WEIGHTED, arguments
from microjoule.records.facts import Skipped

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Lifted:
    """The module that an operator becomes.

    Args:
        make: builds it, from the operator's arguments by name.
        tensors: names of the operator's arguments that are stored tensors, with the module's names for them.
        inputs: names of the arguments that the module is called with.
    """

    make: Callable[[dict[str, Any]], nn.Module]
    tensors: dict[str, str]
    inputs: tuple[str, ...] = ("input",)


def _value(node: Any) -> Any:
    return node.meta["val"] if isinstance(node, Node) else node


def _conv(types: dict[int, type[nn.Module]], args: dict[str, Any]) -> nn.Module:
    weight = _value(args["weight"])
    transposed = "output_padding" in args
    groups = args["groups"]
    outs, ins = (
        (weight.shape[1] * groups, weight.shape[0]) if transposed else (weight.shape[0], weight.shape[1] * groups)
    )
    extra = {"output_padding": _tuple(args["output_padding"], weight)} if transposed else {}
    padding = args["padding"] if isinstance(args["padding"], str) else _tuple(args["padding"], weight)
    return types[weight.dim()](
        ins,
        outs,
        tuple(weight.shape[2:]),
        stride=_tuple(args["stride"], weight),
        padding=padding,
        dilation=_tuple(args["dilation"], weight),
        groups=groups,
        bias=args["bias"] is not None,
        device="meta",
        **extra,
    )


def _tuple(value: Any, weight: Tensor) -> tuple[int, ...]:
    """One number a spatial dimension."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * (weight.dim() - 2) if len(values) == 1 else values


def _conv_forward(args: dict[str, Any]) -> nn.Module:
    return _conv({3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}, args)


def _conv_transposed(args: dict[str, Any]) -> nn.Module:
    return _conv({3: nn.ConvTranspose1d, 4: nn.ConvTranspose2d, 5: nn.ConvTranspose3d}, args)


def _linear(args: dict[str, Any]) -> nn.Module:
    out, ins = _value(args["weight"]).shape
    return nn.Linear(ins, out, bias=args["bias"] is not None, device="meta")


def _batch_norm(args: dict[str, Any]) -> nn.Module:
    types = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
    value = _value(args["input"])
    return types[value.dim()](
        value.shape[1],
        eps=args["eps"],
        momentum=args["momentum"],
        affine=args["weight"] is not None,
        track_running_stats=args["running_mean"] is not None,
        device="meta",
    )


def _layer_norm(args: dict[str, Any]) -> nn.Module:
    return nn.LayerNorm(
        tuple(args["normalized_shape"]),
        eps=args["eps"],
        elementwise_affine=args["weight"] is not None,
        bias=args["bias"] is not None,
        device="meta",
    )


def _group_norm(args: dict[str, Any]) -> nn.Module:
    channels = _value(args["input"]).shape[1]
    return nn.GroupNorm(args["num_groups"], channels, eps=args["eps"], affine=args["weight"] is not None, device="meta")


def _embedding(args: dict[str, Any]) -> nn.Module:
    padding = args["padding_idx"] if args["padding_idx"] >= 0 else None
    count, features = _value(args["weight"]).shape
    return nn.Embedding(count, features, padding_idx=padding, device="meta")


AFFINE = {"weight": "weight", "bias": "bias"}
STATISTICS = {**AFFINE, "running_mean": "running_mean", "running_var": "running_var"}
LIFTED: dict[Any, Lifted] = {
    aten.conv1d.default: Lifted(_conv_forward, AFFINE),
    aten.conv1d.padding: Lifted(_conv_forward, AFFINE),
    aten.conv2d.default: Lifted(_conv_forward, AFFINE),
    aten.conv2d.padding: Lifted(_conv_forward, AFFINE),
    aten.conv3d.default: Lifted(_conv_forward, AFFINE),
    aten.conv3d.padding: Lifted(_conv_forward, AFFINE),
    aten.conv_transpose1d.default: Lifted(_conv_transposed, AFFINE),
    aten.conv_transpose2d.input: Lifted(_conv_transposed, AFFINE),
    aten.conv_transpose3d.input: Lifted(_conv_transposed, AFFINE),
    aten.linear.default: Lifted(_linear, AFFINE),
    aten.batch_norm.default: Lifted(_batch_norm, STATISTICS),
    aten._native_batch_norm_legit_no_training.default: Lifted(_batch_norm, STATISTICS),
    aten.layer_norm.default: Lifted(_layer_norm, AFFINE),
    aten.group_norm.default: Lifted(_group_norm, AFFINE),
    aten.embedding.default: Lifted(_embedding, {"weight": "weight"}, ("indices",)),
    aten.prelu.default: Lifted(
        lambda a: nn.PReLU(_value(a["weight"]).numel(), device="meta"), {"weight": "weight"}, ("self",)
    ),
}
"""Operators with stored tensors, and the modules that they become."""

RECURRENT: dict[Any, type[nn.RNNBase]] = {aten.lstm.input: nn.LSTM, aten.gru.input: nn.GRU}
DROPOUTS: dict[Any, type[nn.Module]] = {aten.dropout.default: nn.Dropout, aten.feature_dropout.default: nn.Dropout2d}


def lift(module: GraphModule, program: ExportedProgram) -> tuple[GraphModule, list[Skipped]]:
    """Lift what can be lifted, into a new GraphModule with the original's state dict.

    Returns:
        The module, and the operators with weights that stay functional, with the reason.
    """
    if needs_functionalization(module):
        module = canonicalize(program.run_decompositions({}).module(check_guards=False))
    lifted: dict[str, nn.Module] = {}
    functional: list[Skipped] = []
    for node in list(module.graph.nodes):
        if node.target in LIFTED:
            reason = _lift_stored(module, node, lifted)
            if reason is not None and FUNCTION_KINDS.get(node.target) in WEIGHTED:
                functional.append(Skipped(node.name, reason))
        elif node.target in RECURRENT:
            _lift_recurrent(module, node, lifted)
        elif node.target in DROPOUTS:
            _lift_dropout(module, node, lifted)
    return _assemble(module, program, lifted), functional


def _lift_stored(module: GraphModule, node: Node, lifted: dict[str, nn.Module]) -> str | None:
    """Make one node call a module; returns why not, if it must stay a function."""
    rule, args = LIFTED[node.target], arguments(node)
    path, reason = _owner(args, rule.tensors)
    if path is None:
        return reason
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


def _share(made: nn.Module, name: str, module: GraphModule, target: str) -> None:
    """Give a module a stored tensor: the same parameter object, so that tied weights stay tied."""
    path, _, attribute = target.rpartition(".")
    stored = getattr(module.get_submodule(path), attribute)
    if isinstance(stored, nn.Parameter):
        made.register_parameter(name, stored)
    elif name in made._parameters:
        made._parameters.pop(name)
        made.register_buffer(name, stored)
    else:
        made.register_buffer(name, stored)


def _call(module: GraphModule, node: Node, path: str, inputs: tuple[Any, ...]) -> Node:
    with module.graph.inserting_before(node):
        call = module.graph.create_node("call_module", path, inputs)
    call.meta = dict(node.meta)
    return call


def _lift_recurrent(module: GraphModule, node: Node, lifted: dict[str, nn.Module]) -> None:
    args = arguments(node)
    names = [str(weight.target) for weight in args["params"]]
    path = names[0].rpartition(".")[0]
    ins, hidden = _value(args["params"][0]).shape[1], _value(args["params"][1]).shape[1]
    projection = {"proj_size": hidden} if any(name.endswith("weight_hr_l0") for name in names) else {}
    hidden = _value(args["params"][0]).shape[0] // (4 if node.target is aten.lstm.input else 3)
    made = RECURRENT[node.target](
        ins,
        hidden,
        args["num_layers"],
        bias=args["has_biases"],
        batch_first=args["batch_first"],
        dropout=args["dropout"],
        bidirectional=args["bidirectional"],
        **projection,
    )
    for name in names:
        _share(made, name.rpartition(".")[2], module, name)
    made._flat_weights = [getattr(made, name) for name in made._flat_weights_names]
    lifted.setdefault(path, made)
    state = args["hx"]
    call = _call(module, node, path, (args["input"], tuple(state) if isinstance(state, list | tuple) else state))
    for user in list(node.users):
        _reread(module, user, call, lstm=node.target is aten.lstm.input)
    module.graph.erase_node(node)


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


def _assemble(module: GraphModule, program: ExportedProgram, lifted: dict[str, nn.Module]) -> GraphModule:
    """A fresh GraphModule of the lifted modules and every other stored tensor of the original."""
    root = nn.Module()
    for path in sorted(lifted):
        set_submodule(root, path, lifted[path])
    for name, value in _stored_tensors(module, program):
        path, _, attribute = name.rpartition(".")
        if path and not _has(root, path):
            set_submodule(root, path, nn.Module())
        owner = root.get_submodule(path)
        if attribute not in owner._parameters or owner._parameters[attribute] is None:
            _place(owner, attribute, value, persistent=name in program.state_dict)
    return graph_module(root, renamed(module.graph))


def _stored_tensors(module: GraphModule, program: ExportedProgram) -> Iterator[tuple[str, Tensor]]:
    yield from program.state_dict.items()
    for node in module.graph.nodes:
        if node.op == "get_attr" and str(node.target) not in program.state_dict:
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
