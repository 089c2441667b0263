"""Networks of less work from networks that exist; how much of each layer goes, and by which means, is found."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from microjoule.compression.choice import Chosen, choose
from microjoule.compression.cuts import cuts
from microjoule.compression.menu import METHODS, Menu, find_menu
from microjoule.compression.plan import Plan, carry_out
from microjoule.compression.prices import Currency, currency
from microjoule.errors import FileError, SettingError
from microjoule.execution.batches import Batches, batches, first
from microjoule.execution.evaluate import Metric, evaluate
from microjoule.execution.tasks import Jobs, Work, digest, run_tasks
from microjoule.graph.network import Network
from microjoule.numerics.low_rank_shapes import Method, factor_shapes
from microjoule.recipes.preparation import run_record
from microjoule.records.compressed import Compressed, Divided, LayerCompressed
from microjoule.records.measured import Evaluated

WAYS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the work, on a logarithmic scale, that channels save in the ways that are tried; low-rank forms save the
rest: for half the cost in equal shares each leaves 0.71 of it."""

WHOLE = "whole"
"""The name of the network as it is among the tasks."""


def compress(
    network: Network,
    data: Any,
    metric: Metric,
    *,
    macs: float | None = None,
    size: float | None = None,
    energy: float | None = None,
    calibration: Any = None,
    methods: Sequence[Method] = METHODS,
    multiple: int = 1,
    ways: Sequence[float] = WAYS,
    samples: int = 1000,
    seed: int = 0,
    folder: str | Path | None = None,
) -> Network:
    """Make a network cheaper without training: prune channels, put layers in low-rank forms, fit what is left.

    What each step would lose is known in closed form from one pass over unlabelled inputs; an exact knapsack chooses
    how much of each layer goes. How channels and low-rank forms share the work is tried, and the best way is taken.

    Args:
        network: in floating point; it is left alone. Batch norms may stand in it.
        data: labelled data for the metric, in any form that `batches` takes.
        metric: larger is better; it is reset each time.
        macs: the share of multiply-accumulates to keep; exactly one of these budgets is given.
        size: the share of the weights' bytes to keep.
        energy: the share of the energy to keep, by the table of `mj.costs`.
        calibration: some hundred unlabelled inputs, mixed like the data the network will see. None takes those of
            `data`, without labels: scores are a little too good then.
        methods: the low-rank forms that may be used; none to prune alone.
        multiple: channels are pruned to multiples of this, as some hardware likes; 1 for any number.
        ways: how much of the saving channels do, from 0 (none) to 1 (all), each of which is tried.
        samples: how many calibration inputs are used, the first ones.
        seed: of the places that are looked at.
        folder: keeps each way's score and each fitted layer; the same call goes on where it was interrupted.

    Returns:
        A new network, really smaller; its history ends with the record `Compressed`.

    Raises:
        SettingError: unless exactly one budget is given, or for one that cannot be kept.
        DataError: if the data has no targets, is empty, or does not fit.
        FileError: if the folder holds the work of another run, or cannot be written.
    """
    started = time.perf_counter()
    paid, share = _budget(macs=macs, size=size, energy=energy)
    _check(ways, methods, multiple)
    source = batches(data)
    inputs = first(source if calibration is None else batches(calibration), samples)
    own = network.copy().eval()
    menu = find_menu(own, inputs, paid, seed=seed, methods=methods, multiple=multiple)
    trial = _Trial(menu, inputs, source, metric, share, seed, None if folder is None else Path(folder))
    names = [WHOLE, *(f"{way:g}" for way in ways if methods or way == 1.0)]
    texts = run_tasks(trial.work, names, Jobs(folder), identity=trial.identity(), label="ways to compress")
    found = {name: _parsed(text, name, folder) for name, text in texts.items()}
    result = _decided(trial, found)
    settings = {"macs": macs, "size": size, "energy": energy, "multiple": multiple, "samples": samples}
    result.history.insert(len(network.history), run_record("compress", settings, seed, started))
    return result


def _budget(**shares: float | None) -> tuple[Currency, float]:
    given = {name: share for name, share in shares.items() if share is not None}
    if len(given) != 1:
        fact = f"{len(given)} are given: {', '.join(given) or 'none'}"
        raise SettingError("budget", fact, remedy=f"give one of {', '.join(shares)}")
    ((name, share),) = given.items()
    if not 0 < share <= 1:
        raise SettingError(name, f"is {share}", remedy="give the share to keep, above 0 and up to 1")
    return currency("bytes" if name == "size" else name), share


def _check(ways: Sequence[float], methods: Sequence[Method], multiple: int) -> None:
    if not ways or not all(0 <= way <= 1 for way in ways):
        raise SettingError("ways", f"is {tuple(ways)}", remedy="give shares from 0 to 1")
    if not methods and 1.0 not in ways:
        raise SettingError("ways", "need low-rank forms, of which none may be used", remedy="give ways=[1.0]")
    if multiple < 1:
        raise SettingError("multiple", f"is {multiple}", remedy="give at least 1")


# One way --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Trial:
    """Carries out ways to compress one network, and scores them."""

    menu: Menu
    inputs: Batches
    data: Batches
    metric: Metric
    share: float
    seed: int
    folder: Path | None

    def work(self) -> Work:
        """What runs a task."""
        return self._scored

    def chosen(self, way: float) -> Chosen:
        """The plan of a way."""
        return choose(self.menu, self.share * self.menu.cost(Plan()), self.share**way)

    def network_of(self, plan: Plan, name: str) -> Network:
        """The network of a plan."""
        result = self.menu.network.copy()
        place = None if self.folder is None else self.folder / f"{name}.layers"
        if plan.removed or plan.forms:
            carry_out(result, plan, self.inputs, seed=self.seed, folder=place)
        return result

    def identity(self) -> dict[str, str]:
        """What tells its results from others'."""
        state = self.menu.network.state_dict()
        return {
            "network": digest([str(self.menu.network.graph), list(state), list(state.values())]),
            "calibration": digest([inputs for inputs, _ in self.inputs]),
            "data": self.data.name,
            "metric": self.metric.name,
            "cost": self.menu.currency.name,
            "share": str(self.share),
            "methods": str(self.menu.methods),
            "multiple": str(self.menu.multiple),
            "seed": str(self.seed),
        }

    def _scored(self, task: str) -> str:
        """A way's score; of a way that cannot be gone, the reason."""
        if task == WHOLE:
            scored = evaluate(self.menu.network.copy(), self.data, self.metric)
            return json.dumps(_told(scored))
        try:
            chosen = self.chosen(float(task))
        except SettingError as error:
            return json.dumps({"reason": str(error)})
        scored = evaluate(self.network_of(chosen.plan, task), self.data, self.metric)
        return json.dumps(_told(scored))


def _told(scored: Evaluated) -> dict[str, float]:
    return {"value": scored.value, "samples": scored.samples, "seconds": scored.seconds}


def _parsed(text: str, task: str, folder: str | Path | None) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(text)
        if isinstance(found, dict) and ("reason" in found or isinstance(found.get("value"), int | float)):
            return found
    raise FileError(str(folder), f"holds a file for {task!r} that is no result", remedy="remove that file")


def _decided(trial: _Trial, found: dict[str, dict[str, Any]]) -> Network:
    """The network of the way with the best score; among equals the one with the least foreseen loss."""
    whole = found.pop(WHOLE)
    scored = {name: result["value"] for name, result in found.items() if "value" in result}
    if not scored:
        raise SettingError("budget", "cannot be kept in any way", remedy=str(next(iter(found.values()))["reason"]))
    plans = {name: trial.chosen(float(name)) for name in scored}
    name = max(scored, key=lambda one: (scored[one], -plans[one].loss))
    result = trial.network_of(plans[name].plan, name)
    tried = tuple(
        Divided(one.pruned_to, one.loss, one.greedy_loss, one.cost, scored[key]) for key, one in plans.items()
    )
    menu, metric = trial.menu, trial.metric
    record = Compressed(
        metric=metric.name,
        unit=metric.unit,
        value_before=whole["value"],
        value_after=scored[name],
        samples=int(whole["samples"]),
        cost=menu.currency.name,
        cost_unit=menu.currency.unit,
        cost_before=menu.cost(Plan()),
        cost_after=plans[name].cost,
        budget=trial.share * menu.cost(Plan()),
        tried=tried,
        chosen=list(scored).index(name),
        layers=tuple(_layers(menu, plans[name].plan)),
    )
    ends = (("original", whole), ("compressed", found[name]))
    scores = [
        Evaluated(stage, metric.name, end["value"], metric.unit, int(end["samples"]), trial.data.name, end["seconds"])
        for stage, end in ends
    ]
    result.history += [*scores, record]
    return result


def _layers(menu: Menu, plan: Plan) -> list[LayerCompressed]:
    """What is left of each layer that changed."""
    found = []
    whole = cuts(menu.network, (), {})
    for layer in menu.network.layers:
        path = layer.path
        cut, form = cuts(menu.network, menu.groups, plan.removed)[path], plan.forms.get(path)
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
