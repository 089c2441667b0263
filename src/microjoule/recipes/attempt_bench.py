"""Where attempts are made and scored, each once: what is in the run folder is not computed again."""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

from microjoule.capture.load import load
from microjoule.errors import DataError, FileError, GraphError
from microjoule.execution.batches import Batches
from microjoule.execution.data_facts import read_facts
from microjoule.execution.evaluate import evaluate
from microjoule.execution.scoring import Metric
from microjoule.graph.network import Network
from microjoule.jobs.describe import describe, short_digest
from microjoule.jobs.identity import Identity, network_facts, option_facts
from microjoule.jobs.part import without_link
from microjoule.jobs.run_folder import RunFolder
from microjoule.recipes.attempt_costs import priced
from microjoule.recipes.attempts import Attempt, Settings
from microjoule.records.decided import Tried
from microjoule.records.facts import Record
from microjoule.records.json_io import records_from_json, to_json
from microjoule.records.measured import Evaluated

FLOAT = "fp32"
"""The network as it was given, in records and in files."""

NETWORK = ".mj"
"""The ending of an attempt's network among its files."""


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
        attempts: all that there are, each with a name of its own.
    """

    network: Network
    source: Batches
    confirm: Batches
    inputs: Batches
    metric: Metric
    cost: str
    settings: Settings
    attempts: Sequence[Attempt]

    def identity(self) -> Identity:
        """All that attempts depend on, but for what each of them does, which its own files are named after."""
        self.metric.reset()
        options = {field.name: getattr(self.settings, field.name) for field in fields(self.settings)}
        asked = option_facts({"metric": self.metric, "cost": self.cost, **options})
        scored = read_facts(self.source, "labelled data"), read_facts(self.confirm, "data to confirm on")
        seen = read_facts(self.inputs, "calibration")
        return Identity.of(asked, network_facts(self.network), *scored, seen)

    def floating(self, kept: RunFolder) -> tuple[Tried, Evaluated]:
        """The network as it was given, as if it were an attempt, and its score.

        Args:
            kept: where the work is kept.

        Raises:
            DataError: if it has no score.
        """
        if not self._scores(FLOAT, kept):
            self._score(self.network.copy(), Tried(FLOAT, (), (), None, None, None, 0.0, ""), None, kept)
        note, scored, *_ = self._scores(FLOAT, kept)
        assert isinstance(note, Tried)
        assert isinstance(scored, Evaluated)
        if note.value is None or not math.isfinite(note.value):
            fact = f"gives the network in FP32 a {self.metric.name} of {note.value}"
            raise DataError(self.source.name, fact, remedy="check the data and the metric")
        return note, scored

    def tried(self, attempt: Attempt, floating: Evaluated, kept: RunFolder) -> Tried:
        """An attempt, made and scored as far as it is not yet; its reason is empty unless it could not be made.

        Args:
            attempt: which.
            floating: the score in FP32.
            kept: where the work is kept.
        """
        if not self._scores(attempt.name, kept):
            made, network = self._kept(attempt.name, kept) or self._made(attempt, kept)
            if network is None:
                return made
            self._score(network, made, floating, kept)
        note = self._scores(attempt.name, kept)[0]
        assert isinstance(note, Tried)
        return note

    def network_of(self, name: str, kept: RunFolder) -> Network:
        """What an attempt gave, on the device of the network that it is from; made again if its file is damaged.

        Args:
            name: of the attempt.
            kept: where the work is kept.
        """
        attempt = next(one for one in self.attempts if one.name == name)
        _, network = self._kept(name, kept) or self._made(attempt, kept)
        assert network is not None
        return network.to(self.network.device)

    def found(self, name: str, kept: RunFolder) -> list[Record]:
        """The records of the score and the costs of an attempt, or of `FLOAT`.

        Args:
            name: of the attempt.
            kept: where the work is kept.
        """
        return self._scores(name, kept)[1:]

    def confirmed(self, name: str, kept: RunFolder) -> tuple[Evaluated, Evaluated]:
        """The scores in FP32 and of an attempt on the samples that nothing was chosen by.

        Args:
            name: of the attempt.
            kept: where the work is kept.
        """
        floating = self._confirmed(FLOAT, FLOAT, None, kept)
        note = self._scores(name, kept)[0]
        assert isinstance(note, Tried)
        return floating, self._confirmed(name, note.stage, floating, kept)

    def _confirmed(self, name: str, stage: str, floating: Evaluated | None, kept: RunFolder) -> Evaluated:
        place = f"{self._name(name)} confirmed"
        part = kept.read(place)
        if part is not None:
            with suppress(FileError):
                found = records_from_json(part.text)
                if len(found) == 1 and isinstance(found[0], Evaluated):
                    return found[0]
            kept.say_damaged(place, "it holds no score")
        network = self.network.copy() if floating is None else self.network_of(name, kept)
        scored = evaluate(network, self.confirm, self.metric, stage=stage, reference=floating)
        kept.write(place, text=to_json([scored]))
        return scored

    # Making and scoring ---------------------------------------------------------------------------

    def _made(self, attempt: Attempt, kept: RunFolder) -> tuple[Tried, Network | None]:
        """Make an attempt's network; its file comes before the note that tells the file's checksum."""
        started, name = time.perf_counter(), self._name(attempt.name)
        place = kept.inner(f"{name} layers")
        assert place is not None
        assert kept.parts is not None
        try:
            network = attempt.make(self.network, self.inputs, self.settings, place)
        except GraphError as error:
            seconds, reason = time.perf_counter() - started, f"cannot be made: {error.place} {error.fact}"
            note = Tried(attempt.name, (), (), None, None, None, seconds, reason)
            kept.write(name, text=json.dumps({"note": to_json(note), "network": ""}))
            return note, None
        bits = {layer.quantizer.scheme.grid.bits for layer in network.layers if layer.quantizer is not None}
        wide = {quantizer.scheme.grid.bits for quantizer in network.quantizers.values()}
        seconds, widths = time.perf_counter() - started, (tuple(sorted(bits)), tuple(sorted(wide)))
        note, path = Tried(attempt.name, *widths, None, None, None, seconds, ""), kept.parts.path(name, NETWORK)
        network.save(without_link(path))
        kept.write(name, text=json.dumps({"note": to_json(note), "network": _checksum(path)}))
        return note, network

    def _kept(self, name: str, kept: RunFolder) -> tuple[Tried, Network | None] | None:
        """An attempt's note and network, if they were kept and are what was kept."""
        part = kept.read(self._name(name))
        if part is None:
            return None
        assert kept.parts is not None
        path = kept.parts.path(self._name(name), NETWORK)
        try:
            content = json.loads(part.text)
            (note,) = records_from_json(content["note"])
            if not isinstance(note, Tried):
                raise TypeError("its note is another record")
            if note.reason:
                return note, None
            if _checksum(path) != content["network"]:
                raise ValueError("its network has another checksum")
            return note, load(path)
        except (OSError, FileError, ValueError, TypeError, KeyError) as error:
            kept.say_damaged(self._name(name), str(error))
            return None

    def _score(self, network: Network, note: Tried, floating: Evaluated | None, kept: RunFolder) -> None:
        """Score a network, count its costs, and keep both."""
        stage = note.stage if floating is not None else FLOAT
        scored = evaluate(network, self.source, self.metric, stage=stage, reference=floating)
        cost, found = priced(network, self.cost, stage)
        drop = 0.0 if scored.compared is None else scored.compared.drop
        done = replace(note, value=scored.value, drop=drop, cost=cost, compared=scored.compared)
        kept.write(f"{self._name(note.name)} scored", text=to_json([done, scored, *found]))

    def _scores(self, name: str, kept: RunFolder) -> list[Record]:
        """An attempt's note with its score, the record of the score and those of its costs; empty if it has none."""
        part = kept.read(f"{self._name(name)} scored")
        if part is None:
            return []
        with suppress(FileError, IndexError):
            found = records_from_json(part.text)
            if isinstance(found[0], Tried) and isinstance(found[1], Evaluated):
                return found
        kept.say_damaged(f"{self._name(name)} scored", "it holds no scores")
        return []

    def _name(self, name: str) -> str:
        """What an attempt's files are named after: its name and what it does, as another one may have the name."""
        made = next((describe(attempt.make) for attempt in self.attempts if attempt.name == name), "")
        return f"{name} {short_digest(made.encode())[:8]}" if made else name


def _checksum(path: Path) -> str:
    """64 hexadecimal digits that tell a file from others.

    Raises:
        OSError: if there is none.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
