import re
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from microjoule.errors import DataError
from microjoule.graph.bind import REMEMBERED, Binder
from microjoule.graph.contract import BATCH, Contract, Input, Parameter
from microjoule.graph.nest import Constant, Items, Leaf

FREE = {BATCH: (1, None)}
X = Parameter("x", "positional", Leaf(0))
MASK = Parameter("mask", "positional", None, Constant(None))
POSITIONS = Parameter("positions", "positional", Leaf(1), Constant(None))
FLAG = Parameter("flag", "positional", Constant(True))
WORDS = Parameter("words", "keyword", Leaf(1))


def real(name, *dims):
    return Input(name, "float32", dims)


def binder(*parameters, inputs, sizes=FREE, conditions=()):
    return Binder(Contract(parameters, tuple(inputs), sizes, conditions, batched=(True,) * len(inputs)))


@pytest.fixture
def two():
    return binder(X, MASK, POSITIONS, FLAG, inputs=[real("x", BATCH, 4), Input("positions", "int64", (BATCH,))])


@dataclass
class Pair:
    a: Any
    b: Any


def rows(count=3):
    return torch.randn(count, 4), torch.arange(count)


def test_inputs_go_by_place_by_name_mixed_and_in_a_dict(two):
    x, at = rows()
    ways = (
        ((x, None, at), {}),
        ((x,), {"positions": at}),
        ((), {"positions": at, "x": x}),
        (({"positions": at, "x": x},), {}),
    )
    for args, kwargs in ways:
        found = two(args, kwargs)
        assert found[0] is x
        assert found[1] is at


def test_python_values_are_those_of_the_capture(two):
    x, at = rows()
    two((x, None, at, True), {})
    two((x,), {"positions": at, "flag": True, "mask": None})
    with pytest.raises(DataError, match=r"flag: is 'False' \(bool\); the network was captured with True"):
        two((x, None, at, False), {})
    with pytest.raises(
        DataError, match=r"mask: is a tensor of shape \(3, 4\); when the network was captured it was None"
    ):
        two((x, x, at), {})


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((1, 2, 3, 4, 5), {}, "inputs: are 5, and it takes 2: x (n, 4) float32, positions (n,) int64"),
        ((torch.randn(3, 4),), {}, "positions: is missing; it takes"),
        ((torch.randn(3, 4),), {"x": torch.randn(3, 4)}, "x: is given twice"),
        ((torch.randn(3, 4),), {"position": torch.arange(3)}, "'position': is no input that it takes"),
        (({"image": torch.randn(3, 4)},), {}, "'image': is a key of the dict"),
        ((3.0, None, torch.arange(3)), {}, "x: is '3.0' (float), and it takes a tensor"),
        (([torch.randn(3, 4)], None, torch.arange(3)), {}, "x: is a list, and it takes a tensor"),
        (
            (torch.randn(3, 4, 1), None, torch.arange(3)),
            {},
            "x: has shape (3, 4, 1), and the network was captured for (n, 4)",
        ),
        ((torch.randn(3, 5), None, torch.arange(3)), {}, "for any n: dimension 1 is 5, not 4"),
        ((torch.randn(3, 4), None, torch.arange(2)), {}, "positions: has shape (2,)"),
        (
            (torch.randn(3, 4), None, torch.randn(3)),
            {},
            "positions: is of type float32, and the network was captured with int64",
        ),
        ((torch.randn(3, 4), None, torch.ones(3) > 0), {}, "positions: is of type bool"),
        ((torch.arange(12).reshape(3, 4), None, torch.arange(3)), {}, "x: is of type int64"),
        ((torch.ones(3, 4, dtype=torch.complex64), None, torch.arange(3)), {}, "x: is of type complex64"),
    ],
)
def test_what_does_not_fit_is_named(two, args, kwargs, said):
    with pytest.raises(DataError, match=re.escape(said)):
        two(args, kwargs)


def test_the_nearest_name_is_told(two):
    with pytest.raises(DataError, match=r"'position': is no input .*; 'positions' is"):
        two((torch.randn(3, 4),), {"position": torch.arange(3)})


def test_types_are_brought_into_the_networks_where_nothing_is_lost(two):
    x, at = rows()
    found = two((x.double(), None, at.int()), {})
    assert (found[0].dtype, found[1].dtype) == (torch.float32, torch.int64)
    assert two((x.half(), None, at), {})[0].dtype is torch.float32
    narrow = binder(X, inputs=[Input("x", "int32", (BATCH,))])
    with pytest.raises(DataError, match="x: is of type int64, and the network was captured with int32"):
        narrow((at,), {})


def test_a_wrong_size_names_the_way_to_free_it(two):
    with pytest.raises(DataError, match=re.escape("or capture with dynamic={'x': (1,)}")):
        two((torch.randn(3, 5), None, torch.arange(3)), {})


def test_a_fixed_batch_takes_no_other():
    fixed = binder(X, inputs=[real("x", 2, 4)], sizes={})
    fixed((torch.randn(2, 4),), {})
    with pytest.raises(
        DataError, match=r"captured for \(2, 4\): dimension 0 is 3, not 2\n  give batches of the example's"
    ):
        fixed((torch.randn(3, 4),), {})


def test_sizes_that_belong_together_and_conditions_are_checked():
    sizes = {BATCH: (1, None), "h": (2, 9)}
    inputs = [real("x", BATCH, "h", ("*", 2, "h")), real("y", ("*", 3, BATCH))]
    bound = binder(X, Parameter("y", "positional", Leaf(1)), inputs=inputs, sizes=sizes, conditions=(("!=", "h", 5),))
    bound((torch.zeros(2, 4, 8), torch.zeros(6)), {})
    for shape, many, said in (
        ((2, 4, 7), 6, r"x: .* dimension 2 is 7, not 2 \* h = 8"),
        ((2, 4, 8), 5, r"y: .* dimension 0 is 5, not 3 \* n = 6"),
        ((2, 5, 10), 6, "it holds where h != 5, and here n = 2, h = 5"),
        ((2, 1, 2), 6, "it holds where h >= 2"),
        ((2, 10, 20), 6, "it holds where h <= 9"),
    ):
        with pytest.raises(DataError, match=said):
            bound((torch.zeros(shape), torch.zeros(many)), {})


def test_a_size_that_stands_by_itself_only_later_is_found():
    inputs = [real("x", ("*", 2, BATCH)), real("y", BATCH)]
    bound = binder(X, Parameter("y", "positional", Leaf(1)), inputs=inputs)
    bound((torch.zeros(6), torch.zeros(3)), {})
    with pytest.raises(DataError, match=r"x: .* dimension 0 is 5, not 2 \* n = 6"):
        bound((torch.zeros(5), torch.zeros(3)), {})


def test_nested_inputs_are_found_by_their_keys():
    nest = Items("dict", ("a", "b"), (Leaf(1), Items("tuple", (), (Leaf(0), Constant(3)))))
    bound = binder(Parameter("x", "positional", nest), inputs=[real("x.b.0", BATCH), real("x.a", BATCH)])
    a, b = torch.zeros(2), torch.ones(2)
    for value in ({"b": (b, 3), "a": a}, {"a": a, "b": [b, 3], "c": None}, Pair(a, (b, 3))):
        assert bound((value,), {})[0] is b
        assert bound((), {"x": value})[1] is a
    for value, said in (
        ({"a": a}, "x: lacks 'b'"),
        ({"a": a, "b": (b, 3), "c": b}, "x: holds 'c', which was not there at capture"),
        ({"a": a, "b": (b,)}, "x.b: lacks 1"),
        ({"a": a, "b": (b, 4)}, "x.b.1: is '4' (int); the network was captured with 3"),
        ({"a": a, "b": b}, "x.b: is a tensor of shape (2,), and it takes a tuple"),
        ((a, (b, 3)), "x: is a tuple, and it takes a dict"),
        ({"a": (a,), "b": (b, 3)}, "x.a: is a tuple, and it takes a tensor"),
    ):
        with pytest.raises(DataError, match=re.escape(said)):
            bound((value,), {})


def test_the_rest_of_the_arguments_are_taken():
    rest = Parameter("rest", "args", Items("tuple", (), (Leaf(1), Leaf(2))))
    more = Parameter("more", "kwargs", Items("dict", ("k",), (Leaf(3),)))
    bound = binder(X, rest, more, inputs=[real(name, BATCH) for name in ("x", "rest.0", "rest.1", "k")])
    row = [torch.full((2,), float(i)) for i in range(4)]
    assert all(a is b for a, b in zip(bound(row[:3], {"k": row[3]}), row, strict=True))
    with pytest.raises(DataError, match="rest: lacks 1"):
        bound(row[:2], {"k": row[3]})
    with pytest.raises(DataError, match="more: lacks 'k'"):
        bound(row[:3], {})
    with pytest.raises(DataError, match="more: holds 'z'"):
        bound(row[:3], {"k": row[3], "z": row[3]})


def test_rest_that_was_not_given_must_not_be_given():
    bound = binder(X, Parameter("rest", "args", None), Parameter("more", "kwargs", None), inputs=[real("x", BATCH)])
    bound((torch.zeros(2),), {})
    with pytest.raises(DataError, match="rest: is a tuple; when the network was captured it was left out"):
        bound((torch.zeros(2), torch.zeros(2)), {})
    with pytest.raises(DataError, match="more: is a dict of 'y'; when"):
        bound((torch.zeros(2),), {"y": 3})


def test_a_keyword_only_input_is_not_taken_by_place():
    bound = binder(X, WORDS, inputs=[real("x", BATCH), real("words", BATCH)])
    bound((torch.zeros(2),), {"words": torch.ones(2)})
    with pytest.raises(DataError, match="inputs: are 2"):
        bound((torch.zeros(2), torch.ones(2)), {})


def test_sizes_that_passed_are_not_computed_again(monkeypatch):
    bound = binder(X, inputs=[real("x", BATCH, 4)])
    bound((torch.zeros(2, 4),), {})
    monkeypatch.setattr(bound, "_check_shapes", lambda shapes: pytest.fail("checked again"))
    bound((torch.ones(2, 4),), {})


def test_no_more_sizes_are_remembered_than_a_few_thousand():
    bound = binder(X, inputs=[real("x", BATCH)])
    for size in range(1, REMEMBERED + 3):
        bound((torch.empty(size, device="meta"),), {})
    assert len(bound._passed) == 2


def test_an_argument_that_was_not_its_default_at_capture_must_be_given_in_a_call():
    """The model would compute with the default; data has no such arguments and means what was captured."""
    scale = Parameter("scale", "keyword", Constant(2.0), Constant(1.0))
    held = binder(X, scale, inputs=[real("x", BATCH, 4)])
    x = rows()[0]
    assert held((x,), {"scale": 2.0})[0] is x
    assert held.captured((x,))[0] is x
    assert held.captured(({"x": x},))[0] is x
    for args in ((x,), ({"x": x},)):
        with pytest.raises(DataError, match=r"scale: is left out, which means 1\.0; .* captured with 2\.0"):
            held(args, {})
