"""The network of the quickstart: small in the package, and wide enough that integers save time."""

import torch

import microjoule as mj
from microjoule.zoo.digits_resnet import DigitsResNet


def test_it_scores_ten_digits_and_is_small():
    model = DigitsResNet()
    assert model.eval()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert sum(p.numel() for p in model.parameters()) == 220_618


def test_its_convolutions_are_what_takes_the_time():
    """7.07 million multiply-accumulates by hand: 64 * 9 * 64 of the first, two of 64 * 64 * 9 * 64, and so on."""
    first, block = 9 * 64 * 64, 2 * 9 * 64 * 64 * 64
    second = (9 * 64 * 96 + 9 * 96 * 96 + 64 * 96) * 16
    assert mj.costs(mj.capture(DigitsResNet().eval(), torch.rand(2, 1, 8, 8))).macs == first + block + second + 96 * 10
