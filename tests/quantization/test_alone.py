"""One quantizer alone: which there are, which grid at which width, and that all is as before afterwards."""

import contextlib

import pytest
import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.errors import GraphError, SettingError
from microjoule.execution.run import unquantized
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import fake_quantize
from microjoule.numerics.grid import IntGrid, Scheme
from microjoule.numerics.ranges import min_max, mse
from microjoule.quantization.alone import Site, alone, at_width, sites
from tests.quantization.networks import outputs

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(3))


def network(**settings):
    torch.manual_seed(0)
    made = mj.capture(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).eval(), X[:2])
    mj.quantize(made, **settings)
    mj.calibrate(made, X)
    return made


def test_the_quantizers_stand_in_the_order_of_the_network():
    found = [(site.kind, site.path) for site in sites(network())]
    assert found == [("activation", ""), ("weight", "0"), ("activation", "0"), ("weight", "2"), ("activation", "2")]
    assert [site.name for site in sites(network(), ["weight"])] == ["0", "2"]


def test_a_quantizer_that_several_values_share_is_there_once():
    class Joined(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(6, 2)

        def forward(self, x):
            return self.c(torch.cat([self.a(x), self.b(x)], 1))

    made = mj.capture(Joined().eval(), X[:2])
    mj.quantize(made, target="per-tensor")
    mj.calibrate(made, X)
    found = [site.quantizer for site in sites(made)]
    assert len(found) == len(set(found))
    assert set(found) >= set(made.quantizers.values())


@pytest.mark.parametrize("place", range(5))
def test_all_other_quantizers_are_off_and_this_one_is_on(place):
    made, exact = network(), network()
    site = sites(made)[place]
    with unquantized(exact):
        wanted = {layer.path: layer.weight.clone() for layer in exact.layers}
        weights = [exact.layers[0], exact.layers[1]]
        x = X
        if place == 0:
            x = fake_quantize(x, at_width(site, 3, min_max))
        first = wanted["0"] if place != 1 else fake_quantize(wanted["0"], at_width(site, 3, min_max))
        y = torch.relu(nn.functional.linear(x, first, weights[0].bias))
        if place == 2:
            y = fake_quantize(y, at_width(site, 3, min_max))
        second = wanted["2"] if place != 3 else fake_quantize(wanted["2"], at_width(site, 3, min_max))
        y = nn.functional.linear(y, second, weights[1].bias)
        if place == 4:
            y = fake_quantize(y, at_width(site, 3, min_max))
    with alone(made, site, at_width(site, 3, min_max)):
        assert_close(outputs(made, X), y.detach())


@pytest.mark.parametrize("frozen", [False, True])
def test_everything_is_as_before_afterwards(frozen):
    made = network()
    if frozen:
        mj.freeze(made)
    before, state = outputs(made, X), {name: value.clone() for name, value in made.state_dict().items()}
    for site in sites(made):
        for bits in (2, 8):
            with contextlib.suppress(KeyboardInterrupt), alone(made, site, at_width(site, bits, min_max)):
                outputs(made, X)
                raise KeyboardInterrupt
    assert_close(outputs(made, X), before, rtol=0, atol=0)
    assert made.state_dict().keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in made.state_dict().items())


def test_a_frozen_weight_has_its_integers_at_its_own_width_and_is_rounded_anew_at_another():
    made = network()
    site = sites(made, ["weight"])[0]
    site.quantizer.hold(torch.zeros_like(site.layer.stored_weight))
    with alone(made, site, at_width(site, 8, min_max)):
        assert bool((made.layers[0].weight == 0).all())
    with alone(made, site, at_width(site, 4, min_max)):
        assert bool((made.layers[0].weight != 0).any())


@pytest.mark.parametrize("target", ["onnxruntime", "per-tensor"])
def test_at_its_own_width_a_quantizer_has_its_own_grid(target):
    for site in sites(network(target=target)):
        assert at_width(site, 8, mse).scale is site.quantizer.scale


@pytest.mark.parametrize("target", ["onnxruntime", "per-tensor"])
@pytest.mark.parametrize("bits", [3, 4, 12])
def test_at_another_width_an_activation_keeps_its_range(bits, target):
    for site in sites(network(target=target), ["activation"]):
        own, other = site.quantizer.affine, at_width(site, bits, min_max)
        assert other.grid.bits == bits
        ends = [((a.grid.qmin - a.zero_point) * a.scale, (a.grid.qmax - a.zero_point) * a.scale) for a in (own, other)]
        assert_close(ends[0][1], ends[1][1], atol=other.scale.item(), rtol=0)
        assert_close(ends[0][0], ends[1][0], atol=other.scale.item(), rtol=0)
        assert_close(ends[0][1] - ends[0][0], ends[1][1] - ends[1][0], rtol=0.2, atol=0)


@pytest.mark.parametrize("signed", [True, False])
def test_a_symmetric_activation_keeps_its_largest_value(signed):
    quantizer = Quantizer(Scheme(IntGrid(8, signed=signed), symmetric=True))
    quantizer.set_range(torch.tensor(-1.0), torch.tensor(6.0))
    other = at_width(Site("x", "activation", "", quantizer, None), 4, min_max)
    assert_close((other.grid.qmax - other.zero_point) * other.scale, torch.tensor(6.0))


def test_at_another_width_a_weight_has_the_range_of_the_rule():
    made = network()
    (site, *_) = sites(made, ["weight"])
    again = network(weights=4)
    assert_close(at_width(site, 4, min_max).scale, sites(again, ["weight"])[0].quantizer.scale)
    assert bool((at_width(site, 3, mse).scale < at_width(site, 3, min_max).scale).any())


def test_what_cannot_be_is_refused():
    made = network()
    with pytest.raises(SettingError, match="kinds: is"):
        sites(made, ["weights"])
    with pytest.raises(SettingError, match="kinds: is"):
        sites(made, [])
    with pytest.raises(SettingError, match="a grid holds 1 to 16 bits"):
        at_width(sites(made)[0], 17, min_max)
    plain = mj.capture(nn.Sequential(nn.Linear(4, 6)), X[:2])
    with pytest.raises(GraphError, match="has no quantizer on any weight or activation"):
        sites(plain)
    mj.quantize(plain)
    with pytest.raises(GraphError, match="has a quantizer without a range"):
        sites(plain)
    assert [site.kind for site in sites(plain, ["weight"])] == ["weight"]
