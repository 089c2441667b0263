"""The networks without gain are what their names say."""

import torch

from benchmarks.no_gain import DenseNet, GoogLeNet


def test_the_parameters_of_densenet():
    """7,978,856 in the published DenseNet-121, with batch norms."""
    assert sum(one.numel() for one in DenseNet().parameters()) == 7_978_856


def test_the_parameters_of_googlenet():
    """The published one has 6,998,552 with biases of convolutions and without side outputs."""
    assert sum(one.numel() for one in GoogLeNet().parameters()) == 6_998_552


def test_they_classify():
    with torch.no_grad():
        assert DenseNet(blocks=(1, 1)).eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
        assert GoogLeNet().eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
