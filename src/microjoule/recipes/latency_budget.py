"""Budgets in measured latency: what a model of it says is adjusted until what is measured keeps the share.

A plan is chosen by the model, the original restructured by it, without a fit, and timed in turns with the original. Too
slow, and the next plan gets less of the model's milliseconds; much faster than it need be, and it gets more.

Source: the secant method between a share that is kept and one that is not, with bisection where it would leave them
(Dekker 1969); measuring what a plan gives before it is trusted, as Yang et al. 2018, NetAdapt,
https://arxiv.org/abs/1804.03230.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

from microjoule.compression.choice import Chosen, choose
from microjoule.compression.latency_model import LatencyModel
from microjoule.compression.menu import Menu
from microjoule.compression.plan import Plan
from microjoule.errors import SettingError
from microjoule.execution.tasks import run_tasks
from microjoule.jobs.run_folder import RunFolder
from microjoule.recipes.latency_probes import CLOCK, PROBES, Clock, probed, shares_of
from microjoule.records.compressed import LatencyModelled

MEASUREMENTS = 6
"""Plans that are tried for one share and way."""

NEAR = 0.04
"""How far below the share a latency may stay, of the share: no less than what repeated measurements differ by."""

EDGE = 10
"""No plan is tried nearer to one that was tried than a tenth of what lies between it and the next."""


# The search -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The share of the model's milliseconds whose plan keeps a share of the measured ones.

    Args:
        modelled: that share.
        measured: the share that was measured.
        measurements: how many plans were timed.
    """

    modelled: float
    measured: float
    measurements: int


def adjusted(measured: Callable[[float], float], share: float, slope: float) -> Adjusted:
    """The largest share of the model's milliseconds, of those tried, that keeps a share of the measured ones.

    Args:
        measured: the share that is measured for one of the model's; it raises `SettingError` where nothing is so cheap.
        share: of the measured milliseconds, to keep.
        slope: by how much the measured share is foreseen to change with the model's.

    Raises:
        SettingError: if none keeps it.
    """
    tried, reason, lowest, done = [(1.0, 1.0)], "", 0.0, 0
    while done < MEASUREMENTS and not any(share * (1 - NEAR) < found <= share for _, found in tried):
        modelled = _next(tried, share, slope, lowest)
        done += 1
        try:
            tried.append((modelled, measured(modelled)))
        except SettingError as error:
            reason, lowest = str(error), modelled
    kept = [one for one in tried if one[1] <= share]
    if not kept:
        fact = f"of {share:.1%} is not kept: the fastest of {done} plans takes {min(found for _, found in tried):.1%}"
        raise SettingError("latency", fact, remedy=reason or "give a larger share, or multiple=8 or 16")
    return Adjusted(*max(kept, key=lambda one: (one[1], one[0])), done)


def _next(tried: Sequence[tuple[float, float]], share: float, slope: float, lowest: float) -> float:
    """The next share of the model's milliseconds: where a line through what was measured keeps the measured share."""
    kept = max((one for one in tried if one[1] <= share), default=None)
    upper = min(one for one in tried if one[1] > share and (kept is None or one[0] > kept[0]))
    other = kept or ((1.0, 1.0) if upper[0] < 1 else None)
    if other is not None and (other[0] - upper[0]) * (other[1] - upper[1]) > 0:
        slope = (other[1] - upper[1]) / (other[0] - upper[0])
    low, high = lowest if kept is None else kept[0], upper[0]
    wanted = upper[0] + (share * (1 - NEAR / 2) - upper[1]) / slope
    return min(max(wanted, low + (high - low) / EDGE), high - (high - low) / EDGE)


# Ways -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Timings:
    """What a network's latency is, and what each way to compress it has to be given so that a share of it is kept.

    Args:
        menu: priced by the model.
        whole_ms: of the network as it is.
        model: of the latency.
        clock: that times networks.
        bits: in which it times them.
        kept: where what is measured is kept.
    """

    menu: Menu
    whole_ms: float
    model: LatencyModel
    clock: Clock
    bits: int
    kept: RunFolder
    _found: dict[str, Adjusted | SettingError] = field(default_factory=dict)

    def chosen(self, share: float, way: float) -> Chosen:
        """The plan of a way that keeps a share, as measured; its cost is the share that was measured.

        Raises:
            SettingError: if the way cannot keep it.
        """
        name = f"{share} {way} timed"
        if name not in self._found:
            texts = run_tasks(
                lambda: lambda _: self._adjusted(share, way), [name], self.kept, _parsed, label="networks to time"
            )
            self._found.update(texts)
        one = self._found[name]
        if isinstance(one, SettingError):
            raise one
        return replace(_planned(self.menu, one.modelled, way), cost=one.measured * self.whole_ms)

    @property
    def record(self) -> LatencyModelled:
        """The model, as a report tells it."""
        model = self.model
        told = CLOCK.format(bits=self.bits)
        factors = {name: factor for name, factor in model.factors.items() if factor}
        return LatencyModelled(self.whole_ms, model.fixed_ms, factors, PROBES, model.relative_error, told)

    def _adjusted(self, share: float, way: float) -> str:
        """A way's budget in the model's milliseconds; of a way that cannot keep the share, the reason."""
        layers = self.menu.cost(Plan())
        known = dict[str, float]()

        def measured(modelled: float) -> float:
            plan = _planned(self.menu, modelled, way).plan
            if str(plan) not in known:
                known[str(plan)] = shares_of(self.menu.network, [plan], self.clock)[1][0]
            return known[str(plan)]

        try:
            return json.dumps(asdict(adjusted(measured, share, layers / (layers + self.model.fixed_ms))))
        except SettingError as error:
            return json.dumps({"reason": [error.place, error.fact, error.remedy]})


def timings(menu: Menu, clock: Clock, *, bits: int, seed: int, kept: RunFolder) -> Timings:
    """Time a network and others of its kind once; then any share of its latency can be asked for.

    Args:
        menu: of the network, in multiply-accumulates.
        clock: that times networks.
        bits: in which it times them.
        seed: of the networks that the model is fitted to.
        kept: as in `Timings`.
    """
    whole_ms, model = probed(menu, clock, seed=seed, kept=kept)
    return Timings(replace(menu, currency=model.currency), whole_ms, model, clock, bits, kept)


def _planned(menu: Menu, modelled: float, way: float) -> Chosen:
    return choose(menu, modelled * menu.cost(Plan()), modelled**way)


def _parsed(text: str) -> Adjusted | SettingError:
    """What was found for a way, or why it cannot keep the share.

    Raises:
        ValueError: for a text that is no result.
        TypeError: likewise.
    """
    content = json.loads(text)
    if isinstance(content, dict) and "reason" in content:
        place, fact, remedy = content["reason"]
        return SettingError(place, fact, remedy=remedy)
    found = Adjusted(**content)
    if not all(isinstance(number, int | float) for number in content.values()):
        raise ValueError("its fields are no numbers")
    return found
