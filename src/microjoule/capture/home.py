"""A home for layers whose tensors are not stored under a module's ordinary names.

A weight that was folded, a parameter at the root of a model that a functional convolution reads, a layer that is itself
the whole model: each gets a module of its own, so that it is a layer like any other. Its path is, if that is free,

- the path of the module that owns one of its tensors under the ordinary name, or that called it ("block.conv");
- else the path of its weight ("mixer" for a parameter `mixer` at the root: `mixer.weight` is its key from then on);
- for a model that is itself a layer, what the layer is: "conv", "linear", "lstm".
"""

from collections.abc import Container, Iterator, Mapping

from torch import nn
from torch.fx import GraphModule, Node

from microjoule.capture.constants import stored_at
from microjoule.capture.modules import LIFTED, RECURRENT, RECURRENT_TARGETS, recurrent
from microjoule.capture.program import free_name
from microjoule.graph.network import set_submodule
from microjoule.graph.ops import FUNCTION_KINDS, arguments

CALLERS = ("Conv", "Linear", "Embedding", "Norm", "PReLU")
"""Parts of the names of classes of modules that are one layer."""


def house(module: GraphModule, folded: Container[str]) -> dict[str, str]:
    """Give every such layer a home, in place.

    Args:
        module: the canonical graph, with its constants folded.
        folded: the paths of constants.

    Returns:
        The old path of each tensor that has moved -> the new one.
    """
    homes: dict[tuple[int, ...], str] = {}
    moved: dict[str, str] = {}
    for node in list(module.graph.nodes):
        tensors = dict(_tensors(node))
        old = {name: str(read.target) for name, read in tensors.items()}
        for name, path in old.items():
            if path in folded and name not in STATISTICS:
                _let_learn(module, path)
        if not old or not _is_homeless(old, folded):
            continue
        key = tuple(id(stored_at(module, path)) for path in old.values())
        if key not in homes:
            homes[key] = _home(module, node, old)
            for name, path in (old | _beside(module, old)).items():
                _move(module, path, homes[key], name)
                moved[path] = f"{homes[key]}.{name}"
        for name, read in tensors.items():
            _reread(module, node, read, f"{homes[key]}.{name}")
    _forget(module, moved)
    return moved


STATISTICS = ("running_mean", "running_var")
COUNTER = "num_batches_tracked"


def _let_learn(module: GraphModule, path: str) -> None:
    """A layer's folded weight is a parameter, like any layer's."""
    above, _, name = path.rpartition(".")
    owner, tensor = module.get_submodule(above), stored_at(module, path)
    if tensor.is_floating_point() and not isinstance(tensor, nn.Parameter):
        delattr(owner, name)
        owner.register_parameter(name, nn.Parameter(tensor))


def _beside(module: GraphModule, old: Mapping[str, str]) -> dict[str, str]:
    """The counter of a batch norm, which it stores beside its statistics and does not read."""
    above = old.get("running_mean", "-").rpartition(".")[0]
    path = f"{above}.{COUNTER}".lstrip(".")
    return {COUNTER: path} if "running_mean" in old and hasattr(module.get_submodule(above), COUNTER) else {}


def _tensors(node: Node) -> Iterator[tuple[str, Node]]:
    """A layer's stored tensors by a module's names for them; none if something else is there, or one is computed."""
    if node.target in RECURRENT_TARGETS:
        args = arguments(node)
        named = dict(zip(recurrent(_operator(node), args)._flat_weights_names, args["params"], strict=True))
    elif node.target in LIFTED:
        args = arguments(node)
        read = {name: args[argument] for argument, name in LIFTED[node.target].tensors.items()}
        named = {name: value for name, value in read.items() if value is not None}
    else:
        return
    if all(isinstance(value, Node) and value.op == "get_attr" for value in named.values()):
        yield from named.items()


def _operator(node: Node) -> str:
    name: str = node.target._schema.name.partition("::")[2]  # type: ignore[union-attr]
    return name


def _is_homeless(old: Mapping[str, str], folded: Container[str]) -> bool:
    """Whether tensors are not one module's own, and one of them was folded or lies at the root."""
    owners = {path.rpartition(".")[0] for path in old.values()}
    if len(owners) == 1 and "" not in owners and all(path.endswith(f".{name}") for name, path in old.items()):
        return False
    return any(path in folded or "." not in path for path in old.values())


def _home(module: GraphModule, node: Node, old: Mapping[str, str]) -> str:
    """The first path at which nothing is in the way."""
    plain = {name: path.removesuffix("_folded") for name, path in old.items()}
    candidates = [path.rpartition(".")[0] for name, path in plain.items() if path.rpartition(".")[2] == name]
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    candidates += [path for path, kind in stack[-1:] if any(word in str(kind).rpartition(".")[2] for word in CALLERS)]
    for path in dict.fromkeys(candidates):
        if path and _is_free(module, path, old):
            return path
    weight = "weight" if "weight" in old else next(iter(old))
    above, _, name = plain[weight].rpartition(".")
    if name in old or name.startswith("constant"):  # "weight" of a module that has another one, or of the root
        name = RECURRENT[_operator(node)][0].__name__.lower() if node.target in RECURRENT_TARGETS else _kind(node)
    path = f"{above}.{name}".lstrip(".")
    if path != old[weight] or not _is_only_reader(module, node, old):
        name = free_name(module.get_submodule(above), name)
    return f"{above}.{name}".lstrip(".")


def _is_only_reader(module: GraphModule, node: Node, old: Mapping[str, str]) -> bool:
    """Whether nobody but calls of one layer reads its weight, so that the layer may take the weight's path."""
    weight = old.get("weight") or next(iter(old.values()))
    users = {user for one in module.graph.nodes if one.op == "get_attr" and one.target == weight for user in one.users}
    return all({name: str(read.target) for name, read in _tensors(user)} == old for user in users | {node})


def _kind(node: Node) -> str:
    return FUNCTION_KINDS.get(node.target, "embedding" if "embedding" in _operator(node) else _operator(node))


def _is_free(module: GraphModule, path: str, old: Mapping[str, str]) -> bool:
    """Whether a module can store a layer's tensors under their names: it has none of them, or these very ones."""
    try:
        owner = module.get_submodule(path)
    except AttributeError:
        return not hasattr(module.get_submodule(path.rpartition(".")[0]), path.rpartition(".")[2])
    ours = {path: name for name, path in old.items()}
    here = {name: f"{path}.{name}" for name in (*owner._parameters, *owner._buffers)}
    return all(here[name] in ours for name in here if name in old or name in ("weight", "bias"))


def _move(module: GraphModule, path: str, home: str, name: str) -> None:
    """Store a tensor in its layer's home: the same object, so that what is tied stays tied."""
    tensor = stored_at(module, path)
    above, _, last = path.rpartition(".")
    if path == home:  # the module takes the tensor's own name
        delattr(module.get_submodule(above), last)
    if not _has(module, home):
        set_submodule(module, home, nn.Module())
    owner = module.get_submodule(home)
    for stored in (owner._parameters, owner._buffers):
        stored.pop(name, None)
    if isinstance(tensor, nn.Parameter):
        owner.register_parameter(name, tensor)
    else:
        owner.register_buffer(name, tensor)


def _has(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True


def _reread(module: GraphModule, node: Node, read: Node, path: str) -> None:
    with module.graph.inserting_before(node):
        again = module.graph.get_attr(path)
    again.meta = dict(read.meta)
    node.replace_input_with(read, again)


def _forget(module: GraphModule, moved: Mapping[str, str]) -> None:
    """Drop what nobody reads under its old path any more."""
    for node in [node for node in module.graph.nodes if node.op == "get_attr" and not node.users]:
        module.graph.erase_node(node)
    read = {str(node.target) for node in module.graph.nodes if node.op == "get_attr"}
    for old, new in moved.items():
        above, _, name = old.rpartition(".")
        owner = module.get_submodule(above)
        if old not in read and old != new and (name in owner._parameters or name in owner._buffers):
            delattr(owner, name)
