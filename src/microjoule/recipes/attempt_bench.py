"""Where attempts are made and scored, each once: what is in the files is not computed again."""

import math
import time
from dataclasses import dataclass, fields, replace

from microjoule.costs.target import Target
from microjoule.errors import DataError, GraphError
from microjoule.execution.batches import Batches
from microjoule.execution.evaluate import evaluate
from microjoule.execution.kept import claim, fingerprint
from microjoule.execution.scoring import Metric
from microjoule.execution.tasks import digest
from microjoule.graph.network import Network
from microjoule.recipes.attempt_costs import priced
from microjoule.recipes.attempt_files import AttemptFiles
from microjoule.recipes.attempts import Attempt, Settings
from microjoule.records.decided import Tried
from microjoule.records.facts import Record
from microjoule.records.measured import Evaluated

FLOAT = "fp32"
"""The network as it was given, in records and in files."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every attempt is made from and scored on.

    Args:
        network: in floating point; it is left alone.
        source: labelled data that attempts are chosen by.
        confirm: labelled data on which what was chosen is confirmed.
        inputs: for the methods, unlabelled.
        metric: the score.
        cost: a name of `PRICES`.
        settings: of every attempt.
        files: where the work is kept.
    """

    network: Network
    source: Batches
    confirm: Batches
    inputs: Batches
    metric: Metric
    cost: str
    settings: Settings
    files: AttemptFiles

    def claim(self) -> None:
        """Make the folder that of all that attempts depend on.

        Raises:
            FileError: if it is that of another run.
        """
        given = self.settings
        facts = {name: getattr(given, name) for name in ("weights", "activations", "input_range", "iterations", "seed")}
        facts |= {"layers": sorted(given.layers.items()), "target": _told(given.target)}
        facts |= {"metric": self.metric.name, "cost": self.cost, "data": self.source.name}
        facts |= {"samples": self.source.samples, "first batch": digest(next(iter(self.source)))}
        facts |= {"confirm": self.confirm.name, "first batch to confirm on": digest(next(iter(self.confirm)))}
        facts |= {"calibration": self.inputs.name, "inputs": digest(list(self.inputs))}
        claim(self.files.folder, fingerprint(self.network, facts))

    def floating(self) -> tuple[Tried, Evaluated]:
        """The network as it was given, as if it were an attempt, and its score.

        Raises:
            DataError: if it has no score.
        """
        if not self.files.records(FLOAT):
            self._score(self.network.copy(), Tried(FLOAT, (), (), None, None, None, 0.0, ""), None)
        note, scored = self.files.records(FLOAT)[:2]
        assert isinstance(note, Tried)
        assert isinstance(scored, Evaluated)
        if note.value is None or not math.isfinite(note.value):
            fact = f"gives the network in FP32 a {self.metric.name} of {note.value}"
            raise DataError(self.source.name, fact, remedy="check the data and the metric")
        return note, scored

    def tried(self, attempt: Attempt, floating: Evaluated) -> Tried:
        """An attempt, made and scored as far as it is not yet; its reason is empty unless it could not be made.

        Args:
            attempt: which.
            floating: the score in FP32.
        """
        network, found = None, self.files.records(attempt.name)
        if not found or (_is_open(found[0]) and self.files.network(attempt.name) is None):
            network = self._made(attempt)
            found = self.files.records(attempt.name)
        if _is_open(found[0]):
            assert isinstance(found[0], Tried)
            self._score(network or self.network_of(attempt.name), found[0], floating)
        note = self.files.records(attempt.name)[0]
        assert isinstance(note, Tried)
        return note

    def network_of(self, name: str) -> Network:
        """What an attempt gave, on the device of the network that it is from."""
        found = self.files.network(name)
        assert found is not None
        return found.to(self.network.device)

    def found(self, name: str) -> list[Record]:
        """The records of the score and the costs of an attempt, or of `FLOAT`."""
        return self.files.records(name)[1:]

    def confirmed(self, name: str) -> tuple[Evaluated, Evaluated]:
        """The scores in FP32 and of an attempt on the samples that nothing was chosen by.

        Args:
            name: of the attempt.
        """
        floating = self._confirmed(FLOAT, FLOAT, None)
        note = self.files.records(name)[0]
        assert isinstance(note, Tried)
        return floating, self._confirmed(name, note.stage, floating)

    def _confirmed(self, name: str, stage: str, floating: Evaluated | None) -> Evaluated:
        place = f"{name}\0confirmed"  # no attempt is called so
        if not self.files.records(place):
            network = self.network.copy() if floating is None else self.network_of(name)
            scored = evaluate(network, self.confirm, self.metric, stage=stage, reference=floating)
            self.files.keep_records(place, [scored])
        (record,) = self.files.records(place)
        assert isinstance(record, Evaluated)
        return record

    def _made(self, attempt: Attempt) -> Network | None:
        """Make an attempt's network; its note comes first, so that where there is a network, there is a note."""
        started = time.perf_counter()
        try:
            network = attempt.make(self.network, self.inputs, self.settings, self.files.layers(attempt.name))
        except GraphError as error:
            seconds, reason = time.perf_counter() - started, f"cannot be made: {error.place} {error.fact}"
            self.files.keep_records(attempt.name, [Tried(attempt.name, (), (), None, None, None, seconds, reason)])
            return None
        bits = {layer.quantizer.scheme.grid.bits for layer in network.layers if layer.quantizer is not None}
        wide = {quantizer.scheme.grid.bits for quantizer in network.quantizers.values()}
        seconds, widths = time.perf_counter() - started, (tuple(sorted(bits)), tuple(sorted(wide)))
        self.files.keep_records(attempt.name, [Tried(attempt.name, *widths, None, None, None, seconds, "")])
        self.files.keep_network(attempt.name, network)
        return network

    def _score(self, network: Network, note: Tried, floating: Evaluated | None) -> None:
        """Score a network, count its costs, and keep both."""
        stage = note.stage if floating is not None else FLOAT
        scored = evaluate(network, self.source, self.metric, stage=stage, reference=floating)
        cost, found = priced(network, self.cost, stage)
        drop = 0.0 if scored.compared is None else scored.compared.drop
        done = replace(note, value=scored.value, drop=drop, cost=cost, compared=scored.compared)
        self.files.keep_records(note.name, [done, scored, *found])


def _is_open(record: Record) -> bool:
    """Whether an attempt could be made, and has no score yet."""
    return isinstance(record, Tried) and record.value is None and not record.reason


def _told(target: Target) -> list[str]:
    """A target in words that are the same in every process, as those of a set are not."""
    values = (getattr(target, field.name) for field in fields(target))
    return [str(sorted(value) if isinstance(value, frozenset) else value) for value in values]
