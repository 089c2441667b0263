import pytest
import torch
from torch import nn
from torch.testing import assert_close

import microjoule as mj
from microjoule.execution.batches import batches
from microjoule.execution.reconstruct_blocks import reconstruct_blocks
from microjoule.execution.run import unquantized

IMAGES = torch.rand(10, 3, 6, 6, generator=torch.Generator().manual_seed(5))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.inner, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 2)

    def forward(self, x):
        y = self.stem(x).relu()
        return self.head((y + self.inner(y)).mean((2, 3)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    found = mj.capture(Residual(), IMAGES[:2])
    mj.quantize(found, target="per-tensor", weights=4)
    mj.calibrate(found, IMAGES)
    return found


def test_each_block_gets_both_inputs_and_what_it_gave_in_floating_point(network):
    seen = []

    def train(part):
        seen.append((part.block.layers, part.exact(0), part.given(0), part.wanted(0), part.outputs(part.given(0))))

    done, samples = reconstruct_blocks(network, network.copy(), batches(IMAGES, batch_size=10), train)
    assert samples == 10
    assert [layers for layers, *_ in seen] == [("stem",), ("inner",), ("head",)]
    assert [one.layer for one in done] == ["stem", "inner", "head"]
    with unquantized(network):
        exact = network(IMAGES)
    assert_close(seen[-1][3], [exact])
    assert_close(seen[-1][4], [network(IMAGES)])
    assert_close(seen[1][1], seen[0][3][0])
    assert_close(seen[1][2], seen[0][4][0])
    assert not torch.equal(seen[1][1], seen[1][2])
    lost = (network(IMAGES) - exact).double().square().sum() / exact.double().square().sum()
    assert done[-1].error_after == pytest.approx(lost.item(), rel=1e-5)


def test_later_blocks_read_what_trained_blocks_give(network):
    seen = []

    def train(part):
        seen.append(part.given(0))
        if part.block.layers == ("stem",):
            with torch.no_grad():
                network.module.stem.bias.fill_(-100.0)

    done, _ = reconstruct_blocks(network, network.copy(), batches(IMAGES, batch_size=10), train)
    assert (seen[1] == 0).all()
    assert (done[0].error_before < 0.1, done[0].error_after) == (True, pytest.approx(1.0))


def test_targets_are_the_exact_networks_whatever_became_of_this_ones_biases(network):
    exact, seen = network.copy(), []
    with torch.no_grad():
        network.module.head.bias.add_(5)
    reconstruct_blocks(network, exact, batches(IMAGES), lambda part: seen.append(part.wanted(0)))
    with unquantized(exact):
        assert_close(seen[-1], [exact(IMAGES)])
