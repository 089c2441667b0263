"""SqueezeNet has the size of torchvision."""

import torch

from microjoule.zoo.squeezenet import SqueezeNet


def test_the_number_of_parameters_is_that_of_torchvision() -> None:
    assert sum(p.numel() for p in SqueezeNet().parameters()) == 1_235_496


def test_it_scores_each_class() -> None:
    assert SqueezeNet(classes=7).eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
