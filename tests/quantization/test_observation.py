import pytest
import torch
from torch import nn
from torch.testing import assert_close

from microjoule.errors import DataError
from microjoule.graph.fold import fold_batch_norms
from microjoule.quantization.observation import observe_statistics
from microjoule.quantization.ptq.equalization import equalize
from tests.quantization.networks import conv, single


def test_mean_and_deviation_of_each_channel_by_hand():
    network, _ = single(nn.Sequential(nn.Linear(1, 2)), 1)
    with torch.no_grad():
        network.layers[0].stored_weight.copy_(torch.tensor([[1.0], [-2.0]]))
        network.layers[0].bias.copy_(torch.tensor([0.0, 1.0]))
    record = observe_statistics(network, torch.tensor([[1.0], [3.0]]))
    found = network.preactivations["0"]
    assert_close(found.mean, torch.tensor([2.0, -3.0]))
    assert_close(found.std, torch.tensor([1.0, 2.0]))
    assert (record.layers, record.samples) == (("0",), 2)
    assert network.history[-1] is record


def test_it_is_over_batches_and_places_and_before_the_activation():
    network, _ = single(nn.Sequential(conv(), nn.ReLU(), conv()), 4, 7, 7)
    x = torch.randn(37, 4, 7, 7, generator=torch.Generator().manual_seed(0))
    assert observe_statistics(network, x).layers == ("0", "2")
    with torch.no_grad():
        inside = nn.functional.conv2d(x, network.layer("0").weight, network.layer("0").bias)
    assert float(inside.min()) < 0
    assert_close(network.preactivations["0"].mean, inside.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
    assert_close(network.preactivations["0"].std, inside.std((0, 2, 3), correction=0), rtol=1e-4, atol=1e-6)


def test_a_linear_layers_channels_are_its_last_dimension():
    network, _ = single(nn.Sequential(nn.Linear(4, 3)), 5, 4)
    x = torch.randn(20, 5, 4, generator=torch.Generator().manual_seed(0))
    observe_statistics(network, x)
    with torch.no_grad():
        made = nn.functional.linear(x, network.layer("0").weight, network.layer("0").bias)
    assert_close(network.preactivations["0"].mean, made.mean((0, 1)), rtol=1e-4, atol=1e-6)


def test_some_samples_are_enough_on_request():
    network, x = single(nn.Sequential(conv()), 4, 7, 7)
    assert observe_statistics(network, x, samples=1).samples == 1


def test_the_record_counts_what_came_where_the_number_was_not_known():
    network, _ = single(nn.Sequential(conv()), 4, 7, 7)
    x = torch.randn(5, 4, 7, 7, generator=torch.Generator().manual_seed(0))
    assert observe_statistics(network, [x[:2], x[2:]], samples=9).samples == 5


def test_what_batch_norms_told_stays():
    network, x = single(nn.Sequential(conv(), nn.BatchNorm2d(4), nn.ReLU(), conv()), 4, 7, 7)
    fold_batch_norms(network)
    before = network.preactivations["0"]
    record = observe_statistics(network, x)
    assert network.preactivations["0"] is before
    assert record.layers == ("3",)


def test_scaling_a_layer_scales_what_was_observed():
    network, x = single(nn.Sequential(conv(), nn.ReLU(), conv()), 4, 7, 7)
    observe_statistics(network, x)
    equalize(network)
    scaled = network.preactivations["0"]
    network.preactivations.clear()
    observe_statistics(network, x)
    assert_close(network.preactivations["0"].std, scaled.std, rtol=1e-4, atol=0)


def test_values_that_are_not_finite_are_refused():
    network, x = single(nn.Sequential(conv()), 4, 7, 7)
    with pytest.raises(DataError, match="NaN"):
        observe_statistics(network, x * float("nan"))
