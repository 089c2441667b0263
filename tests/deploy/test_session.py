import os

import onnx
import pytest
import torch
from onnx import helper

from microjoule.deploy.onnx_file import export
from microjoule.deploy.session import open_session, read_model, run_session, tensors_of
from microjoule.errors import DataError, FileError
from tests.deploy.networks import images, small


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("session") / "x.onnx"
    export(small("conv")[0], path)
    return path


@pytest.fixture(scope="module")
def opened(path):
    return open_session(path.read_bytes(), str(path))


def test_a_batch_goes_through(opened):
    (found,) = run_session(opened, (images(3, 4, 9, 9),), None)
    assert found.shape == (3, 8, 5, 5)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match=r"none\.onnx: cannot be read: no such file"):
        read_model(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08"], ids=["empty", "text", "one byte"])
def test_a_file_that_is_no_model_is_refused(content, tmp_path):
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(FileError, match="is no ONNX file"):
        read_model(tmp_path / "x.onnx")


def test_a_cut_file_is_refused(path, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FileError, match="is no ONNX file, or a damaged one"):
        read_model(tmp_path / "cut.onnx")


@pytest.fixture
def apart(path, tmp_path):
    """The same file with its numbers in another one beside it."""
    onnx.save_model(
        onnx.load(path), tmp_path / "x.onnx", save_as_external_data=True, location="numbers", size_threshold=0
    )
    return tmp_path / "x.onnx"


def test_numbers_in_a_file_beside_it_are_read(path, apart):
    numbers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in read_model(path).graph.initializer}
    for tensor in read_model(apart).graph.initializer:
        assert (onnx.numpy_helper.to_array(tensor) == numbers[tensor.name]).all()


def told(tensor, **changes):
    entries = {entry.key: entry.value for entry in tensor.external_data} | changes
    del tensor.external_data[:]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"location": "/etc/passwd"}, "which is no file beside it"),
        ({"location": "../numbers"}, "which is no file beside it"),
        ({"location": "none"}, "which is no file beside it"),
        ({"location": ""}, "which is no file beside it"),
        ({"location": "pipe"}, "which is no file beside it"),
        ({"location": "link"}, "which is no file beside it"),
        ({"offset": "-1"}, "at no place in 'numbers'"),
        ({"length": "1e9"}, "at no place in 'numbers'"),
        ({"offset": "9" * 50}, "at no place in 'numbers'"),
        ({"length": "1000000000"}, "behind the end of 'numbers'"),
    ],
)
def test_numbers_that_are_somewhere_else_are_refused(apart, changes, fact):
    os.mkfifo(apart.parent / "pipe")
    (apart.parent / "link").symlink_to("/etc/passwd")
    model = onnx.load(apart, load_external_data=False)
    told(model.graph.initializer[0], **changes)
    onnx.save_model(model, apart)
    with pytest.raises(FileError, match=f"{fact}\n  keep both files together"):
        read_model(apart)


def test_tensors_of_nodes_and_of_graphs_within_them_are_looked_at():
    inner = helper.make_graph([], "inner", [], [], [helper.make_tensor("a", 1, [1], [1.0])])
    constant = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("b", 1, [1], [1.0]))
    both = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph([constant, both], "outer", [], [], [helper.make_tensor("d", 1, [1], [1.0])])
    assert sorted(tensor.name for tensor in tensors_of(graph)) == ["a", "a", "b", "d"]


def test_a_device_is_not_read():
    with pytest.raises(FileError, match="is a device or a pipe"):
        read_model("/dev/zero")


def test_a_model_that_onnx_runtime_does_not_take_is_refused():
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("NoSuchOperator", ["x"], ["y"])], "g", [value], [])
    with pytest.raises(FileError, match=r"odd\.onnx: ONNX Runtime does not take it"):
        open_session(helper.make_model(graph).SerializeToString(), "odd.onnx")


def test_inputs_of_another_shape_or_number_are_refused(opened):
    with pytest.raises(DataError, match="do not go through the file"):
        run_session(opened, (images(3, 5, 9, 9),), None)
    with pytest.raises(DataError, match="gives 2 inputs, and the file takes 1"):
        run_session(opened, (torch.zeros(1), torch.zeros(1)), None)
