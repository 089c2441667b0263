"""Descriptions: the same for what is the same, other ones for all that changes a result, and no address in any."""

import enum
import functools
import random
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.execution.augment import flips_and_shifts
from microjoule.jobs.describe import describe, describe_tensor, module_settings, shortened, tensor_bytes
from microjoule.numerics.ranges import percentile

X = torch.arange(6.0)
FACTOR = 2


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Setting:
    value: int = 1


class Plain:
    limit = 3

    def __init__(self, value=1):
        self.value = value

    def __call__(self, x):
        return x + self.value


class Other(Plain):
    limit = 4


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Told:
    def __init__(self, value):
        self.value, self.noise = value, object()

    def run_identity(self):
        return {"value": self.value}


def scaled(x):
    return x * FACTOR


def closed(value):
    def function(x, *, more=0):
        return x + value + more

    return function


def network(stride=1):
    torch.manual_seed(0)
    return mj.capture(nn.Sequential(nn.Conv2d(1, 2, 3, stride=stride), nn.ReLU()).eval(), torch.zeros(1, 1, 8, 8))


DIFFERENT = {
    "numbers": [0, 0.0, -0.0, False, None, 1, 2, float("nan"), float("inf"), 1j, np.float32(0.1), 0.1],
    "texts": ["", "a", b"a", Path("a"), "a" * 500, "a" * 499],
    "tensors": [X, X + 1, X.double(), X[None], X[:0], X[:0].double(), X.bool(), X.to_sparse()],
    "bfloat16": [X.bfloat16(), X.half()],
    "arrays": [np.arange(3), np.arange(3.0), np.arange(4), np.array([None, 1]), np.array([None, 2])],
    "nests": [[], (), {}, [1], (1,), {1}, {1: 1}, [[1]], [1, 2], [2, 1], {"a": 1}, {"a": 2}, slice(1), slice(2)],
    "torch": [torch.float32, torch.float64, torch.device("cpu"), torch.Size([1]), torch.relu, torch.abs],
    "enums": [Colour.RED, Colour.BLUE],
    "objects": [Setting(), Setting(2), Plain(), Plain(2), Other(), Slotted(1), Slotted(2), Told(1), Told(2), Plain],
    "closures": [closed(1), closed(2), flips_and_shifts(pixels=2), flips_and_shifts(pixels=4), percentile(99), scaled],
    "lambdas": [lambda x: x + 1, lambda x: x + 2, lambda x: x - 1, lambda x, y=1: x + 1, lambda x, y=2: x + 1],
    "partials": [functools.partial(scaled, 1), functools.partial(scaled, 2), functools.partial(scaled, x=1)],
    "methods": [Plain(1).__call__, Plain(2).__call__, Other(1).__call__],
    "modules": [nn.Dropout(0.1), nn.Dropout(0.2), nn.Dropout(0.1).eval(), nn.CrossEntropyLoss(label_smoothing=0.1)],
    "networks": [network(), network(2)],
    "targets": [mj.target("onnxruntime"), mj.target("per-tensor")],
    "generators": [torch.Generator().manual_seed(1), torch.Generator().manual_seed(2), random.Random(1)],
}


@pytest.mark.parametrize("values", DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_is_told_apart_in_a_line_without_an_address(values):
    told = [describe(value) for value in values]
    assert len(set(told)) == len(told)
    assert all(len(text) < 200 and "0x" not in text for text in told)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({3, 1, 2}, {2, 3, 1}),
        (OrderedDict(a=1), {"a": 1}),
        (np.float64(0.5), 0.5),
        (closed(1), closed(1)),
        (Plain(), Plain()),
        (Told(1), Told(1)),
        (nn.Dropout(0.1), nn.Dropout(0.1)),
        (X[::2], torch.tensor([0.0, 2.0, 4.0])),
        (torch.ones(2, 3).t(), torch.ones(3, 2)),
        (network(), network().copy()),
        (nn.Linear(2, 2).register_forward_hook(scaled), nn.Linear(2, 2).register_forward_hook(scaled)),
    ],
    ids=str,
)
def test_what_is_the_same_is_told_the_same(one, other):
    assert describe(one) == describe(other)


def test_a_global_that_a_function_reads_counts(monkeypatch):
    before = describe(scaled)
    monkeypatch.setitem(scaled.__globals__, "FACTOR", 3)
    assert describe(scaled) != before


def test_objects_that_hold_one_another_end():
    one, other = Plain(), Plain()
    one.value, other.value = other, one
    assert describe(one) == describe(one)
    assert describe([one]) != describe(one)
    deep = value = []
    for _ in range(10_000):
        value.append([])
        value = value[0]
    assert describe(deep)


def test_sets_and_dicts_are_told_in_an_order_that_every_process_has():
    assert describe({"z", "x", "y"}) == "{'x', 'y', 'z'}"
    assert describe({"b": {2, 1}, "a": ()}) == "{'a': (), 'b': {1, 2}}"


def test_the_settings_of_a_module_are_all_that_it_was_made_with():
    told = module_settings(nn.Conv2d(4, 6, (3, 5), stride=2, padding=1, dilation=2, groups=2, padding_mode="reflect"))
    expected = {
        "stride": "(2, 2)",
        "padding": "(1, 1)",
        "dilation": "(2, 2)",
        "groups": "2",
        "padding_mode": "'reflect'",
    }
    assert expected.items() <= told.items()
    assert module_settings(nn.BatchNorm2d(3, eps=0.5, momentum=0.25))["eps"] == "0.5"
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda *_: None)
    assert module_settings(hooked).keys() - module_settings(nn.Linear(2, 2)).keys() == {"forward_hooks"}


def test_bytes_are_those_of_the_values_in_order():
    assert bytes(tensor_bytes(torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).t())) == bytes([1, 3, 2, 4])
    assert bytes(tensor_bytes(torch.tensor(7, dtype=torch.int8))) == b"\x07"
    assert bytes(tensor_bytes(torch.zeros(0, 3))) == b""
    assert describe_tensor(torch.zeros(2, 3)).startswith("float32 (2, 3) ")


def test_a_long_text_is_told_by_its_beginning_and_a_digest():
    assert shortened("a" * 120) == "a" * 120
    assert shortened("a" * 121).startswith("a" * 60 + "… ")
    assert shortened("a" * 121) != shortened("a" * 122)
