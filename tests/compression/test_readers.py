from dataclasses import replace

import torch
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.compression.readers import readers, reading_layers
from microjoule.execution.moments import input_moments
from microjoule.graph.channels import channel_groups
from microjoule.numerics.elimination import eliminate
from microjoule.numerics.least_squares import chance
from tests.graph.channel_networks import NETWORKS

X = torch.randn(200, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def test_losses_are_the_relative_errors_of_all_readers():
    build, shape = NETWORKS["residual"]
    torch.manual_seed(0)
    network = capture(build().eval(), torch.randn(2, *shape))
    x = torch.randn(60, *shape, generator=torch.Generator().manual_seed(2))
    known = input_moments(network, x, reading_layers(network))
    group = channel_groups(network).group("stem")
    found = readers(network, group, known)
    assert len(found) == len(group.readers)
    assert {len(reader.columns) for reader in found} == {group.size}
    for reader, path in zip(found, group.readers, strict=True):
        assert_close(reader.share * float(known[path].output_variance.sum()), 1.0)
    everything = eliminate(found, damping=0.0)[1][-1]
    assert 0 < everything < len(found)


def test_the_error_foreseen_is_the_error_made():
    torch.manual_seed(3)
    network = capture(nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3)).eval(), X[:2])
    layer = network.layer("2")
    known = input_moments(network, X, reading_layers(network), rows=10**6)
    many = {path: replace(one, rows=10**12) for path, one in known.items()}
    (reader,) = readers(network, channel_groups(network).groups[0], many)
    _, errors = eliminate([reader], [2], damping=0.0)
    y, features = (found.detach() for found in (network(X), network.module.get_submodule("0")(X).relu()))
    rows = torch.nn.functional.unfold(features, 3).movedim(1, 2).flatten(0, 1)
    stay = torch.ones(45, dtype=torch.bool)
    stay[18:27] = False
    design = torch.cat([rows[:, stay], torch.ones(len(rows), 1)], 1).double()
    target = y.flatten(2).movedim(1, 2).flatten(0, 1).double()
    left = target - design @ torch.linalg.lstsq(design, target).solution
    variance = (target - target.mean(0)).square().mean(0).sum()
    assert_close(float(errors[1]), float(left.square().mean(0).sum() / variance), rtol=1e-3, atol=1e-6)
    assert layer.in_channels == 5


def test_what_few_rows_tell_counts_less():
    network = capture(nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 4)).eval(), X[:2, 0, 0, :3])
    known = input_moments(network, X[:10, 0, 0, :3], reading_layers(network))
    (reader,) = readers(network, channel_groups(network).groups[0], known)
    second, share = known["2"].second[0], float(chance(known["2"]))
    assert 0.2 < share < 1
    assert_close(reader.second, (1 - share) * second + share * torch.diag(second.diagonal()))


def test_depthwise_layers_are_no_readers_here():
    build, shape = NETWORKS["depthwise"]
    network = capture(build().eval(), torch.randn(2, *shape))
    deep = {layer.path for layer in network.layers if layer.in_channels == layer.groups}
    assert deep
    assert not deep & {layer.path for layer in reading_layers(network)}
    known = input_moments(network, torch.randn(8, *shape), reading_layers(network))
    for group in channel_groups(network).groups:
        plain = [path for path in group.readers if path not in deep]
        assert len(readers(network, group, known)) == sum(network.layer(path).groups for path in plain)
