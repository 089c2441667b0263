import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy.onnx_file import export
from microjoule.deploy.verify import INTEGER_RUNNER, ONNX_RUNTIME, RUNTIMES, verify
from microjoule.errors import DataError, ExportError, FileError, GraphError, SettingError
from microjoule.quantization.simulate import freeze
from microjoule.quantization.tie_free import avoid_ties
from tests.deploy.networks import CASES, Function, images, quantized, small


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("settled", [False, True])
def test_runtimes_are_at_most_a_step_from_the_simulation_and_equal_without_ties(name, settled, tmp_path):
    network, x = small(name, target="per-tensor" if name == "transposed" else "onnxruntime")
    if settled:
        avoid_ties(network)
        freeze(network)
    export(network, tmp_path / "x.onnx")
    for record in verify(network, tmp_path / "x.onnx", x):
        assert [layer.name for layer in record.layers] == list(network.quantizers)
        assert max(layer.largest_steps for layer in record.layers) <= 1
        assert record.first_departure is None
        if settled:
            assert [layer.equal_share for layer in record.layers] == [1.0] * len(record.layers)


@pytest.fixture
def deployed(tmp_path):
    network, x = small("linear")
    export(network, tmp_path / "x.onnx")
    return network, tmp_path / "x.onnx", x


def test_each_runtime_has_a_record(deployed):
    network, path, x = deployed
    records = verify(network, path, x)
    assert network.history[-2:] == records
    assert [record.runtime.split()[0] for record in records] == ["onnxruntime", "integer"]
    assert {(record.samples, record.path) for record in records} == {(5, str(path))}
    assert {(len(record.layers), record.values) for record in records} == {(len(network.quantizers),) * 2}
    assert all(record.top1_agreement == 1.0 for record in records)


def test_some_samples_are_enough_on_request(deployed):
    network, path, _ = deployed
    (record,) = verify(network, path, images(20, 4, 9, 9), samples=11, runtimes=[ONNX_RUNTIME])
    assert record.samples == 11


def test_the_layer_that_departs_is_named(deployed):
    """The file has another range for the input than the network."""
    network, path, x = deployed
    first = next(iter(network.quantizers))
    quantizer = network.quantizers[first]
    quantizer.set_range(torch.tensor(-9.0), torch.tensor(9.0))
    (record,) = verify(network, path, x, runtimes=[ONNX_RUNTIME])
    assert record.first_departure == first
    assert record.layers[0].within_one_step_share < 0.5


def test_a_network_that_the_integer_runner_does_not_run_is_verified_without_it(tmp_path):
    module = Function(lambda m, x: torch.softmax(m.a(x), 1), a=nn.Conv2d(4, 4, 1))
    network = quantized(module, images(2, 4, 3, 3))
    export(network, tmp_path / "x.onnx")
    records = verify(network, tmp_path / "x.onnx", images(3, 4, 3, 3))
    assert len(records) == 1
    with pytest.raises(ExportError, match="softmax is none of its operators"):
        verify(network, tmp_path / "x.onnx", images(3, 4, 3, 3), runtimes=[INTEGER_RUNNER])


def test_the_file_of_another_network_is_refused(deployed, tmp_path):
    network, _, x = deployed
    other = quantized(Function(lambda m, y: m.other(m.much(y)), much=nn.Flatten(), other=nn.Linear(324, 3)), x)
    names = {name: f"not_{name}" for name in other.quantizers}
    for node in list(other.graph.nodes):
        path = str(node.target).removeprefix("quantizers.")
        if str(node.target).startswith("quantizers.") and path in names:
            other.module.get_submodule("quantizers").add_module(names[path], other.module.get_submodule(node.target))
            node.target = f"quantizers.{names[path]}"
    other.recompile()
    export(other, tmp_path / "other.onnx")
    with pytest.raises(ExportError, match=r"has 0 of the network's \d+ quantized values"):
        verify(network, tmp_path / "other.onnx", x)


def test_a_network_without_quantizers_is_refused(deployed):
    _, path, x = deployed
    plain = capture(nn.Flatten(), x)
    with pytest.raises(GraphError, match=r"has no quantizers, .*\n  quantize it first"):
        verify(plain, path, x)


def test_what_cannot_be_verified_is_refused(deployed):
    network, path, x = deployed
    with pytest.raises(SettingError, match=f"use some of {', '.join(RUNTIMES)}"):
        verify(network, path, x, runtimes=["tflite"])
    with pytest.raises(FileError, match="cannot be read"):
        verify(network, path.with_name("none.onnx"), x)
    with pytest.raises(DataError, match="holds no sample"):
        verify(network, path, x[:0])
    with pytest.raises(DataError, match="do not go through"):
        verify(network, path, images(3, 5, 9, 9))
