"""A network that takes a moment to compress, and what its own answers are to some images."""

import torch
from torch import nn

import microjoule as mj
from benchmarks.alone import Images
from benchmarks.compression_cases import Case
from benchmarks.subjects import Subject


def small_case(width):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(width, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    x = torch.rand(20, 3, 8, 8)
    module = nn.Sequential(*layers).eval()
    module[4].bias.data -= module(x).mean(0)
    network, labels = mj.capture(module, x[:2]), module(x).argmax(1)
    return Case(Subject(network, (x, labels), mj.zoo.metric("top1"), (0.0, 1.0), "small"), Images(x, labels, 20))
