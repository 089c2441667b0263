import pytest
import torch
import torch.nn.functional as F

from microjoule.deploy.integer import IntegerRunner
from microjoule.deploy.integer_operators import OPERATORS, window_sizes
from microjoule.deploy.verify import INTEGER_RUNNER, verify
from microjoule.graph.ops import kind
from tests.deploy.networks import CASES, after_conv, images, quantized, small


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


POOLS = {
    "plain": lambda x: F.avg_pool2d(x, 2),
    "overlapping": lambda x: F.avg_pool2d(x, 3, 2),
    "padded": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "padding not counted": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "ceil": lambda x: F.avg_pool2d(x, 3, 2, ceil_mode=True),
    "ceil and padded": lambda x: F.avg_pool2d(x, (3, 2), 2, 1, ceil_mode=True),
    "divisor": lambda x: F.avg_pool2d(x, 2, divisor_override=3),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    "mean": lambda x: x.mean((1, 3), keepdim=True),
}


@pytest.mark.parametrize("name", POOLS)
def test_a_mean_times_its_window_is_a_whole_number(name):
    """So it is a sum of integers, and the window was counted rightly."""
    network = quantized(after_conv(POOLS[name]), images(4, 4, 9, 9), target="per-tensor")
    (node,) = [n for n in network.graph.nodes if kind(network.module, n) in ("avg_pool", "mean")]
    x = torch.randint(-9, 9, (2, 8, 7, 7)).double()
    means = POOLS[name](x)
    sums = means * window_sizes(node, x.shape, means.shape)
    assert torch.allclose(sums, sums.round(), atol=1e-9)


def test_windows_at_a_border_are_smaller_by_hand():
    network = quantized(after_conv(POOLS["padding not counted"]), images(4, 4, 9, 9), target="per-tensor")
    (node,) = [n for n in network.graph.nodes if kind(network.module, n) == "avg_pool"]
    sizes = window_sizes(node, torch.Size((1, 8, 7, 7)), torch.Size((1, 8, 4, 4)))
    assert sizes[0].tolist() == [4, 6, 6, 4]
    assert sizes[1].tolist() == [6, 9, 9, 6]
