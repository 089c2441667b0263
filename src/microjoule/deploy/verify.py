"""Is what was deployed what was simulated? Value by value, on data.

    mj.verify(network, "model.onnx", images)

The simulation computes with floating-point numbers that lie on grids; a runtime computes with integers. Each
quantized value is compared in steps of its grid, layer by layer: the simulation computes a layer from what the runtime
gave to it, so that the first one to depart is the one to look at. The largest outputs are compared with each on its own
from end to end.

With scales that no result falls half way between (`avoid_ties`) every integer is the same. With others one value in
some ten thousand is rounded up here and down there, and end to end that moves hundreds of values of the next layer.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import onnx
import torch
from torch import Tensor
from torch.fx import Node
from torch.utils import _pytree as pytree

from microjoule.deploy.agreement import Comparison, Tally
from microjoule.deploy.hexagon import Hexagon
from microjoule.deploy.integer import IntegerRunner, unsupported
from microjoule.deploy.qdq import QUANTIZED, stored_type
from microjoule.deploy.session import RUNTIME, open_session, read_model, run_session
from microjoule.errors import ExportError, GraphError, SettingError
from microjoule.execution.batches import Batches, batches, first
from microjoule.execution.device import move, returns
from microjoule.execution.progress import track
from microjoule.execution.run import run, visit
from microjoule.graph.network import Network
from microjoule.numerics.affine import dequantize, quantize
from microjoule.records.measured import Verified

ONNX_RUNTIME = "onnxruntime"
INTEGER_RUNNER = "integer runner"
HEXAGON = "hexagon"
DEFAULTS = (ONNX_RUNTIME, INTEGER_RUNNER)
RUNTIMES = (*DEFAULTS, HEXAGON)
SAMPLES_AT_ONCE = 8
"""All values of a batch are in memory together; 8 images of 224 x 224 take some 100 MB in MobileNetV2."""


class Runtime(Protocol):
    """Something that runs the network in integer."""

    name: str
    values: tuple[str, ...]

    def __call__(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], Tensor]:
        """Run a batch; returns the integers of each value, and the network's first output."""


@returns
def verify(
    network: Network, path: str | Path, data: Any, *, samples: int | None = None, runtimes: Sequence[str] | None = None
) -> list[Verified]:
    """Compare the simulation with the exported file in ONNX Runtime, with the integer runner, or with Hexagon.

    ONNX Runtime shows its integers as further outputs of a copy of the file. That leaves its integer kernels in place,
    as each value is the output of one anyway; the agreement of the largest output is measured with the file as it is.

    Args:
        network: the quantized network that was exported.
        path: of the exported file.
        data: inputs, in any form that `batches` takes; labels are not read.
        samples: how many to use; None for all.
        runtimes: some of `RUNTIMES`; None for ONNX Runtime, and the integer runner if it has all operators.

    Returns:
        A record for each runtime, which the network's history gets as well.

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
    comparisons = _compare(network, path, names, source)
    records = [comparison.record(str(path), len(network.quantizers)) for comparison in comparisons]
    network.history.extend(records)
    return records


def _names(network: Network, wanted: Sequence[str] | None) -> list[str]:
    if wanted is None:
        return [ONNX_RUNTIME] if unsupported(network) else list(DEFAULTS)
    for name in wanted:
        if name not in RUNTIMES:
            raise SettingError("runtimes", f"has no {name!r}", remedy=f"use some of {', '.join(RUNTIMES)}")
    return list(wanted)


def _compare(network: Network, path: str | Path, names: list[str], source: Batches) -> list[Comparison]:
    """Every comparison, batch by batch."""
    makers: dict[str, Callable[[], Runtime]] = {
        ONNX_RUNTIME: lambda: _OnnxRuntime(network, path),
        INTEGER_RUNNER: lambda: _Integers(network),
        HEXAGON: lambda: Hexagon(network, path),
    }
    chosen = [_Against(network, makers[name]()) for name in names]
    for inputs, _ in track(source, "verify", total=source.samples):
        simulated = _first_tensor(run(network, inputs))
        for against in chosen:
            against.update(inputs, simulated)
    return [against.comparison for against in chosen]


def _first_tensor(outputs: Any) -> Tensor:
    return next(leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor))


def _tallies(network: Network, values: tuple[str, ...]) -> dict[str, Tally]:
    return {name: Tally(int(network.quantizers[name].affine.zero_point.flatten()[0])) for name in values}


class _Against:
    """A runtime against the simulation, layer by layer on the runtime's values."""

    def __init__(self, network: Network, runtime: Runtime) -> None:
        self.network, self.runtime = network, runtime
        self.comparison = Comparison(runtime.name, _tallies(network, runtime.values))
        names = {f"quantizers.{name}": name for name in runtime.values}
        self.places = {node: names[str(node.target)] for node in network.graph.nodes if str(node.target) in names}

    def update(self, inputs: tuple[Any, ...], simulated: Tensor, /) -> None:
        """Take in one batch."""
        integers, outputs = self.runtime(inputs)

        def look(node: Node, value: Tensor) -> Tensor:
            name = self.places[node]
            affine = self.network.quantizers[name].affine
            self.comparison.update(name, quantize(value, affine), integers[name])
            return dequantize(integers[name].to(torch.int32), affine)

        visit(self.network, inputs, self.places, look)
        self.comparison.update_outputs(simulated, outputs)


class _OnnxRuntime:
    """The exported file: as it is, and with its integers as outputs."""

    def __init__(self, network: Network, path: str | Path) -> None:
        model = read_model(path)
        self.name = RUNTIME
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

    def __call__(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], Tensor]:
        """Run a batch."""
        arrays = run_session(self.open, inputs, [f"{name}{QUANTIZED}" for name in self.values])
        outputs = run_session(self.deployed, inputs, None)
        return dict(zip(self.values, map(torch.from_numpy, arrays), strict=True)), torch.from_numpy(outputs[0])


class _Integers:
    """The integer runner."""

    def __init__(self, network: Network) -> None:
        self.name = INTEGER_RUNNER
        self.runner = IntegerRunner(network)
        self.values = tuple(network.quantizers)

    def __call__(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], Tensor]:
        return self.runner.integers(inputs)
