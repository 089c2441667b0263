"""How far a runtime's values are from the network's: of real numbers relative to the largest, of others the share."""

import math

from torch import Tensor


def difference(expected: Tensor, got: Tensor) -> float:
    """The largest difference over the largest finite expected value; for integers and truths the share that differs.

    Args:
        expected: any shape.
        got: compared entry by entry; of another shape it is infinitely far.

    Returns:
        0.0 if both are the same, infinities and NaN included; infinity if one is finite where the other is not.
    """
    if expected.shape != got.shape or expected.is_floating_point() != got.is_floating_point():
        return math.inf
    if expected.numel() == 0:
        return 0.0
    if not expected.is_floating_point():
        return float((expected != got).double().mean())
    apart = ~((expected == got) | (expected.isnan() & got.isnan()))
    if not bool(apart.any()):
        return 0.0
    a, b = expected[apart].double(), got[apart].double()
    largest = float(expected[expected.isfinite()].abs().max()) if bool(expected.isfinite().any()) else 0.0
    distance = float((a - b).abs().max())
    return distance / (largest or 1.0) if math.isfinite(distance) else math.inf
