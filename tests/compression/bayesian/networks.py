"""A small LeNet and images that it can tell apart."""

import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture

torch.manual_seed(0)
X = torch.randn(120, 1, 22, 22)
Y = (X[:, 0, :11].mean((1, 2)) > X[:, 0, 11:].mean((1, 2))).long()


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 6, 6)
        self.hidden, self.last = nn.Linear(24, 12), nn.Linear(12, 2)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2).flatten(1)
        return self.last(F.relu(self.hidden(x)))


NETWORK = capture(LeNet().eval(), X[:2])


def lenet():
    return NETWORK.copy()
