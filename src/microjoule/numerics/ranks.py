"""Whether two lists order the same things alike.

Source: Spearman 1904, The Proof and Measurement of Association between Two Things.
"""

import math
from collections.abc import Sequence

from scipy.stats import spearmanr


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's: 1 for the same order, -1 for the opposite, 0 for no relation.

    Args:
        first: a number for each thing; infinity is larger than all.
        second: the same for the same things.

    Returns:
        None if one of the lists has fewer than two different values, or holds NaN.
    """
    if any(math.isnan(value) for value in (*first, *second)) or min(len(set(first)), len(set(second))) < 2:
        return None
    return float(spearmanr(first, second).statistic)
