"""Small networks of every operator that the integer runner has, and quantized ones of them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.capture.export import capture
from microjoule.graph.network import Network
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import quantize


class Function(nn.Module):
    """A module that does what a function of its layers and an input does."""

    def __init__(self, function: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def images(n: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, *shape, generator=generator)


def after_conv(function: Callable[[Tensor], Tensor]) -> Function:
    """Something that is done to a convolution's output."""
    return Function(lambda m, x: function(m.conv(x)), conv=nn.Conv2d(4, 8, 3))


SHAPE = (4, 9, 9)
SEQUENCE = (4, 16)


def cases() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    torch.manual_seed(0)
    return {
        "conv": (nn.Conv2d(4, 8, 3, 2, 1), SHAPE),
        "conv without bias": (nn.Conv2d(4, 8, 3, bias=False), SHAPE),
        "grouped": (nn.Conv2d(4, 8, 3, groups=2, dilation=2), SHAPE),
        "depthwise": (
            nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding="same", groups=8)),
            SHAPE,
        ),
        "conv1d": (nn.Conv1d(4, 8, 3, 2, 1), SEQUENCE),
        "transposed": (nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2), SHAPE),
        "linear": (nn.Sequential(nn.Flatten(), nn.Linear(324, 10)), SHAPE),
        "linear in three dimensions": (nn.Linear(16, 8), SEQUENCE),
        "relu": (nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1)), SHAPE),
        "relu6": (nn.Sequential(nn.Conv2d(4, 8, 3), nn.ReLU6(), nn.Conv2d(8, 4, 1)), SHAPE),
        "clamp": (after_conv(lambda x: x.clamp(-0.3, 0.4)), SHAPE),
        "clamp of two readers": (after_conv(lambda x: (y := x.clamp(-0.3, 0.4)) + y.flip(2)), SHAPE),
        "add": (Function(lambda m, x: F.relu(m.a(x) + m.b(x)), a=nn.Conv2d(4, 8, 3), b=nn.Conv2d(4, 8, 3)), SHAPE),
        "mul": (Function(lambda m, x: m.a(x) * m.b(x), a=nn.Conv2d(4, 8, 3), b=nn.Conv2d(4, 8, 3)), SHAPE),
        "concat": (
            Function(lambda m, x: torch.cat([m.a(x), m.b(x)], 1), a=nn.Conv2d(4, 8, 3), b=nn.Conv2d(4, 2, 3)),
            SHAPE,
        ),
        "max pool": (after_conv(lambda x: F.max_pool2d(x, 3, 2, 1)), SHAPE),
        "average pool": (after_conv(lambda x: F.avg_pool2d(x, 2)), SHAPE),
        "average pool at borders": (after_conv(lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)), SHAPE),
        "global average pool": (after_conv(lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1)), SHAPE),
        "adaptive pool": (after_conv(lambda x: F.adaptive_avg_pool2d(x, (3, 2))), SHAPE),
        "mean": (after_conv(lambda x: x.mean((2, 3))), SHAPE),
        "mean of one axis": (after_conv(lambda x: x.mean(2, keepdim=True)), SHAPE),
        "transpose": (after_conv(lambda x: x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, 8)), SHAPE),
        "slice": (Function(lambda m, x: m.b(m.a(x)[:, 2:6]), a=nn.Conv2d(4, 8, 3), b=nn.Conv2d(4, 2, 1)), SHAPE),
        "split": (Function(lambda m, x: torch.add(*m.a(x).chunk(2, 1)), a=nn.Conv2d(4, 8, 3)), SHAPE),
        "pad": (
            Function(lambda m, x: m.b(F.pad(m.a(x), (0, 1, 0, 1))), a=nn.Conv2d(4, 8, 3), b=nn.Conv2d(8, 2, 3, 2)),
            SHAPE,
        ),
        "pixel shuffle": (after_conv(lambda x: F.pixel_shuffle(x, 2)), SHAPE),
        "upsample": (
            Function(
                lambda m, x: m.b(F.interpolate(m.a(x), scale_factor=2)), a=nn.Conv2d(4, 8, 3), b=nn.Conv2d(8, 2, 1)
            ),
            SHAPE,
        ),
        "table": (after_conv(F.leaky_relu), SHAPE),
        "reused": (Function(lambda m, x: m.a(F.relu(m.a(x))), a=nn.Conv2d(4, 4, 3)), SHAPE),
        "function": (
            Function(lambda m, x: F.conv2d(x, m.holder.kernel, m.holder.shift, 2, 1, 1, 2), holder=_holder()),
            SHAPE,
        ),
    }


def _holder() -> nn.Module:
    holder = nn.Module()
    holder.kernel = nn.Parameter(torch.randn(8, 2, 3, 3))
    holder.shift = nn.Parameter(torch.randn(8))
    return holder


CASES = cases()


def quantized(module: nn.Module, x: Tensor, **settings: object) -> Network:
    """A network with quantizers that are calibrated on an input; the target "per-tensor" takes every operator."""
    network = capture(module.eval(), x)
    quantize(network, **settings)
    calibrate(network, x)
    return network


def small(name: str, **settings: object) -> tuple[Network, Tensor]:
    """A case, quantized, and an input that it was not calibrated on."""
    module, shape = CASES[name]
    return quantized(nn.Sequential(module), images(8, *shape), **settings), images(5, *shape)
