"""Accuracy against accuracy on the same samples: the mean over seeds, with its paired standard error.

Two things are left to chance: which samples a network is scored on, and the seed that it was made with. The error of
the mean over seeds has both,

    s^2  =  s_samples^2  +  s_seeds^2 / seeds

where s_samples is that of the samples' differences, averaged over seeds, and s_seeds the standard deviation over seeds.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np

from benchmarks.figure import Figure
from microjoule.execution.compare import compare
from microjoule.numerics.paired import interval, standard_error
from microjoule.records.compared import Compared
from microjoule.records.measured import Evaluated

SEEDS = (0, 1, 2)
"""What is left to chance is done with each."""


def below(
    name: str,
    reference: Evaluated | Sequence[Evaluated],
    found: Sequence[Evaluated],
    *,
    goal: str | None = None,
    told: str = "",
) -> Figure:
    """How far a network is below another one: how much worse it is.

    Args:
        name: of the figure.
        reference: the other one; with each seed, or once.
        found: the network, made with each of several seeds, or once if nothing in it is left to chance.
        goal: of the points.
        told: what else is to be said.
    """
    return _difference(name, found, _beside(reference, found), goal, told, drop=True)


def above(
    name: str,
    others: Evaluated | Sequence[Evaluated],
    found: Sequence[Evaluated],
    *,
    goal: str | None = None,
    told: str = "",
) -> Figure:
    """How far a network is above another one: how much better it is.

    Args:
        name: of the figure.
        others: as the reference of `below`.
        found: as there.
        goal: of the points.
        told: what else is to be said.
    """
    return _difference(name, found, _beside(others, found), goal, told, drop=False)


def _beside(others: Evaluated | Sequence[Evaluated], found: Sequence[Evaluated]) -> list[Evaluated]:
    return [others] * len(found) if isinstance(others, Evaluated) else list(others)


def score(name: str, found: Evaluated, told: str = "") -> Figure:
    """The value of one network; differences say what it is worth.

    Args:
        name: of the figure.
        found: its evaluation.
        told: what else is to be said.
    """
    return Figure(
        name, found.value, found.unit, None, "; ".join([f"{found.samples} samples", *([told] if told else [])])
    )


def mean(name: str, found: Sequence[Evaluated], *, goal: str | None = None, told: str = "") -> Figure:
    """The value of a network over seeds, with the standard error that the samples and the seeds leave.

    Args:
        name: of the figure.
        found: the network, made with each of several seeds.
        goal: of the value.
        told: what else is to be said.
    """
    values = [one.value for one in found]
    error = standard_error(np.mean([_scores(one) for one in found], axis=0))
    error = math.hypot(error, stdev(values) / math.sqrt(len(values)))
    words = f"{found[0].samples} samples; {len(values)} seeds: {_listed(f'{value:.2f}' for value in values)}"
    words += f"; {told}" if told else ""
    return Figure(name, fmean(values), found[0].unit, goal, words, error, evidence={"values": values})


def difference_in_words(found: Evaluated, reference: Evaluated) -> str:
    """How far a network is below another, for what stands beside a figure: "79.23 (0.46 ± 0.70 below FP32)".

    Args:
        found: its evaluation.
        reference: the other's.
    """
    compared = compare(found, reference)
    error = "" if compared.standard_error is None else f" ± {compared.standard_error:.2f}"
    return f"{found.value:.2f} ({compared.drop:.2f}{error} below {reference.stage})"


def _difference(
    name: str, found: Sequence[Evaluated], others: Sequence[Evaluated], goal: str | None, told: str, *, drop: bool
) -> Figure:
    pairs = list(zip(found, others, strict=True))
    compared = [compare(*pair) for pair in pairs]
    values = [one.drop if drop else -one.drop for one in compared]
    error, ends = _error_over_seeds(pairs, values) if len(values) > 1 else _error(compared[0], drop=drop)
    evidence: dict[str, Any] = {"values": values, "samples": compared[0].samples, "method": compared[0].method}
    words = [f"{_mean(found)}, {_mean(others)}, {compared[0].samples} samples"]
    if all(one.won is not None for one in compared):
        evidence |= {"won": [one.won for one in compared], "lost": [one.lost for one in compared]}
        words.append(f"{_listed(evidence['won'])} won, {_listed(evidence['lost'])} lost")
    if len(values) > 1:
        words.append(f"{len(values)} seeds: {_listed(f'{value:.2f}' for value in values)}")
    words += [told] if told else []
    unit = "points" if compared[0].unit == "%" else compared[0].unit
    return Figure(name, fmean(values), unit, goal, "; ".join(words), error, ends, evidence)


Doubt = tuple[float | None, tuple[float, float] | None]
"""A standard error, and the interval that holds the true value; None where the metric gives no scores of samples."""


def _error(compared: Compared, *, drop: bool) -> Doubt:
    ends = compared.drop_interval
    return compared.standard_error, ends if drop or ends is None else (-ends[1], -ends[0])


def _error_over_seeds(pairs: Sequence[tuple[Evaluated, Evaluated]], values: Sequence[float]) -> Doubt:
    if any(one.scores is None or other.scores is None for one, other in pairs):
        return None, None
    each = [_scores(one) - _scores(other) for one, other in pairs]
    error = math.hypot(standard_error(np.mean(each, axis=0)), stdev(values) / math.sqrt(len(values)))
    return error, interval(fmean(values), error, len(each[0]))


def _scores(one: Evaluated) -> Any:
    assert one.scores is not None
    return np.asarray(one.scores.unpacked())


def _mean(found: Sequence[Evaluated]) -> str:
    return f"{found[0].stage} {fmean(one.value for one in found):.2f}"


def _listed(values: Any) -> str:
    return ", ".join(map(str, values))
