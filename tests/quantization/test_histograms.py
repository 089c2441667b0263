"""Values are counted at their steps, by hand and by law, and the network is left as it was."""

import pytest
import torch
from torch import nn, tensor

import microjoule as mj
from microjoule.errors import GraphError
from microjoule.quantization.histograms import BINS


def network_of(module, x, **bits):
    network = mj.capture(nn.Sequential(module), x[:2])
    mj.quantize(network, target="per-tensor", **bits)
    mj.calibrate(network, x)
    return network


def test_weights_by_hand():
    """Steps of 1: 3, 1, 1 and -9, which lies below a grid from -4 to 3."""
    network = network_of(nn.Linear(4, 1), torch.rand(8, 4), weights=3)
    layer = network.layers[0]
    layer.quantizer.set_range(tensor(-4.0), tensor(3.0))
    with torch.no_grad():
        layer.stored_weight.copy_(tensor([[3.0, 1.2, 0.8, -9.0]]) * layer.quantizer.scale)
    row = mj.histograms(network, torch.rand(8, 4)).quantizers[0]
    counts = {row.start + number * row.width: share for number, share in enumerate(row.shares) if share}
    assert (row.name, row.kind, row.bits, row.width) == ("0", "weight", 3, 1)
    assert counts == {3: 0.25, 1: 0.5, row.start: 0.25}
    assert row.clipped == 0.25


def test_each_channel_is_counted_in_its_own_steps():
    module = nn.Linear(2, 2)
    with torch.no_grad():
        module.weight.copy_(tensor([[7.0, 4.0], [700.0, 400.0]]))
    network = mj.capture(nn.Sequential(module), torch.rand(2, 2))
    mj.quantize(network, weights=4)
    mj.calibrate(network, torch.rand(8, 2))
    row = mj.histograms(network, torch.rand(8, 2)).quantizers[0]
    assert sorted(share for share in row.shares if share) == [0.5, 0.5]


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_shares_sum_to_one_and_bins_cover_the_grid_and_its_sides(bits):
    x = torch.rand(64, 4)
    network = network_of(nn.Linear(4, 3), x, weights=8, activations=bits)
    rows = mj.histograms(network, x, samples=50).quantizers
    for row in rows:
        assert sum(row.shares) == pytest.approx(1)
        assert row.start < row.low
        assert row.start + len(row.shares) * row.width > row.high
        assert len(row.shares) <= 2 * BINS + 1
    assert network.history[-1].samples == 50


def test_what_lies_beyond_a_range_is_clipped():
    x = torch.rand(64, 4)
    network = network_of(nn.Linear(4, 3), x)
    inputs = next(row for row in mj.histograms(network, x).quantizers if row.kind == "activation")
    assert inputs.clipped == 0
    beyond = next(row for row in mj.histograms(network, x + 1).quantizers if row.kind == "activation")
    assert beyond.clipped > 0.9


def test_the_network_is_left_as_it_was():
    x = torch.rand(16, 4)
    network = network_of(nn.Linear(4, 3), x)
    before = network(x)
    mj.histograms(network, x)
    assert torch.equal(network(x), before)
    assert not any(quantizer._forward_pre_hooks for quantizer in network.quantizers.values())


def test_a_network_without_quantizers_is_refused():
    network = mj.capture(nn.Sequential(nn.Linear(2, 2)), torch.rand(2, 2))
    with pytest.raises(GraphError, match="has no quantizer with a range"):
        mj.histograms(network, torch.rand(2, 2))
