"""Spread of weights and errors by layer, by hand."""

import math

import pytest
import torch
from torch import nn

import microjoule as mj


def test_the_five_numbers_of_a_channel_by_hand():
    layer = nn.Linear(5, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0], [0.0, 0.0, 0.0, 0.0, -8.0]]))
    network = mj.capture(nn.Sequential(layer), torch.randn(2, 5))
    record = mj.weight_ranges(network, "before")
    first, second = record.layers["0"]
    assert (first.low, first.lower_quartile, first.median, first.upper_quartile, first.high) == (1, 2, 3, 4, 5)
    assert (second.low, second.high) == (-8, 0)
    assert network.history[-1] is record


def test_the_error_at_the_input_is_that_of_its_grid():
    network = mj.capture(nn.Sequential(nn.Linear(4, 4)), torch.randn(2, 4))
    mj.quantize(network)
    x = torch.rand(4000, 4, generator=torch.Generator().manual_seed(0))
    mj.calibrate(network, x)
    record = mj.errors_by_layer(network, x, samples=4000, stage="int8")
    uniform = 10 * math.log10((1 / 3) / ((1 / 255) ** 2 / 12))
    assert record.layers[0].sqnr_db == pytest.approx(uniform, abs=0.2)
    assert record.samples == 4000
    assert record.layers[-1].sqnr_db < record.layers[0].sqnr_db
