"""What may be given as a metric, and what it says of each sample."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from microjoule.errors import DataError, SettingError
from microjoule.execution.metrics import METRICS, metric
from microjoule.numerics.paired import pseudo_values
from microjoule.records.compared import JACKKNIFE, MEAN, SampleScores

PARTS = 1000
"""At most so many parts of the samples are left out, one after another, to find a metric's error."""

TOLERANCE = 1e-4
"""By which the mean of the samples' scores may differ from the metric, relatively: it may sum in single precision."""

REMEDY = (
    f"give one of the names {', '.join(METRICS)}, a function of outputs and targets that gives a score a sample, or an "
    "object with update(outputs, targets), compute() and reset()"
)


class Metric(Protocol):
    """What a metric must offer; it gathers batch after batch.

    Two methods more, of which it may have one, tell how far a difference of two networks can be trusted:

    - `sample_scores()`: a number for each sample, in order, if the metric is their mean;
    - `leave_out(parts)`: the metric without each of so many parts of consecutive samples, if it is no mean; they are
      cut by `microjoule.records.compared.part_edges`.

    `higher_is_better`, if it has that, says whether a larger value is the better one; so it is without.
    """

    name: str
    unit: str

    def update(self, outputs: Any, targets: Any) -> None:
        """Take in one batch."""

    def compute(self) -> float:
        """The metric of all that was taken in."""

    def reset(self) -> None:
        """Forget all."""


MetricLike = Metric | str | Callable[[Any, Any], Any]
"""A metric, one's name, or a function of a batch's outputs and targets that gives a score a sample, (n,)."""


def as_metric(given: Any) -> Metric:
    """What is given as a metric, as one.

    Args:
        given: as `MetricLike`, or any object with update, compute and reset, such as torchmetrics has.

    Raises:
        SettingError: if it is something else, such as a class in place of an object, or an unknown name.
    """
    if isinstance(given, str):
        return metric(given)
    methods = [callable(getattr(given, name, None)) for name in ("update", "compute", "reset")]
    if isinstance(given, type):
        remedy = f"give an object of it, {given.__name__}()" if all(methods) else REMEDY
        raise SettingError("metric", f"is the class {given.__name__}", remedy=remedy)
    if all(methods):
        named = isinstance(getattr(given, "name", None), str) and isinstance(getattr(given, "unit", None), str)
        found: Metric = given if named else _Unnamed(given)
        return found
    if callable(given) and _takes_two(given):
        return _OfFunction(given)
    raise SettingError("metric", f"is a {type(given).__name__}", remedy=REMEDY)


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    except ValueError:  # it has no signature, as some of torch's own functions
        return True
    return True


class _Unnamed:
    """An object that has all but a name and a unit."""

    unit = ""

    def __init__(self, given: Any) -> None:
        self.name = str(getattr(given, "name", None) or type(given).__name__)
        self.higher_is_better = getattr(given, "higher_is_better", True) is not False
        self.update, self.compute, self.reset = given.update, given.compute, given.reset


class _OfFunction:
    """The mean over samples of what a function gives."""

    unit = ""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.name = str(getattr(function, "__name__", type(function).__name__)).strip("<>")
        self.higher_is_better = getattr(function, "higher_is_better", True) is not False
        self.function = function
        self.reset()

    def reset(self) -> None:
        self._scores: list[float] = []

    def update(self, outputs: Any, targets: Any) -> None:
        found = self.function(outputs, targets)
        if not isinstance(found, Tensor) or found.dim() != 1:
            remedy = "give a score for each sample, a tensor (n,); a metric that is no mean of scores is an object"
            raise DataError(self.name, f"gives {_told(found)} for a batch", remedy=remedy)
        self._scores += found.detach().double().tolist()

    def compute(self) -> float:
        return math.fsum(self._scores) / len(self._scores)

    def sample_scores(self) -> list[float]:
        return self._scores


# What it says ---------------------------------------------------------------------------------------------------------


def higher_is_better(metric: Metric) -> bool:
    """Whether a larger value is the better one."""
    return getattr(metric, "higher_is_better", True) is not False


def value_of(metric: Metric) -> float:
    """The metric as a number.

    Raises:
        DataError: if it gives something else.
    """
    found = metric.compute()
    try:
        return float(found)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(metric.name, f"gives {_told(found)}, and no number", remedy="give one of them") from error


def _told(found: Any) -> str:
    return f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"a {type(found).__name__}"


def sample_scores(metric: Metric, value: float, samples: int) -> SampleScores | None:
    """What a metric says of each sample, or of parts of them; None if it does not.

    Args:
        metric: that has taken in all samples.
        value: of it.
        samples: how many it has taken in.

    Raises:
        DataError: if its scores are not those of these samples.
    """
    scores, leave_out = getattr(metric, "sample_scores", None), getattr(metric, "leave_out", None)
    if callable(scores):
        return SampleScores.of(_checked(metric.name, scores(), value, samples), MEAN)
    if callable(leave_out) and samples > 1:
        without = [float(one) for one in leave_out(min(samples, PARTS))]
        return SampleScores.of(pseudo_values(value, without), JACKKNIFE)
    return None


def _checked(name: str, scores: Sequence[Any], value: float, samples: int) -> list[float]:
    found = torch.as_tensor(scores, dtype=torch.float64).tolist()
    if len(found) != samples:
        remedy = "sample_scores() gives one for each sample that was taken in since reset()"
        raise DataError(name, f"gives scores of {len(found)} samples, and has seen {samples}", remedy=remedy)
    mean = math.fsum(found) / samples if all(map(math.isfinite, found)) else math.nan
    if abs(mean - value) > TOLERANCE * max(abs(mean), abs(value)):
        fact = f"gives scores of samples whose mean is {mean:g}, and is {value:g}"
        raise DataError(name, fact, remedy="a metric that is no mean has leave_out(parts) in place of sample_scores()")
    return found
