import json
from collections import Counter
from importlib.metadata import version

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy import onnx_file
from microjoule.deploy.onnx_file import export
from microjoule.deploy.verify import ONNX_RUNTIME, verify
from microjoule.errors import ExportError, FileError
from microjoule.graph.card import ModelCard
from microjoule.records.facts import Run
from microjoule.records.machine import this_machine
from tests.deploy.networks import CASES, Function, images, quantized, small


def session(path, optimized=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs(path, x):
    opened = session(path)
    return [torch.from_numpy(out) for out in opened.run(None, {opened.get_inputs()[0].name: x.numpy()})]


@pytest.mark.parametrize("name", CASES)
def test_a_network_in_floating_point_computes_the_same_in_onnx_runtime(name, tmp_path):
    module, shape = CASES[name]
    network, x = capture(nn.Sequential(module).eval(), images(3, *shape)), images(5, *shape)
    record = export(network, tmp_path / "fp32.onnx")
    with torch.no_grad():
        torch.testing.assert_close(outputs(tmp_path / "fp32.onnx", x)[0], network(x), rtol=1e-4, atol=1e-5)
    assert record.format == "ONNX"
    assert "QuantizeLinear" not in record.operators


INTEGER = {
    "conv": "QLinearConv", "grouped": "QLinearConv", "depthwise": "QLinearConv", "relu": "QLinearConv",
    "relu6": "QLinearConv", "clamp": "QLinearConv", "pad": "QLinearConv", "conv1d": "QLinearConv", "linear": "QGemm",
    "add": "QLinearAdd", "mul": "QLinearMul",
    "global average pool": "QLinearGlobalAveragePool",
    "mean": "QLinearGlobalAveragePool", "average pool": "QLinearAveragePool", "table": "QLinearLeakyRelu",
    "linear in three dimensions": "MatMulIntegerToFloat",
}  # fmt: skip


@pytest.mark.parametrize("name", INTEGER)
def test_onnx_runtime_runs_it_in_integer(name, tmp_path):
    network, _ = small(name)
    export(network, tmp_path / "int8.onnx")
    session(tmp_path / "int8.onnx", tmp_path / "optimized.onnx")
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert kinds[INTEGER[name]] >= 1
    floats = {"Conv", "FusedConv", "Gemm", "MatMul", "Mul", "Relu", "Clip"}
    assert not floats & set(kinds)


@pytest.mark.parametrize("read_on", [True, False])
def test_what_is_joined_is_joined_in_integer_where_a_layer_reads_it(read_on, tmp_path):
    """Parts that nothing but the caller reads keep their own grids."""
    torch.manual_seed(0)
    layers = {"a": nn.Conv2d(4, 8, 3), "b": nn.Conv2d(4, 2, 3), "c": nn.Conv2d(10, 2, 1)}
    module = Function(lambda m, x: (m.c if read_on else nn.Identity())(torch.cat([m.a(x), m.b(x)], 1)), **layers)
    network = quantized(module, images(4, 4, 9, 9))
    export(network, tmp_path / "int8.onnx")
    session(tmp_path / "int8.onnx", tmp_path / "optimized.onnx")
    kinds = Counter(node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert (kinds["QLinearConv"], kinds["Conv"]) == (3 if read_on else 2, 0)
    assert (kinds["QLinearConcat"], kinds["Concat"]) == ((1, 0) if read_on else (0, 1))


def test_any_batch_goes_through(tmp_path):
    network, _ = small("relu")
    export(network, tmp_path / "int8.onnx")
    assert session(tmp_path / "int8.onnx").get_inputs()[0].shape == ["batch", 4, 9, 9]
    for n in (1, 3):
        assert outputs(tmp_path / "int8.onnx", images(n, 4, 9, 9))[0].shape[0] == n


def test_outputs_have_plain_names(tmp_path):
    network = quantized(Function(lambda m, x: (m.a(x), m.a(x).relu()), a=nn.Conv2d(4, 2, 1)), images(2, 4, 3, 3))
    export(network, tmp_path / "two.onnx")
    assert [out.name for out in session(tmp_path / "two.onnx").get_outputs()] == ["output_0", "output_1"]
    export(small("conv")[0], tmp_path / "one.onnx")
    assert [out.name for out in session(tmp_path / "one.onnx").get_outputs()] == ["output"]


def test_the_file_is_valid_and_says_nothing_of_the_machine(tmp_path):
    export(small("relu")[0], tmp_path / "int8.onnx")
    model = onnx.load(tmp_path / "int8.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "microjoule"
    assert __file__.encode() not in (tmp_path / "int8.onnx").read_bytes()
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@pytest.mark.parametrize(("weights", "activations"), [(8, 16), (4, 8), (2, 4), (5, 6), (4, 12)])
def test_other_widths_compute_what_the_simulation_does(weights, activations, tmp_path):
    network, x = small("relu", weights=weights, activations=activations, target="per-tensor")
    export(network, tmp_path / "x.onnx")
    (found,) = verify(network, tmp_path / "x.onnx", x, runtimes=[ONNX_RUNTIME])
    assert max(layer.largest_steps for layer in found.layers) <= 1


def test_the_record_counts_operators_and_bytes(tmp_path):
    network, _ = small("relu")
    record = export(network, tmp_path / "int8.onnx", stage="W8A8")
    assert (record.format, record.stage, record.operators["Conv"]) == ("ONNX QDQ", "W8A8", 2)
    assert record.size_bytes == (tmp_path / "int8.onnx").stat().st_size
    assert network.history[-1] is record


def test_encodings_stand_beside_it_on_request(tmp_path):
    network, _ = small("relu")
    record = export(network, tmp_path / "int8.onnx", encodings=tmp_path / "grids.json")
    assert json.loads((tmp_path / "grids.json").read_text())["version"] == "1.0.0"
    assert "the grids are in grids.json as well" in record.notes


def test_a_missing_folder_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(FileError, match="no such file or directory"):
        export(small("conv")[0], tmp_path / "none" / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_more_than_one_file_can_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_file, "LARGEST_BYTES", 100)
    with pytest.raises(ExportError, match="GiB of weights"):
        export(small("conv")[0], tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_file_says_what_is_known_of_the_network(tmp_path):
    network, _ = small("relu")
    network.card = ModelCard(input_range=(-1.0, 1.0), labels=("cat", "dog"), metric="top1", name="pets")
    network.history.append(Run("data_free", {}, 0, 0.5, this_machine()))
    export(network, tmp_path / "int8.onnx", metadata={"owner": "us", "name": "cats"})
    found = {entry.key: entry.value for entry in onnx.load(tmp_path / "int8.onnx").metadata_props}
    assert found["microjoule"] == version("microjoule")
    assert (found["recipe"], found["target"], found["metric"]) == ("data_free", "onnxruntime", "top1")
    assert (json.loads(found["input_range"]), json.loads(found["labels"])) == ([-1.0, 1.0], ["cat", "dog"])
    assert (found["owner"], found["name"]) == ("us", "cats")
