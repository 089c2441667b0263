"""DeepLabV3 scores a grid eight times coarser than the image."""

import torch

from microjoule.zoo.deeplab import DeepLabV3


def test_the_number_of_parameters_is_that_of_the_source() -> None:
    assert sum(p.numel() for p in DeepLabV3().parameters()) == 2_097_013


def test_sides_are_divided_by_eight_and_rounded_up() -> None:
    with torch.inference_mode():
        assert DeepLabV3()(torch.zeros(2, 3, 65, 40)).shape == (2, 21, 9, 5)
