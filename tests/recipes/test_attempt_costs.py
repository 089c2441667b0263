import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import SettingError
from microjoule.recipes.attempt_costs import PRICES, price, priced
from microjoule.records.measured import Measured


@pytest.fixture
def network():
    return mj.capture(nn.Sequential(nn.Linear(4, 3)), torch.rand(2, 4))


@pytest.mark.parametrize(("cost", "field"), [("energy", "energy_pj"), ("bytes", "weight_bytes"), ("bops", "bops")])
def test_what_is_counted_is_read(network, cost, field):
    value, (record,) = priced(network, cost, "fp32")
    assert value == getattr(record, field) > 0
    assert len(network.history) == 1


def test_latency_is_measured(network):
    value, (_, measured) = priced(network, "latency", "naive W8A8")
    assert isinstance(measured, Measured)
    assert (measured.latency_ms, measured.path) == (value, "naive W8A8.onnx")


def test_an_unknown_cost_is_refused():
    with pytest.raises(SettingError, match="cost: is 'money'"):
        price("money")
    assert price("energy") is PRICES["energy"]
