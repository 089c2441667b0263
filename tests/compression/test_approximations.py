import pytest
import torch
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.compression.approximations import Sizes, approximations, curve, form, layer_sizes
from microjoule.costs.count import costs
from microjoule.execution.moments import input_moments
from microjoule.graph.factor import replace_by_factors
from microjoule.numerics.least_squares import trusted
from microjoule.numerics.low_rank import approximated, errors
from microjoule.numerics.low_rank_shapes import METHODS
from tests.capture.models import Function, images


@pytest.fixture
def network():
    torch.manual_seed(0)
    modules = {"wide": nn.Conv2d(3, 6, 3, stride=(2, 1), padding=1), "depthwise": nn.Conv2d(6, 6, 3, groups=6)}
    modules |= {"point": nn.Conv2d(6, 5, 1), "line": nn.Conv1d(5, 4, 3), "head": nn.Linear(4, 3)}

    def function(m, x):
        y = m.point(m.depthwise(m.wide(x).relu()).relu())
        return m.head(m.line(y.flatten(2)).transpose(1, 2))

    return capture(Function(function, **modules).eval(), images(2, 3, 9, 8))


def test_sizes_by_hand(network):
    assert layer_sizes(network, network.layers) == {
        "wide": Sizes((9, 8), (5, 8)),
        "depthwise": Sizes((5, 8), (3, 6)),
        "point": Sizes((3, 6), (3, 6)),
        "line": Sizes((18,), (16,)),
        "head": Sizes((16,), (16,)),
    }


def test_forms_that_a_layer_cannot_have_and_repetitions_are_left_out(network):
    found = approximations(network)
    assert {path: list(curves) for path, curves in found.items()} == {
        "wide": list(METHODS),
        "point": ["output"],
        "line": ["input", "output", "tucker"],
        "head": ["output"],
    }
    assert form(network.layer("point"), "spatial") == "output"
    assert list(approximations(network, layers=[network.layer("wide")], methods=["input"])["wide"]) == ["input"]


def test_errors_are_those_of_the_weights_or_of_the_outputs(network):
    known = input_moments(network, images(30, 3, 9, 8), network.layers)
    free, aware = approximations(network), approximations(network, known=known)
    for path, forms in aware.items():
        weight = network.layer(path).weight.detach()
        for method, one in forms.items():
            assert_close(free[path][method].errors, errors(weight, method))
            assert_close(one.errors, errors(weight, method, trusted(known[path])[0]))
            assert_close(free[path][method].total, float(weight.double().square().sum()))
            rows = weight.double().flatten(1)
            assert_close(one.total, float((rows @ trusted(known[path])[0] * rows).sum()), rtol=1e-6, atol=0)
            assert_close(float(one.errors[0]), one.total)


@pytest.mark.parametrize("method", METHODS)
def test_products_and_parameters_are_those_of_the_network_with_factors(network, method):
    for path in ("wide", "point", "line", "head"):
        layer, sizes = network.layer(path), layer_sizes(network, network.layers)[path]
        made = form(layer, method)
        if path == "line" and method == "spatial":
            continue
        found, other = curve(layer, made, sizes), network.copy()
        before = {one.layer: one for one in costs(network).layers}[path]
        assert found.layer_macs == before.macs
        for rank in (1, len(found.macs) - 1):
            edited = other.copy()
            factored = approximated(layer.stored_weight, made, rank)
            paths = replace_by_factors(edited, edited.layer(path), factored, None)
            edited.recompile()
            counted = [one for one in costs(edited).layers if one.layer in paths]
            assert sum(one.macs for one in counted) == found.macs[rank]
            assert sum(one.parameters for one in counted) == found.parameters[rank]
