"""The sweep: what each quantizer alone does to the outputs, a pass through the data for each width of each."""

import copy
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from microjoule.errors import DataError
from microjoule.execution.binding import Batch
from microjoule.execution.compare import error_of_difference
from microjoule.execution.progress import track
from microjoule.execution.run import run, to_device, unquantized
from microjoule.execution.scoring import Metric, sample_scores, value_of
from microjoule.execution.signature import samples_along
from microjoule.execution.tasks import Jobs, Work, run_tasks
from microjoule.graph.file.read import read
from microjoule.graph.network import Network
from microjoule.jobs.identity import Identity, data_facts, network_facts, option_facts
from microjoule.jobs.run_folder import RunFolder
from microjoule.numerics.affine import Affine
from microjoule.numerics.divergence import are_class_scores, class_divergence
from microjoule.numerics.error import decibel
from microjoule.quantization.alone import KINDS, Site, alone, sites
from microjoule.records.compared import SampleScores


@dataclass(frozen=True, slots=True)
class Effect:
    """What one grid alone does to the outputs; `value` of the metric, `kl` in nats, None where there is none.

    `value_error` is the paired standard error of the value's difference to floating point.
    """

    value: float | None
    sqnr_db: float
    kl: float | None
    value_error: float | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """Samples, and what the network gives for them in floating point.

    Args:
        batches: inputs and targets.
        outputs: for each batch, its floating-point output tensors, on the CPU.
        metric: to be computed for each task; None for none.
        value: of the metric in floating point.
        samples: how many there are.
        scores: what each sample contributes to the metric in floating point; None if that is not known.
    """

    batches: tuple[Batch, ...]
    outputs: tuple[tuple[Tensor, ...], ...]
    metric: Metric | None
    value: float | None
    samples: int
    scores: SampleScores | None = None

    @property
    def has_classes(self) -> bool:
        """Whether the network gives scores of classes, and nothing else."""
        return len(self.outputs[0]) == 1 and are_class_scores(self.outputs[0][0])


def output_tensors(outputs: Any) -> tuple[Tensor, ...]:
    """A network's floating-point outputs, however they are nested."""
    return tuple(leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.is_floating_point())


def reference(network: Network, given: Sequence[Batch], metric: Metric | None) -> Reference:
    """Run the network in floating point, once for all.

    Raises:
        DataError: if the inputs do not fit the network, or it gives no floating-point tensor.
    """
    outputs: list[tuple[Tensor, ...]] = []
    samples = sum(samples_along(inputs, network.batch_axis) for inputs, _ in given)
    if metric is not None:
        metric.reset()
    with unquantized(network):
        for inputs, targets in track(given, "in floating point", total=samples):
            found = run(network, inputs)
            if metric is not None:
                metric.update(found, to_device(targets, network.device))
            outputs.append(tuple(tensor.cpu() for tensor in output_tensors(found)))
    if not outputs[0]:
        raise DataError("network", "gives no floating-point tensor", remedy="capture the part that gives its scores")
    value, scores = (None, None) if metric is None else _scored(metric, samples)
    return Reference(tuple(given), tuple(outputs), metric, value, samples, scores)


def _scored(metric: Metric, samples: int) -> tuple[float, SampleScores | None]:
    value = value_of(metric)
    return value, sample_scores(metric, value, samples)


# One task --------------------------------------------------------------------


def effect(network: Network, site: Site, affine: Affine, exact: Reference) -> Effect:
    """What one grid alone does to the outputs."""
    if exact.metric is not None:
        exact.metric.reset()
    signal = noise = divergence = 0.0
    with alone(network, site, affine):
        for (inputs, targets), wanted in zip(exact.batches, exact.outputs, strict=True):
            found = run(network, inputs)
            if exact.metric is not None:
                exact.metric.update(found, to_device(targets, network.device))
            for one, other in zip(wanted, output_tensors(found), strict=True):
                signal += one.double().square().sum().item()
                noise += (other.cpu().double() - one.double()).square().sum().item()
                if exact.has_classes:
                    divergence += class_divergence(one, other.cpu()).sum().item()
    value, scores = (None, None) if exact.metric is None else _scored(exact.metric, exact.samples)
    kl = divergence / exact.samples if exact.has_classes else None
    return Effect(value, decibel(signal, noise), kl, error_of_difference(scores, exact.scores))


# All tasks -------------------------------------------------------------------

Grid = tuple[Site, Affine]
"""A quantizer, and the grid that it is to have."""


def sweep(
    network: Network,
    grids: Mapping[str, Grid],
    exact: Reference,
    jobs: Jobs,
    *,
    folder: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Effect]:
    """The effect of each grid alone, as independent tasks.

    Args:
        network: that holds the quantizers.
        grids: by the names of their tasks.
        exact: the samples and their outputs in floating point.
        jobs: how the tasks are run.
        folder: where each effect is kept; None for nowhere.
        options: by which the grids were made.

    Raises:
        FileError: if the folder holds the results of another run, is in use, or cannot be written.
    """
    places = {site.quantizer: index for index, site in enumerate(sites(network, KINDS, calibrated=False))}
    by_place = {task: (places[site.quantizer], affine) for task, (site, affine) in grids.items()}
    here = jobs.n_jobs == 1
    make = network.copy if here else partial(_unpacked, _packed(network), str(network.device))

    def identity() -> Identity:
        if exact.metric is not None:
            exact.metric.reset()
        asked = option_facts({"metric": exact.metric, **(options or {})})
        return Identity.of(asked, network_facts(network), data_facts(exact.batches))

    with RunFolder(folder, identity) as run:
        return run_tasks(_Sweep(make, exact, by_place), list(grids), run, _effect, label="sensitivity", jobs=jobs)


def _effect(text: str) -> Effect:
    """What one grid did.

    Raises:
        ValueError: for a text that is no result.
        TypeError: likewise.
    """
    made = Effect(**json.loads(text))
    found = (made.value, made.sqnr_db, made.kl, made.value_error)
    numbers = [number for number in found if number is not None]
    if not all(isinstance(number, float) for number in numbers) or made.sqnr_db is None:
        raise ValueError("its fields are no numbers")
    return made


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Makes what runs a task, with a network of its own, as quantizers are switched on and off."""

    make: Callable[[], Network]
    exact: Reference
    grids: Mapping[str, tuple[int, Affine]]

    def __call__(self) -> Work:
        network, exact = self.make(), replace(self.exact, metric=copy.deepcopy(self.exact.metric))
        found = sites(network, KINDS, calibrated=False)

        def work(task: str) -> str:
            index, affine = self.grids[task]
            return json.dumps(asdict(effect(network, found[index], affine, exact)))

        return work


def _packed(network: Network) -> bytes:
    """A network as its file, since one with quantizers on weights cannot be sent as it is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.mj"
        network.save(path)
        return path.read_bytes()


def _unpacked(content: bytes, device: str) -> Network:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.mj"
        path.write_bytes(content)
        return read(path).to(device)
