"""Criteria: each gives an order of every group's units, by what it says it goes by."""

from functools import cache

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.capture.export import capture
from microjoule.compression import criteria
from microjoule.compression.criteria import BY_GATES, BY_READERS, CRITERIA, check_criterion, gates_for, order_by
from microjoule.compression.menu import find_menu
from microjoule.compression.prices import currency
from microjoule.compression.readers import readers, reading_layers
from microjoule.errors import SettingError
from microjoule.execution.gates import gate_gradients
from microjoule.execution.moments import input_moments
from microjoule.graph.channels import channel_groups
from microjoule.numerics.elimination import eliminate
from microjoule.numerics.importance import geometric_median, norms
from microjoule.records.facts import Run
from tests.graph.channel_networks import NETWORKS

X = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@cache
def network_of(name):
    torch.manual_seed(0)
    build, shape = NETWORKS[name]
    return capture(build().eval(), torch.randn(2, *shape))


@cache
def looked_at(name):
    """A network's groups with their readers, and the gradients of gates where there are scores."""
    network = network_of(name)
    x = torch.randn(24, *NETWORKS[name][1], generator=torch.Generator().manual_seed(2))
    known = input_moments(network, x, reading_layers(network), rows=500)
    found = [(group, readers(network, group, known)) for group in channel_groups(network).groups]
    gates = gate_gradients(network, x, reading_layers(network)) if network(x).dim() == 2 else {}
    return x, [(group, problems) for group, problems in found if problems], gates


def orders(name, criterion):
    """By group, with the losses that follow."""
    _, found, gates = looked_at(name)
    made = {group.name: order_by(criterion, network_of(name), group, some, gates) for group, some in found}
    return {group.name: eliminate(some, made[group.name]) for group, some in found}


def from_menu(network, data, criterion):
    """Likewise, as a menu has them."""
    menu = find_menu(network, data, currency("macs"), rows=500, criterion=criterion)
    return {name: (list(removal.order), removal.losses) for name, removal in menu.removals.items()}


def test_all_criteria_are_known():
    by_weights = {"norm", "geometric_median"}
    assert {*BY_READERS, *BY_GATES, *by_weights, "elimination"} == set(CRITERIA)
    assert len(set(CRITERIA)) == len(CRITERIA) == 8


@pytest.mark.parametrize("name", ["residual", "shuffled", "flattened"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_an_order_is_of_all_units_but_one_and_the_same_again(criterion, name):
    found = orders(name, criterion)
    groups = {group.name: group for group in channel_groups(network_of(name)).groups}
    assert set(found) <= set(groups)
    for path, (order, losses) in found.items():
        assert len(order) == len(set(order)) == groups[path].size - 1 == len(losses) - 1
        assert set(order) <= set(range(groups[path].size))
        assert losses[0] == 0
        assert losses.tolist() == sorted(losses)
    assert [order for order, _ in orders(name, criterion).values()] == [order for order, _ in found.values()]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_menu_has_the_orders_and_their_losses(criterion):
    found = from_menu(network_of("residual"), looked_at("residual")[0], criterion)
    expected = {
        name: (order, tuple(losses.tolist())) for name, (order, losses) in orders("residual", criterion).items()
    }
    assert found == expected


def test_elimination_is_the_default_and_needs_no_order():
    network, (x, found, gates) = network_of("residual"), looked_at("residual")
    assert order_by("elimination", network, found[0][0], found[0][1], gates) is None
    menu = find_menu(network, x, currency("macs"), rows=500)
    removals = {name: (list(removal.order), removal.losses) for name, removal in menu.removals.items()}
    assert removals == from_menu(network, x, "elimination")


def test_criteria_differ():
    assert len({str([order for order, _ in orders("residual", one).values()]) for one in CRITERIA}) >= 6


@pytest.mark.parametrize("criterion", ["norm", "geometric_median", "redundancy", "matching", "lasso"])
@pytest.mark.parametrize("name", ["attention", "depthwise", "grouped", "transposed", "split", "dense", "shared"])
def test_every_kind_of_tie_has_orders(criterion, name):
    found = orders(name, criterion)
    assert found
    for order, losses in found.values():
        assert len(set(order)) == len(losses) - 1


# By weights -----------------------------------------------------------------------------------------------------------


def seen(monkeypatch, name, criterion):
    """What a function of numerics is given."""
    calls, real = [], getattr(criteria, name)
    monkeypatch.setattr(criteria, name, lambda given: calls.append(given) or real(given))
    network = network_of("depthwise")
    (group, *_) = channel_groups(network).groups
    order_by(criterion, network, group, (), {})
    return network, group, calls[0]


def test_norms_are_of_all_that_makes_and_reads_a_unit(monkeypatch):
    network, group, weights = seen(monkeypatch, "norms", "norm")
    assert (group.makers, group.readers) == (("0", "2", "4"), ("2", "4", "5"))
    first, deep, doubled, last = (network.layer(path).stored_weight.detach() for path in ("0", "2", "4", "5"))
    expected = [
        first.flatten(1),
        deep.flatten(1),
        doubled.reshape(6, 18),
        last.reshape(3, 6, 2).transpose(0, 1).flatten(1),
    ]
    assert [one.shape for one in weights] == [one.shape for one in expected]
    assert all(torch.equal(one.sort(1)[0], other.sort(1)[0]) for one, other in zip(weights, expected, strict=True))
    assert torch.allclose(norms(weights), norms(expected))


def test_the_median_is_of_the_filters_that_make_a_unit(monkeypatch):
    network, _, filters = seen(monkeypatch, "geometric_median", "geometric_median")
    made = [network.layer(path).stored_weight.detach().reshape(6, -1) for path in ("0", "2", "4")]
    assert all(torch.equal(one, other) for one, other in zip(filters, made, strict=True))
    assert len(geometric_median(filters)) == 6


# By gates -------------------------------------------------------------------------------------------------------------


def test_gates_are_found_for_those_alone_that_need_them():
    network = network_of("residual")
    groups = channel_groups(network).groups
    found = {one: gates_for(one, network, groups, X, samples=3) for one in CRITERIA}
    assert [bool(gates) for gates in found.values()] == [one in BY_GATES for one in CRITERIA]
    assert set(found["taylor"]) == {path for group in groups for path in group.readers}
    assert {len(gradients) for gradients in gates_for("taylor", network, groups, X, samples=3).values()} == {3}


@pytest.mark.parametrize(("criterion", "power"), [("taylor", 1), ("fisher", 2)])
def test_gradients_of_all_channels_of_a_unit_add_up(criterion, power):
    (group, problems), gates = looked_at("flattened")[1][0], looked_at("flattened")[2]
    assert (group.name, group.readers) == ("0", ("4",))
    total = gates["4"].reshape(24, 4, 4).sum(2)
    expected = torch.argsort(total.abs().pow(power).mean(0), stable=True)[:-1].tolist()
    assert order_by(criterion, network_of("flattened"), group, problems, gates) == expected


@pytest.mark.parametrize(("criterion", "power"), [("taylor", 1), ("fisher", 2)])
def test_gradients_of_all_readers_of_a_unit_add_up(criterion, power):
    (group, problems), gates = looked_at("residual")[1][0], looked_at("residual")[2]
    assert len(group.readers) > 1
    total = sum(gates[path] for path in group.readers)
    expected = torch.argsort(total.abs().pow(power).mean(0), stable=True)[:-1].tolist()
    assert order_by(criterion, network_of("residual"), group, problems, gates) == expected


@pytest.mark.parametrize("criterion", sorted(BY_GATES))
def test_a_network_without_classes_is_refused(criterion):
    with pytest.raises(SettingError, match=r"criterion: needs scores of classes(.|\n)*elimination"):
        find_menu(network_of("plain"), X, currency("macs"), criterion=criterion)


# What they are for ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def half_used():
    """A network of eight units: the outputs depend on four, which tell nothing of the others."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4)).eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(8))
        module[2].weight[:, [1, 3, 5, 7]] = 0
    return mj.capture(module, torch.randn(2, 8))


@pytest.mark.parametrize("criterion", ["elimination", "lasso", "matching", "taylor", "fisher"])
def test_what_nobody_needs_goes_first_and_costs_nothing(half_used, criterion):
    ((order, losses),) = from_menu(half_used, torch.randn(300, 8), criterion).values()
    assert set(order[:4]) == {1, 3, 5, 7}
    assert losses[4] < 1e-9 < losses[5]


@pytest.mark.parametrize("criterion", ["elimination", "redundancy", "geometric_median"])
def test_a_channel_that_is_there_twice_goes_first(criterion):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(9, 6), nn.Tanh(), nn.Linear(6, 4)).eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(6, 9) * 3)
        module[0].bias.zero_()
        module[0].weight[4] = module[0].weight[2]
        module[2].weight.copy_(torch.randn(4, 6) + 3)
    network = mj.capture(module, torch.randn(2, 9))
    ((order, losses),) = from_menu(network, torch.randn(4000, 9), criterion).values()
    assert order[0] in (2, 4)
    assert losses[1] < 0.05 * losses[2]


def test_a_criterion_that_there_is_not_is_refused_before_anything_is_looked_at():
    with pytest.raises(SettingError, match=r"criterion: is 'magnitude'(.|\n)*elimination, lasso, matching, norm"):
        check_criterion("magnitude")
    with pytest.raises(SettingError, match="criterion: is 'magnitude'"):
        find_menu(network_of("residual"), None, currency("macs"), criterion="magnitude")


@pytest.mark.parametrize("criterion", CRITERIA)
def test_a_network_is_compressed_by_it(criterion):
    torch.manual_seed(0)
    network = mj.capture(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 4)).eval(), torch.randn(2, 6))
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(3))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    labelled, top1 = (x, network(x).argmax(1)), mj.zoo.metric("top1")
    found = mj.compress(network, labelled, top1, macs=0.5, methods=(), criterion=criterion)
    assert found.history[-1].value_after > 40
    assert mj.costs(found).macs == 80
    assert next(one for one in found.history if isinstance(one, Run)).settings["criterion"] == criterion
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert [one for one in (*network.module.parameters(), *found.module.parameters()) if one.grad is not None] == []
