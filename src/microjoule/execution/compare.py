"""Two evaluations on the same samples, compared sample by sample."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from microjoule.errors import DataError
from microjoule.numerics import paired
from microjoule.records.compared import JACKKNIFE, MEAN, Compared, SampleScores
from microjoule.records.measured import Evaluated

NO_SCORES = "the metric gives no scores of samples"
NOT_FINITE = "the scores are not finite"
ONE_SAMPLE = "one sample alone has no error"
"""Why a difference has no error."""


def compare(record: Evaluated, reference: Evaluated) -> Compared:
    """What a network scores more than another one, with the paired standard error of that.

    Args:
        record: of the network, from `evaluate`.
        reference: of the other one, on the same samples in the same order.

    Raises:
        DataError: if they are of other metrics, or of other samples.
    """
    reason = why_apart(record, reference)
    if reason is not None:
        remedy = "evaluate both by one metric on the same data, in one order: a DataLoader without shuffle"
        raise DataError(f"{record.stage} against {reference.stage}", reason, remedy=remedy)
    known = {"metric": record.metric, "unit": record.unit, "stage": record.stage, "reference": reference.stage}
    values = {"value": record.value, "reference_value": reference.value, "difference": record.value - reference.value}
    same: dict[str, Any] = {**known, **values, "samples": record.samples, "higher_is_better": record.higher_is_better}
    return Compared(**same, **_judged(record, reference))


def why_apart(record: Evaluated, reference: Evaluated) -> str | None:
    """Why two evaluations cannot be compared, in words; None if they can.

    Args:
        record: one of them.
        reference: the other one.
    """
    if (record.metric, record.unit) != (reference.metric, reference.unit):
        return f"one is scored by {record.metric}, the other by {reference.metric}"
    if not record.samples_id or not reference.samples_id:
        return "it is not known whether both are scored on the same samples"
    if record.samples != reference.samples:
        return f"one is scored on {record.samples:,} samples, the other on {reference.samples:,}"
    if record.samples_id != reference.samples_id:
        return "they are scored on other samples, or on the same ones in another order"
    return None


def _judged(record: Evaluated, reference: Evaluated) -> dict[str, Any]:
    """The error of the difference, and all that follows from it."""
    nothing = dict.fromkeys(("standard_error", "low", "high", "won", "lost", "p_value", "samples_to_decide"))
    ours, others = record.scores, reference.scores
    differences, difference = _differences(ours, others), record.value - reference.value
    if differences is None or ours is None or others is None:
        return {**nothing, "method": NO_SCORES}
    if not (math.isfinite(difference) and np.isfinite(differences).all()):
        return {**nothing, "method": NOT_FINITE}
    error = paired.standard_error(differences)
    if math.isnan(error):
        return {**nothing, "method": ONE_SAMPLE}
    low, high = paired.interval(difference, error, len(differences))
    counts: dict[str, Any] = {}
    if ours.kind == MEAN and ours.count == record.samples:
        counts = _counts(differences, higher_is_better=record.higher_is_better)
        scale = _scale(ours, others, record.unit)
        if scale is not None:
            more, less = int((differences > 0).sum()), int((differences < 0).sum())
            low, high = (scale * end for end in paired.interval_of_counts(more, less, record.samples))
    decide = paired.samples_to_decide(difference, error, record.samples)
    found = {"standard_error": error, "low": low, "high": high, "samples_to_decide": decide}
    return {**nothing, **found, **counts, "method": _method(ours, record.samples)}


def _differences(ours: SampleScores | None, others: SampleScores | None) -> NDArray[np.float64] | None:
    if ours is None or others is None or (ours.kind, ours.count) != (others.kind, others.count):
        return None
    with np.errstate(invalid="ignore"):  # of infinite scores
        return np.subtract(ours.unpacked(), others.unpacked(), dtype=np.float64)


def error_of_difference(ours: SampleScores | None, others: SampleScores | None) -> float | None:
    """The paired standard error of the difference of two metrics; None if it is not known.

    Args:
        ours: what each sample contributes to the one.
        others: the same of the other one, on the same samples.
    """
    differences = _differences(ours, others)
    error = math.nan if differences is None else paired.standard_error(differences)
    return error if math.isfinite(error) else None


def _counts(differences: NDArray[np.float64], *, higher_is_better: bool) -> dict[str, Any]:
    better = differences if higher_is_better else -differences
    won, lost = int((better > 0).sum()), int((better < 0).sum())
    return {"won": won, "lost": lost, "p_value": paired.sign_test(won, lost)}


def _scale(ours: SampleScores, others: SampleScores, unit: str) -> float | None:
    """What one sample that is right counts, where scores are right or wrong; None where they are not."""
    found = {ours.low, ours.high, others.low, others.high}
    if None in found or len(found) > 2:
        return None
    known = sorted(one for one in found if one is not None)
    return (known[-1] - known[0]) or abs(known[0]) or (100.0 if unit == "%" else 1.0)


def _method(scores: SampleScores, samples: int) -> str:
    if scores.kind == JACKKNIFE:
        return f"jackknife over {scores.count:,} {'samples' if scores.count == samples else 'parts of the samples'}"
    return "paired by sample" if scores.count == samples else f"paired by {scores.count:,} parts of the samples"
