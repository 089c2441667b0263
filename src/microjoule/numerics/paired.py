"""Is a difference real? Two networks scored on the same samples: the error of their difference, and what decides it.

With a score of each network for each sample, d_i = b_i - a_i, the difference of the means and its standard error are

    d = mean(d_i)          s = sqrt(sum (d_i - d)^2 / (n - 1) / n)

A sample on which both score the same adds nothing, so s is far below the error of either mean. A metric that is no mean
of scores, f(all samples), has jackknife pseudo-values in their place, which have an error in the same way:

    p_g = G f(all) - (G - 1) f(all but part g)          of G parts, which are single samples where G = n

Where scores are right or wrong, only samples that one network alone has right count: `won` and `lost`. Of few of them a
normal interval claims too much; half a sample in each cell mends that, and the sign test is exact.

Source: McNemar 1947, Note on the sampling error of the difference between correlated proportions or percentages,
https://doi.org/10.1007/BF02295996; Dietterich 1998, Approximate statistical tests for comparing supervised
classification learning algorithms, https://doi.org/10.1162/089976698300017197, section 3.1; Agresti and Min 2005,
Simple improved confidence intervals for comparing matched proportions, https://doi.org/10.1002/sim.1781; Efron and
Tibshirani 1993, An Introduction to the Bootstrap, https://doi.org/10.1201/9780429246593, chapter 11 (jackknife).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtrit

COVERED = 0.95
"""Of all intervals hold the true difference, at least."""

ERRORS = 2.0
"""Standard errors that an interval reaches to each side where samples are many; for the normal distribution 1.96."""

MOST_SAMPLES = 1e12
"""A difference that takes more to be seen is one of rounding."""


def standard_error(differences: ArrayLike) -> float:
    """The standard error of the mean of differences.

    Args:
        differences: one a sample, (n,); or of pseudo-values, one a part.

    Returns:
        NaN for a single one, which says nothing of the spread.
    """
    d = np.asarray(differences, np.float64)
    return float(d.std(ddof=1) / math.sqrt(len(d))) if len(d) > 1 else math.nan


def reached(count: int) -> float:
    """How many standard errors an interval reaches to each side: two, and more by Student's t for few differences.

    Args:
        count: of differences.
    """
    return max(ERRORS, float(stdtrit(count - 1, (1 + COVERED) / 2))) if count > 1 else math.inf


def interval(difference: float, error: float, count: int) -> tuple[float, float]:
    """Where the true difference lies, with at least 95 %.

    Args:
        difference: that was found.
        error: its standard error.
        count: of the differences that it is from.
    """
    width = reached(count) * error
    return difference - width, difference + width


def interval_of_counts(won: int, lost: int, samples: int) -> tuple[float, float]:
    """The same for scores that are right or wrong, as shares of the samples: of 0 won and 0 lost, too, it has a width.

    Args:
        won: samples that only the second network has right.
        lost: samples that only the first one has right.
        samples: all.
    """
    whole, gain = samples + 2, won - lost
    error = math.sqrt(won + lost + 1 - gain * gain / whole) / whole
    return interval(gain / whole, error, samples)


def sign_test(won: int, lost: int) -> float:
    """How probable at least so uneven a count is where won and lost are equally likely; two-sided, exact."""
    return min(1.0, 2 * float(bdtr(min(won, lost), won + lost, 0.5)))


def samples_to_decide(difference: float, error: float, samples: int, *, margin: float = 0.0) -> int | None:
    """How many samples like these put the difference two standard errors from a margin, if it stays what it is.

    Args:
        difference: that was found.
        error: its standard error.
        samples: that it was found on.
        margin: what it is compared with.

    Returns:
        None where no number would: the difference is the margin, as far as numbers tell, or no error is known.
    """
    distance = abs(difference - margin)
    if distance == 0 or not math.isfinite(error):
        return None
    times = ERRORS * error / distance
    needed = samples * times * times
    return max(2, math.ceil(needed)) if needed < MOST_SAMPLES else None


def pseudo_values(whole: float, without: Sequence[float]) -> list[float]:
    """The jackknife's values of a metric, whose spread is as that of scores.

    Args:
        whole: the metric of all samples.
        without: the metric without each part.
    """
    parts = len(without)
    return [parts * whole - (parts - 1) * one for one in without]
