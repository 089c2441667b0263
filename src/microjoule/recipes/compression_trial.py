"""Ways to compress one network, carried out and scored; each result is kept, so that a long run can be interrupted."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from microjoule.compression.budget import total, within
from microjoule.compression.choice import Chosen
from microjoule.compression.criteria import CRITERIA, check_criterion
from microjoule.compression.cuts import cuts
from microjoule.compression.latency_model import LATENCY
from microjoule.compression.menu import METHODS, Menu, find_menu
from microjoule.compression.plan import Plan, carry_out
from microjoule.compression.prices import currency
from microjoule.errors import SettingError
from microjoule.execution.batches import Batches
from microjoule.execution.data_facts import read_facts
from microjoule.execution.tasks import run_tasks
from microjoule.graph.network import Network
from microjoule.jobs.identity import Identity, network_facts, option_facts
from microjoule.jobs.run_folder import RunFolder
from microjoule.numerics.low_rank_shapes import Method, factor_shapes
from microjoule.recipes.compression_scores import (
    WHOLE,
    Results,
    Score,
    Scored,
    beside,
    evaluated_of,
    parsed,
    scored_text,
)
from microjoule.recipes.latency_budget import Timings, timings
from microjoule.recipes.latency_probes import BITS, clock_of
from microjoule.records.compressed import Compressed, Divided, LayerCompressed
from microjoule.records.json_io import to_json
from microjoule.records.machine import this_machine
from microjoule.records.measured import Evaluated
from microjoule.records.stages import COMPRESSED, ORIGINAL

WAYS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the work, on a logarithmic scale, that channels save in the ways that are tried; low-rank forms save the
rest: for half the cost in equal shares each leaves 0.71 of it."""

# How --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class How:
    """How networks are compressed; as `compress` takes it.

    Raises:
        SettingError: for methods, ways, a criterion or bits that there are not, or a multiple below 1.
    """

    methods: tuple[Method, ...] = METHODS
    ways: tuple[float, ...] = WAYS
    multiple: int = 1
    seed: int = 0
    folder: Path | None = None
    criterion: str = CRITERIA[0]
    latency_bits: int = BITS[0]

    def __post_init__(self) -> None:
        if not set(self.methods) <= set(METHODS):
            raise SettingError("methods", f"is {self.methods}", remedy=f"choose from {', '.join(METHODS)}")
        if not self.ways or not all(0 <= way <= 1 for way in self.ways):
            raise SettingError("ways", f"is {self.ways}", remedy="give shares from 0 to 1")
        if not self.methods and 1.0 not in self.ways:
            raise SettingError("ways", "need low-rank forms, of which none may be used", remedy="give ways=[1.0]")
        if self.multiple < 1:
            raise SettingError("multiple", f"is {self.multiple}", remedy="give at least 1")
        check_criterion(self.criterion)
        if self.latency_bits not in BITS:
            raise SettingError("latency_bits", f"is {self.latency_bits!r}", remedy=f"use one of {BITS[0]}, {BITS[1]}")
        if not any(self.ways) and self.criterion != CRITERIA[0]:
            fact = f"is {self.ways}, so that no channel goes, and a criterion is for channels"
            raise SettingError("ways", fact, remedy="leave it out, or let channels do some of it")

    @property
    def usable_ways(self) -> list[float]:
        """Those that need no low-rank forms, if there are none."""
        return [way for way in self.ways if self.methods or way == 1.0]


def identity_of(network: Network, inputs: Batches, score: Score, options: Mapping[str, Any]) -> Identity:
    """What tells results on one network, by one score, from others'.

    Args:
        network: as it is.
        inputs: that layers are fitted on.
        score: what networks are compared by.
        options: all else that changes a result, by name.
    """
    values = read_facts(inputs, "calibration")
    return Identity.of(option_facts(options), network_facts(network), score.facts(), values)


# Ways -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Trial:
    """Carries out ways to compress one network, and scores them.

    Args:
        menu: of that network.
        inputs: that layers are fitted on.
        score: what ways are chosen by.
        confirm: the same on other samples, for what was chosen; None where there are none.
        how: which ways there are.
        kept: where results are kept.
        timings: where shares are of measured latency; None where they are of what the menu's currency counts.
    """

    menu: Menu
    inputs: Batches
    score: Score
    confirm: Score | None
    how: How
    kept: RunFolder
    timings: Timings | None = None

    def run(self, shares: Sequence[float]) -> Results:
        """Try every way to keep each of several shares of the cost, and score the network as it is."""
        tasks = {task: (share, way) for share in shares for way, task in self._tasks(share).items()}
        work = partial(self._scored, tasks)
        return run_tasks(lambda: work, [WHOLE, *tasks], self.kept, parsed, label="ways to compress")

    def check(self, share: float) -> None:
        """See, before anything is carried out, whether a share can be kept in any way.

        Raises:
            SettingError: if it cannot.
        """
        reasons = []
        for way in self.how.usable_ways:
            try:
                self.chosen(share, way)
            except SettingError as error:
                reasons.append(str(error))
            else:
                return
        raise SettingError("budget", f"of {share:g} of the cost cannot be kept in any way", remedy=reasons[0])

    def chosen(self, share: float, way: float) -> Chosen:
        """The plan of a way."""
        if self.timings is not None:
            return self.timings.chosen(share, way)
        return within(self.menu, share, share**way)

    @property
    def whole_cost(self) -> float:
        """What the network as it is costs."""
        return total(self.menu.network, self.menu.currency.name) if self.timings is None else self.timings.whole_ms

    def taken(self, share: float, found: Results) -> str:
        """The task with the best score; among equals the one with the least foreseen loss.

        Raises:
            SettingError: if the share cannot be kept in any way.
        """
        tasks = list(self._tasks(share).values())
        scored = {task: one for task in tasks if isinstance(one := found[task], Scored)}
        if not scored:
            raise SettingError("budget", "cannot be kept in any way", remedy=str(found[tasks[0]]))
        return max(scored, key=lambda task: (scored[task].rank, -scored[task].loss))

    def confirmed(
        self, tasks: Sequence[str], found: Results, made: Mapping[str, Network] | None = None
    ) -> dict[str, Evaluated]:
        """The scores of ways that were chosen, beside the original's, on samples that nothing was chosen by.

        Args:
            tasks: of the ways.
            found: of every task; its scores stand in where there are no other samples.
            made: networks that are there already, by task; others are made again.

        Returns:
            The score of `WHOLE` and of each task.
        """
        names = [WHOLE, *tasks]
        if self.confirm is None:
            scores = {name: one.evaluated for name in names if isinstance(one := found[name], Scored)}
        else:
            scores = self._on_others(names, made or {}, self.confirm)
        return {name: one if name == WHOLE else beside(one, scores[WHOLE]) for name, one in scores.items()}

    def _on_others(self, names: Sequence[str], made: Mapping[str, Network], score: Score) -> dict[str, Evaluated]:
        tasks = {f"{name}, confirmed": name for name in names}

        def work(task: str) -> str:
            name = tasks[task]
            if name == WHOLE:
                return to_json(score.of(self.menu.network.copy(), ORIGINAL))
            return to_json(score.of(made.get(name) or self.network_of(name), COMPRESSED))

        found = run_tasks(lambda: work, list(tasks), self.kept, evaluated_of, label="confirm")
        return {tasks[task]: record for task, record in found.items()}

    def best(self, share: float, found: Results) -> Network:
        """The network of the best way; its history ends with the scores and the record `Compressed`."""
        taken, whole = self.taken(share, found), found[WHOLE]
        plan, result = self.plan_of(taken), self.network_of(taken)
        scored = {task: one for task in self._tasks(share).values() if isinstance(one := found[task], Scored)}
        assert isinstance(whole, Scored)
        tried = [
            Divided(one.pruned_to, one.loss, one.greedy_loss, one.cost, one.evaluated.value) for one in scored.values()
        ]
        judged = whole.evaluated, beside(scored[taken].evaluated, whole.evaluated)
        confirmed = self.confirmed([taken], found, {taken: result})
        before, after = confirmed[WHOLE], confirmed[taken]
        result.history += [*judged, *([] if self.confirm is None else [before, after])]
        result.history += [] if self.timings is None else [self.timings.record]
        result.history.append(
            Compressed(
                metric=self.score.name,
                unit=self.score.unit,
                value_before=before.value,
                value_after=after.value,
                samples=after.samples,
                cost=self.menu.currency.name,
                cost_unit=self.menu.currency.unit,
                cost_before=whole.cost,
                cost_after=scored[taken].cost,
                budget=share * whole.cost,
                tried=tuple(tried),
                chosen=list(scored).index(taken),
                layers=tuple(_layers(self.menu, plan)),
                chosen_samples=whole.evaluated.samples,
                confirmed=None if self.confirm is None else after.compared,
            )
        )
        return result

    def _tasks(self, share: float) -> dict[float, str]:
        """The name of each way's task."""
        return {way: f"{share} {way}" for way in self.how.usable_ways}

    def plan_of(self, task: str) -> Plan:
        """The plan of a way, by the name of its task."""
        share, way = map(float, task.split())
        return self.chosen(share, way).plan

    def network_of(self, task: str) -> Network:
        """The network of a way; layers that were fitted already are taken from the folder."""
        return self._network_of(self.plan_of(task), task)

    def _network_of(self, plan: Plan, task: str) -> Network:
        result, place = self.menu.network.copy(), self.kept.inner(f"{task} layers")
        if plan.removed or plan.forms:
            carry_out(result, plan, self.inputs, seed=self.how.seed, folder=place)
        return result

    def _scored(self, tasks: Mapping[str, tuple[float, float]], task: str) -> str:
        """A way's score; of a way that cannot be gone, the reason."""
        chosen = Chosen(Plan(), 1.0, 0.0, 0.0, self.whole_cost)
        try:
            if task != WHOLE:
                chosen = self.chosen(*tasks[task])
        except SettingError as error:
            return json.dumps({"reason": str(error)})
        made = self.score.of(self._network_of(chosen.plan, task), ORIGINAL if task == WHOLE else COMPRESSED)
        return scored_text(Scored(made, chosen.pruned_to, chosen.loss, chosen.greedy_loss, chosen.cost))


@contextmanager
def open_trial(
    network: Network, inputs: Batches, score: Score, cost: str, how: How, *, confirm: Score | None = None
) -> Iterator[Trial]:
    """Look at a network once; then any share of its cost can be asked for, as long as the context lasts.

    Args:
        network: in floating point; it is left alone.
        inputs: unlabelled.
        score: what ways are chosen by.
        confirm: the same on other samples, for what was chosen.
        cost: what is counted: "macs", "bytes" or "energy"; or measured: "latency".
        how: which ways there are.

    Raises:
        SettingError: for another cost.
        ExportError: for a latency, if the network cannot be exported.
        FileError: if the folder holds the work of another run, is in use, or cannot be written.
    """
    own, timed = network.copy().eval(), cost == LATENCY
    paid = currency("macs" if timed else cost)
    with RunFolder(how.folder, partial(_identity, own, inputs, score, confirm, cost, how)) as kept:
        asked: dict[str, Any] = {"methods": how.methods, "multiple": how.multiple, "criterion": how.criterion}
        menu = find_menu(own, inputs, paid, seed=how.seed, **asked)
        if not timed:
            yield Trial(menu, inputs, score, confirm, how, kept)
            return
        bits, clock = how.latency_bits, clock_of(own, inputs, how.latency_bits)
        found = timings(menu, clock, bits=bits, seed=how.seed, kept=kept)
        yield Trial(found.menu, inputs, score, confirm, how, kept, found)


def _identity(network: Network, inputs: Batches, score: Score, confirm: Score | None, cost: str, how: How) -> Identity:
    """What tells results from others'; times are of one machine."""
    here = this_machine()
    options = {
        "cost": cost,
        "methods": how.methods,
        "multiple": how.multiple,
        "seed": how.seed,
        "criterion": how.criterion,
    }
    machine = {"machine": f"{here.processor}, {here.cores} cores", "runtime": here.versions["onnxruntime"]}
    timed = machine | {"latency_bits": how.latency_bits} if cost == LATENCY else {}
    found = identity_of(network, inputs, score, options | timed)
    return found if confirm is None else Identity.of(found.facts, confirm.facts())


def _layers(menu: Menu, plan: Plan) -> list[LayerCompressed]:
    """What is left of each layer that changed."""
    found = []
    whole, stays = cuts(menu.network, (), {}), cuts(menu.network, menu.groups, plan.removed)
    for layer in menu.network.layers:
        path = layer.path
        cut, form = stays[path], plan.forms.get(path)
        if cut.whole and form is None:
            continue
        ranks = () if form is None else tuple(one[0] for one in factor_shapes(cut.shape(layer), *form)[:-1])
        found.append(
            LayerCompressed(
                layer=path,
                channels_before=(layer.in_channels, layer.out_channels),
                channels_after=(int(cut.ins.sum()), int(cut.outs.sum())),
                method="" if form is None else form[0],
                ranks=ranks,
                cost_before=menu.layer_cost(path, whole[path]),
                cost_after=menu.layer_cost(path, cut, form),
            )
        )
    return found
