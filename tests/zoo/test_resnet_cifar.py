"""ResNets for CIFAR-10 have the depth of their name and a shortcut without parameters."""

import pytest
import torch
from torch import nn

from microjoule.zoo.resnet_cifar import Block, CifarResNet


@pytest.mark.parametrize(("blocks", "depth", "parameters"), [(3, 20, 269_722), (5, 32, 464_154), (9, 56, 853_018)])
def test_depth_and_parameters_are_those_of_the_paper(blocks: int, depth: int, parameters: int) -> None:
    network = CifarResNet(blocks)
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules()) == depth
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_shortcut_subsamples_and_pads_with_zero_channels() -> None:
    block = Block(2, 4, 2).eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.arange(32.0).reshape(1, 2, 4, 4)
    expected = torch.zeros(1, 4, 2, 2)
    expected[:, 1:3] = x[:, :, ::2, ::2]
    torch.testing.assert_close(block(x), expected)
