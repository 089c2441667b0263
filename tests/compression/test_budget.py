"""Budgets of the whole network: kept as `mj.costs` counts them, whatever stands beside the layers, and used up."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.compression import budget
from microjoule.compression.budget import TOTALS, made_by, total, within
from microjoule.compression.choice import choose
from microjoule.compression.menu import find_menu
from microjoule.compression.plan import Plan, restructure
from microjoule.compression.prices import currency
from microjoule.errors import SettingError

X = torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Normed(nn.Module):
    """Norms, biases and activations that the menu does not count."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        widths = (3, 8, 12, 12)
        parts = [[nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.SiLU()] for a, b in pairwise(widths)]
        self.body = nn.Sequential(*(one for part in parts for one in part))
        self.head = nn.Linear(12, 5)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


class Attending(nn.Module):
    """Products of two values, which no plan changes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.widen, self.narrow = nn.Conv2d(3, 8, 3, stride=3), nn.Linear(8, 24), nn.Linear(24, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        tokens = tokens + torch.softmax(tokens @ tokens.transpose(1, 2), -1) @ tokens
        return self.head((tokens + self.narrow(torch.relu(self.widen(tokens)))).mean(1))


NETWORKS = {kind.__name__: mj.capture(kind().eval(), X[:2]) for kind in (Normed, Attending)}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("counted", TOTALS)
@pytest.mark.parametrize("way", [0.0, 0.5, 1.0])
def test_the_network_that_is_made_keeps_the_share_as_it_is_counted_apart(name, counted, way):
    network, share = NETWORKS[name], 0.7
    menu = find_menu(network, X, currency(counted))
    try:
        chosen = within(menu, share, share**way)
    except SettingError:
        assert name == "Attending"
        return
    made = network.copy()
    restructure(made, chosen.plan)
    before, after = (TOTALS[counted](mj.costs(one.copy())) for one in (network, made))
    assert after <= share * before
    assert chosen.cost == after
    assert after > 0.75 * share * before


def test_what_stands_beside_the_layers_is_in_the_budget():
    """Without the check a plan of the same share of the layers' bytes leaves more of the whole network's."""
    network = NETWORKS["Normed"]
    menu = find_menu(network, X, currency("bytes"))
    plain = choose(menu, 0.6 * menu.cost(Plan()), 1.0)
    assert made_by(menu, plain.plan) > 0.6 * total(network, "bytes")
    assert within(menu, 0.6, 1.0).cost <= 0.6 * total(network, "bytes")


def test_of_a_network_of_layers_alone_the_first_plan_is_taken(monkeypatch):
    torch.manual_seed(0)
    network = mj.capture(nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4)).eval(), torch.zeros(2, 6))
    menu = find_menu(network, torch.rand(20, 6), currency("macs"))
    monkeypatch.setattr(budget, "TRIES", 1)
    chosen = within(menu, 0.5, 0.5)
    assert chosen == choose(menu, 60, 0.5)
    assert total(network, "macs") == menu.cost(Plan()) == 120


def test_a_count_leaves_no_record():
    network = NETWORKS["Normed"].copy()
    history = list(network.history)
    assert total(network, "energy") == mj.costs(network.copy()).energy_pj
    assert network.history == history


def test_what_is_not_reached_in_a_few_tries_is_refused(monkeypatch):
    menu = find_menu(NETWORKS["Normed"], X, currency("bytes"))
    monkeypatch.setattr(budget, "TRIES", 1)
    with pytest.raises(SettingError, match=r"budget: is [\d,]+ B, and no plan .* keeps the whole network in it"):
        within(menu, 0.6, 1.0)
