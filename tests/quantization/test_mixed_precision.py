"""The bits of every layer: the best choice within a budget, as brute force finds it and `costs` counts it."""

import itertools
import math

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import GraphError, SettingError, TargetError
from microjoule.quantization.mixed_precision import Wanted, choose, find_menu
from microjoule.search import greedy, knapsack
from microjoule.search.choice import check

PAIRS = ((4, 8), (8, 8), (8, 16))
WEIGHTS_ONLY = ((2, 8), (4, 8), (8, 8))
X = torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A residual block: a sum that no layer makes, and one value that two layers read."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.a = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.b = nn.Conv2d(6, 6, 1)
        self.fork = nn.Conv2d(6, 4, 1)
        self.other = nn.Conv2d(6, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = torch.relu(self.stem(x))
        x = x + self.b(torch.relu(self.a(x)))
        return self.head((torch.relu(self.fork(x)) + self.other(x)).mean((2, 3)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return mj.capture(Net().eval(), X[:2])


def counted(network, record, cost):
    """What `costs` counts on the network as it is quantized with the chosen bits."""
    made = network.copy()
    mj.quantize(made, layers=record.layers)
    found = mj.costs(made)
    return {"bops": found.bops, "bytes": found.weight_bytes, "energy": found.energy_pj}[cost]


@pytest.mark.slow
@pytest.mark.parametrize("cost", ["bops", "bytes", "energy"])
@pytest.mark.parametrize("candidates", [PAIRS, WEIGHTS_ONLY], ids=["pairs", "weights only"])
def test_what_is_chosen_is_the_best_and_costs_what_it_says(network, cost, candidates):
    menu = find_menu(network, X, Wanted(cost, candidates))
    low = menu.problem(1e300)[1]
    high = menu.meter.count([widths[-1] for widths in menu.widths])
    for share in (0.0, 0.3, 0.7):
        budget = low + share * (high - low)
        record = choose(menu, budget)
        problem, _ = menu.problem(budget)
        within = [
            math.fsum(losses[index] for losses, index in zip(menu.losses, picked, strict=True))
            for picked in itertools.product(*(range(len(widths)) for widths in menu.widths))
            if math.fsum(group.options[index].cost for group, index in zip(problem.groups, picked, strict=True))
            <= problem.budget
        ]
        assert record.loss == min(within)
        assert record.optimal
        assert record.loss <= record.greedy_loss
        assert check(problem, knapsack.solve(problem)) == check(problem, greedy.solve(problem)) == []
        assert record.spent <= budget * (1 + 1e-12)
        found = counted(network, record, cost)
        assert found == record.spent if cost != "energy" else math.isclose(found, record.spent, rel_tol=1e-12)


def test_layers_that_read_one_value_choose_together_and_what_a_layer_writes_apart(network):
    groups = find_menu(network, X, Wanted(candidates=PAIRS)).meter.groups
    assert [(group.layers, group.values) for group in groups] == [
        (("stem",), ("x",)),
        (("a",), ("stem",)),
        (("b",), ("a",)),
        (("fork", "other"), ("add",)),
        (("head",), ("mean",)),
        ((), ("b",)),
        ((), ("fork",)),
        ((), ("other",)),
        ((), ("add_1",)),
        ((), ("head",)),
    ]


def test_layers_choose_alone_where_only_weights_differ(network):
    groups = find_menu(network, X, Wanted(candidates=WEIGHTS_ONLY)).meter.groups
    assert [(group.layers, group.values) for group in groups] == [
        ((path,), ()) for path in ("stem", "a", "b", "fork", "other", "head")
    ]


@pytest.mark.slow
def test_a_generous_budget_gives_the_most_bits_everywhere(network):
    record = mj.mixed_precision(network, X, budget="W16A16", candidates=PAIRS, target="per-tensor")
    assert set(record.weights.values()) == {8}
    assert set(record.activations.values()) == {16}
    assert network.history[-1] is record


def test_a_uniform_budget_can_be_met_by_uniform_bits(network):
    record = mj.mixed_precision(network, X, budget="W4A8", candidates=PAIRS)
    uniform = network.copy()
    mj.quantize(uniform, weights=4, activations=8)
    assert record.budget == record.spent == mj.costs(uniform).bops
    assert set(record.weights.values()) == {4}
    assert {record.activations[name] for name in ("x", "stem", "a", "add", "mean")} == {8}


@pytest.mark.slow
def test_the_same_seed_chooses_the_same(network):
    given = {"budget": "W6A8", "candidates": WEIGHTS_ONLY, "samples": 16}
    assert mj.mixed_precision(network, X, **given) == mj.mixed_precision(network, X, **given)


def test_a_table_of_latency_is_a_function(network):
    table = {("stem", 4): 2.0, ("stem", 8): 5.0}

    def latency(quantized):
        return sum(table.get((layer.path, layer.quantizer.scheme.grid.bits), 1.0) for layer in quantized.layers)

    record = mj.mixed_precision(network, X, budget=7.0, cost=latency, candidates=((4, 8), (8, 8)))
    assert (record.cost, record.spent, record.weights["stem"]) == ("latency", 7.0, 4)
    assert {record.weights[path] for path in ("a", "b", "fork", "other", "head")} == {8}


def test_losses_are_a_function(network):
    """Where only the stem loses, the stem gets the bits, and the others get what is left."""
    asked = []

    def losses(quantized, grids, exact):
        asked.append((sorted({affine.grid.bits for _, affine in grids.values()}), exact.samples))
        return {name: 8.0 - grid[1].grid.bits if grid[0].path == "stem" else 0.0 for name, grid in grids.items()}

    record = mj.mixed_precision(network, X, budget="W7A8", candidates=WEIGHTS_ONLY, losses=losses, samples=16)
    assert asked == [([2, 4, 8], 16)]
    assert (record.weights["stem"], record.loss, record.bound) == (8, 0, 0)


def test_a_cost_that_does_not_add_up_is_refused(network):
    def odd(quantized):
        return float(math.prod(layer.quantizer.scheme.grid.bits for layer in quantized.layers))

    with pytest.raises(SettingError, match="cost: does not add up"):
        mj.mixed_precision(network, X, budget=1e9, cost=odd, candidates=((4, 8), (8, 8)))


@pytest.mark.slow
def test_bad_input_is_refused(network):
    with pytest.raises(SettingError, match="budget: is 1000, but the cheapest choice costs"):
        mj.mixed_precision(network, X, budget=1000)
    with pytest.raises(SettingError, match="budget: is nan"):
        mj.mixed_precision(network, X, budget=math.nan)
    with pytest.raises(SettingError, match="budget: is '4 bits'"):
        mj.mixed_precision(network, X, budget="4 bits")
    with pytest.raises(SettingError, match="candidates: is empty"):
        mj.mixed_precision(network, X, budget=1e9, candidates=())
    with pytest.raises(SettingError, match="candidates: holds 4"):
        mj.mixed_precision(network, X, budget=1e9, candidates=(4, 8))
    with pytest.raises(TargetError, match="takes weights of"):
        mj.mixed_precision(network, X, budget=1e9, candidates=((9, 8),))
    with pytest.raises(SettingError, match="cost: is 'joules'"):
        mj.mixed_precision(network, X, budget=1e9, cost="joules")
    mj.quantize(network)
    with pytest.raises(GraphError, match="has quantizers already"):
        mj.mixed_precision(network, X, budget=1e9)
