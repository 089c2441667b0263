import pytest
import torch

from microjoule.deploy.integer import IntegerRunner
from microjoule.deploy.integer_operators import OPERATORS
from microjoule.deploy.verify import INTEGER_RUNNER, verify
from microjoule.graph.ops import kind
from tests.deploy.networks import CASES, small


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


def test_the_cases_cover_the_operators():
    seen = {kind(n.module, node) for n in (small(c, target="per-tensor")[0] for c in CASES) for node in n.graph.nodes}
    tables = {"sigmoid", "hardsigmoid", "hardswish", "silu", "gelu", "tanh", "elu", "mish", "softplus"}
    assert set(OPERATORS) - seen <= tables | {"expand", "dropout", "identity", "relu6"}
