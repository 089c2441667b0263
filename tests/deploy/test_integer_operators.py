from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.costs.target import target
from microjoule.deploy.integer import IntegerRunner
from microjoule.deploy.integer_operators import FUNCTIONS, OPERATORS, is_on_grid
from microjoule.deploy.integer_support import unsupported
from microjoule.deploy.verify import INTEGER_RUNNER, verify
from microjoule.graph.ops import kind
from microjoule.numerics.affine import Affine, quantize
from microjoule.numerics.grid import IntGrid, Scheme
from tests.deploy.networks import CASES, Function, images, quantized, small

FULL = replace(target("qualcomm-htp"), integer=target("qualcomm-htp").integer | {"stack", "neg"})
"""A target that runs all of these in integer."""


@pytest.mark.parametrize("name", CASES)
def test_an_operator_is_at_most_one_step_from_the_simulation(name):
    network, x = small(name, target="per-tensor")
    (found,) = verify(network, "none", x, runtimes=[INTEGER_RUNNER])
    assert max(layer.largest_steps for layer in found.layers) <= 1
    assert [layer.name for layer in found.layers] == list(network.quantizers)


@pytest.mark.parametrize("name", CASES)
def test_the_outputs_are_as_far_from_the_simulation_as_their_grid_allows(name):
    network, x = small(name, target="per-tensor")
    with torch.no_grad():
        expected = network(x)
    apart = (IntegerRunner(network)(x) - expected).abs().max()
    assert apart <= 3 * max(float(q.scale) for q in network.quantizers.values())


def between(function, **layers):
    """What is done between two convolutions, so that it reads a grid and waits for one."""
    return Function(lambda m, x: m.b(function(m, m.a(x))), a=nn.Conv2d(4, 4, 3), b=nn.LazyConv2d(3, 1), **layers)


ATTRIBUTES = {
    "add a number": lambda m, y: y + 0.37,
    "add twice the other": lambda m, y: torch.add(y, m.other(y), alpha=2),
    "subtract": lambda m, y: y - m.other(y),
    "subtract half the other": lambda m, y: torch.sub(y, m.other(y), alpha=0.5),
    "add nothing of the other": lambda m, y: torch.add(y, m.other(y), alpha=0),
    "times a number": lambda m, y: y * 0.37,
    "times a negative number": lambda m, y: y * -2.5,
    "times nothing": lambda m, y: y * 0.0,
    "divide by a number": lambda m, y: y / -0.8,
    "broadcast": lambda m, y: y * m.other(y)[:, :1],
    "product of matrices": lambda m, y: y @ m.other(y),
    "sum": lambda m, y: y.sum(-1, keepdim=True),
    "sum of two axes": lambda m, y: y.sum((1, -1), keepdim=True).expand(-1, 4, -1, -1),
    "mean of negative axes": lambda m, y: y.mean((-1, 1), keepdim=True).expand(-1, 4, -1, -1),
    "pad by a number": lambda m, y: F.pad(y, (1, 2, 0, 1), value=3.5),
    "pad by a negative number": lambda m, y: F.pad(y, (1, 1), value=-9.0),
    "pad and cut": lambda m, y: F.pad(y, (-1, 2, 1, -1)),
    "reflect": lambda m, y: F.pad(y, (1, 2, 2, 1), mode="reflect"),
    "replicate": lambda m, y: F.pad(y, (1, 2, 2, 1), mode="replicate"),
    "circular": lambda m, y: F.pad(y, (1, 2, 2, 1), mode="circular"),
    "max pool": lambda m, y: F.max_pool2d(y, 3, 2, 1, 2, ceil_mode=True),
    "average by another number": lambda m, y: F.avg_pool2d(y, 2, divisor_override=3),
    "average of cut windows": lambda m, y: F.avg_pool2d(y, 2, 2, 0, ceil_mode=True),
    "average with zeros": lambda m, y: F.avg_pool2d(y, 3, 2, 1, True, True),
    "average without zeros": lambda m, y: F.avg_pool2d(y, 3, 2, 1, True, False),
    "upsample to a size": lambda m, y: F.interpolate(y, size=(10, 5)),
    "concatenate along the last axis": lambda m, y: torch.cat([y, m.other(y), y], -1),
    "stack": lambda m, y: torch.stack([y, m.other(y)], -1).flatten(-2),
    "stack in front": lambda m, y: torch.stack([y, m.other(y)], 1).flatten(1, 2),
    "slices": lambda m, y: y[:, :, 1:-1:2, -3:],
    "flip": lambda m, y: y.flip(-1, 2),
    "repeat": lambda m, y: y.repeat(1, 1, 2, 1),
    "leaky": lambda m, y: F.leaky_relu(y, 0.3),
    "elu": lambda m, y: F.elu(y, 0.5),
    "clamp to a cap": lambda m, y: y.clamp(max=0.2),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_an_attribute_off_its_default_is_at_most_one_step_from_the_simulation(name):
    torch.manual_seed(0)
    module = between(ATTRIBUTES[name], other=nn.Conv2d(4, 4, 1))
    with torch.no_grad():
        module(images(2, 4, 9, 9))
    network = quantized(module, images(8, 4, 9, 9), target=FULL)
    assert unsupported(network) == []
    (found,) = verify(network, "none", images(5, 4, 9, 9), runtimes=[INTEGER_RUNNER])
    assert max(layer.largest_steps for layer in found.layers) <= 1
    assert found.outputs[0].sqnr_db > 40


def test_a_number_on_the_grid_is_padded_as_an_integer():
    module = between(lambda m, y: F.pad(y, (1, 1), value=3.0)).eval()
    module(images(8, 4, 9, 9))
    network = quantized(module, images(8, 4, 9, 9), target=FULL)
    name = next(name for name in network.quantizers if "pad" in name)
    inside = list(network.quantizers)[list(network.quantizers).index(name) - 1]
    network.quantizers[name].enabled = True
    assert unsupported(network) == []
    found, _ = IntegerRunner(network).integers((images(2, 4, 9, 9),))
    affine = network.quantizers[name].affine
    assert found[name][..., 0].unique().tolist() == [int(quantize(torch.tensor(3.0), affine))]
    assert found[inside].shape[-1] == found[name].shape[-1] - 2


@pytest.mark.parametrize(("number", "on"), [(0.0, True), (0.5, True), (0.3, False), (99.0, False), (-0.5, True)])
def test_which_numbers_lie_on_a_grid(number, on):
    """Steps of a half from -4 to 3.5."""
    scheme = Scheme(IntGrid(4, signed=False))
    assert is_on_grid(number, Affine(scheme, torch.tensor(0.5), torch.tensor(8, dtype=torch.int32))) is on


def test_the_cases_cover_the_operators():
    seen = {kind(n.module, node) for n in (small(c, target="per-tensor")[0] for c in CASES) for node in n.graph.nodes}
    others = {"sub", "div", "neg", "matmul", "sum", "stack", "expand", "dropout", "identity", "relu6"}
    assert set(OPERATORS) - seen <= set(FUNCTIONS) | others


def test_each_of_several_results_is_on_the_grid_of_what_was_split():
    module = Function(lambda m, x: torch.cat([part * 2 for part in m.a(x).split(3, 1)][::-1], 1), a=nn.Linear(6, 6))
    network = quantized(module, images(4, 6))
    (record,) = verify(network, "no file", images(5, 6), runtimes=[INTEGER_RUNNER])
    assert record.passed
    assert all(layer.largest_steps == 0 for layer in record.layers)
