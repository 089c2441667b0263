"""What compressed networks are compared by, and the score of each, as a text that a file keeps."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from microjoule.errors import FileError, MicrojouleError
from microjoule.execution.batches import Batches
from microjoule.execution.compare import compare, why_apart
from microjoule.execution.evaluate import evaluate
from microjoule.execution.scoring import Metric
from microjoule.graph.network import Network
from microjoule.records.json_io import records_from_json, to_json
from microjoule.records.measured import Evaluated

WHOLE = "whole"
"""The name of the network as it is among the tasks."""


@dataclass(frozen=True, slots=True)
class Score:
    """What networks are compared by.

    Args:
        name: of the metric.
        unit: of the metric.
        data: the name of what networks are scored on.
        of: scores a network, which is a stage of a name.
        samples: that networks are scored on, where that is known before.
    """

    name: str
    unit: str
    data: str
    of: Callable[[Network, str], Evaluated]
    samples: int | None = None


def by_metric(data: Batches, metric: Metric) -> Score:
    """A metric on labelled data, which leaves the network's history as it is."""

    def of(network: Network, stage: str) -> Evaluated:
        history = list(network.history)
        record = replace(evaluate(network, data, metric, stage=stage), compared=None, apart="")
        network.history[:] = history
        return record

    return Score(metric.name, metric.unit, data.name, of, data.samples)


def beside(record: Evaluated, reference: Evaluated) -> Evaluated:
    """A score, compared with the original's, or with why it cannot be.

    Args:
        record: of a network.
        reference: of the original.
    """
    if not record.samples_id:  # of a function, which tells nothing of samples
        return record
    reason = why_apart(record, reference)
    return replace(record, compared=compare(record, reference)) if reason is None else replace(record, apart=reason)


@dataclass(frozen=True, slots=True)
class Scored:
    """A network that was made and scored, and what was foreseen of it; `loss` and so on as in `Divided`."""

    evaluated: Evaluated
    pruned_to: float
    loss: float
    greedy_loss: float
    cost: float

    @property
    def rank(self) -> float:
        """Its score, where the larger one is the better one."""
        return self.evaluated.value if self.evaluated.higher_is_better else -self.evaluated.value


FIGURES = ("pruned_to", "loss", "greedy_loss", "cost")

Results = Mapping[str, Scored | str]
"""By task: what came out, or why nothing could."""


def scored_text(one: Scored) -> str:
    """A score as a text."""
    figures = {name: getattr(one, name) for name in FIGURES}
    return json.dumps({"evaluated": json.loads(to_json(one.evaluated)), **figures})


def parsed(text: str, task: str, folder: Path | None) -> Scored | str:
    """What a text says: a score, or why there is none.

    Args:
        text: of `scored_text`, or {"reason": ...}.
        task: whose it is.
        folder: where it is kept.

    Raises:
        FileError: if it is something else.
    """
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        content = json.loads(text)
        if isinstance(content.get("reason"), str):
            return str(content["reason"])
        figures = {name: content[name] for name in FIGURES}
        if all(isinstance(number, int | float) for number in figures.values()):
            return Scored(evaluated_of(json.dumps(content["evaluated"]), task, folder), **figures)
    raise _no_result(task, folder)


def evaluated_of(text: str, task: str, folder: Path | None) -> Evaluated:
    """The evaluation that a text holds.

    Args:
        text: as JSON.
        task: whose it is.
        folder: where it is kept.

    Raises:
        FileError: if it holds something else.
    """
    with suppress(MicrojouleError):
        found = records_from_json(text)
        if len(found) == 1 and isinstance(found[0], Evaluated):
            return found[0]
    raise _no_result(task, folder)


def _no_result(task: str, folder: Path | None) -> FileError:
    return FileError(str(folder), f"holds a file for {task!r} that is no result", remedy="remove that file")
