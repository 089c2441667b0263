"""ResNet18 has the size of torchvision."""

import torch

from microjoule.zoo.resnet import ResNet18


def test_the_number_of_parameters_is_that_of_torchvision() -> None:
    assert sum(p.numel() for p in ResNet18().parameters()) == 11_689_512


def test_it_scores_each_class() -> None:
    assert ResNet18(classes=7).eval()(torch.zeros(2, 3, 64, 64)).shape == (2, 7)
