import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.fx import symbolic_trace

from microjoule.capture.export import capture
from microjoule.graph.geometry import geometry, meets_zeros, met_share, pads_with_zeros, window_sizes
from microjoule.graph.ops import kind, layers
from tests.capture.models import Function, images


def layer_of(module, *shape):
    return capture(nn.Sequential(module), images(2, *shape)).layers[0]


def traced(module):
    """A layer without capturing it."""
    return layers(symbolic_trace(nn.Sequential(module)))[0]


def test_the_geometry_of_a_convolution_by_hand():
    how = geometry(layer_of(nn.Conv2d(4, 4, (3, 5), stride=2, padding=(1, 2), dilation=(2, 1), groups=2), 4, 9, 9))
    assert (how.stride, how.padding, how.dilation) == ((2, 2), ((1, 1), (2, 2)), (2, 1))
    assert (how.output_padding, how.groups) == ((0, 0), 2)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_same_padding_puts_the_odd_zero_after():
    assert geometry(layer_of(nn.Conv1d(4, 4, 4, padding="same"), 4, 9)).padding == ((1, 2),)
    assert geometry(layer_of(nn.Conv1d(4, 4, 4, padding="valid"), 4, 9)).padding == ((0, 0),)


def test_a_functional_convolution_has_its_geometry_in_its_arguments():
    kernel = nn.Module()
    kernel.value = nn.Parameter(torch.randn(4, 4, 3, 3))
    module = Function(lambda m, x: F.conv2d(x, m.kernel.value, stride=2, padding=1), kernel=kernel)
    layer = layer_of(module, 4, 6, 6)
    assert geometry(layer).stride == (2, 2)
    assert geometry(layer).padding == ((1, 1), (1, 1))
    assert meets_zeros(layer)


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Conv2d(4, 4, 3), (4, 5, 5), False),
        (nn.Conv2d(4, 4, 3, padding=1), (4, 5, 5), True),
        (nn.Conv2d(4, 4, 1, padding=1), (4, 5, 5), True),
        (nn.Conv2d(4, 4, 1, padding="same"), (4, 5, 5), False),
        (nn.Conv2d(4, 4, 3, padding="same"), (4, 5, 5), True),
        (nn.ConvTranspose2d(4, 4, 1), (4, 5, 5), False),
        (nn.ConvTranspose2d(4, 4, 1, stride=2), (4, 5, 5), True),
        (nn.ConvTranspose2d(4, 4, 3), (4, 5, 5), True),
        (nn.Linear(4, 4), (4,), False),
    ],
    ids=repr,
)
def test_a_layer_meets_zeros_if_ones_do_not_give_the_same_at_every_output(module, shape, expected):
    assert meets_zeros(layer_of(module, *shape)) is expected
    with torch.no_grad():
        module.weight.fill_(1)
        outputs = module(torch.ones(1, *shape)).flatten(2)[0, 0] if len(shape) > 1 else torch.zeros(1)
    assert (not torch.allclose(outputs, outputs[:1])) is expected


def test_a_reflection_is_no_zero():
    assert not meets_zeros(traced(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")))


def test_the_share_of_a_3x3_kernel_at_padded_borders_by_hand():
    """On 4 x 4 the outer rows of the kernel miss one of four positions, the middle one none."""
    layer = layer_of(nn.Conv2d(1, 1, 3, padding=1), 1, 4, 4)
    outer, middle, corner = 3 / 4, 1.0, 9 / 16
    expected = [[corner, outer, corner], [outer, middle, outer], [corner, outer, corner]]
    assert torch.equal(met_share(layer, (4, 4)), torch.tensor(expected, dtype=torch.float64))


def test_zeros_of_an_operator_before_count_as_well():
    layer = layer_of(nn.Conv1d(1, 1, 2), 1, 5)
    assert met_share(layer, (3,)).tolist() == [1, 1]
    assert met_share(layer, (3,), pads=((1, 0),)).tolist() == [2 / 3, 1]


def test_a_reflecting_layer_meets_its_input_always():
    layer = traced(nn.Conv1d(1, 1, 3, padding=1, padding_mode="reflect"))
    assert not pads_with_zeros(layer)
    assert met_share(layer, (5,)).tolist() == [1, 1, 1]


@given(
    size=st.tuples(*[st.integers(3, 7)] * 2),
    kernel=st.tuples(*[st.integers(1, 3)] * 2),
    stride=st.tuples(*[st.integers(1, 3)] * 2),
    padding=st.tuples(*[st.integers(0, 1)] * 2),
    dilation=st.integers(1, 2),
    transposed=st.booleans(),
)
def test_the_mean_output_for_ones_is_the_weights_times_their_shares(
    size, kernel, stride, padding, dilation, transposed
):
    if any(n + 2 * p < dilation * (k - 1) + 1 for n, p, k in zip(size, padding, kernel, strict=True)):
        return
    if transposed and any(dilation * (k - 1) < 2 * p for k, p in zip(kernel, padding, strict=True)):
        padding = (0, 0)
    make = nn.ConvTranspose2d if transposed else nn.Conv2d
    conv = make(2, 2, kernel, stride=stride, padding=padding, dilation=dilation, bias=False).double()
    layer = traced(conv)
    with torch.no_grad():
        mean = conv(torch.ones(1, 2, *size, dtype=torch.float64)).mean((0, 2, 3))
    expected = (layer.by_output(layer.stored_weight.detach()) * met_share(layer, size)).flatten(1).sum(1)
    torch.testing.assert_close(mean, expected)


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
    network = capture(Function(lambda _, y: POOLS[name](y)), images(2, 8, 7, 7))
    (node,) = [n for n in network.graph.nodes if kind(network.module, n) in ("avg_pool", "mean")]
    x = torch.randint(-9, 9, (2, 8, 7, 7)).double()
    means = POOLS[name](x)
    sums = means * window_sizes(node, x.shape, means.shape)
    assert torch.allclose(sums, sums.round(), atol=1e-9)


def test_windows_at_a_border_are_smaller_by_hand():
    network = capture(Function(lambda _, y: POOLS["padding not counted"](y)), images(2, 8, 7, 7))
    (node,) = [n for n in network.graph.nodes if kind(network.module, n) == "avg_pool"]
    sizes = window_sizes(node, torch.Size((1, 8, 7, 7)), torch.Size((1, 8, 4, 4)))
    assert sizes[0].tolist() == [4, 6, 6, 4]
    assert sizes[1].tolist() == [6, 9, 9, 6]
