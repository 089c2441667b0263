import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.execution.signature import (
    Signature,
    joined,
    part_of,
    part_of_targets,
    samples_along,
    shape_text,
)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(6, 3)

    def forward(self, x, y, scale=2.0, flag=True):
        return (self.a(x) + self.b(y)) * scale if flag else self.a(x)


def network(*args, card=None, **kwargs):
    return mj.capture(Two().eval(), args, kwargs, card=card)


X, Y = torch.randn(5, 4), torch.randn(5, 6)


@pytest.mark.parametrize(
    "made", [network(X, Y), network(X, y=Y), network(y=Y, x=X)], ids=["by position", "mixed", "by keyword"]
)
def test_inputs_have_their_names_however_they_were_given(made):
    found = {entry.name: entry.example for entry in Signature.of(made).inputs}
    assert torch.equal(found["x"], X)
    assert torch.equal(found["y"], Y)


def test_a_constant_is_no_input_that_data_must_give():
    signature = Signature.of(network(X, Y, 2.0, False))
    assert [entry.name for entry in signature.inputs] == ["x", "y", "scale", "flag"]
    assert [entry.name for entry in signature.needed] == ["x", "y"]
    assert signature.text == "x (float32 (5, 4)), y (float32 (5, 6))"


def test_none_is_a_constant_as_any_other():
    class Optional(nn.Module):
        def forward(self, x, mask=None, y=None):
            return x * 2 if y is None else x + y

    signature = Signature.of(mj.capture(Optional(), (X, None, X)))
    assert [entry.constant for entry in signature.inputs] == [False, True, False]


def test_samples_axis_and_batch_are_those_of_the_network():
    made = network(X, Y)
    signature = Signature.of(made)
    assert (signature.samples, signature.axis, signature.fixed) == (5, 0, False)
    made = mj.capture(nn.GRU(4, 3), torch.randn(7, 5, 4), batch_axis=1)
    signature = Signature.of(made)
    assert (signature.samples, signature.axis, signature.fixed) == (5, 1, False)
    made.dynamic_batch = False
    assert Signature.of(made).fixed


def test_pixels_need_no_preparation_where_the_range_says_so():
    stored = [
        Signature.of(network(X, Y, card=mj.ModelCard({"x": r}))).inputs[0].stored
        for r in ((0, 255), (-128, 127), (0, 1))
    ]
    assert stored == [True, False, False]


def test_the_labels_are_those_of_the_card():
    assert Signature.of(network(X, Y, card=mj.ModelCard(labels=("a", "b")))).labels == ("a", "b")


def test_a_module_tells_what_it_needs_and_no_shapes():
    signature = Signature.of(Two())
    assert [(entry.name, entry.known, entry.constant) for entry in signature.inputs] == [
        ("x", False, False),
        ("y", False, False),
    ]
    assert Signature.of(None) is None


def test_a_module_that_takes_any_number_of_inputs_tells_nothing():
    class Any(nn.Module):
        def forward(self, *inputs):
            return inputs

    class Optional(nn.Module):
        def forward(self, x=None, y=None):
            return x

    class Keyword(nn.Module):
        def forward(self, *, x):
            return x

    assert [Signature.of(kind()) for kind in (Any, Optional, Keyword)] == [None, None, None]


@pytest.mark.parametrize(
    ("inputs", "axis", "samples"),
    [((X, Y), 0, 5), ((X, Y), 1, 4), (({"a": X},), 0, 5), ((torch.tensor(1.0), X), 0, 5), ((3,), 0, 1), ((), 0, 1)],
)
def test_samples_are_counted_by_the_first_tensor_that_has_some(inputs, axis, samples):
    assert samples_along(inputs, axis) == samples


def test_some_samples_of_inputs_and_all_of_what_has_no_entry_a_sample():
    mask, scale = torch.ones(1, 4), torch.tensor(2.0)
    a, b, c, d = part_of((X, mask, scale, "word"), slice(1, 3))
    assert torch.equal(a, X[1:3])
    assert b is mask
    assert c is scale
    assert d == "word"
    assert torch.equal(part_of((X,), slice(1, 3), 1)[0], X[:, 1:3])
    assert torch.equal(part_of((X,), torch.tensor([3, 0]))[0], X[[3, 0]])


NUMBERS = torch.arange(5)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (NUMBERS, NUMBERS[1:3]),
        (["a", "b", "c", "d", "e"], ["b", "c"]),
        ({"boxes": [1, 2, 3, 4, 5], "all": 7}, {"boxes": [2, 3], "all": 7}),
        ((NUMBERS, X), (NUMBERS[1:3], X[1:3])),
        (torch.arange(10).reshape(2, 5), torch.tensor([[1, 2], [6, 7]])),
        (torch.tensor(3), torch.tensor(3)),
        (None, None),
    ],
    ids=["tensor", "list", "dict", "tuple", "samples last", "a number", "none"],
)
def test_some_targets(targets, expected):
    found = part_of_targets(targets, slice(1, 3), 5, axis=1)
    torch.testing.assert_close(found, expected) if isinstance(expected, torch.Tensor) else None
    if isinstance(expected, tuple):
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    elif not isinstance(expected, torch.Tensor):
        assert found == expected
    order = torch.tensor([4, 0])
    assert part_of_targets(["a", "b", "c", "d", "e"], order, 5) == ["e", "a"]


def test_boxes_of_each_image_stay_together():
    boxes = [(torch.ones(3, 4), torch.ones(3)), (torch.zeros(7, 4), torch.zeros(7))]
    assert part_of_targets(boxes, slice(1, 2), 2) == [boxes[1]]


def test_batches_are_joined_along_their_samples():
    scale = torch.tensor(2.0)
    whole = joined([({"a": X[:2]}, scale, "word"), ({"a": X[2:]}, scale, "word")])
    assert torch.equal(whole[0]["a"], X)
    assert whole[1:] == (scale, "word")
    assert torch.equal(joined([(X[:, :1],), (X[:, 1:],)], 1)[0], X)
    alone = (X,)
    assert joined([alone]) is alone


def test_a_shape_in_words():
    assert shape_text(X) == "float32 (5, 4)"
