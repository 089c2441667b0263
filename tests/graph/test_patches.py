import pytest
import torch
from torch import nn
from torch.fx import symbolic_trace
from torch.testing import assert_close

from microjoule.graph.ops import layers
from microjoule.graph.patches import (
    columns_of,
    input_rows,
    output_rows,
    output_sizes,
    sample_positions,
    weight_from_rows,
    weight_rows,
)

LAYERS = {
    "1x1": (nn.Conv2d(4, 6, 1), (4, 5, 5)),
    "strided and padded": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (4, 7, 6)),
    "one-sided kernel": (nn.Conv2d(4, 6, (3, 1), padding=(1, 0)), (4, 5, 5)),
    "dilated": (nn.Conv2d(4, 6, 3, padding=2, dilation=2), (4, 7, 7)),
    "grouped": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (4, 5, 5)),
    "depthwise": (nn.Conv2d(4, 8, 3, padding=1, groups=4), (4, 5, 5)),
    "same": (nn.Conv1d(4, 6, 5, padding="same"), (4, 9)),
    "reflected": (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (4, 5, 5)),
    "three axes": (nn.Conv3d(2, 3, 2), (2, 4, 4, 4)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), (4, 4, 5)),
    "transposed, grouped, dilated": (nn.ConvTranspose2d(4, 6, 3, stride=3, dilation=2, groups=2), (4, 3, 3)),
    "linear": (nn.Linear(5, 3), (5,)),
    "linear on tokens": (nn.Linear(5, 3), (7, 5)),
}


@pytest.fixture(params=LAYERS)
def case(request):
    module, shape = LAYERS[request.param]
    torch.manual_seed(0)
    x = torch.randn(3, *shape)
    return layers(symbolic_trace(nn.Sequential(module)))[0], x, module(x).detach()


def test_rows_times_weights_are_the_layers_output(case):
    layer, x, y = case
    positions = sample_positions(3, output_sizes(layer, y.shape), 11, torch.Generator().manual_seed(1))
    product = input_rows(layer, x, positions) @ weight_rows(layer, layer.stored_weight).transpose(1, 2)
    wanted = output_rows(layer, y, positions) - layer.bias.reshape(layer.groups, 1, -1)
    assert wanted.shape == (layer.groups, len(positions), layer.out_channels // layer.groups)
    assert_close(product.detach(), wanted.detach())


def test_a_weight_comes_back_from_its_rows(case):
    layer, _, _ = case
    assert_close(weight_from_rows(layer, weight_rows(layer, layer.stored_weight)), layer.stored_weight, rtol=0, atol=0)


def test_places_by_hand():
    every = sample_positions(2, (2, 1), 5, torch.Generator())
    assert every.tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0]]


def test_a_layer_without_axes_has_one_place_a_sample():
    assert sample_positions(3, (), 4, torch.Generator()).tolist() == [[0], [1], [2]]


def test_places_are_different_and_chosen_by_the_seed():
    first, again, other = (sample_positions(2, (6, 7), 20, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first.unique(dim=0).shape == (40, 3)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.amax(0).tolist() <= [1, 5, 6]


def test_columns_of_channels_by_hand():
    (layer,) = layers(symbolic_trace(nn.Sequential(nn.Conv2d(6, 4, (1, 2), groups=2))))
    assert columns_of(layer, [0, 2, 4]) == {0: [0, 1, 4, 5], 1: [2, 3]}
    assert columns_of(layer, []) == {}
