"""A U-Net scores each pixel."""

import torch

from microjoule.zoo.unet import UNet


def test_each_pixel_has_a_score_of_each_class() -> None:
    assert UNet(classes=5).eval()(torch.zeros(2, 3, 16, 20)).shape == (2, 5, 16, 20)


def test_the_finest_features_pass_by_the_bottom() -> None:
    network = UNet().eval()
    torch.nn.init.zeros_(network.up1.weight)
    torch.nn.init.zeros_(network.up1.bias)
    x = torch.randn(1, 3, 16, 16)
    assert not torch.allclose(network(x), network(torch.zeros_like(x)))
