"""Noise in place of images: its range, its spectrum, its seed, and where it cannot stand in."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError
from microjoule.quantization.ptq.noise import VALUES, natural_noise, noise_like


def test_it_stays_within_the_range_and_varies():
    noise = natural_noise((8, 3, 32, 32), low=-1.0, high=3.0, seed=0)
    assert noise.shape == (8, 3, 32, 32)
    assert noise.min() >= -1
    assert noise.max() <= 3
    assert noise.std() > 0.3


def test_a_seed_gives_the_same_noise_again():
    first, second, other = (natural_noise((2, 3, 8, 8), low=0, high=1, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_neighbouring_pixels_are_alike_and_channels_as_well():
    noise = natural_noise((16, 3, 64, 64), low=-10.0, high=10.0, seed=1)
    pixels = torch.stack([noise[..., :-1].flatten(), noise[..., 1:].flatten()])
    assert torch.corrcoef(pixels)[0, 1] > 0.7
    channels = torch.corrcoef(noise.transpose(0, 1).flatten(1))
    assert channels.min() > 0.7


@pytest.mark.parametrize("shape", [(4, 7), (4, 2, 50), (4, 1, 5, 6, 7)], ids=["vectors", "signals", "volumes"])
def test_it_takes_any_number_of_spatial_dimensions(shape):
    noise = natural_noise(shape, low=0.0, high=1.0, seed=0)
    assert noise.shape == shape
    assert torch.isfinite(noise).all()


def test_large_inputs_are_fewer():
    network = mj.capture(nn.Conv2d(3, 2, 1), torch.randn(2, 3, 448, 448))
    data = noise_like(network, input_range=(0.0, 1.0))
    assert data.samples == VALUES // (3 * 448 * 448)


def test_it_cannot_stand_in_for_several_inputs():
    class Two(nn.Module):
        def forward(self, a, b):
            return a + b

    network = mj.capture(Two(), (torch.randn(2, 3), torch.randn(2, 3)))
    with pytest.raises(DataError, match="one floating-point input"):
        noise_like(network, input_range=(0.0, 1.0))
