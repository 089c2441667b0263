"""How inputs and outputs nest in a `.pt2` file, as tuples, lists and dicts; classes that it names are not looked up."""

from typing import Any

from microjoule.formats.bounded_text import read_json
from microjoule.graph.file.names import text

SEQUENCES = {"builtins.tuple": tuple, "collections.namedtuple": tuple, "builtins.list": list, "collections.deque": list}
REMEDY = "let the model take and give tuples, lists and dicts"
LONGEST = 1 << 20


def structure(spec: Any) -> Any:
    """Anything that nests as a structure says: named tuples are tuples, classes with keys are dicts.

    Args:
        spec: the text that torch makes of a structure.

    Raises:
        FileError: if it is no JSON.
        ValueError, LookupError, TypeError: if it says anything else, or nests in a class without keys.
    """
    if not isinstance(spec, str) or len(spec) > LONGEST:
        raise ValueError("inputs or outputs without a structure")
    protocol, schema = read_json(spec, "the structure of inputs or outputs", remedy=REMEDY)
    if protocol != 1:
        raise ValueError(f"a structure of inputs or outputs of the kind {str(protocol)[:40]!r}")
    return _nested(schema)


def _nested(schema: Any) -> Any:
    kind, context = schema["type"], schema["context"]
    children = [_nested(child) for child in schema["children_spec"]]
    if kind is None and context is None and not children:
        return 0
    name = text(kind)
    if name in SEQUENCES:
        return SEQUENCES[name](children)
    keys = _keys(context)
    if len(keys) != len(children) or len(set(keys)) < len(keys):
        raise ValueError(f"a {name} among inputs or outputs, which has no keys")
    return dict(zip(keys, children, strict=True))


def _keys(context: Any) -> list[str | int]:
    """The keys of a class's entries: a list, or beside something else in a defaultdict or dataclass."""
    found = read_json(context, "the keys of inputs or outputs", remedy=REMEDY) if isinstance(context, str) else context
    if isinstance(found, dict):
        found = found["dict_context"]
    if len(found) == 2 and all(isinstance(part, list) for part in found):
        found = found[0]
    return [key if type(key) is int else text(key) for key in found]
