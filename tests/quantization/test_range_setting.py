"""Ranges from what is known of values: together where they share a grid, and alone for what is joined."""

import torch
from torch import nn, tensor

import microjoule as mj
from microjoule.numerics.distribution import Distribution
from microjoule.numerics.ranges import min_max
from microjoule.quantization.range_setting import Values, known_ranges, name_at, quantizer_nodes, set_ranges
from tests.capture.models import Function


def network():
    layers = {"a": nn.Linear(4, 4), "b": nn.Linear(4, 4), "c": nn.Linear(8, 2)}
    module = Function(lambda m, x: m.c(torch.cat([m.a(x), m.b(x)], 1)), **layers)
    made = mj.capture(module.eval(), torch.randn(4, 4))
    mj.quantize(made, target="tflite-micro")
    return made


def row(*values):
    return Distribution(tensor([values]), torch.ones(1, len(values)))


def test_values_that_share_a_grid_get_one_range_for_all():
    made = network()
    places = {name_at(node): node for node in quantizer_nodes(made)}
    shared = made.quantizers["a"]
    assert shared is made.quantizers["b"]
    alone = {places["a"]: row(-1.0, 2.0), places["b"]: row(0.0, 3.0), places["cat"]: row(-1.0, 3.0)}
    ranges, notes = set_ranges(made, {shared: Values(row(-1.0, 3.0), alone)}, min_max)
    assert [(one.name, one.low, one.high) for one in ranges] == [("a", -1.0, 3.0)]
    assert notes == ()
    assert shared.affine.scale.item() == torch.tensor(4 / 255).item()


def test_what_quantizers_can_hold():
    made = network()
    assert known_ranges(made) == {}
    made.quantizers["a"].set_range(tensor(-1.0), tensor(1.55))
    found = {name_at(node): ends for node, ends in known_ranges(made).items()}
    low, high = found["a"]
    assert set(found) == {"a", "b", "cat"}
    assert (round(low, 6), round(high, 6)) == (-1.0, 1.55)
