"""Noise in place of images: its range, its spectrum, its seed, and where it cannot stand in."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.errors import DataError, SettingError
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


class Two(nn.Module):
    def forward(self, a, b, twice=True):
        return (a + b.mean((2, 3))) * 2 if twice else a


def test_each_of_several_inputs_has_its_range():
    network = mj.capture(Two(), (torch.randn(2, 3), torch.randn(2, 3, 4, 4), True))
    data = noise_like(network, input_range={"a": (0.0, 1.0), "b": (-3.0, -2.0)}, samples=20)
    found = list(data)
    assert (data.samples, [len(inputs[0]) for inputs, _ in found]) == (20, [16, 4])
    assert all(inputs[0].min() >= 0 and inputs[0].max() <= 1 for inputs, _ in found)
    assert all(inputs[1].min() >= -3 and inputs[1].max() <= -2 for inputs, _ in found)
    assert {inputs[2] for inputs, _ in found} == {True}
    assert not torch.equal(found[0][0][0], found[0][0][1].mean((2, 3)) + 3)
    with pytest.raises(SettingError, match="has no entry for b, but for a"):
        noise_like(network, input_range={"a": (0.0, 1.0)})


def test_it_is_said_to_be_noise():
    network = mj.capture(nn.Conv2d(3, 2, 1), torch.randn(2, 3, 8, 8))
    data = noise_like(network, input_range=(0.0, 1.0), seed=3)
    assert (data.drawn, data.name) == (True, "generated noise (seed 3)")


def test_it_cannot_stand_in_for_indices():
    network = mj.capture(nn.Embedding(5, 2), torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(DataError, match=r"noise: cannot stand in for input \(int64 \(2, 3\)\), only for floating"):
        noise_like(network, input_range=(0.0, 1.0))
