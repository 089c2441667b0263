"""A network whose order matters: two branches that grow and shrink, written side by side."""

import torch
from torch import Tensor, nn

X = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))

GIVEN = ["grow_a", "grow_b", "shrink_a", "shrink_b", "cat", "last"]


class Branching(nn.Module):
    """In FP32 the input has 1024 bytes, what grows 4096 and 2048, what shrinks 512, all together 2048, the output 512.

    The large branch has to come first: nothing but the input is in memory then.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.grow_a, self.grow_b = nn.Conv2d(4, 16, 1), nn.Conv2d(4, 8, 1)
        self.shrink_a, self.shrink_b = nn.Conv2d(16, 2, 1), nn.Conv2d(8, 2, 1)
        self.last = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Any batch of X's shape."""
        a, b = self.grow_a(x), self.grow_b(x)
        return self.last(torch.cat([self.shrink_a(a), self.shrink_b(b), x], 1))
