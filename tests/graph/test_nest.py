from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from microjoule.graph.nest import (
    DEEPEST,
    Constant,
    Items,
    Leaf,
    filled,
    from_plain,
    leaves,
    nest_of,
    opened,
    refilled,
    to_plain,
)

A, B, C = (torch.tensor(float(value)) for value in range(3))
Pair = namedtuple("Pair", "first second")


@dataclass(frozen=True)
class Held:
    value: Any
    more: Any = None


class Batch(UserDict):
    """A mapping that is no dict."""


VALUES = {
    "tensor": (A, Leaf(0)),
    "constant": (3, Constant(3)),
    "dict": ({"a": A, 1: None}, Items("dict", ("a", 1), (Leaf(0), Constant(None)))),
    "ordered dict": (OrderedDict(a=A), Items("dict", ("a",), (Leaf(0),))),
    "mapping": (Batch(a=A), Items("dict", ("a",), (Leaf(0),))),
    "dataclass": (Held(A), Items("dict", ("value", "more"), (Leaf(0), Constant(None)))),
    "named tuple": (Pair(A, B), Items("tuple", (), (Leaf(0), Leaf(1)))),
    "list": ([A, (B, "text")], Items("list", (), (Leaf(0), Items("tuple", (), (Leaf(1), Constant("text")))))),
    "infinity": (float("inf"), Constant("inf", plain=False)),
    "other": (torch.float16, Constant("torch.float16", plain=False)),
    "empty": ((), Items("tuple", (), ())),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_nest_says_where_tensors_are_and_goes_through_json(name):
    value, expected = VALUES[name]
    row = []
    assert nest_of(value, row) == expected
    assert all(isinstance(one, torch.Tensor) for one in row)
    assert from_plain(to_plain(expected)) == expected


def test_plain_containers_are_filled_in_order():
    row = []
    nest = nest_of({"x": Held(A, [B]), "y": Pair(C, 5)}, row)
    assert row == [A, B, C]
    assert filled(nest, ["a", "b", "c"]) == {"x": {"value": "a", "more": ["b"]}, "y": ("c", 5)}


def test_other_tensors_are_put_in_the_classes_of_the_original():
    value = {"held": Held(A, "kept"), "batch": Batch(a=B), "pair": Pair(C, [A]), "ordered": OrderedDict(z=A, a=B)}
    made = refilled(value, iter(torch.arange(6.0).unbind()))
    assert made["held"] == Held(torch.tensor(0.0), "kept")
    assert isinstance(made["batch"], Batch)
    assert made["batch"]["a"] == 1
    assert isinstance(made["pair"], Pair)
    assert (made["pair"].first, made["pair"].second) == (2, [3])
    assert list(made["ordered"]) == ["z", "a"]
    assert isinstance(made["ordered"], OrderedDict)
    assert value["held"].value is A
    assert value["batch"]["a"] is B


def test_tensors_are_named_by_their_path():
    nest = nest_of({"a": A, "rest": (B, [C])}, [])
    assert list(leaves(nest, "x")) == [(0, "x.a"), (1, "x.rest.0"), (2, "x.rest.1.0")]
    assert list(leaves(Leaf(4), "y")) == [(4, "y")]


def test_a_constant_is_itself_and_true_is_not_one():
    assert Constant(1).fits(1)
    assert not Constant(1).fits(True)
    assert not Constant(True).fits(1)
    assert Constant(2.0).fits(2)
    assert not Constant("a").fits(None)
    assert Constant("inf", plain=False).fits(float("inf"))
    assert not Constant("inf", plain=False).fits("inf")
    assert str(Constant("a")) == "'a'"
    assert str(Constant("torch.float16", plain=False)) == "torch.float16"


def test_what_is_no_container_is_not_opened():
    assert opened(A) is opened("text") is opened(Held) is opened({1, 2}) is None
    assert opened(torch.Size([2, 3])) == ("tuple", (0, 1), (2, 3))


def test_what_cannot_be_named_or_never_ends_is_refused():
    with pytest.raises(ValueError, match="a key of type tuple"):
        nest_of({(1, 2): A}, [])
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="containers nested more than"):
        nest_of(endless, [])


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], {}, {"tensor": -1}, {"tensor": True}, {"tensor": "0"}, {"value": []}, {"like": 3}, {"set": []}),
        *({"dict": []}, {"dict": [["a"], []]}, {"dict": [[None], [{"tensor": 0}]]}, {"list": 3}, {"list": [3]}),
        {"list": [], "tuple": []},
    ],
    ids=repr,
)
def test_what_is_no_nest_is_refused(value):
    with pytest.raises(ValueError, match="a nest of inputs"):
        from_plain(value)


def test_a_nest_that_is_too_deep_is_refused():
    value = {"tensor": 0}
    for _ in range(DEEPEST + 1):
        value = {"list": [value]}
    with pytest.raises(ValueError, match="a nest of inputs"):
        from_plain(value)
