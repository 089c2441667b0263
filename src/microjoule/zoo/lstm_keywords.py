"""An LSTM that spots keywords in frames of cepstral coefficients.

Source: Zhang et al. 2017, Hello Edge, https://arxiv.org/abs/1711.07128, section 3.3.
"""

from torch import Tensor, nn


class LstmKeywords(nn.Module):
    """Scores of the keywords from the state after the last frame.

    Args:
        coefficients: of each frame.
        width: of the state.
        classes: number of scores.
    """

    def __init__(self, coefficients: int = 10, width: int = 64, classes: int = 12) -> None:
        super().__init__()
        self.lstm = nn.LSTM(coefficients, width, batch_first=True)
        self.fc = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Score.

        Args:
            x: (n, 1, frames, coefficients).

        Returns:
            (n, classes).
        """
        states, _ = self.lstm(x.squeeze(1))
        scores: Tensor = self.fc(states[:, -1])
        return scores
