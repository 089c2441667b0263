import math

import onnx
import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy.onnx_file import export
from microjoule.deploy.verify import (
    GIVEN_REFERENCE,
    INTEGER_RUNNER,
    ONNX_RUNTIME,
    OWN_REFERENCE,
    RUNTIMES,
    verify,
)
from microjoule.errors import DataError, ExportError, FileError, GraphError, SettingError
from microjoule.execution.run import unquantized
from microjoule.quantization.simulate import freeze
from microjoule.quantization.tie_free import avoid_ties
from tests.deploy.networks import CASES, Function, images, quantized, small


@pytest.mark.slow
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
    assert [(record.samples, record.path) for record in records] == [(5, str(path)), (5, "")]
    assert records[0].compared == "x.onnx in ONNX Runtime against the simulation"
    assert "no file is run" in records[1].compared
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
    with pytest.raises(DataError, match="and the network was captured for"):
        verify(network, path, images(3, 5, 9, 9))


# From end to end ------------------------------------------------------------------------------------------------------


class TwoHeads(nn.Module):
    """Boxes, scores and the class of each place: what a detector or a segmentation network gives."""

    def __init__(self):
        super().__init__()
        self.body, self.boxes, self.scores = nn.Conv2d(4, 8, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x):
        y = self.body(x).relu()
        scores = self.scores(y)
        return {"boxes": self.boxes(y), "scores": scores, "classes": scores.argmax(1)}


@pytest.fixture
def heads(tmp_path):
    torch.manual_seed(0)
    network = quantized(TwoHeads(), images(8, 4, 9, 9))
    avoid_ties(network)
    freeze(network)
    export(network, tmp_path / "heads.onnx")
    return network, tmp_path / "heads.onnx"


def test_every_output_is_compared_by_name_with_the_simulation_and_with_fp32(heads):
    network, path = heads
    x = images(19, 4, 9, 9)
    records = verify(network, path, x)
    assert [record.passed for record in records] == [True, True]
    for record in records:
        assert [output.name for output in record.outputs] == ["boxes", "scores", "classes"]
        boxes, scores, classes = record.outputs
        assert boxes.sqnr_db == scores.sqnr_db == math.inf
        assert classes.equal_share == 1.0
        assert (classes.sqnr_db, classes.fp32_sqnr_db) == (None, None)
        assert 20 < boxes.fp32_sqnr_db == pytest.approx(boxes.simulated_fp32_sqnr_db)
        assert boxes.worst_sample is None
        assert boxes.worst_fp32_db < boxes.fp32_sqnr_db
    with torch.no_grad(), unquantized(network):
        exact = network(x)["boxes"]
    with torch.no_grad():
        noise = network(x)["boxes"] - exact
    each = 10 * torch.log10(exact.square().sum((1, 2, 3)) / noise.square().sum((1, 2, 3)))
    assert records[0].outputs[0].worst_fp32_sample == int(each.argmin())
    assert records[0].outputs[0].worst_fp32_db == pytest.approx(float(each.min()), abs=1e-3)


def test_batches_have_other_sizes_than_the_example(heads):
    network, path = heads
    (record,) = verify(network, path, images(19, 4, 9, 9), runtimes=[ONNX_RUNTIME])
    assert record.batch_sizes == (7, 8, 4)
    assert record.samples == 19


def test_a_fixed_batch_is_filled_up_and_only_real_samples_count(tmp_path):
    module = Function(lambda m, x: m.a(x.reshape(3, 324)), a=nn.Linear(324, 10))
    network = quantized(module, images(3, 4, 9, 9))
    export(network, tmp_path / "fixed.onnx")
    records = verify(network, tmp_path / "fixed.onnx", images(7, 4, 9, 9))
    assert [(record.samples, record.batch_sizes) for record in records] == [(7, (3,)), (7, (3,))]


def test_a_network_in_floating_point_may_be_given(heads):
    network, path = heads
    torch.manual_seed(0)
    module = TwoHeads().train()
    x = images(5, 4, 9, 9)
    given, own = (
        verify(network, path, x, runtimes=[ONNX_RUNTIME], reference=reference)[0]
        for reference in (module, capture(module, x))
    )
    assert module.training
    assert given.outputs == own.outputs
    assert given.reference == GIVEN_REFERENCE
    (alone,) = verify(network, path, x, runtimes=[ONNX_RUNTIME])
    assert alone.reference == OWN_REFERENCE
    assert given.outputs[0].fp32_sqnr_db == pytest.approx(alone.outputs[0].fp32_sqnr_db, abs=1.0)


def test_a_reference_of_another_network_is_refused(heads):
    network, path = heads
    with pytest.raises(SettingError, match="gives 1 outputs, and the network 3"):
        verify(network, path, images(5, 4, 9, 9), reference=nn.Conv2d(4, 4, 1))


def test_outputs_that_are_too_far_fail_though_no_layer_departs(heads):
    network, path = heads
    (record,) = verify(network, path, images(5, 4, 9, 9), runtimes=[ONNX_RUNTIME], least_fp32_db=90.0)
    assert record.first_departure is None
    assert not record.passed
    assert [problem.split(" agrees")[0] for problem in record.problems] == ["output boxes", "output scores"]


def test_a_file_that_another_network_made_of_the_same_values_fails(heads, tmp_path):
    """Its last layer has another bias: the simulation's last layer is computed from the file's values, and departs."""
    network, _ = heads
    other = network.copy()
    with torch.no_grad():
        other.layer("boxes").bias.add_(1.0)
    export(other, tmp_path / "other.onnx")
    (record,) = verify(network, tmp_path / "other.onnx", images(5, 4, 9, 9), runtimes=[ONNX_RUNTIME])
    assert record.first_departure == "boxes"
    assert not record.passed
    assert record.outputs[0].sqnr_db < 20
    assert record.outputs[1].sqnr_db == math.inf
    assert record.outputs[0].worst_sample is not None


def test_a_file_with_another_number_of_outputs_is_refused(heads, tmp_path):
    network, path = heads
    model = onnx.load(path)
    del model.graph.output[2]
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(ExportError, match="gives 2 outputs, and the network 3"):
        verify(network, tmp_path / "two.onnx", images(5, 4, 9, 9), runtimes=[ONNX_RUNTIME])


def test_what_runs_in_integers_is_told_of_the_file_alone(heads):
    network, path = heads
    file, runner = verify(network, path, images(5, 4, 9, 9))
    assert file.integers.share == 1.0
    assert runner.integers is None
