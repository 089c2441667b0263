import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError
from microjoule.execution.stages import Stages
from microjoule.execution.store import Store


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))

    def forward(self, x):
        y = self.first(x).relu()
        z = y + self.second(y)
        return self.third(z).flatten(1) + x.flatten(1)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return mj.capture(Residual(), torch.randn(2, 3, 6, 6))


def parts():
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(size, 3, 6, 6, generator=generator),) for size in (4, 2)]


def stages_of(network, store):
    return Stages(network, parts(), [layer.node for layer in network.layers], store)


@pytest.mark.parametrize("limit", [0, 2**20])
def test_each_layer_is_shown_what_it_reads(network, limit):
    stages = stages_of(network, Store(limit_bytes=limit))
    m = network.module
    for stage, layer in enumerate(network.layers):
        for number, values in stages.go_on(stage):
            x = parts()[number][0]
            y = m.first(x).relu()
            wanted = [x, y, y + m.second(y)][stage]
            torch.testing.assert_close(values.value(layer.node.all_input_nodes[0]), wanted, rtol=0, atol=0)


def test_a_changed_layer_counts_from_the_next_stage_on(network):
    stages = stages_of(network, Store())
    list(stages.go_on(0))
    with torch.no_grad():
        network.module.first.weight.mul_(2)
    for number, values in stages.go_on(1):
        seen = values.value(network.layers[1].node.all_input_nodes[0])
        torch.testing.assert_close(seen, network.module.first(parts()[number][0]).relu(), rtol=0, atol=0)


def test_only_what_a_later_stage_reads_is_kept(network):
    store, kept = Store(), []
    stages = stages_of(network, store)
    for stage in range(3):
        list(stages.go_on(stage))
        kept.append({node.name for number, node in store._kept if number == 0})
    assert kept == [{"x"}, {"x", "relu"}, {"x", "add"}]


def test_values_on_a_grid_are_kept_as_integers(network):
    mj.quantize(network, target="per-tensor")
    mj.calibrate(network, parts()[0][0])
    store = Store()
    stages = Stages(network, parts(), [layer.node for layer in network.layers], store)
    list(stages.go_on(0))
    list(stages.go_on(1))
    assert store.used_bytes == 2 * 6 * 3 * 6 * 6  # the quantized input and the first layer's output, a byte each


def test_inputs_that_do_not_fit_are_one_clear_error(network):
    stages = Stages(network, [(torch.randn(1, 4, 6, 6),)], [network.layers[1].node], Store())
    with pytest.raises(DataError, match="and the network was captured for"):
        list(stages.go_on(0))
