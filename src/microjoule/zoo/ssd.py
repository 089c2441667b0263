"""A small single-shot detector: boxes and scores from two resolutions, in nested outputs.

Source: Liu et al. 2015, SSD, https://arxiv.org/abs/1512.02325, section 2.1.
"""

from torch import Tensor, nn

from microjoule.zoo.mobilenet_v2 import InvertedResidual, conv_block


class Ssd(nn.Module):
    """A detector on MobileNetV2's blocks.

    Args:
        classes: number of classes, the background included.
        anchors: boxes predicted at each place.
    """

    def __init__(self, classes: int = 21, anchors: int = 4) -> None:
        super().__init__()
        self.stem = conv_block(3, 16, stride=2)
        self.fine = nn.Sequential(
            InvertedResidual(16, 24, stride=2, expansion=6), InvertedResidual(24, 32, stride=2, expansion=6)
        )
        self.coarse = InvertedResidual(32, 64, stride=2, expansion=6)
        self.boxes = nn.ModuleList(nn.Conv2d(ins, 4 * anchors, 3, padding=1) for ins in (32, 64))
        self.scores = nn.ModuleList(nn.Conv2d(ins, classes * anchors, 3, padding=1) for ins in (32, 64))

    def forward(self, x: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """Detect.

        Args:
            x: (n, 3, height, width).

        Returns:
            "boxes" and "scores", each for two resolutions: (n, anchors * 4, height / 8, width / 8) and
            (n, anchors * classes, height / 8, width / 8), then the same with sides / 16.
        """
        fine = self.fine(self.stem(x))
        maps = (fine, self.coarse(fine))
        return {
            "boxes": tuple(head(values) for head, values in zip(self.boxes, maps, strict=True)),
            "scores": tuple(head(values) for head, values in zip(self.scores, maps, strict=True)),
        }
