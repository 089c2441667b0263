"""A home for layers whose tensors are not stored under a module's ordinary names.

A weight that was folded, a parameter at the root of a model that a functional convolution reads, a layer that is itself
the whole model: each gets a module of its own, so that it is a layer like any other. Its path is, if that is free,

- the path of the module that owns one of its tensors under the ordinary name, or that called it ("block.conv");
- else the path of its weight ("mixer" for a parameter `mixer` at the root: `mixer.weight` is its key from then on);
- for a model that is itself a layer, what the layer is: "conv", "linear", "lstm".
"""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn
from torch.fx import GraphModule, Node

from microjoule.capture.constants import stored_at
from microjoule.capture.modules import LIFTED, RECURRENT, RECURRENT_TARGETS, recurrent
from microjoule.capture.program import free_name
from microjoule.graph.network import set_submodule
from microjoule.graph.ops import FUNCTION_KINDS, arguments

CALLERS = ("Conv", "Linear", "Embedding", "Norm", "PReLU")
"""Parts of the names of classes of modules that are one layer."""


def house(module: GraphModule, folded: Mapping[str, Tensor]) -> dict[str, str]:
    """Give every such layer a home, in place.

    Args:
        module: the canonical graph, with its constants folded.
        folded: the constants by path.

    Returns:
        The old path of each tensor that has moved -> the new one.
    """
    homes: dict[tuple[int, ...], str] = {}
    moved: dict[str, str] = {}
    for node in list(module.graph.nodes):
        tensors = dict(_tensors(node))
        old = {name: str(read.target) for name, read in tensors.items()}
        if not old or not _is_homeless(old, folded):
            continue
        key = tuple(id(stored_at(module, path)) for path in old.values())
        if key not in homes:
            homes[key] = _home(module, node, old)
            for name, path in old.items():
                _move(module, path, homes[key], name, folded)
        for name, read in tensors.items():
            moved[old[name]] = f"{homes[key]}.{name}"
            _reread(module, node, read, moved[old[name]])
    _forget(module, moved)
    return moved


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


def _is_homeless(old: Mapping[str, str], folded: Mapping[str, Tensor]) -> bool:
    """Whether tensors are not one module's own, and one of them was folded or lies at the root."""
    owners = {path.rpartition(".")[0] for path in old.values()}
    if len(owners) == 1 and "" not in owners and all(path.endswith(f".{name}") for name, path in old.items()):
        return False
    return any(path in folded or "." not in path for path in old.values())


def _home(module: GraphModule, node: Node, old: Mapping[str, str]) -> str:
    """The first path at which nothing is in the way."""
    candidates = [path.rpartition(".")[0] for name, path in old.items() if path.rpartition(".")[2] == name]
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    candidates += [path for path, kind in stack[-1:] if any(word in str(kind).rpartition(".")[2] for word in CALLERS)]
    weight = old.get("weight") or next(iter(old.values()))
    for path in dict.fromkeys(candidates):
        if path and _is_free(module, path, old):
            return path
    above, _, name = weight.rpartition(".")
    if name in old or not name:  # "weight" of a module that has another one, or of the root
        name = RECURRENT[_operator(node)][0].__name__.lower() if node.target in RECURRENT_TARGETS else _kind(node)
    owner = module.get_submodule(above)
    readers = [read for read in module.graph.nodes if read.op == "get_attr" and read.target == weight and read.users]
    alone = len(readers) == 1 and set(readers[0].users) == {node}
    name = name.removesuffix("_folded")
    if not (alone and f"{above}.{name}".lstrip(".") == weight):
        name = free_name(owner, name)
    return f"{above}.{name}".lstrip(".")


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


def _move(module: GraphModule, path: str, home: str, name: str, folded: Mapping[str, Tensor]) -> None:
    """Store a tensor in its layer's home: the same object, so that what is tied stays tied; a folded weight learns."""
    tensor = stored_at(module, path)
    if (
        path in folded
        and tensor.is_floating_point()
        and name in ("weight", "bias")
        and not isinstance(tensor, nn.Parameter)
    ):
        tensor = nn.Parameter(tensor)
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
