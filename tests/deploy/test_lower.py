"""Every replacement computes what the operator does, with each attribute off its default."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy.lower import lower
from tests.deploy.networks import Function, images

POOLS = [
    (size, stride, padding, ceil, include, divisor)
    for (size, stride, padding), ceil, include, divisor in itertools.product(
        [(2, 2, 0), (3, 2, 1), ((3, 2), (2, 3), (1, 0))], [False, True], [False, True], [None, 3]
    )
]


def lowered(function, x):
    """A network that computes a function, with what was replaced in it."""
    network = capture(Function(lambda m, y: function(y)).eval(), x)
    return network, lower(network)


@pytest.mark.parametrize("settings", POOLS, ids=str)
def test_averages_over_any_window(settings):
    size, stride, padding, ceil, include, divisor = settings
    x = images(2, 3, 7, 9)

    def pool(y):
        return F.avg_pool2d(y, size, stride, padding, ceil, include, divisor)

    made, whole = pool(x).shape, F.avg_pool2d(x, size, stride, padding).shape
    network, words = lowered(pool, x)
    assert bool(words) == (divisor is not None or made != whole)
    torch.testing.assert_close(network(x), pool(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda x: F.avg_pool1d(x, 2, 2, 0, True), (2, 3, 7)),
        (lambda x: F.avg_pool3d(x, 2, 2, 0, True, divisor_override=5), (2, 3, 5, 6, 7)),
        (lambda x: F.avg_pool2d(x[0], 2, 2, 0, True), (2, 3, 7, 7)),
        (lambda x: F.adaptive_max_pool1d(x, 3), (2, 3, 7)),
        (lambda x: F.adaptive_max_pool2d(x, (3, 2)), (2, 3, 7, 9)),
        (lambda x: F.adaptive_max_pool3d(x, (3, 2, 1)), (2, 3, 5, 6, 7)),
        (lambda x: F.adaptive_avg_pool3d(x, (3, 2, 4)), (2, 3, 5, 6, 7)),
        (lambda x: F.interpolate(x, scale_factor=1.7, mode="bilinear", antialias=True), (2, 3, 7, 9)),
        (lambda x: F.interpolate(x, size=(4, 20), mode="bicubic", antialias=True, align_corners=True), (2, 3, 19, 9)),
        (lambda x: torch.cdist(x, x.flip(1) * 2), (2, 4, 5)),
        (lambda x: torch.cdist(x, x.flip(1) * 2, p=1.0), (2, 4, 5)),
        (lambda x: x.clamp(0, 0.5), (2, 3)),
        (lambda x: x.clamp(-0.5, 1), (2, 3)),
        (lambda x: x.amax(), (2, 3)),
        (lambda x: x.amin(keepdim=True), (2, 3)),
        (lambda x: torch.argmax(x, None, True), (2, 3)),
        (lambda x: x.squeeze(1), (2, 3, 4)),
        (lambda x: x.squeeze((1, -1)), (2, 3, 1)),
        (lambda x: x.slice_scatter(x[:, :2] * 2, 1, 0, 2), (2, 5)),
        (lambda x: x.slice_scatter(x[:, :2] * 2, -1, 1, 3), (2, 5)),
        (lambda x: x.slice_scatter(x[..., :2] * 2, 2, -2), (2, 3, 5)),
        (lambda x: x.slice_scatter(x * 2, 0), (2, 5)),
    ],
)
def test_what_is_replaced_computes_the_same(function, shape):
    network, words = lowered(function, images(*shape))
    assert words
    torch.testing.assert_close(network(images(*shape)), function(images(*shape)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: F.avg_pool2d(x, 2, ceil_mode=True)[..., :3, :3],
        lambda x: x.clamp(0.1, 0.5),
        lambda x: x.clamp(min=0),
        lambda x: x.amax(1),
        lambda x: x.argmax(1, keepdim=True),
        lambda x: x.argmax(),
        lambda x: x[:, :1].squeeze(1),
        lambda x: torch.cdist(x[0], x[0], p=3.0),
        lambda x: x.slice_scatter(x[:, :2] * 2, 1, 0, 3, 2),
    ],
)
def test_what_the_exporter_writes_rightly_or_refuses_is_left(function):
    _, words = lowered(function, images(2, 3, 6, 6))
    assert words == ()


def test_places_of_the_largest_values_are_left_to_be_refused():
    network, words = lowered(lambda x: F.adaptive_max_pool2d(x, 3, return_indices=True)[1], images(2, 3, 7, 7))
    assert words == ()
    assert network(images(1, 3, 7, 7)).shape == (1, 3, 3, 3)


def test_any_number_of_samples_goes_through():
    network, _ = lowered(lambda x: F.avg_pool2d(x, 2, ceil_mode=True, divisor_override=2), images(2, 3, 7, 7))
    x = images(5, 3, 7, 7)
    torch.testing.assert_close(network(x), F.avg_pool2d(x, 2, ceil_mode=True, divisor_override=2))


def test_two_of_a_kind_have_numbers_of_their_own():
    module = nn.Sequential(nn.AvgPool2d(2, 2, ceil_mode=True), nn.AvgPool2d(2, 2, ceil_mode=True))
    x = images(2, 3, 9, 9)  # 9 to 5 to 3, both with a window that is cut
    network = capture(module.eval(), x)
    assert lower(network) == ("avg_pool",)
    torch.testing.assert_close(network(x), module(x))
