"""Counting a network at other widths."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import SettingError
from microjoule.quantization.bit_costs import COSTS, Meter, find_cost, uniform_widths
from microjoule.quantization.bit_groups import find_groups, value_quantizers


@pytest.fixture
def meter():
    network = mj.capture(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval(), torch.randn(2, 4))
    placed = mj.quantize(network, target="per-tensor")
    values = value_quantizers(network, placed)
    return Meter(network, find_groups(network, values, tied=True), values, COSTS["bops"].price)


def test_bit_operations_by_hand(meter):
    assert meter.count([(4, 8), (2, 16), (0, 16)]) == 24 * 4 * 8 + 18 * 2 * 16
    assert meter.uniform(3, 5) == 42 * 3 * 5
    assert meter.price(meter.network) == 24 * 4 * 8 + 18 * 2 * 16


def test_what_an_option_adds_by_hand(meter):
    base, added = meter.above_first([[(4, 8), (8, 8)], [(8, 8), (2, 8)], [(0, 8), (0, 16)]])
    assert base == 24 * 32 + 18 * 64
    assert added == [[0, 24 * 32], [0, -18 * 48], [0, 0]]
    assert meter.price(meter.network) == base


def test_a_function_is_a_cost():
    def latency(network):
        return 1.0

    assert (find_cost(latency).name, find_cost(latency).price) == ("latency", latency)
    assert find_cost("energy").unit == "pJ"


def test_bits_in_words():
    assert uniform_widths("W4A16") == (4, 16)
    with pytest.raises(SettingError, match="budget: is 'w4a8'"):
        uniform_widths("w4a8")
    with pytest.raises(SettingError, match="cost: is 'joules'"):
        find_cost("joules")
