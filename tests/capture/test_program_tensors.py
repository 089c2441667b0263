import io
import json
import pickle
import zipfile

import pytest
import torch
from torch import nn

from microjoule.capture.program_tensors import Storages, example_inputs, payload
from microjoule.errors import FileError
from microjoule.formats.zip_archive import zip_in

NUMBERS = torch.arange(12.0)
BYTES = NUMBERS.numpy().tobytes()


def storages(content=BYTES):
    return Storages(lambda key: {"a": bytearray(content)}[key])


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (12,), (1,)),
        (0, (3, 4), (4, 1)),
        (1, (3, 2), (4, 1)),
        (0, (4, 3), (1, 4)),
        (11, (), ()),
        (0, (5, 0), (1, 1)),
        (3, (9, 2), (0, 1)),
    ],
)
def test_tensors_are_those_that_were_stored(offset, shape, strides):
    found = storages().tensor("a", "float32", offset, shape, strides)
    assert torch.equal(found, NUMBERS.as_strided(shape, strides, offset))


def test_tensors_of_one_memory_share_it():
    both = storages()
    one, other = (both.tensor("a", "float32", offset, (2,), (1,)) for offset in (0, 1))
    one[1] = 99
    assert other[0] == 99


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "dtype"),
    [
        *(
            (0, (13,), (1,), "float32"),
            (1, (12,), (1,), "float32"),
            (12, (), (), "float32"),
            (0, (2, 2), (11, 1), "float32"),
        ),
        *(
            (0, (7,), (1,), "float64"),
            (-1, (2,), (1,), "float32"),
            (0, (2,), (-1,), "float32"),
            (0, (2,), (1, 1), "float32"),
        ),
        *((0, (2.0,), (1,), "float32"), (0, (True,), (1,), "float32"), (0, (10**18,), (10**18,), "float32")),
    ],
)
def test_nothing_is_read_outside_of_the_memory(offset, shape, strides, dtype):
    with pytest.raises(ValueError, match="a tensor of shape"):
        storages().tensor("a", dtype, offset, shape, strides)


def test_a_few_numbers_cannot_seem_to_be_gigabytes():
    with pytest.raises(ValueError, match="tensors that seem to have 4,000,000,000 bytes, and have 48"):
        storages().tensor("a", "float32", 0, (10**9,), (0,))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()
    x = torch.rand(2, 4)
    torch.export.save(torch.export.export(module, (x,)), path := tmp_path_factory.mktemp("p") / "p.pt2")
    with zipfile.ZipFile(path) as archive:
        return module, x, {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def archive(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in members.items():
            made.writestr(f"p/{name}", content)
    return zip_in(buffer, len(buffer.getvalue()), "p.pt2", remedy="export it again")


CONFIG = "data/weights/model_weights_config.json"


def test_weights_are_those_of_the_module(exported):
    module, _, members = exported
    found = payload(archive(members), "p", "weights")
    assert set(found) == set(module.state_dict())
    for name, tensor in module.state_dict().items():
        assert torch.equal(found[name], tensor)
    assert isinstance(found["0.weight"], nn.Parameter)
    assert not isinstance(found["1.running_mean"], nn.Parameter)
    assert payload(archive(members), "p", "constants") == {}


def with_config(members, **changes):
    document = json.loads(members[CONFIG])
    entry = document["config"]["0.weight"]
    entry.update({name: value for name, value in changes.items() if name in entry})
    entry["tensor_meta"].update({name: value for name, value in changes.items() if name not in entry})
    return archive(members | {CONFIG: json.dumps(document).encode()})


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"use_pickle": True}, "a pickled tensor 'weight_0'"),
        ({"use_pickle": 0}, "a pickled tensor"),
        ({"path_name": "opaque_obj_0"}, "an object 'opaque_obj_0' that is no tensor"),
        ({"path_name": "../weight_0"}, "that is no tensor"),
        ({"path_name": "weight_99"}, "lacks p/data/weights/weight_99"),
        ({"sizes": [{"as_int": 10**9}, {"as_int": 4}]}, "which reaches over"),
        ({"sizes": [{"as_expr": {"expr_str": "s0"}}]}, "as_int"),
        ({"dtype": 99}, "99"),
        ({"storage_offset": {"as_int": 10**15}}, "which reaches over"),
    ],
)
def test_weights_that_are_none_are_refused(exported, changes, fact):
    with pytest.raises((ValueError, LookupError, FileError), match=fact):
        payload(with_config(exported[2], **changes), "p", "weights")


def test_zero_bytes_are_no_billion_numbers(exported):
    members = exported[2] | {"data/weights/weight_0": b""}
    with pytest.raises(ValueError, match="which reaches over its 0 bytes"):
        payload(archive(members), "p", "weights")


def test_example_inputs_are_those_of_the_export(exported):
    _, x, members = exported
    args, kwargs = example_inputs(archive(members), "p")
    assert torch.equal(args[0], x)
    assert kwargs == {}
    assert example_inputs(archive(members | {"data/sample_inputs/model.pt": b""}), "p") is None


def saved(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def test_nested_inputs_come_back():
    shared = torch.arange(6).reshape(2, 3)
    value = (({"a": shared, "b": [shared.T, None]}, 3, 1.5, "x", True), {"k": nn.Parameter(torch.ones(2))})
    members = {"data/sample_inputs/model.pt": saved(value)}
    (first, *others), kwargs = example_inputs(archive(members), "p")
    assert torch.equal(first["b"][0], shared.T)
    assert others == [3, 1.5, "x", True]
    assert isinstance(kwargs["k"], nn.Parameter)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps((1, {})),
        saved(torch.ones(2)),
        saved((torch.ones(2),)),
        saved(((1,), [2])),
        saved(((torch.device("cpu"),), {})),
        saved(((torch.float32,), {})),
        saved(((print,), {})),
        b"PK",
    ],
)
def test_inputs_that_are_more_are_refused(content):
    with pytest.raises((ValueError, FileError)):
        example_inputs(archive({"data/sample_inputs/model.pt": content}), "p")
