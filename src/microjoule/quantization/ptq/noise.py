"""Inputs without data: noise with the statistics of natural images.

Natural images have an amplitude spectrum of about 1/f, channels that hardly differ, and brightness and contrast that
vary from image to image. Noise made so drives a network through the ranges that it was trained for; white noise, which
has as much energy in single pixels as in the whole image, does not.

Source: Field 1987, Relations between the statistics of natural images and the response properties of cortical cells,
https://doi.org/10.1364/JOSAA.4.002379, sections 3 and 4 (the spectrum); the spreads below are of ordinary photographs.
"""

import torch
from torch import Tensor

from microjoule.errors import DataError
from microjoule.execution.batches import Batches
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


def noise_like(network: Network, *, input_range: tuple[float, float], samples: int = 48, seed: int = 0) -> Batches:
    """Noise for a network with one floating-point input, as data.

    Args:
        network: its example input tells the shape.
        input_range: smallest and largest value of an input.
        samples: at most so many, and at least one; fewer if an input is large (`VALUES`).
        seed: gives the same noise again.

    Raises:
        DataError: if the network takes something else than one tensor of floating-point values with channels.
    """
    tensors = network.example.tensors
    if len(tensors) != 1 or not tensors[0].is_floating_point() or tensors[0].dim() < 2:
        raise DataError(
            "noise", "can stand in for one floating-point input of shape (n, channels, ...) only", remedy="give data"
        )
    enough = max(1, min(samples, VALUES // tensors[0][0].numel()))
    size = enough if network.dynamic_batch else tensors[0].shape[0]
    noise = natural_noise((size, *tensors[0].shape[1:]), low=input_range[0], high=input_range[1], seed=seed)
    return Batches(lambda: iter(noise.split(16)), f"generated noise (seed {seed})", size, labelled=False)
