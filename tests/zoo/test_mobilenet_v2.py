"""MobileNetV2 has the size and names of torchvision."""

import pytest
import torch

from microjoule.zoo.mobilenet_v2 import InvertedResidual, MobileNetV2


def test_the_number_of_parameters_is_that_of_torchvision() -> None:
    assert sum(p.numel() for p in MobileNetV2().parameters()) == 3_504_872


def test_names_are_those_of_torchvision() -> None:
    names = MobileNetV2().state_dict().keys()
    assert {"features.0.0.weight", "features.1.conv.1.weight", "features.2.conv.3.bias", "classifier.1.weight"} <= names


@pytest.mark.parametrize(("outs", "stride", "adds"), [(8, 1, True), (8, 2, False), (16, 1, False)])
def test_the_input_is_added_where_shapes_allow_it(outs: int, stride: int, adds: bool) -> None:
    block = InvertedResidual(8, outs, stride=stride, expansion=2).eval()
    torch.nn.init.zeros_(block.conv[2].weight)
    x = torch.ones(1, 8, 4, 4)
    assert block(x).shape == (1, outs, 4 // stride, 4 // stride)
    assert float(block(x).detach().abs().max()) == float(adds)
