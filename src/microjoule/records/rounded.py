"""What was found where weights were rounded: parts of the records of `facts`."""

from dataclasses import dataclass

from microjoule.records.skipped import Skipped


@dataclass(frozen=True, slots=True)
class TiesAvoided:
    """Value, or path of a layer's weight -> the largest share by which a scale of its moved."""

    moved: dict[str, float]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class WeightsBalanced:
    """Layer path -> share of weights that were rounded away from the nearest integer, so that errors cancel."""

    moved: dict[str, float]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class WeightsRounded:
    """Weights rounded for good by a fixed rule, `how`.

    Args:
        layers: layer path -> share of weights that were rounded away from the nearest integer.
        seed: of the draws; None where nothing was drawn.
    """

    how: str
    layers: dict[str, float]
    seed: int | None
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class Frozen:
    """Weights that are rounded for good, and biases that are whole numbers on the grids of their sums.

    Args:
        grown: layer path -> how many of its weight scales grew, as the bias would need more than 32 bits.
        free: layer path -> how many of its weight scales serve no weights but 0, and were chosen for the bias.
        accumulator_bits: that the target has for a sum.
        wide: layer path -> the bits that its largest possible sum needs, where they are more than the target has.
    """

    grown: dict[str, int]
    free: dict[str, int]
    accumulator_bits: int
    wide: dict[str, int]
