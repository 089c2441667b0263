import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.compression.choice import choose
from microjoule.compression.cuts import cuts
from microjoule.compression.menu import find_menu
from microjoule.compression.plan import Plan
from microjoule.compression.prices import currency
from microjoule.errors import SettingError
from microjoule.search import greedy


@pytest.fixture(scope="module")
def menu():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3)]
    x = torch.randn(64, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    return find_menu(capture(nn.Sequential(*layers).eval(), x[:2]), x, currency("macs"))


def loss(menu, counts):
    return sum(menu.removals[name].losses[count] for name, count in counts.items())


@pytest.mark.parametrize("share", [0.8, 0.6, 0.4])
def test_channels_alone_are_chosen_nearly_as_well_as_by_trying_all(menu, share):
    budget = share * menu.cost(Plan())
    found = choose(menu, budget, share)
    names = list(menu.removals)
    plans = []
    for picked in itertools.product(*(menu.widths(menu.removals[name]) for name in names)):
        counts = dict(zip(names, picked, strict=True))
        removed = {name: menu.removed(name, count) for name, count in counts.items() if count}
        plans.append((loss(menu, counts), menu.cost(Plan(removed))))
    within = sorted(one for one in plans if one[1] <= budget)
    assert not found.plan.forms
    assert found.cost == menu.cost(found.plan) <= budget
    assert found.loss <= found.greedy_loss
    assert found.loss <= within[min(3, len(within) - 1)][0]


@pytest.mark.parametrize("share", [0.8, 0.5, 0.3])
def test_low_rank_forms_alone_are_chosen_as_well_as_by_trying_all(menu, share):
    budget = share * menu.cost(Plan())
    found = choose(menu, budget, 1.0)
    stays = cuts(menu.network, (), {})
    offered = [[(0.0, menu.layer_cost(path, cut))] for path, cut in stays.items()]
    for at, (path, cut) in enumerate(stays.items()):
        offered[at] += [(lost, menu.layer_cost(path, cut, how)) for how, lost in menu.forms(path, cut)]
    best = min(
        sum(lost for lost, _ in picked)
        for picked in itertools.product(*offered)
        if sum(cost for _, cost in picked) <= budget
    )
    assert not found.plan.removed
    assert found.cost == menu.cost(found.plan) <= budget
    assert found.loss == pytest.approx(best, abs=1e-12)
    assert found.pruned_to == 1.0


def test_channels_and_forms_share_the_work_as_told(menu):
    whole = menu.cost(Plan())
    found = choose(menu, 0.4 * whole, 0.7)
    assert found.plan.removed
    assert found.plan.forms
    assert 0.5 < found.pruned_to <= 0.7
    assert found.cost <= 0.4 * whole


def test_what_greedy_loses_is_told_beside(menu, monkeypatch):
    monkeypatch.setattr(greedy, "solve", lambda problem: SimpleNamespace(loss=float(len(problem.groups))))
    whole = menu.cost(Plan())
    channels, both = choose(menu, 0.5 * whole, 0.5), choose(menu, 0.4 * whole, 0.7)
    groups, layers = len(menu.removals), len(menu.network.layers)
    assert (channels.greedy_loss, both.greedy_loss) == (groups, groups + layers)


def test_nothing_is_done_where_nothing_needs_to_be(menu):
    found = choose(menu, menu.cost(Plan()), 1.0)
    assert (found.plan, found.loss, found.greedy_loss, found.pruned_to) == (Plan({}, {}), 0.0, 0.0, 1.0)


@pytest.mark.parametrize("pruned_to", [0.0001, 1.0])
def test_a_budget_that_cannot_be_kept_is_refused(menu, pruned_to):
    with pytest.raises(SettingError, match="budget"):
        choose(menu, 1.0, pruned_to)


class Residual(nn.Module):
    """A stream of channels that two layers make, and channels inside a block that one makes."""

    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.back = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.head = nn.Conv2d(8, 4, 3)

    def forward(self, x):
        x = self.stem(x)
        return self.head(x + self.back(self.inner(x).relu()))


@pytest.mark.parametrize(("share", "groups"), [(0.9, {"inner"}), (0.3, {"stem", "inner"})], ids=["much", "little"])
def test_channels_that_layers_add_to_go_only_where_others_are_not_enough(share, groups):
    torch.manual_seed(0)
    x = torch.randn(64, 3, 10, 10, generator=torch.Generator().manual_seed(1))
    found = find_menu(capture(Residual().eval(), x[:2]), x, currency("macs"))
    assert [name for name in found.removals if found.is_made_once(name)] == ["inner"]
    chosen = choose(found, share * found.cost(Plan()), share)
    assert set(chosen.plan.removed) == groups
