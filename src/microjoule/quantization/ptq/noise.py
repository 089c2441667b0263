"""Inputs without data: noise with the statistics of natural images.

Natural images have an amplitude spectrum of about 1/f, channels that hardly differ, and brightness and contrast that
vary from image to image. Noise made so drives a network through the ranges that it was trained for; white noise, which
has as much energy in single pixels as in the whole image, does not.

Source: Field 1987, Relations between the statistics of natural images and the response properties of cortical cells,
https://doi.org/10.1364/JOSAA.4.002379, sections 3 and 4 (the spectrum); the spreads below are of ordinary photographs.
"""

from dataclasses import replace

import torch
from torch import Tensor

from microjoule.errors import DataError
from microjoule.execution.batches import Batches, batches
from microjoule.execution.signature import Signature
from microjoule.graph.card import Ranges, range_in
from microjoule.graph.network import Network

COLOUR = 0.2
"""Share of a channel's amplitude that is its own; the rest is common to all channels."""

BRIGHTNESS = 0.125
"""Standard deviation of the mean of an image, in units of the whole range (that of a uniform mean is 0.29)."""

CONTRAST = (0.125, 0.3)
"""An image's own standard deviation lies evenly between these, in units of the whole range (0.29 if uniform)."""


def natural_noise(shape: tuple[int, ...], *, low: float, high: float, seed: int) -> Tensor:
    """Noise with a 1/f spectrum along all dimensions after the channels.

    Args:
        shape: (n, channels, *spatial).
        low: the smallest value of an input.
        high: the largest.
        seed: gives the same noise again.

    Returns:
        float32 of that shape, within [low, high].
    """
    generator = torch.Generator().manual_seed(seed)
    spatial = tuple(range(2, len(shape)))
    x = _standard(_coloured(torch.randn(shape, generator=generator), spatial))
    common = _standard(x.mean(1, keepdim=True))
    x = _standard((1 - COLOUR) * common + COLOUR * x)
    one = (shape[0], *[1] * (len(shape) - 1))
    brightness = BRIGHTNESS * torch.randn(one, generator=generator)
    contrast = CONTRAST[0] + (CONTRAST[1] - CONTRAST[0]) * torch.rand(one, generator=generator)
    return (low + (high - low) * (0.5 + brightness + contrast * x)).clamp(low, high)


def _coloured(white: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """Divide each frequency's amplitude by the frequency, and take the mean out."""
    if not spatial:
        return white
    sizes = white.shape[2:]
    axes = [torch.fft.fftfreq(size) for size in sizes[:-1]] + [torch.fft.rfftfreq(sizes[-1])]
    square = sum((grid.square() for grid in torch.meshgrid(*axes, indexing="ij")), torch.zeros(()))
    frequency = torch.sqrt(square)
    inverse = torch.where(frequency > 0, 1 / frequency.clamp(min=torch.finfo(torch.float32).tiny), torch.zeros(()))
    spectrum = torch.fft.rfftn(white, dim=spatial) * inverse
    coloured: Tensor = torch.fft.irfftn(spectrum, s=list(sizes), dim=spatial)
    return coloured


def _standard(x: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 for each sample."""
    dims = tuple(range(1, x.dim()))
    return (x - x.mean(dims, keepdim=True)) / x.std(dims, keepdim=True, correction=0).clamp(min=1e-6)


VALUES = 48 * 3 * 224 * 224
"""How many values of noise are enough: 48 colour images of 224 x 224, or fewer larger ones."""


def noise_like(network: Network, *, input_range: Ranges, samples: int = 48, seed: int = 0) -> Batches:
    """Noise for a network with floating-point inputs, as data.

    Args:
        network: its example inputs tell the shapes.
        input_range: smallest and largest value of all inputs, or of each by its name.
        samples: at most so many, and at least one; fewer if an input is large (`VALUES`).
        seed: gives the same noise again.

    Raises:
        DataError: if the network takes something else than tensors of floating-point values with channels.
    """
    signature = Signature.of(network)
    assert signature is not None
    for entry in signature.needed:
        example = entry.example
        if not isinstance(example, Tensor) or not example.is_floating_point() or example.dim() < 2:
            fact = f"cannot stand in for {entry.text}, only for floating-point inputs of shape (n, channels, ...)"
            raise DataError("noise", fact, remedy="give data")
    largest = max(entry.example[:1].numel() for entry in signature.needed)
    size = max(1, min(samples, VALUES // largest)) if network.dynamic_batch else signature.samples
    noise = []
    for number, entry in enumerate(signature.needed):
        low, high = range_in(input_range, entry.name)
        shape = (size, *entry.example.shape[1:])
        noise.append(natural_noise(shape, low=low, high=high, seed=seed + number))
    whole = batches(
        tuple(noise) if len(noise) > 1 else noise[0], network, batch_size=16, name=f"generated noise (seed {seed})"
    )
    return replace(whole, drawn=True)
