"""The words for records of rounded weights."""

from collections.abc import Callable
from typing import Any

from microjoule.records.rounded import Frozen, TiesAvoided, WeightsBalanced, WeightsRounded
from microjoule.records.skipped import Skipped
from microjoule.report import units
from microjoule.report.step import Step
from microjoule.report.units import many


def _ties_avoided(record: TiesAvoided) -> Step:
    details = tuple((name, f"by {units.percent(share)}") for name, share in record.moved.items())
    summary = f"{many(len(record.moved), 'scale')} moved, so that no result lies half way between two integers"
    return Step("Avoided ties", summary, details, record.skipped)


def _balanced(record: WeightsBalanced) -> Step:
    details = tuple((layer, f"{units.percent(moved)} of the weights") for layer, moved in record.moved.items())
    summary = f"errors cancel in {many(len(record.moved), 'layer')}"
    return Step("Rounded weights in balance", summary, details, record.skipped)


def _rounded(record: WeightsRounded) -> Step:
    details = tuple((layer, f"{units.percent(moved)} not to the nearest") for layer, moved in record.layers.items())
    drawn = "" if record.seed is None else f", seed {record.seed}"
    return Step("Rounded weights", f"{many(len(record.layers), 'layer')}, {record.how}{drawn}", details, record.skipped)


def _frozen(record: Frozen) -> Step:
    words = (
        (record.grown, "larger, as the bias would need more than 32 bits"),
        (record.free, "chosen for the bias alone, as all their weights are 0"),
    )
    details = [(path, f"{many(count, 'scale')} {why}") for found, why in words for path, count in found.items()]
    sums = tuple(
        Skipped(path, f"its largest possible sum needs {bits} bits, and the target has {record.accumulator_bits}")
        for path, bits in record.wide.items()
    )
    return Step("Rounded weights and biases for good", f"sums of {record.accumulator_bits} bits", tuple(details), sums)


WORDS: dict[type[Any], Callable[[Any], Step]] = {
    TiesAvoided: _ties_avoided,
    WeightsBalanced: _balanced,
    WeightsRounded: _rounded,
    Frozen: _frozen,
}
"""By the record's class."""
