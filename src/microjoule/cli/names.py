"""What a command line calls things: every name and what it stands for, in one place."""

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

MIXED = "mixed"
"""The recipe that chooses the bits of every layer within a budget."""

FITTED = ("gptq", "adaround", "qdrop", MIXED)
"""Recipes that fit layer after layer to data."""

RECIPES = ("data-free", "naive", *FITTED)

EXIT_CHECK_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_OUR_ERROR = 3
EXIT_INTERRUPTED = 130
