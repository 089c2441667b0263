"""DS-CNN: a depthwise separable network that spots keywords in 49 frames of 10 cepstral coefficients.

Source: Zhang et al. 2017, Hello Edge, https://arxiv.org/abs/1711.07128, section 3.5, in the size of MLPerf Tiny.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from microjoule.zoo.same_padding import ConvBatchNorm, global_mean

CHANNELS = 64


class DsCnn(nn.Module):
    """Scores of ten keywords, silence and unknown."""

    def __init__(self) -> None:
        super().__init__()
        self.f = nn.ModuleList([ConvBatchNorm(1, CHANNELS, kernel=(10, 4), stride=2)])
        for _ in range(4):
            self.f.append(ConvBatchNorm(CHANNELS, CHANNELS, groups=CHANNELS))
            self.f.append(ConvBatchNorm(CHANNELS, CHANNELS, kernel=1))
        self.fc = nn.Linear(CHANNELS, 12)

    def forward(self, x: Tensor) -> Tensor:
        """Score.

        Args:
            x: (n, 1, 49, 10).

        Returns:
            (n, 12).
        """
        for layer in self.f:
            x = F.relu(layer(x))
        scores: Tensor = self.fc(global_mean(x))
        return scores
