"""What hurts: every quantizer alone, at several widths, measured and estimated."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from microjoule.errors import DataError, SettingError
from microjoule.execution.batches import batches, first
from microjoule.execution.device import Device, move, returns
from microjoule.execution.scoring import MetricLike, as_metric
from microjoule.execution.tasks import Jobs
from microjoule.graph.network import Network, takes_network
from microjoule.numerics.affine import Affine
from microjoule.numerics.ranges import RangeRule, min_max
from microjoule.numerics.ranks import rank_correlation
from microjoule.quantization.alone import KINDS, Site, at_width, sites
from microjoule.quantization.fisher import estimates
from microjoule.quantization.sensitivity import Effect, Grid, reference, sweep
from microjoule.records.analysed import Sensitivities, Sensitivity


@takes_network
@returns
def sensitivity(
    network: Network,
    data: Any,
    metric: MetricLike | None = None,
    *,
    bits: Sequence[int] = (4, 8),
    kinds: Sequence[str] = KINDS,
    samples: int = 256,
    weight_rule: RangeRule = min_max,
    proxy_only: bool = False,
    folder: str | Path | None = None,
    n_jobs: int = 1,
    backend: str = "loky",
    seed: int = 0,
    device: Device = None,
) -> Sensitivities:
    """Find out what hurts: switch every quantizer off but one, and look at what the network gives.

    Each quantizer is measured at each width: the metric, the SQNR of the outputs, and the KL divergence from the
    classes' probabilities in floating point. Beside it stands an estimate from gradients, which takes one backward
    pass a sample for all of them together.

    Args:
        network: with quantizers that have their ranges; it is run in evaluation mode, and only its history changes.
        data: inputs, in any form that `batches` takes, with targets if there is a metric.
        metric: to be computed as well, as in `mj.evaluate`; it is reset each time.
        bits: the widths. At its own a quantizer has the grid that it has; at others an activation keeps its range.
        kinds: of quantizers: "weight", "activation", or both.
        samples: how many samples are used; they are held in memory, and so are the outputs.
        weight_rule: how the ranges of weights are chosen at other widths.
        proxy_only: leave the measuring out; the estimates are all that the record then holds.
        folder: where each result is kept; the same call then goes on where an earlier one stopped.
        n_jobs: how many processes measure at once, -1 for one a core.
        backend: joblib's: "loky", "threading", or a cluster's that is registered with joblib, such as "ray".
        seed: of the draws in the estimates.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Raises:
        GraphError: if there is no such quantizer, or one has no range.
        DataError: if the data does not fit, or has no targets for the metric.
        SettingError: for widths or kinds that there are not.
        FileError: if the folder holds the results of another run.
    """
    move(network, device)
    own = network.copy().eval()
    jobs, grids = Jobs(n_jobs, backend), _grids(own, bits, kinds, weight_rule)
    source, asked = first(batches(data, network), samples), None if proxy_only or metric is None else as_metric(metric)
    if asked is not None and not source.labelled:
        raise DataError(source.name, "has no targets", remedy="give (inputs, targets), or leave the metric out")
    exact = reference(own, list(source), asked)
    proxies = estimates(own, grids, exact, seed=seed)
    options = {"weight_rule": weight_rule}
    effects = {} if proxy_only else sweep(own, grids, exact, jobs, folder=folder, options=options)
    rows = tuple(_row(*grids[task], effects.get(task), proxies[task]) for task in grids)
    name, unit = ("", "") if asked is None else (asked.name, asked.unit)
    record = Sensitivities(name, unit, exact.value, exact.samples, rows, _agreement(rows))
    network.history.append(record)
    return record


def _grids(network: Network, bits: Sequence[int], kinds: Sequence[str], rule: RangeRule) -> dict[str, Grid]:
    """Every quantizer at every width, by the name of the task."""
    if not bits:
        raise SettingError("bits", "is empty", remedy="give the widths to try, such as (4, 8)")
    return {
        f"{site.kind} {site.name} {width} bits": (site, at_width(site, width, rule))
        for site in sites(network, kinds)
        for width in sorted(set(bits))
    }


def _row(site: Site, affine: Affine, found: Effect | None, proxy: float) -> Sensitivity:
    place = site.name, site.kind, site.path, affine.grid.bits
    if found is None:
        return Sensitivity(*place, None, None, None, proxy)
    return Sensitivity(*place, found.value, found.sqnr_db, found.kl, proxy, found.value_error)


def _agreement(rows: Sequence[Sensitivity]) -> float | None:
    """How alike the estimate and the measurement order the rows."""
    harms = [row.kl if row.kl is not None else -row.sqnr_db for row in rows if row.sqnr_db is not None]
    return rank_correlation([row.proxy for row in rows if row.proxy is not None], harms) if harms else None
