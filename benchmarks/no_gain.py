"""Networks whose order cannot save memory, with the proof: chains and regular branches."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

import microjoule as mj
from benchmarks.figure import Figure
from benchmarks.subjects import MOBILENET_V1, MOBILENET_V2

BLOCKS = (6, 12, 24, 16)
"""Layers of DenseNet-121's blocks."""

INCEPTIONS = (
    (192, 64, (96, 128), (16, 32), 32),
    (256, 128, (128, 192), (32, 96), 64),
    (480, 192, (96, 208), (16, 48), 64),
    (512, 160, (112, 224), (24, 64), 64),
    (512, 128, (128, 256), (24, 64), 64),
    (512, 112, (144, 288), (32, 64), 64),
    (528, 256, (160, 320), (32, 128), 128),
    (832, 256, (160, 320), (32, 128), 128),
    (832, 384, (192, 384), (48, 128), 128),
)
"""GoogLeNet's modules: inputs, 1x1, 3x3 (reduced, out), 5x5 (reduced, out), pooled."""

POOLED = (2, 7)
"""GoogLeNet's modules before which there is pooling."""


def figures(data: Path) -> Iterator[Figure]:
    """What an order saves of each network, and the time it takes to prove that."""
    image = torch.zeros(1, 3, 224, 224)
    given: list[tuple[str, nn.Module, Tensor]] = [
        ("ResNet-18", mj.zoo.load("resnet18", data=data), image),
        ("ResNet-20", mj.zoo.load("resnet20_cifar10", data=data), torch.zeros(1, 3, 32, 32)),
        ("DenseNet-121", DenseNet(), image),
        ("GoogLeNet (Inception v1)", GoogLeNet(), image),
        ("MobileNetV2", mj.zoo.load(MOBILENET_V2, data=data), image),
        ("MobileNetV1-0.25", mj.zoo.load(MOBILENET_V1, data=data), image),
    ]
    for name, module, example in given:
        network = mj.capture(module.eval(), example)
        mj.fold_batch_norms(network)
        found = mj.schedule(network)
        saved = 1 - found.bound_bytes / found.before.peak_bytes
        reached = "proved" if found.optimal else "not proved"
        compared = f"{found.before.peak_bytes:,} bytes, {reached} the least, {found.states:,} states"
        yield Figure(f"{name}, most that an order can save", saved, "share", "== 0", compared)
        compared = f"with its arena, {len(found.before.steps)} operators"
        yield Figure(f"{name}, time of the proof", found.seconds, "s", "<= 1", compared)


def _convolution(inputs: int, outputs: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.ReLU())


class DenseLayer(nn.Module):
    """Batch norm, ReLU and a convolution, twice; its output is put beside its input (Huang et al. 2017)."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        inner = 4 * growth
        self.first = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, inner, 1, bias=False))
        second = nn.Conv2d(inner, growth, 3, padding=1, bias=False)
        self.second = nn.Sequential(nn.BatchNorm2d(inner), nn.ReLU(), second)

    def forward(self, x: Tensor) -> Tensor:
        """Its input with what is made of it.

        Args:
            x: (n, inputs, h, w).
        """
        return torch.cat([x, self.second(self.first(x))], 1)


class DenseNet(nn.Module):
    """DenseNet-121 (https://arxiv.org/abs/1608.06993), untrained."""

    def __init__(self, blocks: Sequence[int] = BLOCKS, growth: int = 32) -> None:
        super().__init__()
        width = 2 * growth
        stem = [nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers: list[nn.Module] = [*stem, nn.MaxPool2d(3, 2, 1)]
        for number, count in enumerate(blocks):
            for _ in range(count):
                layers.append(DenseLayer(width, growth))
                width += growth
            if number + 1 < len(blocks):
                half = nn.Conv2d(width, width // 2, 1, bias=False)
                layers += [nn.BatchNorm2d(width), nn.ReLU(), half, nn.AvgPool2d(2)]
                width //= 2
        head = [nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000)]
        self.layers = nn.Sequential(*layers, *head)

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            x: (n, 3, h, w).
        """
        found: Tensor = self.layers(x)
        return found


class Inception(nn.Module):
    """Four branches beside each other (Szegedy et al. 2015)."""

    def __init__(self, inputs: int, one: int, three: tuple[int, int], five: tuple[int, int], pooled: int) -> None:
        super().__init__()
        self.one = _convolution(inputs, one, 1)
        self.three = nn.Sequential(_convolution(inputs, three[0], 1), _convolution(*three, 3))
        self.five = nn.Sequential(_convolution(inputs, five[0], 1), _convolution(*five, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), _convolution(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """All branches.

        Args:
            x: (n, inputs, h, w).
        """
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


class GoogLeNet(nn.Module):
    """Inception v1 (https://arxiv.org/abs/1409.4842) without its side outputs, untrained."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, stride=2, padding=3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
        layers += [_convolution(64, 64, 1), _convolution(64, 192, 3), nn.MaxPool2d(3, 2, 1)]
        for number, settings in enumerate(INCEPTIONS):
            if number in POOLED:
                layers.append(nn.MaxPool2d(3, 2, 1))
            layers.append(Inception(*settings))
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1024, 1000))

    def forward(self, x: Tensor) -> Tensor:
        """Scores of the classes.

        Args:
            x: (n, 3, h, w).
        """
        found: Tensor = self.layers(x)
        return found
