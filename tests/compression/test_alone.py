"""One thing smaller: what it would lose is what it loses, and the network is that of the smaller one."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.compression.alone import CHANNELS, LOW_RANK, make_smaller, smaller_groups, smaller_layers
from microjoule.compression.menu import find_menu
from microjoule.compression.plan import Plan, carry_out, restructure
from microjoule.compression.prices import currency
from microjoule.numerics.least_squares import trusted
from microjoule.numerics.low_rank import approximated

X = torch.randn(50, 6, generator=torch.Generator().manual_seed(3))
IMAGES = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(4))


def captured(*layers, inputs):
    torch.manual_seed(0)
    return mj.capture(nn.Sequential(*(layer() for layer in layers)).eval(), inputs[:2])


@pytest.fixture(scope="module")
def network():
    return captured(lambda: nn.Linear(6, 8), nn.ReLU, lambda: nn.Linear(8, 4), inputs=X)


@pytest.fixture(scope="module")
def menu(network):
    return find_menu(network, X, currency("macs"))


@pytest.fixture(scope="module")
def deep():
    layers = (
        lambda: nn.Conv2d(3, 8, 3, bias=False),
        lambda: nn.BatchNorm2d(8),
        nn.ReLU,
        lambda: nn.Conv2d(8, 8, 3, groups=8, padding=1),
        nn.ReLU,
        lambda: nn.Conv2d(8, 4, 1, bias=False),
    )
    return captured(*layers, inputs=IMAGES)


def error(network, other, x):
    """Of the outputs, over their variance."""
    wanted = network(x)
    return ((other(x) - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum()).item()


def test_a_share_is_the_largest_rank_that_keeps_it(menu):
    found = list(smaller_layers(menu, (0.9, 0.3, 0.6, 0.3)))
    # 6 -> 8: rank r costs 14 r of 48; 8 -> 4: rank r costs 12 r of 32
    assert [(one.name, one.left, one.full, one.kept) for one in found] == [
        ("0", 1, 6, 14 / 48),
        ("0", 2, 6, 28 / 48),
        ("0", 3, 6, 42 / 48),
        ("2", 1, 4, 12 / 32),
        ("2", 2, 4, 24 / 32),
    ]
    assert {one.kind for one in found} == {LOW_RANK}
    assert all(first.loss > second.loss for first, second in ((found[0], found[1]), (found[3], found[4])))


def test_a_share_too_small_for_any_rank_is_left_out(menu):
    assert [one.name for one in smaller_layers(menu, (0.3,))] == ["0"]


def test_a_share_of_a_group_is_rounded_but_one_unit_stays_and_one_goes(menu):
    found = list(smaller_groups(menu, (0.99, 0.5, 0.01, 0.3, 0.26)))
    assert [(one.name, one.left, one.kept) for one in found] == [("0", 1, 1 / 8), ("0", 2, 2 / 8), ("0", 4, 4 / 8)]
    assert [len(one.removed) for one in found] == [7, 6, 4]
    assert found[0].removed[:4] == found[2].removed == menu.removals["0"].order[:4]
    assert [one.loss for one in found] == [menu.removals["0"].losses[count] for count in (7, 6, 4)]
    assert {one.kind for one in found} == {CHANNELS}


def test_of_the_forms_that_keep_a_share_the_one_that_loses_least_is_taken(deep):
    every = {}
    for methods in (("spatial",), ("output",), ("input",), ("spatial", "output", "input")):
        menu = find_menu(deep, IMAGES, currency("macs"), methods=methods)
        every[methods] = next(smaller_layers(menu, (0.5,)))
    least = min((one for methods, one in every.items() if len(methods) == 1), key=lambda one: one.loss)
    assert every["spatial", "output", "input"] == least


def test_what_the_last_layer_loses_is_what_was_foreseen(network, menu):
    menu = replace(menu, known={path: replace(known, rows=10**12) for path, known in menu.known.items()}, _lost={})
    (one,) = (one for one in smaller_layers(menu, (0.4,)) if one.name == "2")
    made = network.copy()
    make_smaller(made, one, menu.known)
    assert one.loss == pytest.approx(error(network, made, X), rel=1e-6)
    assert torch.linalg.matrix_rank(made.layer("2").stored_weight) == 1
    assert_close(made(X).mean(0), network(X).mean(0))  # the bias makes up for the mean


def test_a_form_of_few_rows_trusts_them_less(network, menu):
    (one,) = (one for one in smaller_layers(menu, (0.4,)) if one.name == "2")
    made, weight, known = network.copy(), network.layer("2").stored_weight.detach(), menu.known["2"]
    make_smaller(made, one, menu.known)
    assert known.rows == len(X)
    assert_close(made.layer("2").stored_weight, approximated(weight, *one.form, trusted(known)[0]).weight.to(weight))


def test_channels_that_go_are_no_longer_read(network, menu):
    (one,) = smaller_groups(menu, (0.5,))
    made = network.copy()
    make_smaller(made, one, menu.known)
    weight = made.layer("2").stored_weight
    assert (weight[:, list(one.removed)] == 0).all()
    smaller = made.copy()
    restructure(smaller, Plan(removed={"0": one.removed}))
    assert smaller.layer("0").out_channels == 4
    assert_close(made(X), smaller(X))


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_it_is_what_carrying_it_out_gives(deep, share):
    """Through a depthwise layer and a batch norm, where the reader is the last layer and has no bias before."""
    menu = find_menu(deep, IMAGES, currency("macs"))
    (one,) = smaller_groups(menu, (share,))
    made, done = deep.copy(), deep.copy()
    make_smaller(made, one, menu.known)
    carry_out(done, Plan(removed={one.name: one.removed}), IMAGES)
    assert done.layer("5").in_channels == 8 * share
    assert_close(made(IMAGES), done(IMAGES))


def test_only_the_layer_changes(deep):
    menu = find_menu(deep, IMAGES, currency("macs"))
    one = next(smaller_layers(menu, (0.5,)))
    made = deep.copy()
    make_smaller(made, one, menu.known)
    changed = [path for path, value in deep.state_dict().items() if not torch.equal(made.state_dict()[path], value)]
    assert (one.name, changed) == ("0", ["0.weight"])
    assert made.layer("0").bias is not None


def test_an_output_that_never_changes_has_no_forms():
    still = captured(lambda: nn.Linear(6, 6), inputs=X)
    with torch.no_grad():
        still.layer("0").stored_weight.zero_()
    assert not list(smaller_layers(find_menu(still, X, currency("macs")), (0.9,)))
