"""Room for biases: scales by hand, by law for any layer and target, and sums at their largest."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn, tensor
from torch.testing import assert_close

import microjoule as mj
from microjoule.costs.target import names
from microjoule.numerics.affine import Affine
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.quantization.bias_grid import (
    FREE_STEPS,
    LARGEST_BIAS,
    largest_sum,
    least_input_scales,
    make_room_for_biases,
    roomy_scale,
    sum_scale,
)


def test_scales_by_hand():
    """One that is large enough, one without weights, one without weights or bias, and one too small for its bias."""
    scale, bias = tensor([0.5, 1.0, 1.0, 2.0**-40]), tensor([3.0, 8.0, 0.0, 4.0])
    empty = tensor([False, True, True, False])
    found = roomy_scale(scale, bias, empty, 2.0)
    assert found[0] == 0.5
    assert found[1] == 4.0 / FREE_STEPS
    assert found[2] == 2.0**-40  # as fine as any other
    assert found[3].item() == pytest.approx(2.0 / LARGEST_BIAS, rel=1e-5)
    assert 4.0 / (2.0 * found[3].item()) <= LARGEST_BIAS


def test_a_tensor_without_weights_or_biases_keeps_its_scale():
    assert roomy_scale(tensor(1.0), tensor(0.0), tensor(True), 0.1) == 1.0


LAYERS = {
    "conv": lambda: nn.Conv2d(4, 6, 3),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2),
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 2),
    "transposed in groups": lambda: nn.ConvTranspose2d(4, 6, 2, groups=2),
}


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    layer=st.sampled_from(sorted(LAYERS)),
    target=st.sampled_from(names()),
    exponents=st.lists(st.sampled_from([-99, -38, -30, -12, -3, 0, 3, 30]), min_size=6, max_size=6),
    biases=st.lists(st.sampled_from([0.0, 1e-3, -0.45, 5.0, -300.0]), min_size=6, max_size=6),
    brightness=st.sampled_from([0.01, 1.0, 255.0]),
)
def test_freezing_moves_no_bias_by_more_than_half_a_step_of_the_sum(layer, target, exponents, biases, brightness):
    """For channels of any size, without weights (-99), and beside biases of any size; all is on 31 bits."""
    torch.manual_seed(0)
    module = nn.Sequential(LAYERS[layer](), nn.ReLU(), nn.Conv2d(6, 2, 1)).eval()
    x = torch.rand(4, 4, 5, 5) * brightness
    network = mj.capture(module, x)
    one = network.layers[0]
    sizes = tensor([0.0 if exponent == -99 else 10.0**exponent for exponent in exponents])
    with torch.no_grad():
        rows = one.by_output(one.stored_weight) * sizes[:, None, None, None]
        one.stored_weight.copy_(one.in_layout(rows))
        one.bias.copy_(tensor(biases))
    mj.quantize(network, target=target)
    mj.calibrate(network, x)
    assume("0" in least_input_scales(network))  # else the target keeps what it reads in floating point, and its sum
    mj.freeze(network)
    affine, read = one.quantizer.affine, next(iter(network.quantizers.values())).affine
    step, wanted = sum_scale(one, affine, read.scale).expand(6), tensor(biases).double()
    assert bool(((one.bias.double() - wanted).abs() <= step * (0.5 + 1e-6) + 1e-7 * wanted.abs()).all())
    assert bool((one.bias.double().abs() / step <= LARGEST_BIAS * 1.01).all())
    if affine.scale.dim() and layer != "transposed in groups":
        empty = sizes == 0
        lost = (one.bias.double() - wanted).abs()[empty]
        assert bool((lost <= wanted[empty].abs() * 2.0**-22).all())


@pytest.mark.parametrize("target", names())
@pytest.mark.parametrize("held", [False, True])
def test_a_layer_without_weights_gives_its_bias(target, held):
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        module[0].weight.zero_()
        module[0].bias.copy_(tensor([-0.43, 0.37]))
    x = torch.rand(8, 3) * 255
    network = mj.capture(module, x)
    mj.quantize(network, target=target)
    mj.calibrate(network, x)
    if held:
        for layer in network.layers:
            layer.quantizer.hold(torch.zeros_like(layer.stored_weight) + layer.quantizer.affine.zero_point.max())
    record = mj.freeze(network)
    assert record.free["0"] >= 1
    assert_close(network.layers[0].bias, tensor([-0.43, 0.37]), rtol=0, atol=1e-6)


def test_a_grown_scale_is_told_and_the_weights_are_rounded_to_it():
    module = nn.Sequential(nn.Linear(3, 2)).eval()
    with torch.no_grad():
        module[0].weight.copy_(tensor([[1e-5, 5e-6, 0.0], [1.0, 0.5, 0.0]]))
        module[0].bias.copy_(tensor([5.0, 4.5]))
    x = torch.rand(8, 3)
    network = mj.capture(module, x)
    mj.quantize(network)
    mj.calibrate(network, x)
    layer = network.layers[0]
    layer.quantizer.hold(tensor([[127, 64, 0], [127, 64, 0]]))
    assert make_room_for_biases(network) == ({"0": 1}, {})
    scale = layer.quantizer.affine.scale[0].item()
    assert layer.quantizer.integers.tolist() == [[round(1e-5 / scale), round(5e-6 / scale), 0], [127, 64, 0]]
    assert 1 < layer.quantizer.integers[0, 0] < 127
    assert make_room_for_biases(network) == ({"0": 1}, {})  # the second time as the first


def test_weights_that_the_larger_scale_rounds_to_0_are_as_good_as_none():
    module = nn.Sequential(nn.Linear(3, 2)).eval()
    with torch.no_grad():
        module[0].weight.copy_(tensor([[1e-11, 5e-12, 0.0], [1.0, 0.5, 0.0]]))
        module[0].bias.copy_(tensor([5.0, 4.5]))
    network = mj.capture(module, torch.rand(8, 3))
    mj.quantize(network)
    mj.calibrate(network, torch.rand(8, 3))
    for _ in range(2):
        assert make_room_for_biases(network) == ({}, {"0": 1})
    read = next(iter(network.quantizers.values())).affine.scale.item()
    assert network.layers[0].quantizer.affine.scale[0].item() == pytest.approx(5.0 / read / FREE_STEPS)


def test_scales_that_are_powers_of_two_stay_so(tmp_path):
    text = open_target("per-tensor").replace("symmetric = false", "symmetric = true\npower_of_two = true", 1)
    path = tmp_path / "shifter.toml"
    path.write_text(text, "utf-8")
    module = nn.Sequential(nn.Linear(3, 2)).eval()
    with torch.no_grad():
        module[0].weight.zero_()
    network = mj.capture(module, torch.rand(4, 3))
    mj.quantize(network, target=path)
    mj.calibrate(network, torch.rand(8, 3))
    mj.freeze(network)
    scale = network.layers[0].quantizer.affine.scale
    assert scale.log2() == scale.log2().round()
    assert scale < 1e-3


def open_target(name):
    from importlib import resources  # noqa: PLC0415

    return (resources.files("microjoule.costs") / "targets" / f"{name}.toml").read_text("utf-8")


def test_a_layer_that_is_called_twice_has_the_finer_of_its_inputs_scales():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3)

        def forward(self, x):
            return self.a(self.a(x) * 100.0)

    network = mj.capture(Twice().eval(), torch.rand(4, 3))
    mj.quantize(network)
    assert least_input_scales(network) == {}
    mj.calibrate(network, torch.rand(8, 3))
    scales = [quantizer.affine.scale.item() for quantizer in network.quantizers.values()]
    assert least_input_scales(network) == {"a": scales[0]}


def test_the_largest_sum_by_hand():
    network = mj.capture(nn.Sequential(nn.Linear(2, 2)), torch.rand(1, 2))
    layer, integers = network.layers[0], tensor([[3, -2], [1, 1]])
    assert largest_sum(layer, integers, None, (-10, 20)) == 3 * 20 + 2 * 10
    assert largest_sum(layer, integers, tensor([-100.0, 0.0]), (-10, 20)) == 3 * 10 + 2 * 20 + 100


def test_each_output_has_the_scale_of_its_block():
    network = mj.capture(nn.Sequential(nn.Linear(2, 5)), torch.rand(1, 2))
    scheme = Scheme(IntGrid(8), symmetric=True, axis=0, block=2)
    affine = Affine(scheme, tensor([1.0, 2.0, 3.0]), torch.zeros(3, dtype=torch.int32))
    assert sum_scale(network.layers[0], affine, tensor(0.5)).tolist() == [0.5, 0.5, 1.0, 1.0, 1.5]


@pytest.mark.parametrize(("bits", "wide"), [(8, {}), (16, {"0": 42})])
def test_sums_that_may_not_fit_are_told(bits, wide):
    """512 products of 16 bits each: 32 bits, 9 more for their number, and a sign."""
    network = mj.capture(nn.Sequential(nn.Linear(512, 2, bias=False)), torch.rand(2, 512))
    with torch.no_grad():
        network.layers[0].stored_weight.fill_(1.0)
    mj.quantize(network, target="per-tensor", weights=bits, activations=bits)
    mj.calibrate(network, torch.rand(8, 512))
    record = mj.freeze(network)
    assert record.accumulator_bits == 32
    assert record.wide == wide
