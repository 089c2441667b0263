import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.compression.cuts import cuts
from microjoule.graph.channels import channel_groups
from microjoule.graph.patches import weight_rows
from microjoule.graph.prune import remove_channels
from tests.graph.channel_networks import NETWORKS


def cut_by_half(groups):
    """The first half of the units of each group."""
    return {group.name: tuple(range(group.size // 2)) for group in groups}


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_are_those_of_the_network_without_the_channels(name):
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    network = capture(build().eval(), torch.randn(2, *shape))
    groups = channel_groups(network).groups
    found = cuts(network, groups, cut_by_half(groups))
    expected = {layer.path: found[layer.path].shape(layer) for layer in network.layers}
    smaller = network.copy()
    remove_channels(smaller, cut_by_half(groups))
    left = {layer.path: tuple(layer.by_output(layer.stored_weight).shape) for layer in smaller.layers}
    assert expected == left


def test_columns_by_hand():
    network = capture(nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 2, (1, 2))).eval(), torch.randn(2, 2, 4, 4))
    (group,) = channel_groups(network).groups
    cut = cuts(network, [group], {group.name: (1,)})["1"]
    assert cut.ins.tolist() == [True, False, True]
    assert cut.columns(network.layer("1")).tolist() == [[0, 1, 4, 5]]
    assert not cut.whole
    assert cuts(network, [group], {})["1"].whole


def test_columns_of_grouped_layers_stay_in_each_group():
    network = capture(nn.Sequential(nn.Conv2d(2, 6, 1), nn.Conv2d(6, 4, 1, groups=2)).eval(), torch.randn(2, 2, 4, 4))
    (group,) = [one for one in channel_groups(network).groups if one.name == "0"]
    layer = network.layer("1")
    columns = cuts(network, [group], {group.name: (0,)})["1"].columns(layer)
    assert columns.tolist() == [[1, 2], [1, 2]]
    assert weight_rows(layer, layer.weight).shape == (2, 2, 3)


def test_depthwise_layers_keep_all_columns():
    network = capture(
        nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 1, 1)).eval(),
        torch.randn(2, 2, 4, 4),
    )
    (group,) = channel_groups(network).groups
    cut = cuts(network, [group], {group.name: (0, 2)})["1"]
    assert cut.columns(network.layer("1")).tolist() == [list(range(9))] * 4
    assert cut.shape(network.layer("1")) == (2, 1, 3, 3)
