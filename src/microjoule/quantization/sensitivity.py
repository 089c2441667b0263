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

from microjoule.errors import DataError, FileError
from microjoule.execution.binding import Batch
from microjoule.execution.evaluate import Metric
from microjoule.execution.progress import track
from microjoule.execution.run import run, to_device, unquantized
from microjoule.execution.signature import batch_axis, samples_along
from microjoule.execution.tasks import Jobs, Work, digest, run_tasks
from microjoule.graph.network import Network
from microjoule.graph.read import read
from microjoule.numerics.affine import Affine
from microjoule.numerics.divergence import are_class_scores, class_divergence
from microjoule.numerics.error import decibel
from microjoule.quantization.alone import KINDS, Site, alone, sites


@dataclass(frozen=True, slots=True)
class Effect:
    """What one grid alone does to the outputs; `value` of the metric, `kl` in nats, None where there is none."""

    value: float | None
    sqnr_db: float
    kl: float | None


@dataclass(frozen=True, slots=True)
class Reference:
    """Samples, and what the network gives for them in floating point.

    Args:
        batches: inputs and targets.
        outputs: for each batch, its floating-point output tensors, on the CPU.
        metric: to be computed for each task; None for none.
        value: of the metric in floating point.
        samples: how many there are.
    """

    batches: tuple[Batch, ...]
    outputs: tuple[tuple[Tensor, ...], ...]
    metric: Metric | None
    value: float | None
    samples: int

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
    samples = sum(samples_along(inputs, batch_axis(network)) for inputs, _ in given)
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
    value = None if metric is None else float(metric.compute())
    return Reference(tuple(given), tuple(outputs), metric, value, samples)


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
    value = None if exact.metric is None else float(exact.metric.compute())
    return Effect(value, decibel(signal, noise), divergence / exact.samples if exact.has_classes else None)


# All tasks -------------------------------------------------------------------

Grid = tuple[Site, Affine]
"""A quantizer, and the grid that it is to have."""


def sweep(
    network: Network, grids: Mapping[str, Grid], exact: Reference, jobs: Jobs, *, identity: Mapping[str, str]
) -> dict[str, Effect]:
    """The effect of each grid alone, as independent tasks.

    Args:
        network: that holds the quantizers.
        grids: by the names of their tasks.
        exact: the samples and their outputs in floating point.
        jobs: how the tasks are run.
        identity: of the data and the settings; the network's, the samples' and the metric's is added.

    Raises:
        FileError: if the folder of the jobs holds the results of another run, or a file that is no result.
    """
    whole = {
        "network": network_digest(network),
        "samples": digest([inputs for inputs, _ in exact.batches]),
        "targets": digest([targets for _, targets in exact.batches]),
        "metric": "" if exact.metric is None else exact.metric.name,
        **identity,
    }
    places = {site.quantizer: index for index, site in enumerate(sites(network, KINDS, calibrated=False))}
    by_place = {task: (places[site.quantizer], affine) for task, (site, affine) in grids.items()}
    here = jobs.n_jobs == 1
    make = network.copy if here else partial(_unpacked, _packed(network), str(network.device))
    prepare = _Sweep(make, exact, by_place)
    texts = run_tasks(prepare, list(grids), jobs, identity=whole, label="sensitivity")
    return {task: _effect(text, task, jobs) for task, text in texts.items()}


def network_digest(network: Network) -> str:
    """Sixteen hexadecimal digits that tell a network from others: its graph, its grids, its numbers."""
    schemes = [str(site.quantizer.scheme) for site in sites(network, KINDS, calibrated=False)]
    state = network.state_dict()
    return digest([str(network.graph), schemes, list(state), list(state.values())])


def _effect(text: str, task: str, jobs: Jobs) -> Effect:
    try:
        content = json.loads(text)
        made = Effect(**content)
        numbers = [number for number in (made.value, made.sqnr_db, made.kl) if number is not None]
        if not all(isinstance(number, float) for number in numbers) or made.sqnr_db is None:
            raise ValueError("its fields are no numbers")
    except (ValueError, TypeError) as error:
        raise FileError(
            str(jobs.folder), f"holds a file for {task!r} that is no result", remedy="remove that file"
        ) from error
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
