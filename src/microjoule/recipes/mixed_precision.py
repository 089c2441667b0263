"""Networks with the bits that each layer needs: for one budget, and measured for several."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median_low
from typing import Any

from microjoule.costs.target import Target
from microjoule.costs.target import target as find_target
from microjoule.errors import FileError, SettingError
from microjoule.execution.batches import batches
from microjoule.execution.data_facts import read_facts
from microjoule.execution.device import Device, move, returns
from microjoule.execution.evaluate import evaluate
from microjoule.execution.scoring import Metric, MetricLike, as_metric
from microjoule.execution.tasks import Work, run_tasks
from microjoule.graph.card import Ranges
from microjoule.graph.network import Network, takes_network
from microjoule.jobs.identity import Facts, Identity, network_facts, option_facts
from microjoule.jobs.run_folder import RunFolder
from microjoule.numerics.ranges import min_max, mse
from microjoule.quantization.bit_costs import Price, find_cost
from microjoule.quantization.fitted_losses import fitted_losses
from microjoule.quantization.mixed_precision import CANDIDATES, Candidate, Menu, Wanted, choose, find_menu
from microjoule.quantization.ptq.gptq import solve
from microjoule.recipes.compression_scores import beside, evaluated_of
from microjoule.recipes.learned_rounding import WIDE, adaround, gptq, prepared
from microjoule.records.decided import FrontPoint, MixedPrecision, ParetoFront
from microjoule.records.json_io import records_from_json, to_json
from microjoule.records.measured import Evaluated
from microjoule.search.pareto import pareto_front

ROUNDINGS: dict[str, Callable[..., Network]] = {"gptq": gptq, "adaround": adaround}

FLOAT = "FP32"
"""The name of the network in floating point among the points of a front."""


@takes_network
@returns
def mixed_precision(
    network: Network,
    data: Any,
    *,
    budget: float | str,
    cost: str | Price = "bops",
    candidates: Sequence[Candidate] = CANDIDATES,
    target: str | Path | Target = "onnxruntime",
    rounding: str = "gptq",
    input_range: Ranges | None = None,
    samples: int = 64,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> Network:
    """Quantize each layer to the bits that it needs within a budget, with a rounding that is fitted to data.

    What each width costs is measured: each layer alone, fitted by GPTQ.

    Args:
        network: the network in floating point; it is left alone.
        data: some hundred unlabelled inputs, in any form that `batches` takes.
        budget: as in `mj.mixed_precision`, which chooses the bits.
        cost: as there.
        candidates: as there.
        target: a target's name, a TOML file, or a Target.
        rounding: "gptq" or "adaround".
        input_range: smallest and largest value of the network's inputs; None takes those of the data.
        samples: on how many of the first inputs losses are measured; the rounding looks at all.
        seed: of every draw.
        folder: keeps the bits, and each rounded layer, as soon as it is there; the same call then goes on where it was
            interrupted.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        A new network with quantizers, frozen; its history ends with the record of the choice.

    Raises:
        SettingError: for a rounding that there is not, and as `mj.mixed_precision`.
    """
    move(network, device)
    wanted = _wanted(data, cost, candidates, target, samples, seed)
    maker = _Maker(network, data, wanted, _rounding(rounding), input_range, seed, {str(budget): budget})
    with RunFolder(folder, maker.identity) as kept:
        found = run_tasks(maker.choosing, [str(budget)], kept, _choice, label="bits")
        return maker.network_of(found[str(budget)], kept.inner(f"{budget} layers"))


@takes_network
@returns
def pareto(
    network: Network,
    data: Any,
    metric: MetricLike,
    *,
    budgets: Sequence[float | str],
    calibration: Any = None,
    cost: str | Price = "bops",
    candidates: Sequence[Candidate] = CANDIDATES,
    target: str | Path | Target = "onnxruntime",
    rounding: str = "gptq",
    input_range: Ranges | None = None,
    samples: int = 64,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> ParetoFront:
    """Measure accuracy against cost: for each budget choose bits, quantize, and score the network.

    Args:
        network: the network in floating point; only its history changes.
        data: labelled data for the metric, in any form that `batches` takes.
        metric: as in `mj.evaluate`; it is reset each time.
        budgets: as in `mj.mixed_precision`, each different.
        calibration: unlabelled inputs. None takes those of `data`, without labels: scores are a little too good then.
        cost: as in `mj.mixed_precision`.
        candidates: as there.
        target: a target's name, a TOML file, or a Target.
        rounding: "gptq" or "adaround".
        input_range: smallest and largest value of the network's inputs; None takes those of the data.
        samples: on how many of the first inputs losses are measured; the rounding looks at all.
        seed: of every draw.
        folder: keeps each point and each rounded layer as soon as it is done; the same call then goes on where it was
            interrupted, and another call may ask for more budgets.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Raises:
        SettingError: for no budgets or two of one name, and as `mixed_precision`.
        DataError: if the data has no targets.
        FileError: if the folder holds the results of another run, or a file that is no result.
    """
    move(network, device)
    names = [str(budget) for budget in budgets]
    if not names or len(set(names)) < len(names):
        raise SettingError("budgets", f"is {names}", remedy="give at least one, and each once")
    inputs = data if calibration is None else calibration
    wanted = _wanted(inputs, cost, candidates, target, samples, seed)
    by_name, scored_by = dict(zip(names, budgets, strict=True)), as_metric(metric)
    maker = _Maker(network, inputs, wanted, _rounding(rounding), input_range, seed, by_name)

    def identity() -> Identity:
        scored_by.reset()
        labelled = read_facts(batches(data, network), "labelled data")
        return Identity.of(option_facts({"metric": scored_by}), maker.facts(), labelled)

    with RunFolder(folder, identity) as kept:
        points = _Points(maker, data, scored_by, kept)
        found = run_tasks(points.work, [FLOAT, *names], kept, _parsed, label="Pareto front")
    record = _front(found, maker.wanted)
    network.history.append(record)
    return record


# One network ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes networks out of one, with chosen bits."""

    network: Network
    data: Any
    wanted: Wanted
    rounding: Callable[..., Network]
    input_range: Ranges | None
    seed: int
    budgets: dict[str, float | str]

    def menu(self) -> Menu:
        """What there is to choose from in the network as the rounding will find it."""
        weights, activations = min(self.wanted.candidates)
        bits = {"weights": weights, "activations": activations}
        ready = prepared(self.network, self.data, find_target(self.wanted.target), self.input_range, **bits)
        return find_menu(ready, self.data, self.wanted)

    def network_of(self, record: MixedPrecision, folder: str | Path | None) -> Network:
        """The network with these bits, rounded."""
        result = self.rounding(
            self.network,
            self.data,
            target=self.wanted.target,
            weights=median_low(record.weights.values()),
            activations=min(record.activations.values()),
            layers=record.layers,
            input_range=self.input_range,
            seed=self.seed,
            folder=folder,
        )
        result.history.append(record)
        return result

    def choosing(self) -> Work:
        """What finds the bits for a budget, and tells them as a record."""
        menu = self.menu()
        return lambda budget: to_json([choose(menu, self.budgets[budget])])

    def facts(self) -> Facts:
        """What tells its networks from others'."""
        wanted = self.wanted
        options = {
            "cost": wanted.cost,
            "candidates": tuple(wanted.candidates),
            "target": find_target(wanted.target),
            "rounding": self.rounding,
            "input_range": self.input_range,
            "samples": wanted.samples,
            "seed": self.seed,
        }
        inputs = read_facts(batches(self.data, self.network), "calibration", targets=False)
        return option_facts(options) | network_facts(self.network) | inputs

    def identity(self) -> Identity:
        """The same, with the versions."""
        return Identity.of(self.facts())


def _choice(text: str) -> MixedPrecision:
    """The bits that were chosen.

    Raises:
        ValueError: for a text that is no choice.
    """
    try:
        (record,) = records_from_json(text)
    except FileError as error:
        raise ValueError(str(error)) from error
    if not isinstance(record, MixedPrecision):
        raise ValueError("it is no choice of bits")
    return record


def _wanted(
    data: Any,
    cost: str | Price,
    candidates: Sequence[Candidate],
    target: str | Path | Target,
    samples: int,
    seed: int,
) -> Wanted:
    """Losses are those of GPTQ, and ranges are chosen as the rounding recipes choose them."""
    losses = partial(fitted_losses, data=data, fit=solve, seed=seed)
    wanted = Wanted(cost, candidates, target, min_max, mse, losses, samples)
    narrowest = min(activations for _, activations in candidates)
    return wanted if narrowest >= WIDE else replace(wanted, rule=mse)


def _rounding(name: str) -> Callable[..., Network]:
    if name not in ROUNDINGS:
        raise SettingError("rounding", f"is {name!r}", remedy=f"use one of {', '.join(ROUNDINGS)}")
    return ROUNDINGS[name]


# A front --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """What is kept of a budget."""

    spent: float
    loss: float
    evaluated: Evaluated


@dataclass(frozen=True, slots=True)
class _Points:
    """Makes and scores the network of each budget, and FP32."""

    maker: _Maker
    data: Any
    metric: Metric
    kept: RunFolder

    def work(self) -> Work:
        """What runs a task; losses are estimated once for all."""
        menu = self.maker.menu()
        return lambda task: self._scored(menu, task)

    def _scored(self, menu: Menu, task: str) -> str:
        made, spent, loss = self.maker.network.copy().eval(), 0.0, 0.0
        if task in self.maker.budgets:
            record = choose(menu, self.maker.budgets[task])
            made = self.maker.network_of(record, self.kept.inner(f"{task} layers"))
            spent, loss = record.spent, record.loss
        scored = replace(evaluate(made, self.data, self.metric, stage=task), compared=None, apart="")
        return json.dumps({"spent": spent, "loss": loss, "evaluated": json.loads(to_json(scored))})


def _parsed(text: str) -> _Found:
    content = json.loads(text)
    spent, loss, evaluated = (content[key] for key in ("spent", "loss", "evaluated"))
    return _Found(float(spent), float(loss), evaluated_of(json.dumps(evaluated)))


def _front(found: dict[str, _Found], wanted: Wanted) -> ParetoFront:
    floating, cost = found.pop(FLOAT).evaluated, find_cost(wanted.cost)
    scored = [beside(one.evaluated, floating) for one in found.values()]
    sign = -1 if floating.higher_is_better else 1
    best = pareto_front([(sign * own.value, one.spent) for own, one in zip(scored, found.values(), strict=True)])
    points = [
        FrontPoint(name, one.spent, one.loss, own.value, index in best, own.compared)
        for index, ((name, one), own) in enumerate(zip(found.items(), scored, strict=True))
    ]
    return ParetoFront(
        metric=floating.metric,
        unit=floating.unit,
        fp_value=floating.value,
        samples=floating.samples,
        cost=cost.name,
        cost_unit=cost.unit,
        points=tuple(sorted(points, key=lambda point: (point.spent, -point.value))),
    )
