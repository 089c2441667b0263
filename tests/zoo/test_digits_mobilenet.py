"""The network for the digits is small, and of the kind of its large model."""

import torch
from torch import nn

from microjoule.zoo.digits_mobilenet import DigitsMobileNet


def test_it_is_small() -> None:
    assert sum(p.numel() for p in DigitsMobileNet().parameters()) <= 60_000


def test_it_scores_ten_digits() -> None:
    assert DigitsMobileNet().eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_it_has_depthwise_convolutions_batch_norms_and_caps() -> None:
    modules = list(DigitsMobileNet().modules())
    assert any(isinstance(m, nn.Conv2d) and m.groups == m.in_channels > 1 for m in modules)
    assert {nn.BatchNorm2d, nn.ReLU6} <= {type(m) for m in modules}
