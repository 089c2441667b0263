"""Values that are 0 but for float32's rounding, on grids as fine as that."""

import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy.locate import first_wrong_operator
from microjoule.deploy.onnx_file import export
from microjoule.deploy.rounding import rounding_steps
from microjoule.deploy.verify import ONNX_RUNTIME, verify
from microjoule.recipes.data_free import naive
from tests.deploy.networks import Function


def mean_of_what_is_normalized():
    layers = {"norm": nn.InstanceNorm2d(16), "conv": nn.Conv2d(16, 16, 1)}
    gate = lambda m, y: y * torch.sigmoid(m.conv(y.mean((2, 3), keepdim=True)))  # noqa: E731
    torch.manual_seed(0)
    x = torch.rand(8, 16, 12, 12)
    return capture(Function(lambda m, x: gate(m, m.norm(x)), **layers).eval(), x), x


def test_it_is_exported_with_a_note_and_verified(tmp_path):
    network, x = mean_of_what_is_normalized()
    quantized = naive(network, x)
    assert quantized.quantizers["mean"].affine.scale < 1e-8
    notes = export(quantized, tmp_path / "x.onnx").notes
    assert any(note.startswith("mean is 0 but for float32's rounding") for note in notes)
    (found,) = verify(quantized, tmp_path / "x.onnx", x, runtimes=[ONNX_RUNTIME])
    mean = next(layer for layer in found.layers if layer.name == "mean")
    assert mean.within_one_step_share < 0.99
    assert mean.largest_steps / 8 < mean.rounding_steps
    assert found.passed


def test_its_operator_is_not_called_wrong():
    network, x = mean_of_what_is_normalized()
    assert first_wrong_operator(network, [x]) is None


@pytest.mark.parametrize(("values", "steps"), [([2.0**24, 1.0, 0.0, 0.0], 0.25), ([1.0, 2.0, 3.0, 4.0], 0.0)])
def test_what_a_sum_in_float32_loses_by_hand(values, steps):
    """2^24 + 1 has 25 bits, so the 1 is lost: a quarter in the mean, which is a quarter of a step of 1."""
    network = capture(Function(lambda m, x: m.a(x.mean(1, keepdim=True)), a=nn.Linear(1, 1)), torch.ones(2, 4))
    quantized = naive(network, torch.rand(4, 4))
    (mean,) = (name for name in quantized.quantizers if name.startswith("mean"))
    quantized.quantizers[mean].set_range(torch.tensor(0.0), torch.tensor(255.0))
    (given,) = (name for name in quantized.quantizers if name not in (mean, "a"))
    quantized.quantizers[given].enabled = False
    assert rounding_steps(quantized, [torch.tensor([values])], {mean: torch.tensor([[1]])}) == {mean: steps}
