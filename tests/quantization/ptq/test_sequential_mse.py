"""Sequential MSE: an outlier that reads little is clipped, no layer is worse for it, and a run can be resumed."""

import pytest
import torch
from torch import nn, tensor

import microjoule as mj
from microjoule.execution.run import unquantized


def quantized(module, x, *, weights=3, target="onnxruntime"):
    network = mj.capture(module.eval(), x[:2])
    mj.quantize(network, weights=weights, target=target)
    mj.calibrate(network, x)
    return network


def output_error(network, exact, x):
    return (network(x) - exact).square().mean().item()


@pytest.mark.parametrize(("quiet", "reach"), [(0.01, 0.4), (1.0, 1.0)])
def test_an_outlier_is_clipped_only_if_it_reads_little(quiet, reach):
    """Weights 0.3, -0.2, 0.25 and 1: the last alone sets the steps, and matters as much as its input varies."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 1))
    with torch.no_grad():
        module[0].weight.copy_(tensor([[0.3, -0.2, 0.25, 1.0]]))
    x = torch.randn(512, 4) * tensor([1.0, 1.0, 1.0, quiet])
    network = quantized(module, x)
    whole = network.layers[0].quantizer.scale.clone()
    mj.sequential_mse(network, x)
    share = (network.layers[0].quantizer.scale / whole).item()
    assert share == pytest.approx(reach, abs=0.13)


def two_layers(case):
    """Two layers with weights of their own, and a target that runs them."""
    makes = {
        "a scale a channel": (lambda: [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)], "onnxruntime"),
        "one scale": (lambda: [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)], "per-tensor"),
        "depthwise": (lambda: [nn.Conv2d(3, 6, 3, groups=3), nn.ReLU6(), nn.Conv2d(6, 6, 3, groups=6)], "onnxruntime"),
        "transposed, grouped": (lambda: [nn.Conv2d(3, 4, 1), nn.ConvTranspose2d(4, 6, 3, groups=2)], "xnnpack"),
    }
    layers, target = makes[case]
    return nn.Sequential(*layers()), target


@pytest.mark.parametrize("case", ["a scale a channel", "one scale", "depthwise", "transposed, grouped"])
def test_outputs_are_nearer_to_floating_point_than_with_the_whole_range(case):
    torch.manual_seed(1)
    module, target = two_layers(case)
    x = torch.rand(32, 3, 8, 8)
    network = quantized(module, x, target=target, weights=4 if target == "xnnpack" else 3)
    nearest, found = network.copy(), network.copy()
    record = mj.sequential_mse(found, x)
    assert (record.method, [one.layer for one in record.layers]) == (
        "sequential MSE",
        [one.path for one in network.layers],
    )
    assert all(one.error_after <= one.error_before for one in record.layers)
    with unquantized(network):
        exact = network(x)
    assert output_error(found, exact, x) < output_error(nearest, exact, x)
    for layer in found.layers:
        grid = layer.quantizer.scheme.grid
        assert layer.quantizer.integers.min() >= grid.qmin
        assert layer.quantizer.integers.max() <= grid.qmax


def test_an_interrupted_run_goes_on_with_the_same_grids(tmp_path):
    torch.manual_seed(2)
    module, target = two_layers("depthwise")
    x = torch.rand(16, 3, 8, 8)
    network = quantized(module, x, target=target)
    whole, resumed = network.copy(), network.copy()
    mj.sequential_mse(whole, x, folder=tmp_path)
    next(tmp_path.glob(f"{network.layers[1].path}-*.safetensors")).unlink()
    mj.sequential_mse(resumed, x, folder=tmp_path)
    for one, other in zip(whole.layers, resumed.layers, strict=True):
        assert torch.equal(one.quantizer.scale, other.quantizer.scale)
        assert torch.equal(one.quantizer.integers, other.quantizer.integers)
        assert torch.equal(one.bias, other.bias)
