import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy import check, kernel_faults, locate, lower
from microjoule.deploy.check import check_file
from microjoule.deploy.onnx_file import export, onnx_model
from microjoule.errors import ExportError
from microjoule.graph.ops import aten
from tests.deploy.networks import Function, images, quantized, small


def checked(network, edit=lambda model: None):
    """Check a network's file, which may be edited before."""
    model, found, _ = onnx_model(network)
    proto = ir.to_proto(model)
    edit(proto)
    return check_file(proto.SerializeToString(), network, found, "x.onnx")


def stored(model, name):
    return next(one for one in model.graph.initializer if one.name == name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["relu", "add", "concat", "linear", "table", "mean"])
def test_a_right_file_passes_without_a_note(name):
    assert checked(small(name)[0]) == ()


@pytest.mark.slow
def test_an_attribute_that_the_exporter_leaves_away_is_refused_and_nothing_written(monkeypatch, tmp_path):
    monkeypatch.delitem(lower.LOWERINGS, aten.avg_pool2d.default)
    network = capture(nn.Sequential(nn.AvgPool2d(2, divisor_override=3)).eval(), images(2, 3, 4, 4))
    (tmp_path / "x.onnx").write_text("the user's older file")
    with pytest.raises(ExportError, match=r"^_0 \(avg_pool.*\): differs in the file from the network's, by 0\.25 of"):
        export(network, tmp_path / "x.onnx")
    assert (tmp_path / "x.onnx").read_text() == "the user's older file"
    export(network, tmp_path / "x.onnx", check=False)
    assert onnx.load(tmp_path / "x.onnx").graph.node[0].op_type == "AveragePool"


@pytest.mark.slow
def test_a_value_that_departs_is_named_with_what_makes_it():
    network, _ = small("relu")
    name = list(network.quantizers)[1]

    def edit(model):
        scale = stored(model, f"{name}_scale")
        scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.5), scale.name))

    with pytest.raises(ExportError) as caught:
        checked(network, edit)
    assert caught.value.place.startswith(f"{name}, made by {name} (relu")
    assert " and _0_0 (conv" in caught.value.place
    assert "of its integers in the file are more than a step from the network's" in caught.value.fact
    assert "check=False" in caught.value.remedy


@pytest.mark.slow
def test_an_output_in_floating_point_is_compared_too():
    module = Function(lambda m, x: torch.softmax(m.a(x), 1), a=nn.Conv2d(4, 4, 1))
    network = quantized(module, images(2, 4, 3, 3), target="per-tensor", layers={})

    def edit(model):
        (last,) = [node for node in model.graph.node if node.output[0] == "output"]
        last.input[0], wrong = "twice", last.input[0]
        model.graph.node.insert(len(model.graph.node) - 1, onnx.helper.make_node("Add", [wrong, wrong], ["twice"]))

    with pytest.raises(ExportError, match="output output: differs from the network's in onnxruntime"):
        checked(network, edit)


def test_a_file_that_does_not_run_is_refused(monkeypatch):
    """Means near 0 read from a wide grid: ONNX Runtime's kernel stops."""
    monkeypatch.setattr(kernel_faults, "REWRITES", {})

    class Centred(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.conv = nn.InstanceNorm2d(2), nn.Conv2d(2, 2, 1)

        def forward(self, x):
            x = self.norm(x)
            return self.conv(x.mean((2, 3), keepdim=True))

    network = quantized(Centred(), images(4, 2, 12, 12))
    with pytest.raises(ExportError, match=r"x\.onnx: would not run in onnxruntime.*out of computation range"):
        checked(network)


def test_a_file_that_does_not_open_is_refused():
    def edit(model):
        model.graph.node[0].op_type = "NoSuchOperator"

    with pytest.raises(ExportError, match=r"x\.onnx: would not open in onnxruntime"):
        checked(small("conv")[0], edit)


def sizes_that_ran(monkeypatch, network):
    sizes = []

    def noted(session, inputs, names):
        sizes.append(len(inputs[0]))
        return run(session, inputs, names)

    run = check.run_session
    monkeypatch.setattr(check, "run_session", noted)
    checked(network)
    return list(dict.fromkeys(sizes))


@pytest.mark.parametrize(("samples", "sizes"), [(1, [1, 2]), (2, [2, 1]), (4, [4, 3]), (20, [8, 7])])
def test_it_runs_at_two_batch_sizes(samples, sizes, monkeypatch):
    assert sizes_that_ran(monkeypatch, capture(nn.Linear(3, 2), images(samples, 3))) == sizes


def test_a_fixed_batch_runs_as_it_is(monkeypatch):
    network = capture(nn.Linear(3, 2), images(5, 3))
    network.dynamic_batch = False
    assert sizes_that_ran(monkeypatch, network) == [5]


def test_large_values_run_fewer_at_a_time(monkeypatch):
    network, _ = small("conv")
    monkeypatch.setattr(check, "VALUES_AT_ONCE", 2 * (4 * 9 * 9 + 8 * 5 * 5))
    assert sizes_that_ran(monkeypatch, network) == [2, 1]


def test_a_network_that_amplifies_what_is_rounded_otherwise_gets_a_note(monkeypatch):
    """Each operator agrees on its own: the file is right, and a note says how far its output is."""
    monkeypatch.setattr(check, "RELATIVE", 1e-9)
    monkeypatch.setattr(locate, "RELATIVE", 1e-6)
    network = capture(Function(lambda m, x: m.a(x).exp().sum(1), a=nn.Linear(64, 64)).eval(), images(2, 64))
    notes = checked(network)
    assert all("though no operator differs on its own" in note for note in notes)


@pytest.mark.slow
def test_integers_and_truths_are_compared_exactly():
    network = capture(Function(lambda m, x: (x.argmax(1), x > 0)), images(4, 5))

    def edit(model):
        (node,) = [one for one in model.graph.node if one.op_type == "Greater"]
        node.op_type = "Less"

    assert checked(network) == ()
    with pytest.raises(ExportError, match="output output_1: differs from the network's"):
        checked(network, edit)


def test_pools_with_partial_windows_are_right_in_integers():
    network = quantized(nn.Sequential(nn.Conv2d(4, 4, 3), nn.AvgPool2d(2, 2, ceil_mode=True)), images(4, 4, 9, 9))
    assert checked(network) == ()
    assert F.avg_pool2d(images(1, 4, 7, 7), 2, 2, ceil_mode=True).shape[-1] == 4
