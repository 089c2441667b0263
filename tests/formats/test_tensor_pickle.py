import io
import os
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch
from torch import nn

from microjoule.formats.tensor_pickle import PickleError, StoredTensor, read_tensors


def pickled(value, **settings):
    """The pickle in what torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, **settings)
    with zipfile.ZipFile(buffer) as archive:
        return archive.read("archive/data.pkl")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_come_back(protocol):
    value = ((1, -(2**40), 2.5, "größe", None, True), {"a": [False, (), [], {}], 3: ("x",) * 5}, OrderedDict(k=1))
    assert read_tensors(pickled(value, pickle_protocol=protocol)) == value


def test_tensors_are_described():
    shared = torch.arange(6.0).reshape(2, 3)
    found = read_tensors(pickled([shared, shared.T[1:], torch.tensor(3), nn.Parameter(torch.ones(2).half())]))
    assert found[0] == StoredTensor("0", "float32", 0, (2, 3), (3, 1))
    assert found[1] == StoredTensor("0", "float32", 1, (2, 2), (1, 3))
    assert found[2] == StoredTensor("1", "int64", 0, (), ())
    assert found[3] == StoredTensor("2", "float16", 0, (2,), (1,), is_parameter=True)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


class Own:
    pass


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (pickle.dumps(Trap()), r"it names posix\.mkdir, which is more than a tensor"),
        (pickle.dumps(Trap(), 0), "it names|step"),
        (pickle.dumps(Own()), "it names"),
        (pickle.dumps(print), r"it names builtins\.print"),
        (pickle.dumps({1, 2}), "the step"),
        (pickle.dumps(b"abc"), "the step"),
        (pickle.dumps(2**70), "more than 64 bits"),
        (pickle.dumps({1.5: 2}), "a dict has the key 1.5"),
        (pickled(torch.ones(2).to_sparse()), "it names"),
        (pickled(torch.float32), "it names torch.float32"),
        (b"", "pickle exhausted before seeing STOP|no end"),
        (b"\x80\x02", "STOP|no end"),
        (b"\x80\x02K\x01K\x02.", "leaves more than one value"),
        (b"\x80\x02(K\x01.", "leaves more than one value"),
        (b"\x80\x02\x85.", "takes more values than there are"),
        (b"\x80\x02(\x85.", "takes more values than there are"),
        (b"\x80\x02K\x01K\x02a.", "appends to something else than a list"),
        (b"\x80\x02}K\x01s.", "list index out of range"),
        (b"\x80\x02K\x01K\x01K\x02s.", "puts entries into something else"),
        (b"\x80\x02h\x05.", "5"),
        (b"\x80\x02ctorch\nFloatStorage\nK\x01\x85R.", "it calls something"),
        (b"\x80\x02K\x01Q.", "K|cannot unpack|unpack"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "argument"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.", "something else than tensors, numbers and texts"),
        (b"\x80\x02ctorch\nhub\n.", r"it names torch\.hub"),
        (b"\x80\x02]q\x00h\x00a.", "more than 32 deep"),
    ],
)
def test_anything_else_is_refused_and_not_run(tmp_path, monkeypatch, content, fact):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PickleError, match=fact):
        read_tensors(content)
    assert list(tmp_path.iterdir()) == []


def test_values_that_are_named_again_and_again_are_counted():
    """Twice as many at each step: 2^30 in all."""
    steps = b"".join(b"q%ch%c\x86" % (i, i) for i in range(30))
    with pytest.raises(PickleError, match=r"holds more than 100,000 values"):
        read_tensors(b"\x80\x02K\x01" + steps + b".")


def tensor(
    storage=b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x08",
    rest=b"K\x00K\x02\x85K\x01\x85",
):
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + storage + b"tQ" + rest + b"tR."


def test_a_tensor_by_hand():
    assert read_tensors(tensor()) == StoredTensor("0", "float32", 0, (2,), (1,))


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"rest": b"J\xff\xff\xff\xffK\x02\x85K\x01\x85"}, "a tensor is no tensor"),
        ({"rest": b"K\x00\x88\x85K\x01\x85"}, "a tensor is no tensor"),
        ({"rest": b"K\x00K\x02\x85K\x01K\x01\x86"}, "a shape and other strides"),
        ({"rest": b"K\x00K\x02K\x01"}, "must be an iterable"),
        (
            {"storage": b"X\x04\x00\x00\x00filectorch\nFloatStorage\nX\x01\x00\x00\x000K\x00K\x08"},
            "something else than a tensor's memory",
        ),
        (
            {"storage": b"X\x07\x00\x00\x00storageK\x01X\x01\x00\x00\x000K\x00K\x08"},
            "something else than a tensor's memory",
        ),
        (
            {"storage": b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nK\x01K\x00K\x08"},
            "something else than a tensor's memory",
        ),
    ],
)
def test_tensors_that_are_none_are_refused(changes, fact):
    with pytest.raises(PickleError, match=fact):
        read_tensors(tensor(**changes))
