"""Accuracy against cost for a network that is made smaller: measured at several shares of its cost."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from microjoule.compression.criteria import CRITERIA
from microjoule.compression.menu import METHODS
from microjoule.errors import SettingError
from microjoule.execution.device import Device, move, returns
from microjoule.execution.scoring import MetricLike, as_metric
from microjoule.graph.network import Network, takes_network
from microjoule.numerics.low_rank_shapes import Method
from microjoule.recipes.compression_scores import WHOLE, Results, Scored, by_metric
from microjoule.recipes.compression_trial import WAYS, How, Trial, open_trial
from microjoule.recipes.preparation import check_network, fit_choose_confirm
from microjoule.records.decided import FrontPoint, ParetoFront
from microjoule.search.pareto import pareto_front

SHARES = (0.9, 0.75, 0.6, 0.5, 0.4, 0.3)
"""Of the cost, that are tried."""


@takes_network
@returns
def compression_front(
    network: Network,
    data: Any,
    metric: MetricLike,
    *,
    shares: Sequence[float] = SHARES,
    cost: str = "macs",
    latency_bits: int = 32,
    calibration: Any = None,
    confirm: Any = None,
    methods: Sequence[Method] = METHODS,
    multiple: int = 1,
    criterion: str = CRITERIA[0],
    ways: Sequence[float] = WAYS,
    samples: int = 1000,
    seed: int = 0,
    folder: str | Path | None = None,
    device: Device = None,
) -> ParetoFront:
    """Measure accuracy against cost: for each share of the cost compress the network, and score it.

    What each step would lose is found once for all shares.

    Args:
        network: in floating point; only its history changes.
        data: labelled data that each share's way is chosen by, as in `mj.compress`.
        metric: as in `mj.evaluate`; it is reset each time.
        shares: of the cost, to keep; each once.
        cost: what is counted: "macs", "bytes" or "energy"; or "latency", measured as in `mj.compress`.
        latency_bits: as there.
        calibration: as there.
        confirm: as there; the values of the front are of these samples.
        methods: as there.
        multiple: as there.
        criterion: as there.
        ways: as there; each point is the best of them.
        samples: as there.
        seed: as there.
        folder: keeps each network's score and each fitted layer; the same call then goes on where it was interrupted,
            another call may ask for more shares, and `mj.compress` finds its share there.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Raises:
        SettingError: for shares that there are not, one that cannot be kept in any way, or another cost.
        DataError: if the data has no targets, is empty, or does not fit.
        ExportError: for a latency, if the network cannot be exported.
        FileError: if the folder holds the work of another run, or cannot be written.
    """
    move(network, device)
    if not shares or len(set(shares)) < len(shares) or not all(0 < share <= 1 for share in shares):
        raise SettingError("shares", f"is {tuple(shares)}", remedy="give shares above 0 and up to 1, each once")
    place = None if folder is None else Path(folder)
    how = How(tuple(methods), tuple(ways), multiple, seed, place, criterion, latency_bits)
    check_network(network)
    scored_by = as_metric(metric)
    inputs, chooses, confirms = fit_choose_confirm(network, data, calibration, confirm, samples=samples, seed=seed)
    choose, confirming = by_metric(chooses, scored_by), by_metric(confirms, scored_by, "data to confirm on")
    with open_trial(network, inputs, choose, cost, how, confirm=confirming) as trial:
        trial.check(min(shares))
        record = _front(trial, shares, trial.run(shares))
    network.history += [] if trial.timings is None else [trial.timings.record]
    network.history.append(record)
    return record


def _front(trial: Trial, shares: Sequence[float], found: Results) -> ParetoFront:
    """The best way of each share."""
    tasks = [trial.taken(share, found) for share in shares]
    made = [one for one in (found[task] for task in tasks) if isinstance(one, Scored)]
    scores = trial.confirmed(tasks, found)
    whole, confirmed = scores[WHOLE], [scores[task] for task in tasks]
    sign = -1 if whole.higher_is_better else 1
    best = pareto_front([(sign * own.value, one.cost) for own, one in zip(confirmed, made, strict=True)])
    points = [
        FrontPoint(f"{share:g}", one.cost, one.loss, own.value, index in best, own.compared, one.evaluated.value)
        for index, (share, one, own) in enumerate(zip(shares, made, confirmed, strict=True))
    ]
    return ParetoFront(
        metric=trial.score.name,
        unit=trial.score.unit,
        fp_value=whole.value,
        samples=whole.samples,
        cost=trial.menu.currency.name,
        cost_unit=trial.menu.currency.unit,
        points=tuple(sorted(points, key=lambda point: (point.spent, -point.value))),
    )
