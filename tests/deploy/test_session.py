import onnx
import pytest
import torch
from onnx import helper

from microjoule.deploy.onnx_file import export
from microjoule.deploy.session import open_session, read_model, run_session
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
    with pytest.raises(FileError, match=r"none.onnx: cannot be read: No such file"):
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
