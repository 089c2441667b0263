"""Constant folding: what no input reaches is computed at capture and stored.

Normalized, standardized and transposed weights, position tables, masks, biases of relative positions, anchors: a value
that depends on stored tensors alone is the same for every input, so that it is a stored tensor itself, and a layer
whose weight it is becomes an ordinary layer. What is random, or another value in training, stays; so does what would
only repeat a few numbers many times.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg
from torch.utils import _pytree as pytree

from microjoule.capture.modules import DROPOUTS
from microjoule.capture.program import free_name
from microjoule.records.facts import Skipped

aten = torch.ops.aten

LARGEST_COMPUTED_BYTES = 2**28
"""What is larger is not even computed."""

LARGEST_STORED_BYTES = 2**24
GROWTH = 4
"""A constant is stored if it has at most so many bytes, or at most so many times those of what it is made of."""

FEW = 1024
"""A constant that repeats one number is stored if it has so few."""

SPREADING = frozenset(
    f"aten::{name}"
    for name in (
        *("expand", "expand_as", "broadcast_to", "repeat", "repeat_interleave", "tile", "full", "zeros", "ones"),
        *("full_like", "zeros_like", "ones_like", "new_full", "new_zeros", "new_ones"),
    )
)
"""Operators that repeat numbers."""

VIEWS = frozenset(
    f"aten::{name}"
    for name in (
        *(
            "view",
            "reshape",
            "permute",
            "transpose",
            "t",
            "numpy_T",
            "mT",
            "unsqueeze",
            "squeeze",
            "flatten",
            "unflatten",
        ),
        *("movedim", "swapaxes", "swapdims", "contiguous", "clone", "detach", "alias", "to"),
    )
)
"""Operators that give the same numbers in another shape."""

PARTS = frozenset(("aten::slice", "aten::select", "aten::narrow"))
"""Operators that give some of the numbers."""

CHANGING = frozenset(
    f"aten::{name}"
    for name in (
        "empty",
        "empty_like",
        "new_empty",
        "empty_strided",
        "batch_norm",
        "_native_batch_norm_legit_no_training",
    )
)
"""Operators whose result is not known at capture: without values, or another in training."""


@dataclass(slots=True)
class Folding:
    """What became of a graph's constants.

    Args:
        stored: the path of each tensor that is new -> those of the stored ones that it was made of.
        skipped: constants that are computed each time, with the reason.
    """

    stored: dict[str, frozenset[str]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def sources(self) -> set[str]:
        """The stored tensors that any constant was made of."""
        return {path for sources in self.stored.values() for path in sources}


def name_of(node: Node) -> str:
    """An operator's name without its overload, "aten::add"; empty for anything else."""
    schema = getattr(node.target, "_schema", None)
    return "" if schema is None else str(schema.name)


def constants(module: GraphModule) -> set[Node]:
    """The nodes that no input reaches and nothing random, stored tensors among them."""
    found: set[Node] = set()
    for node in module.graph.nodes:
        if node.op == "get_attr" or (
            node.op == "call_function" and _is_computable(node) and all(one in found for one in node.all_input_nodes)
        ):
            found.add(node)
    return found


def _is_computable(node: Node) -> bool:
    schema, tags = getattr(node.target, "_schema", None), getattr(node.target, "tags", ())
    if torch.Tag.nondeterministic_seeded in tags or node.target in DROPOUTS or name_of(node) in CHANGING:
        return False
    return not (schema is not None and schema.is_mutable) and _bytes(node.meta.get("val")) <= LARGEST_COMPUTED_BYTES


def _bytes(value: Any) -> int:
    leaves = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
    sizes = [leaf.numel() for leaf in leaves]
    known = [LARGEST_COMPUTED_BYTES + 1 if isinstance(size, torch.SymInt) else size for size in sizes]
    return sum(size * leaf.itemsize for size, leaf in zip(known, leaves, strict=True))


def fold_constants(module: GraphModule) -> Folding:
    """Compute every constant of a graph and store it, in place; tensors that nobody reads any more stay where they are.

    Equal constants are one: a layer that is called twice computes its weight twice, and has one.
    """
    folding = Folding()
    known = constants(module)
    _merge_equal(module, known)
    values = _Values(module)
    ends = _ends(module, known, values, folding)
    for node in ends:
        value = values.of(node)
        if isinstance(value, Tensor):
            _store(module, node, value, values, folding)
        else:
            _write_number(node, value)
    _erase_unread(module)
    return folding


def _merge_equal(module: GraphModule, known: set[Node]) -> None:
    """Let equal constants be one node."""
    first: dict[str, Node] = {}
    for node in [node for node in module.graph.nodes if node in known]:
        same = first.setdefault(f"{node.op} {node.target} {node.args!r} {node.kwargs!r}", node)
        if same is not node:
            node.replace_all_uses_with(same)
            module.graph.erase_node(node)
            known.discard(node)


def _erase_unread(module: GraphModule) -> None:
    for node in reversed(list(module.graph.nodes)):
        if node.op in ("get_attr", "call_function") and not node.users and _is_computable(node):
            module.graph.erase_node(node)


class _Values:
    """The values of constants, each computed once, of the stored tensors below it."""

    def __init__(self, module: GraphModule) -> None:
        self.module = module
        self._values: dict[Node, Any] = {}
        self._sources: dict[Node, frozenset[str]] = {}

    def of(self, node: Node) -> Any:
        """The value of a constant."""
        todo = [node]
        while todo:
            one = todo[-1]
            missing = [other for other in one.all_input_nodes if other not in self._values]
            if missing:
                todo += missing
                continue
            todo.pop()
            if one not in self._values:
                self._values[one] = self._computed(one)
        return self._values[node]

    def _computed(self, node: Node) -> Any:
        if node.op == "get_attr":
            return stored_at(self.module, str(node.target))
        args, kwargs = map_arg((node.args, node.kwargs), self._values.__getitem__)
        with torch.no_grad():
            return node.target(*args, **kwargs)  # type: ignore[operator]

    def sources(self, node: Node) -> frozenset[str]:
        """The paths of the stored tensors below a constant."""
        if node not in self._sources:
            own = frozenset([str(node.target)]) if node.op == "get_attr" else frozenset[str]()
            self._sources[node] = own.union(*(self.sources(one) for one in node.all_input_nodes))
        return self._sources[node]


def stored_at(module: nn.Module, path: str) -> Tensor:
    """The tensor that is stored at a path."""
    above, _, name = path.rpartition(".")
    tensor: Tensor = getattr(module.get_submodule(above), name)
    return tensor


def _ends(module: GraphModule, known: set[Node], values: _Values, folding: Folding) -> list[Node]:
    """The constants that are read by what is none, in order; of one that is not worth storing, those that it reads."""
    ends = []
    for node in reversed(list(module.graph.nodes)):
        if node not in known or node.op == "get_attr" or all(user in known for user in node.users):
            continue
        is_row = isinstance(node.meta.get("val"), tuple | list)
        reason = "" if is_row else _not_worth(module, node, values)
        if reason:
            folding.skipped.append(Skipped(node.name, reason))
        if reason or is_row:
            known.discard(node)
        else:
            ends.append(node)
    return ends[::-1]


def _not_worth(module: GraphModule, node: Node, values: _Values) -> str:
    """Why a constant is computed each time; empty if it is stored."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return ""
    sources = [stored_at(module, path) for path in sorted(values.sources(node))]
    count, held = value.numel(), sum(source.numel() for source in sources)
    if _repeats(node) and count > (held or FEW):
        return f"it spreads {held or 'a few'} numbers over {count}"
    if _bytes(value) > max(LARGEST_STORED_BYTES, GROWTH * sum(s.numel() * s.itemsize for s in sources)):
        return f"it would store {count} numbers, made of {held}"
    return ""


def _repeats(node: Node) -> bool:
    """Whether a constant is only a few numbers, repeated."""
    while name_of(node) in VIEWS | PARTS and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return name_of(node) in SPREADING


def _store(module: GraphModule, node: Node, value: Tensor, values: _Values, folding: Folding) -> None:
    """Store a constant, and let everyone read it there."""
    sources = values.sources(node)
    path = _place(module, node, sorted(sources))
    above, _, name = path.rpartition(".")
    owner = module.get_submodule(above)
    name = free_name(owner, name)
    kept = value.detach().contiguous().clone()
    learned = any(isinstance(stored_at(module, one), nn.Parameter) for one in sources)
    if learned and kept.is_floating_point() and _is_view(node):
        owner.register_parameter(name, nn.Parameter(kept))
    else:
        owner.register_buffer(name, kept, persistent=bool(sources))
    path = f"{above}.{name}".lstrip(".")
    with module.graph.inserting_before(node):
        read = module.graph.get_attr(path)
    read.meta = dict(node.meta)
    node.replace_all_uses_with(read)
    folding.stored[path] = sources


def _is_view(node: Node) -> bool:
    """Whether a constant is one stored tensor in another shape."""
    while name_of(node) in VIEWS and node.all_input_nodes:
        node = node.all_input_nodes[0]
    return node.op == "get_attr"


def _place(module: GraphModule, node: Node, sources: Iterable[str]) -> str:
    """Where to store a constant: beside what it was made of, or in the module that computes it."""
    paths = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    inner = next((path for path in reversed(paths) if ".parametrizations." in f".{path}."), "")
    if inner:  # the tensor that is parametrized
        owner, _, name = f".{inner}".partition(".parametrizations.")
        return f"{owner}.{name.partition('.')[0]}".strip(".")
    alone = list(sources)
    if len(alone) == 1 and ".parametrizations." not in alone[0]:
        return f"{alone[0]}_folded"
    path = next((one for one in reversed(paths) if _holds(module, one)), "")
    return f"{path}.constant".lstrip(".")


def _holds(module: nn.Module, path: str) -> bool:
    try:
        module.get_submodule(path)
    except AttributeError:
        return False
    return True


def _write_number(node: Node, value: Any) -> None:
    """Put a number in place of a node that gives it."""
    for user in list(node.users):
        args, kwargs = map_arg((user.args, user.kwargs), lambda one: value if one is node else one)
        user.args, user.kwargs = args, kwargs
