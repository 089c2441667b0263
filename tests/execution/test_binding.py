from collections import UserDict
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError
from microjoule.execution.binding import Batch, Binder, by_convention
from microjoule.execution.signature import Signature


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(6, 3)

    def forward(self, first, second, flag=True):
        return self.a(first) + self.b(second) if flag else self.a(first)


class Nested(nn.Module):
    def forward(self, parts):
        return parts[0] + parts[1]


class Keyed(nn.Module):
    def forward(self, parts):
        return parts["a"] + parts["b"]


class Ids(nn.Module):
    def __init__(self):
        super().__init__()
        self.e = nn.Embedding(9, 3)

    def forward(self, input_ids, attention_mask):
        return self.e(input_ids) * attention_mask[..., None]


def binder(model, *args, card=None, targets=None, **kwargs):
    return Binder(Signature.of(mj.capture(model.eval(), args, kwargs, card=card)), "data", targets)


A, B, Y = torch.randn(5, 4), torch.randn(5, 6), torch.arange(5)
ONE = binder(nn.Linear(4, 3), A)
TWO = binder(Two(), A, B)


def same(found, inputs, targets=None):
    assert len(found.inputs) == len(inputs)
    for one, other in zip(found.inputs, inputs, strict=True):
        assert torch.equal(one, other) if isinstance(other, torch.Tensor) else one == other
    if targets is None:
        assert found.targets is None
    else:
        assert torch.equal(found.targets, targets)


class Pair(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


# A network with one input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item",
    [A, (A,), [A], A.numpy(), A.double(), A.tolist(), {"input": A}, UserDict({"input": A}), Batch((A,), None)],
    ids=["tensor", "tuple", "list", "array", "float64", "numbers", "dict", "mapping", "batch"],
)
def test_inputs_alone(item):
    same(ONE.batch(item), (A,))


@pytest.mark.parametrize(
    "item",
    [
        (A, Y),
        [A, Y],
        Pair(A, Y),
        (A.numpy(), Y.numpy()),
        (A, Y.tolist()),
        ((A,), Y),
        ([A], Y),
        {"input": A, "labels": Y},
        {"input": A, "anything": Y},
        {"input": A, "index": torch.ones(5), "label": Y},
        ({"input": A}, Y),
    ],
)
def test_inputs_with_targets(item):
    same(ONE.batch(item), (A,), Y)


def test_a_target_of_the_inputs_own_shape_is_a_target():
    same(ONE.batch((A, A + 1)), (A,), A + 1)


def test_a_single_sample_with_a_number():
    same(ONE.batch((A[:1], 3)), (A[:1],), torch.tensor([3]))


def test_more_parts_than_one_target_are_targets_together():
    found = ONE.batch((A, Y, torch.ones(5)))
    assert torch.equal(found.inputs[0], A)
    assert [len(part) for part in found.targets] == [5, 5]


def test_the_key_of_the_targets_can_be_said():
    item = {"input": A, "fine": Y, "coarse": Y + 1}
    assert ONE.batch(item).targets is None
    same(binder(nn.Linear(4, 3), A, targets="coarse").batch(item), (A,), Y + 1)
    with pytest.raises(DataError, match="has no key 'rough' beside the inputs, but fine, coarse"):
        binder(nn.Linear(4, 3), A, targets="rough").batch(item)


def test_a_dict_without_the_input_is_refused():
    fact = r"gives a dict with the keys image, label, and the network takes input \("
    with pytest.raises(DataError, match=fact) as refusal:
        ONE.batch({"image": A, "label": Y})
    assert "transform=" in refusal.value.remedy


@pytest.mark.parametrize("item", [None, "text", 3 + 4j, object(), ("a", "b"), {}])
def test_what_is_no_data_is_refused(item):
    with pytest.raises(DataError, match=r"data: gives .*network takes|data: gives a str as input"):
        ONE.batch(item)


def test_what_is_not_finite_is_refused():
    with pytest.raises(DataError, match="NaN or infinite"):
        ONE.batch((A / 0, Y))


def test_names_of_classes_are_those_of_the_card():
    named = binder(nn.Linear(4, 3), A, card=mj.ModelCard(labels=("cat", "dog")))
    same(named.batch((A[:2], ["dog", "cat"])), (A[:2],), torch.tensor([1, 0]))


# A network with two inputs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item", [(A, B), [A, B], (A.numpy(), B.tolist()), {"first": A, "second": B}, {"second": B, "first": A}]
)
def test_two_inputs(item):
    same(TWO.batch(item), (A, B))


@pytest.mark.parametrize(
    "item",
    [
        (A, B, Y),
        ((A, B), Y),
        ([A, B], Y),
        {"first": A, "second": B, "y": Y},
        ({"second": B, "first": A}, Y),
        [(A, B), Y],
    ],
)
def test_two_inputs_with_targets(item):
    same(TWO.batch(item), (A, B), Y)


@pytest.mark.parametrize("item", [(A, Y), A, (A,), (A, B[:, :5, None]), (A[0], B[0])])
def test_two_parts_that_are_not_the_inputs_are_refused_with_how_to_say_it(item):
    taken = r"the network takes first \(float32 \(5, 4\)\), second \(float32 \(5, 6\)\)"
    with pytest.raises(DataError, match=taken) as refusal:
        TWO.batch(item)
    assert "((first, second), target)" in refusal.value.remedy


def test_parts_in_another_type_are_still_the_inputs():
    same(TWO.batch((A, B.long())), (A, B.long().float()))


# Constants ------------------------------------------------------------------------------------------------------------

CONSTANT = binder(Two(), A, B, False)


@pytest.mark.parametrize(
    ("item", "targets"),
    [
        ((A, B), None),
        ((A, B, False), None),
        ((A, B, Y), Y),
        (((A, B), Y), Y),
        ((A, B, False, Y), Y),
        ({"first": A, "second": B}, None),
        ({"first": A, "second": B, "flag": False, "labels": Y}, Y),
    ],
)
def test_constants_are_the_networks_own(item, targets):
    same(CONSTANT.batch(item), (A, B, False), targets)


def test_another_constant_is_refused():
    with pytest.raises(DataError, match="gives flag as True, and the network was captured with False"):
        CONSTANT.batch({"first": A, "second": B, "flag": True})


# Nested inputs --------------------------------------------------------------------------------------------------------


def test_inputs_in_a_list():
    nested = binder(Nested(), [A, A])
    found = nested.batch([A, A + 1])
    assert torch.equal(found.inputs[0][1], A + 1)
    found = nested.batch(((A, A + 1), Y))
    assert torch.equal(found.inputs[0][1], A + 1)
    assert torch.equal(found.targets, Y)


def test_inputs_in_a_dict():
    keyed = binder(Keyed(), {"a": A, "b": A})
    found = keyed.batch(({"b": A.numpy(), "a": A + 1}, Y))
    assert torch.equal(found.inputs[0]["a"], A + 1)
    assert torch.equal(found.targets, Y)
    assert torch.equal(keyed.batch({"b": A, "a": A + 1}).inputs[0]["a"], A + 1)


def test_batches_of_transformers():
    ids = binder(Ids(), torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64))
    item = {
        "input_ids": torch.ones(3, 7).int(),
        "attention_mask": np.ones((3, 7)),
        "token_type_ids": 0,
        "labels": Y[:3],
    }
    found = ids.batch(UserDict(item))
    assert [one.dtype for one in found.inputs] == [torch.int64, torch.int64]
    assert torch.equal(found.targets, Y[:3])


# Samples --------------------------------------------------------------------------------------------------------------


def test_a_sample_is_told_from_a_batch():
    assert [ONE.is_sample(item) for item in (A[0], (A[0], 3), {"input": A[0]}, A, (A, Y), None)] == [True] * 3 + [
        False
    ] * 3
    assert [TWO.is_sample(item) for item in ((A[0], B[0]), ((A[0], B[0]), 1), (A, B))] == [True, True, False]
    assert not Binder(Signature.of(Two()), "data").is_sample((A[0], B[0]))


def test_samples_may_lie_along_another_dimension():
    made = mj.capture(nn.LSTM(4, 3).eval(), torch.randn(7, 2, 4), batch_axis=1)
    time_first = Binder(Signature.of(made), "data")
    assert time_first.is_sample((torch.randn(7, 4), 1))
    assert not time_first.is_sample((torch.randn(7, 5, 4), torch.arange(5)))
    stacked = time_first.told_apart((torch.randn(5, 7, 4), torch.arange(5)), 0)
    assert stacked.inputs[0].shape == (5, 7, 4)


# A module that was not captured ---------------------------------------------------------------------------------------


def test_a_modules_parameters_tell_how_many_inputs_there_are():
    two = Binder(Signature.of(Two()), "data")
    same(two.batch((A, B)), (A, B))
    same(two.batch((A, B, Y)), (A, B), Y)
    same(two.batch({"second": B, "first": A, "labels": Y}), (A, B), Y)


# Nothing known --------------------------------------------------------------------------------------------------------


def test_by_convention_a_pair_is_input_and_target():
    same(by_convention((A, Y), "data", labelled=True), (A,), Y)
    same(by_convention(((A, B), Y), "data", labelled=True), (A, B), Y)
    same(by_convention(Batch((A,), Y), "data", labelled=True), (A,), Y)
    same(by_convention((A, B), "data", labelled=False), (A, B))
    same(by_convention(A, "data", labelled=False), (A,))
    with pytest.raises(DataError, match="gives a dict, not a pair"):
        by_convention({"x": A}, "data", labelled=True)
    with pytest.raises(DataError, match="gives a str as input"):
        by_convention(["text"], "data", labelled=False)
