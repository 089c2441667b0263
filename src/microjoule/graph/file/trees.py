"""How inputs and outputs nest, in a notation of our own: plain JSON, which names no classes.

    a value                     "value"
    a tuple, a list             {"tuple": [...]}, {"list": [...]}
    a dict                      {"dict": [["key", ...], ...]}

Named tuples become tuples, deques lists; ordered dicts, dataclasses and the like become dicts with their keys. What was
saved and loaded again so gives plain tuples, lists and dicts, and takes them.
"""

from collections import defaultdict, deque, namedtuple
from collections.abc import Iterator
from typing import Any

from torch.utils import _pytree as pytree

from microjoule.graph.file.names import text

LEAF = "value"


def encode_tree(spec: pytree.TreeSpec) -> Any:
    """The notation for a structure.

    Raises:
        ValueError: if it holds a class that is neither a sequence nor has a key for each entry.
    """
    if spec.is_leaf():
        return LEAF
    children = [encode_tree(spec.child(index)) for index in range(spec.num_children)]
    keys = _keys(spec.type, spec.context)
    if keys is not None and len(keys) == len(children) and all(isinstance(key, str | int) for key in keys):
        return {"dict": [[key, child] for key, child in zip(keys, children, strict=True)]}
    if spec.type is namedtuple or (isinstance(spec.type, type) and issubclass(spec.type, tuple)):
        return {"tuple": children}
    if spec.type in (list, deque):
        return {"list": children}
    raise ValueError(f"a {spec.type.__name__} among the inputs or outputs has no keys that a file can name")


def decode_tree(encoded: Any) -> pytree.TreeSpec:
    """The structure of a notation.

    Raises:
        ValueError: if it is none.
    """
    return pytree.tree_structure(_nested(encoded))


def _keys(kind: Any, context: Any) -> list[Any] | None:
    """The keys of a class's entries, by what torch remembers of them: a list, or for two classes a list beside more."""
    if kind is defaultdict:
        return list(context[1])
    if isinstance(context, list | tuple) and len(context) == 2 and all(isinstance(part, list) for part in context):
        return list(context[0])  # a dataclass: the names of fields that are there, and of those that are None
    return list(context) if isinstance(context, list | tuple) else None


def _nested(encoded: Any) -> Any:
    """Anything that nests as the notation says."""
    if encoded == LEAF:
        return 0
    if not isinstance(encoded, dict) or len(encoded) != 1:
        raise ValueError(f"{str(encoded)[:40]!r} is no structure of inputs or outputs")
    ((kind, children),) = encoded.items()
    if not isinstance(children, list):
        raise ValueError(f"a {kind!r} of inputs or outputs is no list")
    if kind == "tuple":
        return tuple(map(_nested, children))
    if kind == "list":
        return list(map(_nested, children))
    if kind == "dict":
        found = dict(_entries(children))
        if len(found) == len(children):
            return found
    raise ValueError(f"a {str(kind)[:40]!r} of inputs or outputs is not known, or has a key twice")


def _entries(children: list[Any]) -> Iterator[tuple[str | int, Any]]:
    for entry in children:
        if not isinstance(entry, list) or len(entry) != 2:
            raise ValueError("an entry of inputs or outputs is no key and value")
        key, child = entry
        yield key if type(key) is int else text(key), _nested(child)
