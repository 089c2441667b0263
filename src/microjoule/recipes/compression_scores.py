"""What compressed networks are compared by, and the score of each, as a text that a file keeps."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from microjoule.errors import FileError
from microjoule.execution.batches import Batches
from microjoule.execution.compare import compare, why_apart
from microjoule.execution.data_facts import read_facts
from microjoule.execution.evaluate import evaluate
from microjoule.execution.scoring import Metric
from microjoule.graph.network import Network
from microjoule.jobs.identity import Facts, option_facts
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
        facts: what tells its scores from others'; it is asked for if scores are kept.
    """

    name: str
    unit: str
    data: str
    of: Callable[[Network, str], Evaluated]
    facts: Callable[[], Facts]


def by_metric(data: Batches, metric: Metric, role: str = "labelled data") -> Score:
    """A metric on labelled data, which leaves the network's history as it is.

    Args:
        data: labelled.
        metric: the score.
        role: what the data is called where another run's differs.
    """

    def of(network: Network, stage: str) -> Evaluated:
        history = list(network.history)
        record = replace(evaluate(network, data, metric, stage=stage), compared=None, apart="")
        network.history[:] = history
        return record

    def facts() -> Facts:
        metric.reset()
        return option_facts({"metric": metric}) | read_facts(data, role)

    return Score(metric.name, metric.unit, data.name, of, facts)


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


def parsed(text: str) -> Scored | str:
    """What a text says: a score, or why there is none.

    Args:
        text: of `scored_text`, or {"reason": ...}.

    Raises:
        ValueError: for a text that is no result.
        TypeError: likewise.
        KeyError: likewise.
    """
    content = json.loads(text)
    if not isinstance(content, dict):
        raise TypeError("it is no object")
    if isinstance(content.get("reason"), str):
        return str(content["reason"])
    figures = {name: content[name] for name in FIGURES}
    if not all(isinstance(number, int | float) for number in figures.values()):
        raise ValueError("its fields are no numbers")
    return Scored(evaluated_of(json.dumps(content["evaluated"])), **figures)


def evaluated_of(text: str) -> Evaluated:
    """The evaluation that a text holds.

    Args:
        text: as JSON.

    Raises:
        ValueError: if it holds something else.
    """
    with suppress(FileError):
        found = records_from_json(text)
        if len(found) == 1 and isinstance(found[0], Evaluated):
            return found[0]
    raise ValueError("it is no evaluation")
