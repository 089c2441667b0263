import json
from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest
from torch.utils import _pytree as pytree

from microjoule.capture.program_tree import structure
from microjoule.errors import FileError

Pair = namedtuple("Pair", "first second")
pytree._register_namedtuple(Pair, serialized_type_name="tests.capture.Pair")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (1, 0),
        ((1, [2]), (0, [0])),
        ({"b": 1, "a": (2,)}, {"b": 0, "a": (0,)}),
        (OrderedDict(b=1), {"b": 0}),
        (defaultdict(list, b=1), {"b": 0}),
        (deque([1]), [0]),
        (Pair(1, 2), (0, 0)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_structures_are_plain(value, plain):
    found = structure(pytree.treespec_dumps(pytree.tree_structure(value)))
    assert found == plain
    assert type(found) is type(plain)


LEAF = {"type": None, "context": None, "children_spec": []}


def spec(kind, context, *children, protocol=1):
    return json.dumps([protocol, {"type": kind, "context": context, "children_spec": list(children)}])


def test_a_class_with_keys_is_a_dict_and_not_looked_up():
    assert structure(spec("transformers.ModelOutput", '["a", "b"]', LEAF, LEAF)) == {"a": 0, "b": 0}
    assert structure(spec("this.Thing", '[["a"], ["b"]]', LEAF)) == {"a": 0}


def test_no_module_is_imported():
    context = {"default_factory_module": "this", "default_factory_name": "s", "dict_context": ["a"]}
    assert structure(spec("collections.defaultdict", context, LEAF)) == {"a": 0}


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "[", "3", "[1]", "[1, 2, 3]", "[1, {}]", spec("builtins.dict", '["a"]', LEAF, protocol=2)),
        *(
            spec("builtins.dict", '["a"]'),
            spec("builtins.dict", '["a", "a"]', LEAF, LEAF),
            spec("builtins.dict", "[[1]]", LEAF),
        ),
        *(
            spec("builtins.set", "null", LEAF),
            spec(3, "null", LEAF),
            spec("builtins.dict", '[{"__enum__": "os.x"}]', LEAF),
        ),
        *(
            "[1, " + "[" * 1000 + "]" * 1000 + "]",
            spec("builtins.dict", "3", LEAF),
            spec("builtins.dict", "[1.5]", LEAF),
        ),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises((ValueError, LookupError, TypeError, FileError)):
        structure(text)
