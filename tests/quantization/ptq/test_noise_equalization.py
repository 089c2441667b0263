import copy

import pytest
import torch
from torch import nn, tensor
from torch.testing import assert_close

from microjoule.graph.fold import fold_batch_norms
from microjoule.quantization.ptq.equalization import equalize
from microjoule.quantization.ptq.noise_equalization import Channels, equalize_noise, input_noise, weight_noise
from tests.quantization.networks import MODULES, conv, network_of, outputs, uneven

RANGE = (-1.0, 1.0)

LAYER = Channels(
    largest=tensor([[1.0, 2.0], [4.0, 0.5]]),
    power=tensor([[1.0, 4.0], [16.0, 0.25]]),
    taps=2,
    rows=tensor([[0, 1]]),
    var=tensor([1.0, 9.0]),
    low=tensor([-1.0, 0.0]),
    high=tensor([2.0, 6.0]),
    signal=tensor([37.0, float("inf")]),
)
"""Two outputs of two inputs by kernels of two taps; the second output is constant."""


def test_weight_noise_by_hand():
    """Divided by s = (1, 2) and t = (1, 4) the weights are (1, 4) and (1, 1/4): a step is 4 / 8."""
    found = weight_noise(LAYER, tensor([1.0, 2.0]), tensor([1.0, 4.0]), levels=8)
    assert_close(found, tensor([0.5**2 / 12 * 2 * (1 + 9 / 4) / 37, 0.0]))


def test_input_noise_by_hand():
    """Divided by s = (1, 2) the inputs reach from -1 to 3: of 8 steps each is 1/2. The weights are (1, 4)."""
    found = input_noise(LAYER, tensor([1.0, 2.0]), levels=8)
    assert_close(found, tensor([0.5**2 / 12 * (1 + 16) / 37, 0.0]))


def test_a_grouped_layer_reads_its_own_inputs():
    """Each output reads one input, of variance 1 and 9, and s divides each."""
    layer = Channels(
        tensor([[2.0], [2.0]]),
        tensor([[4.0], [4.0]]),
        1,
        tensor([[0], [1]]),
        tensor([1.0, 9.0]),
        tensor([0.0, 0.0]),
        tensor([1.0, 1.0]),
        tensor([1.0, 1.0]),
    )
    s = tensor([1.0, 3.0])
    assert_close(weight_noise(layer, s, torch.ones(2), levels=6), tensor([1.0, 1.0]) / 12)
    assert_close(input_noise(layer, s, levels=1), tensor([4.0, 36.0]) / 12)


def test_the_noise_is_what_rounding_adds():
    """Measured on a layer of 64 inputs with rounded weights and inputs, to a few per cent of many draws."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(20000, 64, generator=generator, dtype=torch.float64)
    weight = torch.rand(256, 64, generator=generator, dtype=torch.float64) - 0.5
    y = (x - 0.5) @ weight.T
    ones = torch.ones(64, dtype=torch.float64)
    layer = Channels(weight.abs(), weight.square(), 1, torch.arange(64)[None], ones / 12, 0 * ones, ones, y.var(0))
    s, t = ones, torch.ones(256, dtype=torch.float64)
    step = weight.abs().max() / 7
    by_weights = ((x - 0.5) @ (torch.round(weight / step) * step - weight).T).var(0) / y.var(0)
    by_inputs = ((torch.round(x * 15) / 15 - x) @ weight.T).var(0) / y.var(0)
    assert_close(weight_noise(layer, s, t, levels=7).mean(), by_weights.mean(), rtol=0.03, atol=0)
    assert_close(input_noise(layer, s, levels=15).mean(), by_inputs.mean(), rtol=0.03, atol=0)


@pytest.mark.parametrize("name", MODULES)
def test_the_network_computes_the_same_function_with_less_noise(name):
    module, shape = MODULES[name]
    network, x = network_of(uneven(copy.deepcopy(module)), *shape)
    before = outputs(network, x)
    record = equalize_noise(network, input_range=RANGE)
    assert record.groups
    assert_close(outputs(network, x), before)
    assert record.noise_after < record.noise_before
    assert network.history[-1] is record


@pytest.mark.parametrize("name", ["chain", "depthwise", "relu6", "flattened", "two readers"])
def test_equal_ranges_have_more_noise(name):
    """The same measure, of a network that was equalized by ranges first and not descended from."""
    module, shape = MODULES[name]
    network, _ = network_of(uneven(copy.deepcopy(module)), *shape)
    other = network.copy()
    equalize(other)
    by_ranges = equalize_noise(other, input_range=RANGE, steps=1).noise_before
    assert equalize_noise(network, input_range=RANGE, steps=300).noise_after < by_ranges


@pytest.mark.slow
def test_it_finds_the_best_ratio_of_two_channels():
    """All ratios of two channels' scales, one by one."""
    module = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 3))
    network, _ = network_of(uneven(module), 3)
    found = equalize_noise(network.copy(), input_range=RANGE, steps=400).noise_after
    tried = []
    for ratio in torch.logspace(-3, 3, 241):
        other = network.copy()
        with torch.no_grad():
            layers = other.layers
            layers[0].stored_weight[0] /= ratio
            layers[0].bias[0] /= ratio
            layers[1].stored_weight[:, 0] *= ratio
        tried.append(equalize_noise(other, input_range=RANGE, steps=1).noise_before)
    assert found <= min(tried) * 1.01
    assert max(tried) > 10 * min(tried)


def test_fewer_bits_make_more_noise():
    """A weight's step at 4 bits is 127 / 7 of that at 8, an input's 255 / 15: noise goes with the square."""
    network, _ = network_of(uneven(nn.Sequential(conv(), nn.ReLU(), conv())), 4, 7, 7)
    noise = [
        equalize_noise(network.copy(), input_range=RANGE, weights=w, activations=a, steps=1).noise_before
        for w, a in ((8, 8), (4, 8), (8, 4), (4, 4))
    ]
    weights = (noise[1] - noise[0]) / ((127 / 7) ** 2 - 1)
    inputs = (noise[2] - noise[0]) / ((255 / 15) ** 2 - 1)
    assert_close(tensor([weights + inputs]), tensor([noise[0]]), rtol=1e-4, atol=0)
    assert noise[3] == pytest.approx(noise[1] + noise[2] - noise[0])


def test_a_constant_channel_and_a_network_without_statistics_are_finite():
    module = uneven(
        nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(), conv(), nn.Sigmoid(), conv(), nn.ReLU(), conv())
    )
    with torch.no_grad():
        module[1].weight[0] = 0.0
    network, x = network_of(module, 4, 9, 9)
    fold_batch_norms(network)
    before = outputs(network, x)
    record = equalize_noise(network, input_range=RANGE)
    assert 0 < record.noise_after < record.noise_before < float("inf")
    assert_close(outputs(network, x), before)


def test_without_neighbouring_layers_nothing_is_done_and_it_says_why():
    network, x = network_of(nn.Sequential(conv(), nn.Sigmoid(), conv()), 4, 7, 7)
    before = outputs(network, x)
    record = equalize_noise(network, input_range=RANGE)
    assert record.groups == {}
    assert record.noise_after == record.noise_before
    assert [skipped.place for skipped in record.skipped] == ["0", "2"]
    assert torch.equal(outputs(network, x), before)
