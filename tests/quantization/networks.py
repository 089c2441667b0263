"""Small networks in float64, in which what must not change is exact, so that no tolerance hides a fault."""

import torch
from torch import Tensor, nn

from microjoule.capture.export import capture
from microjoule.graph.network import Network
from tests.capture.models import Function


def network_of(module: nn.Module, *shape: int) -> tuple[Network, Tensor]:
    """A module in float64 as a network, and inputs that it was not captured with."""
    example, x = torch.randn(2, 5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return capture(module.eval(), example[:2].float()).to(torch.float64), 4 * x


def single(module: nn.Module, *shape: int) -> tuple[Network, Tensor]:
    """The same in float32."""
    example, x = torch.randn(2, 5, *shape, generator=torch.Generator().manual_seed(1))
    return capture(module.float().eval(), example[:2]), x


def outputs(network: Network, x: Tensor) -> Tensor:
    """What the network gives, without gradients."""
    with torch.no_grad():
        return network(x)


def uneven(module: nn.Module) -> nn.Module:
    """The module with weights whose channels differ by powers of ten, as trained ones do."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd):
                spread = 10 ** (2 * torch.rand(layer.weight.shape[0], generator=generator) - 1)
                layer.weight *= spread.reshape(-1, *[1] * (layer.weight.dim() - 1)).to(layer.weight)
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.weight.copy_(10 ** (2 * torch.rand(layer.weight.shape, generator=generator) - 1))
                layer.bias.copy_(torch.randn(layer.bias.shape, generator=generator))
                layer.running_mean.copy_(torch.randn(layer.bias.shape, generator=generator))
                layer.running_var.copy_(0.5 + torch.rand(layer.bias.shape, generator=generator))
    return module


def conv(ins: int = 4, outs: int = 4, kernel: int = 3, **settings: object) -> nn.Conv2d:
    """A convolution of few channels."""
    return nn.Conv2d(ins, outs, kernel, **settings)  # type: ignore[arg-type]


def token_mixer(module: nn.Module, x: Tensor) -> Tensor:
    """A function that two layers read."""
    y = torch.relu(module.first(x))  # type: ignore[operator]
    return module.left(y) + module.right(y)  # type: ignore[no-any-return,operator]


torch.manual_seed(0)  # their weights are made when this file is read
MODULES: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "chain": (nn.Sequential(conv(), nn.ReLU(), conv(), nn.ReLU(), conv(4, 3, 1)), (4, 7, 7)),
    "relu6": (nn.Sequential(conv(), nn.ReLU6(), conv(), nn.ReLU6(), conv()), (4, 8, 8)),
    "prelu": (nn.Sequential(conv(), nn.PReLU(4), conv()), (4, 7, 7)),
    "depthwise": (
        nn.Sequential(conv(4, 6, 1), nn.ReLU6(), conv(6, 6, groups=6, padding=1), nn.ReLU6(), conv(6, 4, 1)),
        (4, 5, 5),
    ),
    "flattened": (nn.Sequential(conv(), nn.ReLU6(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)), (4, 6, 6)),
    "pooled": (
        nn.Sequential(conv(), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6), nn.Linear(6, 2)),
        (4, 6, 6),
    ),
    "two readers": (Function(token_mixer, first=conv(), left=conv(), right=conv(4, 4, 3)), (4, 7, 7)),
    "grouped": (nn.Sequential(conv(4, 8, groups=2), nn.ReLU(), conv(8, 4, groups=4)), (4, 7, 7)),
    "transposed": (
        nn.Sequential(
            nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.ReLU6(), nn.ConvTranspose2d(6, 4, 2, groups=2)
        ),
        (4, 4, 4),
    ),
    "tokens": (nn.Sequential(nn.Linear(4, 6), nn.ReLU6(), nn.Linear(6, 5)), (3, 4)),
    "1d": (nn.Sequential(nn.Conv1d(4, 6, 3), nn.ReLU6(), nn.Conv1d(6, 3, 3)), (4, 9)),
    "3d": (nn.Sequential(nn.Conv3d(2, 3, 2), nn.ReLU(), nn.Conv3d(3, 2, 2)), (2, 4, 4, 4)),
    "padded": (
        nn.Sequential(conv(), nn.ReLU(), nn.ZeroPad2d(1), conv(), nn.Upsample(scale_factor=2), conv()),
        (4, 6, 6),
    ),
}
"""Name -> (module, shape of one sample)."""
