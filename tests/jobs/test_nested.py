"""States as tensors and text: back as they were, and refused where they hold anything else."""

import math

import pytest
import torch

from microjoule.errors import FileError
from microjoule.jobs.nested import pack, unpack
from microjoule.jobs.part import Part

X = torch.arange(3.0)


def test_a_nest_comes_back_as_it_was():
    value = {
        "state": {0: {"step": torch.tensor(3.0), "average": X}, 1: {}},
        "groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1], "foreach": None, "nesterov": True}],
        "limits": [math.inf, -math.inf, 2**70, -0.0],
        "name": "ä",
        "none": torch.zeros(0),
        "same": X,
    }
    back = unpack(pack(value, "here"))
    assert torch.equal(back["state"][0].pop("average"), X)
    assert torch.equal(back["same"], value.pop("same"))
    assert back.pop("none").shape == (0,)
    assert torch.equal(back["state"][0].pop("step"), torch.tensor(3.0))
    del back["same"], value["none"], value["state"][0]["average"], value["state"][0]["step"]
    assert back == value
    assert math.copysign(1, back["limits"][3]) == -1
    assert math.isnan(unpack(pack(math.nan, "here")))


def test_a_tensor_in_two_places_is_stored_once():
    assert len(pack([X, X, X[:2], X.clone(), torch.zeros(0), torch.zeros(0)], "here").tensors) == 5


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", [{"a": lambda: 0}], 1j])
def test_anything_else_is_refused(value):
    with pytest.raises(FileError, match=r"optimizer: holds a \w+, which cannot be kept in a folder"):
        pack(value, "optimizer")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a": 1}',
        '{"tensor": "0"}',
        '{"dict": [1]}',
        '{"number": 1}',
        '{"tuple": 1}',
        "[" * 100_000,
        '{"a":1,"b":2}',
    ],
    ids=lambda text: text[:12],
)
def test_another_text_is_no_state(text):
    with pytest.raises(ValueError):  # noqa: PT011
        unpack(Part({}, text))
