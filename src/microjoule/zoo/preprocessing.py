"""From stored bytes to the tensor a network was trained on."""

from torch import Tensor

from microjoule.graph.preprocessing import Preprocessing

TENSORFLOW = Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
"""-1 to 1."""

IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""The mean and standard deviation of ImageNet's pixels."""

RAW = Preprocessing((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))
"""0 to 255, as stored."""

UNIT = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""0 to 1."""

GREY = Preprocessing((0.0,), (1.0,), colours="L")
"""One channel, 0 to 1."""

DIGITS = Preprocessing((0.0,), (1.0,), peak=16, colours="L")
"""One channel of 17 levels, to 0 to 1."""

KEYWORD_SCALE = 0.58470291
KEYWORD_ZERO = 83
"""Scale and zero point of the int8 features of MLPerf Tiny's keyword spotting."""

KEYWORD_RANGE = ((-128 - KEYWORD_ZERO) * KEYWORD_SCALE, (127 - KEYWORD_ZERO) * KEYWORD_SCALE)
"""What int8 features can be."""


def keyword_features(stored: Tensor) -> Tensor:
    """Real values of int8 features.

    Args:
        stored: any shape, int8.

    Returns:
        The same shape, float32.
    """
    return (stored.float() - KEYWORD_ZERO) * KEYWORD_SCALE
