import json
import math

import pytest
import torch
from torch.fx import Graph

from microjoule.errors import FileError
from microjoule.graph.file.values import decode, encode

VALUES = [
    *(None, True, 3, -(2**63), "a text", 1.5, math.inf, -math.inf, 1 + 2j, complex(math.inf, 0)),
    *((1, 2), [1, (2,)], {"a": 1, 0: [2]}, slice(None, 3, None), {}, (), torch.float32, torch.strided),
    *(torch.channels_last, torch.device("cpu"), torch.device("cuda:1")),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_arguments_come_back(value):
    again = decode(json.loads(json.dumps(encode(value), allow_nan=False)), {})
    assert again == value
    assert type(again) is type(value)


def test_nan_comes_back():
    assert math.isnan(decode(encode(math.nan), {}))


def test_other_nodes_go_by_name():
    node = Graph().placeholder("x")
    assert encode([node]) == [{"node": "x"}]
    assert decode([{"node": "x"}], {"x": node}) == [node]


@pytest.mark.parametrize("value", [object(), torch.ones(1), {1, 2}, print])
def test_what_a_file_cannot_hold_is_refused(value):
    with pytest.raises(FileError, match="is an argument that cannot be saved"):
        encode((value,))


@pytest.mark.parametrize(
    "encoded",
    [
        *({}, {"tuple": 1}, {"tuple": {}}, {"node": "y"}, {"unknown": [1]}, {"float": "1"}, {"float": "__import__"}),
        *({"torch": "load"}, {"torch": "float32.itemsize"}, {"torch": 3}, {"device": "meta"}, {"device": "cpu:x"}),
        *({"device": 3}, {"slice": [1]}, {"slice": [1, 2, 3, 4]}, {"complex": [1]}, {"complex": ["1", 2]}),
        *({"dict": [1]}, {"dict": [[1]]}, {"dict": [[[1], 2]]}, {"tuple": [], "dict": []}),
    ],
    ids=json.dumps,
)
def test_anything_else_is_refused(encoded):
    with pytest.raises((ValueError, LookupError)):
        decode(encoded, {})
