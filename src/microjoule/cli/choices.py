"""The words that options take and the exit codes, without what they stand for: help and completion need no more."""

from collections.abc import Sequence

from microjoule.errors import SettingError

EXIT_CHECK_FAILED = 1
EXIT_USER_ERROR = 2
EXIT_OUR_ERROR = 3
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141
"""What a shell reports of a program that SIGPIPE ended, because nobody reads its output any more."""

MIXED = "mixed"
"""The recipe that chooses the bits of every layer within a budget."""

FITTED = ("gptq", "adaround", "qdrop", MIXED)
"""Recipes that fit layer after layer to data."""

RECIPES = ("data-free", "naive", *FITTED)

TARGETS = ("onnxruntime", "per-tensor", "qualcomm-htp", "tflite-micro", "xnnpack")

RULES = ("min-max", "percentile-99.9", "percentile-99.99", "mse", "kl")
"""How a range is chosen from what was seen."""

NORMALISATIONS = ("imagenet", "tensorflow", "unit", "raw", "none")

PREPARE = ("resize", "interpolation", "colours", "layout")
"""What `--prepare` can say of images, beside `--normalise` and `--size`."""

METRICS = ("top1", "miou", "psnr", "ap50")

BUDGETS = ("bops", "bytes", "energy")
"""What a budget of bits is counted in."""

PRICES = ("energy", "bytes", "bops", "latency")
"""What `auto` counts of each attempt."""

COSTS = ("macs", "bytes", "energy", "latency")
"""Of which a compressed network has a share left."""

SCHEMES = ("auto", "low-rank", "channel-pruning")

CRITERIA = ("elimination", "lasso", "matching", "norm", "taylor", "fisher", "geometric-median", "redundancy")

SHARES = (0.9, 0.75, 0.6, 0.5, 0.4, 0.3)
"""Of the cost, which `tradeoff` measures."""

HEXAGON = "hexagon"

RUNTIMES = ("onnxruntime", "integer runner", HEXAGON)

LEAST_DB = 20.0
"""How near outputs of a file must be to the simulation."""


def one_of(option: str, name: str, names: Sequence[str]) -> str:
    """A name that there is.

    Raises:
        SettingError: for another.
    """
    if name not in names:
        raise SettingError(option, f"is {name!r}", remedy=f"use one of {', '.join(names)}")
    return name


def check_metric(name: str | None) -> None:
    """See that there is a metric, if one was asked for.

    Raises:
        SettingError: if there is none of that name.
    """
    if name is not None:
        one_of("--metric", name, METRICS)
