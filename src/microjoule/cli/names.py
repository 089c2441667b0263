"""What a command line calls things: names and what they stand for. The names alone are in `choices`."""

from microjoule.graph.preprocessing import Preprocessing
from microjoule.numerics.ranges import RangeRule, kl, min_max, mse, percentile
from microjoule.zoo.preprocessing import IMAGENET, RAW, TENSORFLOW, UNIT

RULES: dict[str, RangeRule] = {
    "min-max": min_max,
    "percentile-99.9": percentile(99.9),
    "percentile-99.99": percentile(99.99),
    "mse": mse,
    "kl": kl,
}
"""How a range is chosen from what was seen."""

NORMALISATIONS: dict[str, Preprocessing] = {
    "imagenet": IMAGENET,
    "tensorflow": TENSORFLOW,
    "unit": UNIT,
    "raw": RAW,
    "none": UNIT,
}
"""From stored pixels (0 to 255) to inputs: ImageNet's mean and deviation, -1 to 1, 0 to 1, 0 to 255, 0 to 1."""
