"""Networks of less work from networks that exist; how much of each layer goes, and by which means, is found."""

import time
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
from microjoule.recipes.compression_scores import by_metric
from microjoule.recipes.compression_trial import WAYS, How, open_trial
from microjoule.recipes.preparation import check_network, fit_choose_confirm, run_record


@takes_network
@returns
def compress(
    network: Network,
    data: Any,
    metric: MetricLike,
    *,
    macs: float | None = None,
    size: float | None = None,
    energy: float | None = None,
    latency: float | None = None,
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
) -> Network:
    """Make a network cheaper without training: prune channels, put layers in low-rank forms, fit what is left.

    What each step would lose is known in closed form from one pass over unlabelled inputs; an exact knapsack chooses
    how much of each layer goes. How channels and low-rank forms share the work is tried, and the best way is taken.

    Args:
        network: in floating point; it is left alone. Batch norms may stand in it.
        data: labelled data that ways are chosen by, in any form that `batches` takes. Where there is no other to
            confirm on, it is divided, at random and each class alike, and the score that is reported is of the part
            that nothing was chosen by.
        metric: as in `mj.evaluate`; it is reset each time.
        macs: the share of multiply-accumulates to keep; exactly one of these budgets is given.
        size: the share of the weights' bytes to keep.
        energy: the share of the energy to keep, by the table of `mj.costs`.
        latency: the share of the milliseconds to keep, as measured in ONNX Runtime here, on one thread.
        latency_bits: in which networks are timed, 32 or 8; in 8 the share is of what the quantized original takes.
        calibration: some hundred unlabelled inputs, mixed like the data the network will see. None fits to a part of
            `data`, three fifths at most, or four fifths, where others confirm.
        confirm: labelled data on which the original and what was chosen are scored at the end.
        methods: the low-rank forms that may be used; none to prune alone.
        multiple: widths and ranks are multiples of this; 1 for any number. In ONNX Runtime on x86 those of 8 or 16 take
            far less time at the same multiply-accumulates.
        criterion: by which channels are chosen: "elimination" (by what the readers would lose), "lasso", "matching",
            "norm", "taylor", "fisher", "geometric_median" or "redundancy"; what is left is fitted in the same way.
        ways: how much of the saving channels do, from 0 (none) to 1 (all), each of which is tried.
        samples: how many calibration inputs are used, the first ones.
        seed: of the places that are looked at.
        folder: keeps each way's score and each fitted layer; the same call goes on where it was interrupted, and a
            call for another share, or `compression_front`, may use the same folder.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Returns:
        A new network, really smaller; its history ends with the record `Compressed`.

    Raises:
        SettingError: unless exactly one budget is given, or for one that cannot be kept; for a criterion that there is
            not, or that needs scores of classes where the network gives none.
        DataError: if the data has no targets, is empty, or does not fit.
        ExportError: for a latency, if the network cannot be exported.
        FileError: if the folder holds the work of another run, or cannot be written.
    """
    move(network, device)
    started = time.perf_counter()
    budgets = {"macs": macs, "size": size, "energy": energy, "latency": latency}
    cost, share = budget_of(**budgets)
    place = None if folder is None else Path(folder)
    how = How(tuple(methods), tuple(ways), multiple, seed, place, criterion, latency_bits)
    check_network(network)
    scored_by = as_metric(metric)
    inputs, chooses, confirms = fit_choose_confirm(network, data, calibration, confirm, samples=samples, seed=seed)
    choose, confirming = by_metric(chooses, scored_by), by_metric(confirms, scored_by, "data to confirm on")
    with open_trial(network, inputs, choose, cost, how, confirm=confirming) as trial:
        result = trial.best(share, trial.run([share]))
    settings = {**budgets, "multiple": multiple, "samples": samples, "criterion": criterion}
    settings |= {"latency_bits": latency_bits} if latency is not None else {}
    result.history.insert(len(network.history), run_record("compress", settings, seed, started))
    return result


def budget_of(**shares: float | None) -> tuple[str, float]:
    """The name of what is paid, as `open_trial` takes it, and the share of it to keep, of which exactly one is given.

    Args:
        shares: "macs", "size", "energy" and "latency".

    Raises:
        SettingError: unless exactly one is given, or for a share that there is not.
    """
    given = {name: share for name, share in shares.items() if share is not None}
    if len(given) != 1:
        fact = f"is given {len(given)} times: {', '.join(given)}" if given else "is missing"
        raise SettingError("budget", fact, remedy=f"give one of {', '.join(shares)}")
    ((name, share),) = given.items()
    if not isinstance(share, int | float) or not 0 < share <= 1:
        raise SettingError(name, f"is {share!r}", remedy="give the share to keep, above 0 and up to 1")
    return "bytes" if name == "size" else name, share
