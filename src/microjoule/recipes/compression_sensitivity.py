"""What compression of each layer and of each channel group alone does: measured, and foreseen in closed form."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from microjoule.compression.alone import CHANNELS, LOW_RANK, Smaller, make_smaller, smaller_groups, smaller_layers
from microjoule.compression.criteria import CRITERIA
from microjoule.compression.menu import METHODS, Menu, find_menu
from microjoule.compression.prices import currency
from microjoule.errors import SettingError
from microjoule.execution.device import Device, move, returns
from microjoule.execution.scoring import MetricLike, as_metric
from microjoule.execution.tasks import Jobs, Work, run_tasks
from microjoule.graph.network import Network, takes_network
from microjoule.jobs.run_folder import RunFolder
from microjoule.numerics.least_squares import Moments
from microjoule.numerics.low_rank_shapes import Method
from microjoule.numerics.ranks import rank_correlation
from microjoule.recipes.compression_scores import WHOLE, Score, beside, by_metric, evaluated_of
from microjoule.recipes.compression_trial import identity_of
from microjoule.recipes.preparation import check_network, fit_and_judge
from microjoule.records.compressed import CompressionSensitivity, OneCompressed
from microjoule.records.json_io import to_json
from microjoule.records.measured import Evaluated
from microjoule.records.stages import ORIGINAL

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

KINDS: dict[str, Callable[[Menu, Sequence[float]], Any]] = {LOW_RANK: smaller_layers, CHANNELS: smaller_groups}
"""What can be made smaller."""


@takes_network
@returns
def compression_sensitivity(
    network: Network,
    data: Any,
    metric: MetricLike | None = None,
    *,
    shares: Sequence[float] = SHARES,
    kinds: Sequence[str] = tuple(KINDS),
    calibration: Any = None,
    methods: Sequence[Method] = METHODS,
    criterion: str = CRITERIA[0],
    samples: int = 1000,
    folder: str | Path | None = None,
    n_jobs: int = 1,
    backend: str = "loky",
    seed: int = 0,
    device: Device = None,
) -> CompressionSensitivity:
    """Find out what can be made smaller: each layer in low-rank form, each channel group in fewer channels, alone.

    Each is fitted in closed form, and the network is scored. Beside it stands what is foreseen without scoring: the
    relative error of the outputs. `mj.compress` goes by that alone.

    Args:
        network: in floating point; only its history changes.
        data: labelled data for the metric, in any form that `batches` takes.
        metric: as in `mj.evaluate`; it is reset each time. None measures nothing: all there is is what is foreseen.
        shares: to keep, of a layer's multiply-accumulates or of a group's units.
        kinds: "low rank", "channels", or both.
        calibration: some hundred unlabelled inputs. None takes those of `data` if there is no metric, else fits to the
            first of them, as `mj.compress` does.
        methods: the low-rank forms; of those that keep a share the one that loses least is taken.
        criterion: by which channels are chosen, as in `mj.compress`.
        samples: how many calibration inputs are used, the first ones.
        folder: where each result is kept; the same call then goes on where an earlier one stopped.
        n_jobs: how many processes measure at once, -1 for one a core; each holds the moments of the layers' inputs.
        backend: joblib's: "loky", "threading", or a cluster's that is registered with joblib, such as "ray".
        seed: of the places that are looked at.
        device: where it runs, such as "cuda"; None for where the network is, and where it is afterwards.

    Raises:
        SettingError: for shares, kinds or a criterion that there are not, or a criterion that needs scores of classes
            where the network gives none.
        DataError: if the data has no targets for the metric, is empty, or does not fit.
        FileError: if the folder holds the results of another run.
    """
    move(network, device)
    if not shares or not all(0 < share < 1 for share in shares):
        raise SettingError("shares", f"is {tuple(shares)}", remedy="give shares between 0 and 1")
    if not kinds or not set(kinds) <= set(KINDS):
        raise SettingError("kinds", f"is {tuple(kinds)}", remedy=f"choose from {', '.join(KINDS)}")
    check_network(network)
    jobs, fitted = Jobs(n_jobs, backend), data if metric is None and calibration is None else calibration
    inputs, judge = fit_and_judge(network, data, fitted, samples=samples, seed=seed)
    own = network.copy().eval()
    menu = find_menu(own, inputs, currency("macs"), seed=seed, methods=methods, criterion=criterion)
    found = [one for kind in KINDS if kind in kinds for one in KINDS[kind](menu, shares)]
    score = None if metric is None else by_metric(judge, as_metric(metric))
    options = {"methods": tuple(methods), "seed": seed, "criterion": criterion}
    values: dict[str, Evaluated] = {}
    if score is not None:
        with RunFolder(folder, partial(identity_of, own, inputs, score, options)) as run:
            values = _measured(_Scoring(own, menu.known, score, found), run, jobs)
    record = _record(score, found, values)
    network.history.append(record)
    return record


# Measuring ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scoring:
    """Makes what runs a task."""

    network: Network
    known: Mapping[str, Moments]
    score: Score
    found: Sequence[Smaller]

    @property
    def tasks(self) -> dict[str, Smaller]:
        """By name."""
        return {_task(one): one for one in self.found}

    def __call__(self) -> Work:
        return partial(self._scored, self.tasks)

    def _scored(self, tasks: Mapping[str, Smaller], task: str) -> str:
        network = self.network.copy()
        if task != WHOLE:
            make_smaller(network, tasks[task], self.known)
        return to_json(self.score.of(network, ORIGINAL if task == WHOLE else task))


def _task(one: Smaller) -> str:
    how = f"{one.form[0]} of rank" if one.form is not None else "channels:"
    return f"{one.name} {how} {one.left}"


def _measured(scoring: _Scoring, run: RunFolder, jobs: Jobs) -> dict[str, Evaluated]:
    """The score by task, each compared with the network's as it is."""
    tasks = [WHOLE, *scoring.tasks]
    scored = run_tasks(scoring, tasks, run, evaluated_of, label="compression sensitivity", jobs=jobs)
    return {task: beside(one, scored[WHOLE]) for task, one in scored.items()}


def _record(score: Score | None, found: Sequence[Smaller], scored: Mapping[str, Evaluated]) -> CompressionSensitivity:
    whole = scored.get(WHOLE)
    rows, measured = [], []
    for one in found:
        method, own = "" if one.form is None else one.form[0], scored.get(_task(one))
        value = None if own is None else own.value
        error = None if own is None or own.compared is None else own.compared.standard_error
        rows.append(OneCompressed(one.name, one.kind, one.kept, method, one.left, one.full, one.loss, value, error))
        if own is not None:
            measured.append((one.loss, -own.value if own.higher_is_better else own.value))
    return CompressionSensitivity(
        metric="" if score is None else score.name,
        unit="" if score is None else score.unit,
        value=None if whole is None else whole.value,
        samples=0 if whole is None else whole.samples,
        rows=tuple(rows),
        rank_correlation=rank_correlation(*zip(*measured, strict=True)) if measured else None,
    )
