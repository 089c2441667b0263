import onnx
import onnxruntime
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy.onnx_file import export
from tests.deploy.networks import images


def written(model, *inputs, tmp_path):
    export(capture(model.eval(), inputs), tmp_path / "x.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "x.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "x.onnx"), providers=["CPUExecutionProvider"])
    feed = {entry.name: x.numpy() for entry, x in zip(session.get_inputs(), inputs, strict=True)}
    return session, [torch.from_numpy(array) for array in session.run(None, feed)]


class Everything(nn.Module):
    """Gives an input, a stored tensor and a value twice, under names that others have."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.register_buffer("kept", torch.arange(4))

    def forward(self, x, ids):
        y = self.a(x)
        return {"x": x, "y": y, "again": y, "kept": self.kept, "linear": y.relu(), "ids": ids, "found": y.argmax(1)}


def test_inputs_stored_tensors_and_values_given_twice_are_outputs(tmp_path):
    x, ids = images(2, 3), torch.arange(2)
    session, got = written(Everything(), x, ids, tmp_path=tmp_path)
    assert [entry.name for entry in session.get_inputs()] == ["x", "ids"]
    names = [entry.name for entry in session.get_outputs()]
    assert names == ["x_1", "y", "again", "kept", "linear", "ids_1", "found"]
    by_name = dict(zip(names, got, strict=True))
    assert torch.equal(by_name["x_1"], x)
    assert torch.equal(by_name["kept"], torch.arange(4))
    assert torch.equal(by_name["again"], by_name["y"])
    assert by_name["found"].dtype == torch.int64


def test_the_free_size_is_the_batch_in_every_shape(tmp_path):
    session, _ = written(Everything(), images(2, 3), torch.arange(2), tmp_path=tmp_path)
    assert [entry.shape for entry in session.get_inputs()] == [["batch", 3], ["batch"]]
    shapes = {entry.name: entry.shape for entry in session.get_outputs()}
    assert shapes["y"] == ["batch", 3]
    assert shapes["kept"] == [4]


def test_a_size_that_is_computed_from_the_batch_says_so(tmp_path):
    class Rows(nn.Module):
        def forward(self, x):
            return x.reshape(-1)

    session, _ = written(Rows(), images(2, 3), tmp_path=tmp_path)
    assert "batch" in str(session.get_outputs()[0].shape[0])
