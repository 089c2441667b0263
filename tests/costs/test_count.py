import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from microjoule.capture.export import capture
from microjoule.costs.count import costs
from microjoule.costs.energy import energy_table
from microjoule.errors import TargetError
from microjoule.quantization.simulate import quantize

TOTALS = ("parameters", "weight_bytes", "macs", "bops", "activation_bytes", "energy_pj")


class Function(nn.Module):
    """Modules, and a function of them."""

    def __init__(self, function, **modules):
        super().__init__()
        self.function = function
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, *args):
        return self.function(self, *args)


def macs(module, *args):
    return costs(capture(module, args)).macs


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv2d(3, 8, 3, padding=1), (3, 10, 10), 8 * 100 * 27),
        (nn.Conv2d(3, 8, 3, stride=2, padding=1), (3, 10, 10), 8 * 25 * 27),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), (8, 10, 10), 8 * 100 * 9),
        (nn.Conv2d(8, 4, 3, padding=1, groups=2), (8, 10, 10), 4 * 100 * 4 * 9),
        (nn.Conv2d(3, 8, 3, padding=2, dilation=2), (3, 10, 10), 8 * 100 * 27),
        (nn.ConvTranspose2d(8, 4, 2, stride=2), (8, 10, 10), 8 * 100 * 4 * 4),
        (nn.ConvTranspose2d(8, 4, 2, stride=2, groups=2), (8, 10, 10), 8 * 100 * 2 * 4),
        (nn.Conv1d(3, 8, 5), (3, 10), 8 * 6 * 15),
        (nn.Linear(12, 5), (12,), 60),
        (nn.Linear(12, 5), (7, 12), 7 * 60),
        (nn.BatchNorm2d(3), (3, 4, 4), 0),
        (nn.LSTM(3, 7, batch_first=True), (5, 3), 5 * 4 * 7 * 10),
        (nn.GRU(3, 7, batch_first=True, bidirectional=True), (5, 3), 5 * 2 * 3 * 7 * 10),
    ],
    ids=repr,
)
def test_the_macs_of_one_layer_by_hand(layer, shape, expected):
    assert macs(nn.Sequential(layer), torch.randn(2, *shape)) == expected


def test_the_macs_of_products_by_hand():
    a, b = torch.randn(2, 5, 6), torch.randn(2, 6, 7)
    assert macs(Function(lambda _, a, b: a @ b), a, b) == 5 * 7 * 6
    assert macs(Function(lambda _, a: a @ a.transpose(1, 2)), a) == 5 * 5 * 6
    square = torch.randn(2, 6, 6)
    assert macs(Function(lambda _, a: a @ a), square) == 6**3
    q = torch.randn(2, 4, 5, 8)
    assert macs(Function(lambda _, q: F.scaled_dot_product_attention(q, q, q)), q) == 4 * 5 * 5 * 16


def test_an_embedding_costs_its_table_and_no_macs():
    found = costs(capture(nn.Embedding(10, 3), torch.zeros(2, 5, dtype=torch.int64)))
    assert (found.macs, found.parameters, found.weight_bytes) == (0, 30, 120)


def test_a_small_network_by_hand():
    network = capture(
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)), torch.randn(4, 1, 4, 4)
    )
    found = costs(network, stage="here")
    assert [layer.layer for layer in found.layers] == ["0", "3"]
    assert (found.stage, found.energy_table) == ("here", "horowitz-45nm")
    assert found.parameters == 20 + 27
    assert found.weight_bytes == 4 * 47
    assert found.macs == 8 * 9 + 24
    assert found.bops == found.macs * 32 * 32
    assert found.activation_bytes == 4 * (8 + 3)
    assert found.peak_bytes == 4 * (16 + 8)
    near = energy_table("horowitz-45nm").move_pj(1)
    assert found.energy_pj == pytest.approx(found.macs * 4.6 + near * 4 * (47 + 16 + 8 + 8 + 3))
    assert network.history[-1] is found


def test_totals_are_the_sums_of_layers():
    found = costs(
        capture(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.Conv2d(4, 2, 1)), torch.randn(2, 3, 8, 8))
    )
    for name in TOTALS:
        assert getattr(found, name) == pytest.approx(sum(getattr(layer, name) for layer in found.layers))


def test_a_layer_that_is_called_twice_is_stored_once_and_computed_twice():
    conv = nn.Conv2d(4, 4, 1)
    once = costs(capture(nn.Sequential(conv), torch.randn(2, 4, 6, 6)))
    twice = costs(capture(Function(lambda m, x: m.conv(m.conv(x).relu()), conv=conv), torch.randn(2, 4, 6, 6)))
    assert twice.parameters == once.parameters
    assert twice.macs == 2 * once.macs
    assert len(twice.layers) == 1


def test_tied_weights_are_stored_once():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    found = costs(capture(nn.Sequential(first, nn.ReLU(), second), torch.randn(2, 4)))
    assert (found.parameters, found.macs) == (16, 32)


def test_parameters_at_the_root_count_and_unused_ones_do_not():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 1, 4))
            self.unused = nn.Parameter(torch.zeros(99))
            self.weight = nn.Parameter(torch.zeros(3, 4))

        def forward(self, x):
            return F.linear(torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1), self.weight)

    found = costs(capture(Model(), torch.randn(2, 5, 4)))
    assert found.parameters == 4 + 12
    assert found.macs == 6 * 4 * 3


def small():
    modules = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)]
    return capture(nn.Sequential(*modules), torch.randn(2, 3, 8, 8))


def quantized(weights, activations):
    network = small()
    quantize(network, target="onnxruntime", weights=weights, activations=activations)
    return costs(network, stage=f"W{weights}A{activations}")


def test_quantized_costs_by_hand():
    network, found = costs(small()), quantized(4, 8)
    assert found.macs == network.macs
    assert found.bops == found.macs * 4 * 8
    assert found.activation_bytes * 4 == network.activation_bytes
    assert found.peak_bytes * 4 == network.peak_bytes
    weights, biases = 8 * 27 + 8 * 9 + 640, 8 + 8 + 5
    assert found.weight_bytes == weights // 2 + biases * 4
    assert found.energy_pj < network.energy_pj / 4


def test_an_excluded_layer_stays_in_floating_point():
    network = small()
    quantize(network, target="onnxruntime", layers={"0": None})
    found = {layer.layer: layer for layer in costs(network).layers}
    assert found["0"].bops == found["0"].macs * 32 * 32
    assert found["2"].bops == found["2"].macs * 8 * 8


@pytest.mark.slow
@settings(max_examples=8)
@given(weights=st.integers(2, 7), activations=st.integers(4, 7))
def test_a_bit_more_never_costs_less(weights, activations):
    one = quantized(weights, activations)
    for other in (quantized(weights + 1, activations), quantized(weights, activations + 1)):
        assert (other.parameters, other.macs) == (one.parameters, one.macs)
        assert other.bops > one.bops
        assert other.weight_bytes >= one.weight_bytes
        assert other.peak_bytes >= one.peak_bytes
        assert other.energy_pj > one.energy_pj


def test_the_batch_of_the_example_does_not_count():
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    one, many = (costs(capture(module, torch.randn(n, 3, 8, 8))) for n in (1, 5))
    assert one == many


def test_an_unknown_energy_table_is_refused_before_anything_is_counted():
    network = small()
    before = list(network.history)
    with pytest.raises(TargetError, match="is no energy table"):
        costs(network, energy="coal")
    assert network.history == before
