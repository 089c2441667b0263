"""Weight clipping: least squared error, what was kept, refusals."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import GraphError
from microjoule.numerics.ranges import min_max


def network_with_outlier():
    module = nn.Conv2d(4, 8, 3)
    with torch.no_grad():
        module.weight.normal_(generator=torch.Generator().manual_seed(0))
        module.weight[0, 0, 0, 0] = 40.0
    network = mj.capture(nn.Sequential(module), torch.randn(2, 4, 8, 8))
    mj.quantize(network, target="per-tensor", weights=4)
    return network


def error(network):
    (layer,) = network.layers
    return (layer.weight - layer.stored_weight).square().sum().item()


def test_clipping_lessens_the_squared_error():
    network = network_with_outlier()
    before = error(network)
    record = mj.clip_weights(network)
    assert error(network) < before
    (kept,) = record.kept.values()
    assert 0 < kept < 1


def test_with_the_whole_range_nothing_is_clipped():
    network = network_with_outlier()
    before = error(network)
    record = mj.clip_weights(network, rule=min_max)
    assert error(network) == before
    assert list(record.kept.values()) == pytest.approx([1.0], abs=0.1)


def test_only_the_chosen_layers_change():
    network = network_with_outlier()
    before = error(network)
    record = mj.clip_weights(network, only=[])
    assert error(network) == before
    assert [skipped.reason for skipped in record.skipped] == ["not chosen by the caller"]


def test_a_network_without_quantizers_is_refused():
    with pytest.raises(GraphError, match="has no quantized weight"):
        mj.clip_weights(mj.capture(nn.Linear(3, 3), torch.randn(2, 3)))
