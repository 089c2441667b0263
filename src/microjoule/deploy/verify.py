"""Is what was deployed what was simulated? Value by value, and from end to end, on data.

    mj.verify(network, "model.onnx", images)

The simulation computes with floating-point numbers that lie on grids; a runtime computes with integers. Each
quantized value is compared in steps of its grid, layer by layer: the simulation computes a layer from what the runtime
gave to it, so that the first one to depart is the one to look at. Every output is compared with each on its own from
end to end, with the simulation and with floating point, sample by sample.

With scales that no result falls half way between (`avoid_ties`) every integer is the same. With others one value in
some ten thousand is rounded up here and down there, and end to end that moves hundreds of values of the next layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import onnx
import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.deploy.agreement import Comparison, Tally, departs
from microjoule.deploy.flat import Interface, interface
from microjoule.deploy.hexagon import Hexagon
from microjoule.deploy.integer import IntegerRunner
from microjoule.deploy.integer_share import integer_share
from microjoule.deploy.integer_support import unsupported
from microjoule.deploy.output_agreement import LEAST_DB, Limits, OutputTally
from microjoule.deploy.qdq import QUANTIZED, stored_type
from microjoule.deploy.regroup import Group, regrouped
from microjoule.deploy.replay import quantizer_nodes
from microjoule.deploy.rounding import rounding_steps
from microjoule.deploy.session import RUNTIME, open_session, read_model, run_session
from microjoule.errors import ExportError, GraphError, SettingError
from microjoule.execution.batches import Batches, batches, first
from microjoule.execution.device import move, returns
from microjoule.execution.fixed_batch import Fill
from microjoule.execution.progress import track
from microjoule.execution.run import run, to_device, unquantized, visit
from microjoule.execution.signature import samples_along
from microjoule.graph.network import Network, takes_network
from microjoule.graph.shapes import typed_shapes
from microjoule.numerics.affine import dequantize, quantize
from microjoule.records.measured import Verified

ONNX_RUNTIME = "onnxruntime"
INTEGER_RUNNER = "integer runner"
HEXAGON = "hexagon"
DEFAULTS = (ONNX_RUNTIME, INTEGER_RUNNER)
RUNTIMES = (*DEFAULTS, HEXAGON)
SAMPLES_AT_ONCE = 8
VALUES_AT_ONCE = 2**26
"""All values of a batch are in memory together; 8 images of 224 x 224 take some 100 MB in MobileNetV2."""

OWN_REFERENCE = "the network with its quantizers off: its folded and corrected weights, before they are rounded"
GIVEN_REFERENCE = "the network in floating point that was given"

Reference = Network | nn.Module | None


class Runtime(Protocol):
    """Something that runs the network in integer."""

    name: str
    compared: str
    values: tuple[str, ...]

    def __call__(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Run a batch; returns the integers of each value, and the outputs that are tensors, in order."""


@takes_network
@returns
def verify(
    network: Network,
    path: str | Path,
    data: Any,
    *,
    samples: int | None = None,
    runtimes: Sequence[str] | None = None,
    reference: Reference = None,
    least_db: float = LEAST_DB,
    least_fp32_db: float | None = None,
) -> list[Verified]:
    """Compare the simulation with the exported file in ONNX Runtime, with the integer runner, or with Hexagon.

    ONNX Runtime shows its integers as further outputs of a copy of the file. That leaves its integer kernels in place,
    as each value is the output of one anyway; outputs are compared with those of the file as it is. Batches have two
    sizes, neither that of the example, and there is a rest; a fixed batch is filled up.

    Args:
        network: the quantized network that was exported.
        path: of the exported file.
        data: inputs, in any form that `batches` takes; labels are not read.
        samples: how many to use; None for all.
        runtimes: some of `RUNTIMES`; None for ONNX Runtime, and the integer runner if it has all operators.
        reference: the network or module in floating point that outputs are compared with; None for this network with
            its quantizers off.
        least_db: how near each output must be to the simulation from end to end.
        least_fp32_db: how near each output must be to floating point; None for no limit but that it may be 3 dB further
            than the simulation is.

    Returns:
        A record for each runtime, which the network's history gets as well; `problems` says what is too far.

    Raises:
        FileError: if the file is missing or damaged.
        GraphError: if the network has no quantizers.
        ExportError: if under half of the network's quantized values are in the file, or the integer runner or Hexagon
            is asked for and lacks an operator.
        SettingError: if there is no such runtime, or its extra is not installed.
        DataError: if the data is empty or does not fit.
    """
    if not network.quantizers:
        raise GraphError(
            "network",
            "has no quantizers, and their values are what is compared",
            remedy="quantize it first: mj.recipes.data_free(network), or microjoule quantize",
        )
    move(network, "cpu")  # where the runtimes are
    source = batches(data, network, batch_size=SAMPLES_AT_ONCE)
    source = source if samples is None else first(source, samples)
    names = _names(network, runtimes)
    found = interface(network)
    chosen = [_Against(network, found, runtime) for runtime in _runtimes(network, path, names)]
    _compare(network, chosen, source, _Fp32(network, found, reference))
    told = OWN_REFERENCE if reference is None else GIVEN_REFERENCE
    limits, records = Limits(simulated_db=least_db, fp32_db=least_fp32_db), []
    for name, against in zip(names, chosen, strict=True):
        place = "" if name == INTEGER_RUNNER else str(path)
        record = against.comparison.record(place, len(network.quantizers), reference=told, limits=limits)
        records.append(replace(record, integers=integer_share(path)) if name == ONNX_RUNTIME else record)
    network.history.extend(records)
    return records


def _names(network: Network, wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        return [ONNX_RUNTIME] if unsupported(network) else list(DEFAULTS)
    for name in wanted:
        if name not in RUNTIMES:
            raise SettingError("runtimes", f"has no {name!r}", remedy=f"use some of {', '.join(RUNTIMES)}")
    return list(wanted)


def _runtimes(network: Network, path: str | Path, names: list[str]) -> list[Runtime]:
    makers: dict[str, Callable[[], Runtime]] = {
        ONNX_RUNTIME: lambda: _OnnxRuntime(network, path),
        INTEGER_RUNNER: lambda: _Integers(network),
        HEXAGON: lambda: Hexagon(network, path),
    }
    return [makers[name]() for name in names]


def _compare(network: Network, chosen: "list[_Against]", source: Batches, fp32: "_Fp32") -> None:
    """Every comparison, batch by batch."""
    axis = network.batch_axis
    example = samples_along(network.example.tensors, axis)
    shown = track(source, "verify", total=source.samples)
    most = _samples_at_once(network)
    for group in regrouped(shown, most=most, example=example, fixed=not network.dynamic_batch, axis=axis):
        simulated = run(network, group.inputs)
        reference = fp32(group.inputs)
        for against in chosen:
            against.update(group, simulated, reference)


def _samples_at_once(network: Network) -> int:
    shapes = typed_shapes(network)
    values = sum(torch.Size(shapes[node][0]).numel() for node in quantizer_nodes(network).values() if node in shapes)
    return max(1, min(SAMPLES_AT_ONCE, VALUES_AT_ONCE // max(values, 1)))


def _tensors(values: list[Any]) -> list[Tensor]:
    return [value.detach().cpu() for value in values]


class _Fp32:
    """The network in floating point."""

    def __init__(self, network: Network, found: Interface, given: Reference) -> None:
        self.network, self.found, self.given = network, found, given

    def __call__(self, inputs: tuple[Any, ...]) -> list[Tensor]:
        """Its outputs for a batch."""
        if self.given is None:
            with unquantized(self.network):
                return _tensors(self.found.chosen(run(self.network, inputs)))
        if isinstance(self.given, Network):
            return self._chosen(run(self.given, inputs))
        training = self.given.training
        tensors = (*self.given.parameters(), *self.given.buffers())
        device = tensors[0].device if tensors else torch.device("cpu")
        try:
            with torch.no_grad():
                return self._chosen(self.given.eval()(*to_device(inputs, device)))
        finally:
            self.given.train(training)

    def _chosen(self, outputs: Any) -> list[Tensor]:
        """The reference's outputs that have the places of the network's."""
        count, places = len(pytree.tree_leaves(outputs)), self.found.places
        if count <= max(places):
            fact = f"gives {count} outputs, and the network {max(places) + 1}"
            raise SettingError("reference", fact, remedy="give the network or model that was quantized")
        return _tensors(self.found.chosen(outputs))


class _Against:
    """A runtime against the simulation, layer by layer on the runtime's values, and from end to end."""

    def __init__(self, network: Network, found: Interface, runtime: Runtime) -> None:
        self.network, self.found, self.runtime = network, found, runtime
        outputs = [OutputTally(name) for name in found.outputs]
        tallies = {name: Tally(int(network.quantizers[name].affine.zero_point.flatten()[0])) for name in runtime.values}
        self.comparison = Comparison(runtime.name, runtime.compared, tallies, outputs)
        self.places = {node: name for name, node in quantizer_nodes(network).items() if name in runtime.values}

    def update(self, group: Group, simulated: Any, fp32: list[Tensor]) -> None:
        """Take in one batch."""
        integers, deployed = self.runtime(group.inputs)
        axis = self.network.batch_axis
        size = samples_along(group.inputs, axis)

        def look(node: Node, value: Tensor) -> Tensor:
            name = self.places[node]
            affine = self.network.quantizers[name].affine
            theirs = integers[name].to(value.device)
            self.comparison.update(name, quantize(value, affine), theirs)
            return dequantize(theirs.to(torch.int32), affine)

        visit(self.network, group.inputs, self.places, look)
        self._ask_rounding(group.inputs, integers)
        if len(deployed) != len(self.found.outputs):
            fact = f"gives {len(deployed)} outputs, and the network {len(self.found.outputs)}"
            raise ExportError(self.runtime.compared, fact, remedy="export this network and verify that file")
        three = (deployed, _tensors(self.found.chosen(simulated)), fp32)
        counted = Fill(group.samples, size, axis)
        real = [counted.cut(outputs) for outputs in three]
        self.comparison.batch_sizes.append(size)
        self.comparison.update_outputs(*real, samples=group.samples)

    def _ask_rounding(self, inputs: tuple[Any, ...], integers: dict[str, Tensor]) -> None:
        """Where a value has just come to depart, how much of that float32's rounding is."""
        tallies = self.comparison.tallies
        apart = [name for name, tally in tallies.items() if departs(tally.summary(name))]
        if not apart:
            return
        leaves = self.network.row(inputs)
        for name, steps in rounding_steps(self.network, leaves, integers).items():
            if name in apart:
                tallies[name].rounding = max(tallies[name].rounding, steps)


class _OnnxRuntime:
    """The exported file: as it is, and with its integers as outputs."""

    def __init__(self, network: Network, path: str | Path) -> None:
        model, self.network = read_model(path), network
        self.name = RUNTIME
        self.compared = f"{Path(path).name} in ONNX Runtime against the simulation"
        self.deployed = open_session(model.SerializeToString(), str(path))
        made = {output for node in model.graph.node for output in node.output}
        self.values = tuple(name for name in network.quantizers if f"{name}{QUANTIZED}" in made)
        if 2 * len(self.values) < len(network.quantizers):
            fact = f"has {len(self.values)} of the network's {len(network.quantizers)} quantized values"
            raise ExportError(str(path), fact, remedy="export this network and verify that file")
        for name in self.values:
            kind = stored_type(network.quantizers[name].affine.grid).value
            model.graph.output.append(onnx.helper.make_tensor_value_info(f"{name}{QUANTIZED}", kind, None))
        self.open = open_session(model.SerializeToString(), str(path))

    def __call__(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Run a batch."""
        arrays = run_session(self.open, self.network.row(inputs), [f"{name}{QUANTIZED}" for name in self.values])
        outputs = run_session(self.deployed, self.network.row(inputs), None)
        return dict(zip(self.values, map(torch.from_numpy, arrays), strict=True)), list(map(torch.from_numpy, outputs))


class _Integers:
    """The integer runner, which reads no file."""

    def __init__(self, network: Network) -> None:
        self.name = INTEGER_RUNNER
        self.runner = IntegerRunner(network)
        bits = self.runner.accumulator_bits
        self.compared = f"the network in integers, sums of {bits} bits, against the simulation; no file is run"
        self.values = tuple(network.quantizers)
        self.found = interface(network)

    def __call__(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], list[Tensor]]:
        integers, outputs = self.runner.integers(inputs)
        return integers, self.found.chosen(outputs)
