"""Mixed precision: each layer the bits that it needs, for the least predicted loss within a budget.

A candidate such as W4A8 gives a layer's weights 4 bits and what the layer reads 8. A group of layers and values that
must choose together takes one candidate. Its loss is that of each of its quantizers alone at that width, summed, by an
estimate from gradients; its cost is counted on the network. Both add up over groups, so this is a knapsack problem with
multiple choice: it is solved exactly, with a bound that proves it, and by the greedy rule to compare with.

The estimate is of rounding to nearest. A method that fits the rounding leaves a small and uneven part of that; for such
a method, `losses` is a function that measures what it leaves.

Source: Cai et al. 2020, ZeroQ, https://arxiv.org/abs/2001.00281, section 3.2, for sensitivities that are summed over
layers under a budget; van Baalen et al. 2020, Bayesian Bits, https://arxiv.org/abs/2005.07093, for bit operations.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from microjoule.costs.target import Target
from microjoule.costs.target import target as find_target
from microjoule.errors import SettingError
from microjoule.execution.batches import batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.graph.fold import fold_batch_norms
from microjoule.graph.network import Network, takes_network
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.ranges import RangeRule, min_max, mse
from microjoule.quantization.alone import at_width, sites
from microjoule.quantization.bit_costs import Meter, Price, Widths, find_cost, uniform_widths
from microjoule.quantization.bit_groups import BitGroup, find_groups, value_quantizers
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.fisher import estimates
from microjoule.quantization.sensitivity import Grid, Reference, reference
from microjoule.quantization.simulate import quantize
from microjoule.records.decided import MixedPrecision
from microjoule.search import greedy, knapsack
from microjoule.search.choice import Group, Option, Problem

Candidate = tuple[int, int]
"""(bits of a layer's weights, bits of what it reads)."""

CANDIDATES: tuple[Candidate, ...] = ((4, 8), (8, 8), (8, 16))

Losses = Callable[[Network, Mapping[str, Grid], Reference], Mapping[str, float]]
"""(a network, grids by any names, samples) -> what each grid alone does to the outputs, 0 or more, as `estimates`."""

SLACK = 1e-9
"""By how much costs may fail to add up, relative: rounding in double precision is 1e-16 an addition."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What there is to choose from, and how losses are estimated; arguments as in `mixed_precision`.

    Raises:
        SettingError: for no candidates, or a cost that there is not.
        TargetError: for bits that the target does not have.
    """

    cost: str | Price = "bops"
    candidates: Sequence[Candidate] = CANDIDATES
    target: str | Path | Target = "onnxruntime"
    rule: RangeRule = min_max
    weight_rule: RangeRule = mse
    losses: Losses = estimates
    samples: int = 64

    def __post_init__(self) -> None:
        find_cost(self.cost)
        if not self.candidates:
            raise SettingError("candidates", "is empty", remedy="give pairs of bits, such as ((4, 8), (8, 8))")
        for pair in self.candidates:
            if not (isinstance(pair, tuple) and len(pair) == 2):
                raise SettingError("candidates", f"holds {pair!r}", remedy="give (bits of weights, bits of inputs)")
            find_target(self.target).weight_scheme(pair[0], 0)
            find_target(self.target).activation_scheme(pair[1])

    @property
    def widest(self) -> Widths:
        """The most bits that any candidate gives."""
        return max(weights for weights, _ in self.candidates), max(activations for _, activations in self.candidates)

    @property
    def tied(self) -> bool:
        """Whether widths of activations are chosen, too."""
        return len({activations for _, activations in self.candidates}) > 1


@dataclass(frozen=True, slots=True)
class Menu:
    """All that there is to choose from in one network, for any budget.

    Args:
        wanted: by which it was made.
        samples: that were looked at.
        meter: counts the network at any widths.
        widths: the options of each group.
        losses: predicted for each option of each group.
        base: what the network costs with the first option of each group.
        added: what each option of each group adds to that.
    """

    wanted: Wanted
    samples: int
    meter: Meter
    widths: list[list[Widths]]
    losses: list[list[float]]
    base: float
    added: list[list[float]]

    def problem(self, budget: float) -> tuple[Problem, float]:
        """The choice as plain numbers, with costs above the cheapest; and what the cheapest choice costs.

        Raises:
            SettingError: if that is over the budget.
        """
        least = [min(added) for added in self.added]
        fixed = math.fsum([self.base, *least])
        if not budget >= fixed:
            raise SettingError(
                "budget",
                f"is {budget:.12g}, but the cheapest choice costs {fixed:.12g}",
                remedy="give at least that, or candidates with fewer bits",
            )
        groups = tuple(
            Group(group.name, tuple(map(Option, map(_words, widths), losses, (one - lowest for one in added))))
            for group, widths, losses, added, lowest in zip(
                self.meter.groups, self.widths, self.losses, self.added, least, strict=True
            )
        )
        return Problem(groups, budget - fixed), fixed


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
    rule: RangeRule = min_max,
    weight_rule: RangeRule = mse,
    losses: Losses | None = None,
    samples: int = 64,
    seed: int = 0,
    device: Device = None,
) -> MixedPrecision:
    """Choose the bits of every layer and value: the least predicted loss within a budget, with a proof.

    Layers that read one quantizer choose together, with that quantizer; what a layer reads and what it writes are
    chosen apart. If all candidates have the same activation bits, each layer chooses alone.

    Args:
        network: the network in floating point, equalized if it is to be; only its history changes.
        data: unlabelled inputs, in any form that `batches` takes.
        budget: what the network may cost for one sample, in the unit of the cost; or "W4A8", what it would cost with
            these bits everywhere.
        cost: "bops", "bytes" (of weights), "energy" (pJ), or a function such as a sum over a table of latency.
        candidates: pairs (bits of a layer's weights, bits of what it reads).
        target: a target's name, a TOML file, or a Target.
        rule: how ranges of activations are chosen.
        weight_rule: how ranges of weights are chosen.
        losses: what each width costs; None estimates it from gradients, for rounding to nearest.
        samples: how many samples are looked at; their outputs are held in memory.
        seed: of the draws in the estimates.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        What was chosen; its `layers` are what `quantize` and the recipes take.

    Raises:
        SettingError: for no candidates, a budget below the cheapest choice, or a cost that does not add up.
        TargetError: for bits that the target does not have.
        GraphError: if the network has quantizers already.
    """
    move(network, device)
    found = partial(estimates, seed=seed) if losses is None else losses
    wanted = Wanted(cost, candidates, target, rule, weight_rule, found, samples)
    record = choose(find_menu(network, data, wanted), budget)
    network.history.append(record)
    return record


def find_menu(network: Network, data: Any, wanted: Wanted) -> Menu:
    """Every option of every group, with its predicted loss and its cost.

    Args:
        network: as in `mixed_precision`; it is left alone.
        data: as in `mixed_precision`.
        wanted: what there is to choose from.

    Raises:
        GraphError: if the network has quantizers already.
    """
    own, source = network.copy().eval(), first(batches(data, network), wanted.samples)
    fold_batch_norms(own)
    weights, activations = wanted.widest
    rules = find_target(wanted.target)
    placed = quantize(own, target=rules, weights=weights, activations=activations, weight_rule=wanted.weight_rule)
    calibrate(own, source, rule=wanted.rule)
    values = value_quantizers(own, placed)
    groups = find_groups(own, values, tied=wanted.tied)
    widths = [_widths(group, wanted.candidates) for group in groups]
    exact = reference(own, list(source), None)
    meter = Meter(own, groups, values, find_cost(wanted.cost).price)
    losses = _losses(meter, widths, exact, wanted)
    return Menu(wanted, exact.samples, meter, widths, losses, *meter.above_first(widths))


def choose(menu: Menu, budget: float | str) -> MixedPrecision:
    """The least predicted loss within a budget.

    Args:
        menu: what there is to choose from.
        budget: as in `mixed_precision`.

    Raises:
        SettingError: for a budget below the cheapest choice, or a cost that does not add up over groups.
    """
    wanted, meter, cost = menu.wanted, menu.meter, find_cost(menu.wanted.cost)
    allowed = meter.uniform(*uniform_widths(budget)) if isinstance(budget, str) else float(budget)
    problem, fixed = menu.problem(allowed)
    best = knapsack.solve(problem)
    chosen = [widths[index] for widths, index in zip(menu.widths, best.picked, strict=True)]
    spent = meter.count(chosen)
    if not abs(spent - fixed - best.cost) <= SLACK * max(abs(spent), abs(fixed)):
        raise SettingError(
            "cost",
            f"does not add up: the choice costs {spent:.12g}, its groups together {fixed + best.cost:.12g}",
            remedy="give a cost that is a sum over layers and values",
        )
    own = dict.fromkeys(meter.values, wanted.widest[1])
    pairs = list(zip(meter.groups, chosen, strict=True))
    return MixedPrecision(
        target=find_target(wanted.target).name,
        cost=cost.name,
        unit=cost.unit,
        budget=allowed,
        spent=spent,
        loss=best.loss,
        bound=best.bound,
        greedy_loss=greedy.solve(problem).loss,
        samples=menu.samples,
        weights={path: bits[0] for group, bits in pairs for path in group.layers},
        activations=own | {name: bits[1] for group, bits in pairs for name in group.values},
    )


# Options --------------------------------------------------------------------------------------------------------------


def _widths(group: BitGroup, candidates: Sequence[Candidate]) -> list[Widths]:
    """A group's different options, 0 for what it has not."""
    return list(dict.fromkeys((w if group.layers else 0, a if group.values else 0) for w, a in candidates))


def _words(bits: Widths) -> str:
    return "".join(f"{letter}{count}" for letter, count in zip("WA", bits, strict=True) if count)


def _losses(meter: Meter, widths: Sequence[Sequence[Widths]], exact: Reference, wanted: Wanted) -> list[list[float]]:
    """The losses of a group's quantizers, summed for each of its options."""
    found = _alone(meter, widths, exact, wanted)

    def loss(group: BitGroup, bits: Widths) -> float:
        on_weights = [meter.on_weights[path] for path in group.layers]
        on_values = dict.fromkeys(one for name in group.values for one in meter.values[name])
        return math.fsum([*(found[one, bits[0]] for one in on_weights), *(found[one, bits[1]] for one in on_values)])

    return [[loss(group, bits) for bits in choices] for group, choices in zip(meter.groups, widths, strict=True)]


def _alone(
    meter: Meter, widths: Sequence[Sequence[Widths]], exact: Reference, wanted: Wanted
) -> Mapping[tuple[Quantizer, int], float]:
    """What each quantizer alone does to the outputs, at each width that it may get."""
    asked: dict[Quantizer, set[int]] = {}
    for group, choices in zip(meter.groups, widths, strict=True):
        for path in group.layers:
            asked.setdefault(meter.on_weights[path], set()).update(bits[0] for bits in choices)
        for name in group.values:
            for quantizer in meter.values[name]:
                asked.setdefault(quantizer, set()).update(bits[1] for bits in choices)
    grids: dict[str, Grid] = {}
    names: dict[tuple[Quantizer, int], str] = {}
    for site in sites(meter.network):
        for bits in sorted(asked.get(site.quantizer, ())):
            name = names[site.quantizer, bits] = f"{site.kind} {site.name} {bits} bits"
            grids[name] = (site, at_width(site, bits, wanted.weight_rule))
    found = wanted.losses(meter.network, grids, exact)
    return {place: found[name] for place, name in names.items()}
