"""MobileNetV3 has the size of torchvision, and its squeeze-and-excite scales channels."""

import pytest
import torch

from microjoule.zoo.mobilenet_v3 import MobileNetV3Small, SqueezeExcite, eighths


def test_the_number_of_parameters_is_that_of_torchvision() -> None:
    assert sum(p.numel() for p in MobileNetV3Small().parameters()) == 2_542_856


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, 8), (4, 8), (18, 24), (22, 24), (24, 24), (72 / 4, 24), (60, 64)]
)
def test_eighths_by_hand(channels: float, expected: int) -> None:
    assert eighths(channels) == expected


def test_a_squeeze_and_excite_of_zero_weights_halves() -> None:
    block = SqueezeExcite(8)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(block(x), x / 2)
