from collections import OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch.utils import _pytree as pytree

from microjoule.graph.file.trees import decode_tree, encode_tree

Pair = namedtuple("Pair", "first second")


@dataclass
class Boxes:
    corners: int
    scores: int


pytree.register_dataclass(Boxes, serialized_type_name="tests.Boxes")


@pytest.mark.parametrize(
    ("value", "encoded", "plain"),
    [
        (1, "value", 1),
        (None, "value", None),
        ((), {"tuple": []}, ()),
        ((1, [2]), {"tuple": ["value", {"list": ["value"]}]}, (1, [2])),
        ({"b": 1, "a": (2,)}, {"dict": [["b", "value"], ["a", {"tuple": ["value"]}]]}, {"b": 1, "a": (2,)}),
        ({0: 1, "0": 2}, {"dict": [[0, "value"], ["0", "value"]]}, {0: 1, "0": 2}),
        (Pair(1, 2), {"tuple": ["value", "value"]}, (1, 2)),
        (torch.return_types.max((1, 2)), {"tuple": ["value", "value"]}, (1, 2)),
        (deque([1, 2]), {"list": ["value", "value"]}, [1, 2]),
        (OrderedDict(b=1, a=2), {"dict": [["b", "value"], ["a", "value"]]}, {"b": 1, "a": 2}),
        (defaultdict(list, b=1), {"dict": [["b", "value"]]}, {"b": 1}),
        (Boxes(1, 2), {"dict": [["corners", "value"], ["scores", "value"]]}, {"corners": 1, "scores": 2}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_structures_are_plain(value, encoded, plain):
    spec = pytree.tree_structure(value)
    assert encode_tree(spec) == encoded
    again = decode_tree(encoded)
    assert pytree.tree_unflatten(pytree.tree_leaves(value), again) == plain
    assert type(pytree.tree_unflatten(pytree.tree_leaves(value), again)) is type(plain)


@pytest.mark.parametrize("keys", [[(1, 2)], [1.5]])
def test_keys_that_a_file_cannot_name_are_refused(keys):
    with pytest.raises(ValueError, match="a dict among the inputs or outputs has no keys that a file can name"):
        encode_tree(pytree.tree_structure(dict.fromkeys(keys, 0)))


@pytest.mark.parametrize(
    "encoded",
    [
        *(None, 1, "leaf", [], {}, {"tuple": [], "list": []}, {"tuple": 3}, {"set": []}, {"tuple": ["x"]}),
        *({"dict": [["a"]]}, {"dict": ["ab"]}, {"dict": [["a", "value"], ["a", "value"]]}, {"dict": [[None, "value"]]}),
        *({"dict": [[True, "value"]]}, {"dict": {"a": "value"}}, {"type": "collections.defaultdict"}),
    ],
)
def test_anything_else_is_refused(encoded):
    with pytest.raises(ValueError, match=r"inputs or outputs|is no name"):
        decode_tree(encoded)
