import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn, tensor

from microjoule.deploy.activation_bounds import clamp_before, integer_bounds
from microjoule.numerics.affine import affine_from_range, quantize
from microjoule.numerics.grid import IntGrid, Scheme
from tests.deploy.networks import images, quantized

INF = float("inf")


def grid(low, high, bits=8):
    return affine_from_range(tensor(low), tensor(high), Scheme(IntGrid(bits, signed=False)))


@given(
    low=st.floats(-3, 0, width=32),
    high=st.floats(0.125, 3, width=32),
    x=st.lists(st.floats(-9, 9, width=32), min_size=1),
    ends=st.tuples(st.floats(-4, 4, width=32), st.floats(-4, 4, width=32)),
)
def test_clamping_before_and_after_rounding_is_the_same(low, high, x, ends):
    affine, bottom, top = grid(low, high), min(ends), max(ends)
    bounds = integer_bounds(bottom, top, affine)
    before = quantize(tensor(x).clamp(bottom, top), affine)
    after = quantize(tensor(x), affine)
    assert torch.equal(before, after if bounds is None else after.clamp(int(bounds.low), int(bounds.high)))


@pytest.mark.parametrize(
    ("low", "high", "affine"),
    [(0.0, INF, grid(0.0, 4.0)), (0.0, 6.0, grid(0.0, 6.0)), (0.0, 6.0, grid(0.0, 4.0)), (-INF, INF, grid(-1.0, 1.0))],
    ids=["relu", "relu6 that is the range", "relu6 above the range", "nothing"],
)
def test_a_clamp_that_the_grid_does_anyway_bounds_nothing(low, high, affine):
    assert integer_bounds(low, high, affine) is None


def test_a_relu_before_a_grid_with_negative_values_is_a_bound():
    bounds = integer_bounds(0.0, INF, grid(-1.0, 1.55))
    assert (int(bounds.low), int(bounds.high), bounds.per_channel) == (100, 255, False)


def test_channels_with_different_caps_have_bounds_of_their_own():
    caps = tensor([1.0, 2.55]).reshape(2, 1, 1)
    bounds = integer_bounds(torch.zeros(2, 1, 1), caps, grid(0.0, 2.55))
    assert bounds.per_channel
    assert bounds.high.flatten().tolist() == [100, 255]
    assert bounds.low.tolist() == 0


def test_a_clamp_that_others_read_as_well_stays():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)

        def forward(self, x):
            return self.conv(x).relu()

    network = quantized(Two(), images(2, 2, 3, 3))
    last = [node for node in network.graph.nodes if node.op == "call_module"][-1]
    assert clamp_before(network, last) is not None
    network.graph.output_node().args = ((last, last.args[0]),)
    assert clamp_before(network, last) is None
