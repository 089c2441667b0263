"""Bias correction: the shift by hand, exact for constant inputs, means equal after the empirical one."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.data import DataLoader, TensorDataset

import microjoule as mj
from microjoule.errors import DataError, GraphError
from microjoule.execution.run import unquantized
from microjoule.graph.ops import Layer
from microjoule.quantization.ptq.bias_correction import expected_shift
from tests.capture.models import Function


def test_shift_by_hand():
    rounding = torch.tensor([[[0.1, -0.2], [0.3, 0.3]]])  # one output, two inputs, kernel of 2
    mean = torch.tensor([2.0, 1.0])[None, :, None]
    assert_close(expected_shift(rounding, mean), torch.tensor([0.4], dtype=torch.float64))
    share = torch.tensor([1.0, 0.5])
    assert_close(expected_shift(rounding, mean, share), torch.tensor([0.2 - 0.2 + 0.3 + 0.15], dtype=torch.float64))


def quantized(module, x, *, weights=3):
    network = mj.capture(module.eval(), x)
    mj.fold_batch_norms(network)
    mj.quantize(network, target="per-tensor", weights=weights)
    return network


def batch_normed():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6)
    )
    with torch.no_grad():
        module[1].bias.normal_()
        module[1].weight.fill_(1e-6)  # nearly constant: the mean is all there is
    return module


def test_analytic_correction_is_exact_for_values_that_hardly_vary_at_the_border_as_well():
    x = torch.randn(2, 3, 6, 6)
    network = quantized(batch_normed(), x)
    layer = network.layer("3")
    with unquantized(network):
        exact = _output(network, layer, x)
    before = _output(network, layer, x) - exact
    record = mj.correct_biases_from_statistics(network, input_range=(-1.0, 1.0))
    after = _output(network, network.layer("3"), x) - exact
    assert before.abs().max() > 1e-2
    assert after.mean((0, 2, 3)).abs().max() < 1e-4
    assert [shift.layer for shift in record.shifts] == ["0", "3"]


def _output(network, layer, x):
    found = {}
    handle = layer.owner.register_forward_hook(lambda module, inputs, output: found.update(value=output.detach()))
    with torch.no_grad():
        network(x)
    handle.remove()
    return found["value"]


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_after_empirical_correction_every_layers_mean_is_that_of_floating_point(kind):
    torch.manual_seed(0)
    module = {
        "conv": nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, bias=False), nn.ReLU(), nn.Conv2d(8, 4, 1)
        ),
        "linear": nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)),
    }[kind]
    x = torch.rand(40, 3, 10, 10) if kind == "conv" else torch.rand(40, 5)
    network = quantized(module, x)
    mj.calibrate(network, x)
    mj.correct_biases(network, x, samples=None)
    for layer in network.layers:
        with unquantized(network):
            corrected = layer.bias.detach().clone()
            _restore(module, layer)
            exact = _output(network, layer, x)
            layer.bias.data.copy_(corrected)
        dims = [dim for dim in range(exact.dim()) if dim != 1]
        got = _output(network, layer, x)
        reference = _reference(module, layer.path, x)
        assert_close(got.mean(dims), reference.mean(dims), rtol=1e-4, atol=1e-5)


def _restore(module, layer):
    original = module.get_submodule(layer.path).bias
    layer.bias.data.copy_(torch.zeros(layer.out_channels) if original is None else original.detach())


def _reference(module, path, x):
    for name, child in module.named_children():
        x = child(x)
        if name == path:
            return x.detach()
    raise AssertionError(path)


def test_shifts_are_measured_before_and_after():
    x = torch.rand(16, 5)
    network = quantized(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)), x)
    mj.calibrate(network, x)
    record = mj.correct_biases(network, x)
    assert record.source == record.measured_on == "16 samples of Tensor"
    assert all(max(map(abs, shift.before)) > 1e-2 for shift in record.shifts)
    assert 0 < max(abs(value) for shift in record.shifts for value in shift.after) < 1e-5


def test_what_statistics_leave_is_measured_where_there_is_data():
    """Inputs whose mean is not that of the statistics: what is left is the shift of the real mean, by hand."""
    x = torch.rand(64, 5) * 0.5 + 0.5
    network = quantized(nn.Sequential(nn.Linear(5, 4)), x)
    layer = network.layers[0]
    mj.calibrate(network, x)
    with unquantized(network), torch.no_grad():
        exact = network(x).double()
    weight, read = layer.weight.detach().double(), next(iter(network.quantizers.values()))(x).double()
    rounding = weight - layer.stored_weight.detach().double()
    before = (read @ weight.T + layer.bias.detach().double() - exact).mean(0)
    record = mj.correct_biases_from_statistics(network, input_range=(0.0, 1.0), data=x, samples=None)
    (shift,) = record.shifts
    unit = exact.std(0, correction=0)
    assert_close(torch.tensor(shift.before).double(), before / unit, rtol=1e-3, atol=1e-4)
    assert_close(torch.tensor(shift.after).double(), (before - rounding.sum(1) * 0.5) / unit, rtol=1e-3, atol=1e-4)
    assert max(map(abs, shift.after)) > 0.1
    assert record.measured_on == "64 samples of Tensor"


def test_a_channel_that_never_changes_counts_in_its_own_units():
    x = torch.rand(8, 5)
    network = quantized(nn.Sequential(nn.Linear(5, 2)), x)
    with torch.no_grad():
        network.layers[0].stored_weight.mul_(torch.tensor([[1.0], [1e-9]]))
        network.layers[0].bias.fill_(3.0)
    mj.calibrate(network, x)
    record = mj.correct_biases(network, x)
    assert all(abs(value) < 1 for shift in record.shifts for value in (*shift.before, *shift.after))


def test_without_data_nothing_is_said_of_what_is_left():
    network = quantized(nn.Sequential(nn.Linear(5, 4)), torch.rand(8, 5))
    record = mj.correct_biases_from_statistics(network, input_range=(0.0, 1.0))
    assert record.measured_on == ""
    assert [len(shift.after) for shift in record.shifts] == [0]


def test_data_is_streamed_and_not_joined():
    """Batches of other sizes give what one batch of all gives, and none is larger than they were."""
    x = torch.rand(24, 5)
    seen = []
    biases = []
    for given in ([x], [x[:10], x[10:20], x[20:]]):
        torch.manual_seed(0)
        network = quantized(nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)), x)
        mj.calibrate(network, x)
        network.layers[0].owner.register_forward_hook(lambda _m, inputs, _o: seen.append(len(inputs[0])))
        mj.correct_biases(network, given)
        biases.append([layer.bias.detach().clone() for layer in network.layers])
    assert set(seen) == {24, 10, 4}
    assert_close(biases[0], biases[1], rtol=1e-5, atol=1e-6)


def test_without_quantized_weights_it_is_refused():
    network = mj.capture(nn.Linear(3, 3), torch.randn(2, 3))
    with pytest.raises(GraphError, match="has no quantized weight"):
        mj.correct_biases(network, torch.randn(4, 3))
    with pytest.raises(GraphError, match="has no quantized weight"):
        mj.correct_biases_from_statistics(network, input_range=(0.0, 1.0))


def test_data_that_does_not_fit_leaves_the_biases_alone():
    network = quantized(nn.Sequential(nn.Linear(5, 4)), torch.rand(8, 5))
    before = network.layers[0].bias.detach().clone()
    with pytest.raises(DataError):
        mj.correct_biases(network, torch.rand(8, 6))
    assert torch.equal(network.layers[0].bias, before)


def test_a_layer_view_is_what_corrections_read():
    network = quantized(nn.Sequential(nn.Linear(5, 4)), torch.rand(8, 5))
    assert isinstance(network.layers[0], Layer)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv2d(4, 5, 3, padding=1, stride=2), (4, 6, 6)),
        (nn.Conv2d(4, 5, 3, padding="same", dilation=2), (4, 6, 6)),
        (nn.Conv2d(4, 4, 3, padding=1, groups=4), (4, 6, 6)),
        (nn.Conv2d(4, 5, 3, padding=1, padding_mode="reflect"), (4, 6, 6)),
        (nn.Sequential(nn.ZeroPad2d((0, 1, 2, 1)), nn.Conv2d(4, 5, 3)), (4, 6, 6)),
        (nn.Conv1d(4, 5, 3, padding=2), (4, 7)),
        (nn.Conv3d(4, 5, 2, padding=1), (4, 3, 3, 3)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), (4, 4, 4)),
        (nn.Linear(4, 5), (4,)),
    ],
    ids=str,
)
def test_analytic_correction_is_exact_for_constant_inputs_wherever_zeros_are(layer, shape):
    """With a constant input the shift is (Wq - W) x, zeros at the borders included."""
    torch.manual_seed(0)
    for module in layer.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    network = mj.capture(nn.Sequential(layer), torch.rand(2, *shape))
    mj.quantize(network, target="per-tensor", weights=3)
    x = torch.full((2, *shape), 0.5)
    with unquantized(network), torch.no_grad():
        exact = network(x)
    with torch.no_grad():
        before = network(x) - exact
        mj.correct_biases_from_statistics(network, input_range=(0.0, 1.0))
        after = network(x) - exact
    dims = [dim for dim in range(exact.dim()) if dim != 1]
    assert before.mean(dims).abs().max() > 1e-3
    assert_close(after.mean(dims), torch.zeros(exact.shape[1]), rtol=0, atol=1e-5)


def test_shuffled_data_gives_both_networks_the_same_samples():
    torch.manual_seed(0)
    x = torch.rand(64, 5) * torch.arange(1.0, 65.0)[:, None]
    module = nn.Sequential(nn.Linear(5, 4))
    network = mj.capture(module, x[:4])
    mj.quantize(network, target="per-tensor", weights=8)
    data = DataLoader(TensorDataset(x, x), batch_size=8, shuffle=True)
    bias = network.layers[0].bias.detach().clone()
    mj.correct_biases(network, data, samples=8)
    assert (network.layers[0].bias - bias).abs().max() < 0.1


def test_a_layer_that_is_used_twice_is_skipped():
    network = mj.capture(Function(lambda m, x: m.a(m.a(x)), a=nn.Linear(4, 4)), torch.rand(2, 4))
    mj.quantize(network)
    for record in (
        mj.correct_biases_from_statistics(network, input_range=(0.0, 1.0)),
        mj.correct_biases(network, torch.rand(8, 4)),
    ):
        assert [skipped.reason for skipped in record.skipped] == ["it is used more than once"]
        assert record.shifts == ()


def test_a_layer_that_nothing_is_known_of_is_skipped():
    network = mj.capture(nn.Sequential(nn.Sigmoid(), nn.Linear(4, 4)), torch.rand(2, 4))
    mj.quantize(network)
    record = mj.correct_biases_from_statistics(network, input_range=(0.0, 1.0))
    assert [skipped.reason for skipped in record.skipped] == ["nothing is known of its input without data"]
