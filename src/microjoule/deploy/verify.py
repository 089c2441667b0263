"""Is what was deployed what was simulated? Value by value, on data.

    mj.verify(network, "model.onnx", images)

The simulation computes with floating-point numbers that lie on grids; a runtime computes with integers. Each quantized
value is compared in steps of its grid, from the first layer to the last, every runtime going on with its own values.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import onnx
import torch
from torch import Tensor
from torch.fx import Node

from microjoule.deploy.agreement import Comparison, Tally
from microjoule.deploy.integer import IntegerRunner, unsupported
from microjoule.deploy.qdq import QUANTIZED, stored_type
from microjoule.deploy.session import RUNTIME, open_session, read_model, run_session
from microjoule.errors import ExportError, SettingError
from microjoule.execution.batches import Batches, batches, first
from microjoule.execution.progress import track
from microjoule.execution.run import visit
from microjoule.graph.network import Network
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import quantize
from microjoule.records.facts import Verified

ONNX_RUNTIME = "onnxruntime"
INTEGER_RUNNER = "integer runner"
RUNTIMES = (ONNX_RUNTIME, INTEGER_RUNNER)
SAMPLES_AT_ONCE = 8
"""All values of a batch are in memory together; 8 images of 224 x 224 take some 100 MB in MobileNetV2."""


class Runtime(Protocol):
    """Something that runs the network in integer."""

    name: str
    values: tuple[str, ...]

    def __call__(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], Tensor]:
        """Run a batch; returns the integers of each value, and the network's first output."""


def verify(
    network: Network, path: str | Path, data: Any, *, samples: int | None = None, runtimes: Sequence[str] | None = None
) -> list[Verified]:
    """Compare the simulation with the exported file in ONNX Runtime, and with the integer runner.

    ONNX Runtime shows its integers as further outputs of a copy of the file. That leaves its integer kernels in place,
    as each value is the output of one anyway; the agreement of the largest output is measured with the file as it is.

    Args:
        network: the quantized network that was exported.
        path: of the exported file.
        data: inputs, in any form that `batches` takes; labels are not read.
        samples: how many to use; None for all.
        runtimes: some of `RUNTIMES`; None for ONNX Runtime, and the integer runner if it has all of the operators.

    Returns:
        A record for each runtime, which the network's history gets as well.

    Raises:
        FileError: if the file is missing or damaged.
        ExportError: if the file is not of this network, or the integer runner is asked for and lacks an operator.
        DataError: if the data is empty or does not fit.
    """
    source = batches(data, batch_size=SAMPLES_AT_ONCE)
    source = source if samples is None else first(source, samples)
    chosen = _runtimes(network, path, runtimes)
    records = [comparison.record(str(path)) for comparison in _compare(network, chosen, source)]
    network.history.extend(records)
    return records


def _runtimes(network: Network, path: str | Path, names: Sequence[str] | None) -> list[Runtime]:
    wanted = list(names) if names is not None else [ONNX_RUNTIME] + ([] if unsupported(network) else [INTEGER_RUNNER])
    for name in wanted:
        if name not in RUNTIMES:
            raise SettingError("runtimes", f"has no {name!r}", remedy=f"use some of {', '.join(RUNTIMES)}")
    makers = {ONNX_RUNTIME: lambda: _OnnxRuntime(network, path), INTEGER_RUNNER: lambda: _Integers(network)}
    return [makers[name]() for name in wanted]


def _compare(network: Network, runtimes: list[Runtime], source: Batches) -> list[Comparison]:
    places = {f"quantizers.{name}": name for name in network.quantizers}
    nodes = {node: places[str(node.target)] for node in network.graph.nodes if str(node.target) in places}
    output = _first_output(network)
    zero_points = {name: int(q.affine.zero_point.flatten()[0]) for name, q in network.quantizers.items()}
    comparisons = [Comparison(r.name, {v: Tally(zero_points[v]) for v in r.values}) for r in runtimes]
    for inputs, _ in track(source, "verify", total=source.samples):
        expected, outputs = _simulated(network, inputs, nodes, output)
        for runtime, comparison in zip(runtimes, comparisons, strict=True):
            integers, got = runtime(inputs)
            for name in runtime.values:
                comparison.update(name, expected[name], integers[name])
            comparison.update_outputs(outputs, got)
    return comparisons


def _first_output(network: Network) -> Node:
    output = next(node for node in network.graph.nodes if node.op == "output")
    return output.all_input_nodes[0]


def _simulated(
    network: Network, inputs: tuple[Any, ...], nodes: dict[Node, str], output: Node
) -> tuple[dict[str, Tensor], Tensor]:
    """The integers of each value, and the first output."""
    found: dict[str, Tensor] = {}
    outputs: list[Tensor] = []

    def look(node: Node, value: Tensor) -> None:
        if node in nodes:
            quantizer = network.module.get_submodule(str(node.target))
            assert isinstance(quantizer, Quantizer)
            grid = quantizer.affine.grid
            smallest = torch.uint8 if 0 <= grid.qmin and grid.qmax <= 255 else torch.int32  # to hold a batch's values
            found[nodes[node]] = quantize(value, quantizer.affine).to(smallest)
        if node is output:
            outputs.append(value)

    visit(network, inputs, [*nodes, output], look)
    return found, outputs[0]


class _OnnxRuntime:
    """The exported file: as it is, and with its integers as outputs."""

    def __init__(self, network: Network, path: str | Path) -> None:
        model = read_model(path)
        self.name = RUNTIME
        self.deployed = open_session(model.SerializeToString(), str(path))
        made = {output for node in model.graph.node for output in node.output}
        self.values = tuple(name for name in network.quantizers if f"{name}{QUANTIZED}" in made)
        if not self.values:
            raise ExportError(
                str(path), "has none of the network's quantized values", remedy="export this network and verify that file"
            )
        for name in self.values:
            kind = stored_type(network.quantizers[name].affine.grid).value
            model.graph.output.append(onnx.helper.make_tensor_value_info(f"{name}{QUANTIZED}", kind, None))
        self.open = open_session(model.SerializeToString(), str(path))

    def __call__(self, inputs: tuple[Any, ...]) -> tuple[dict[str, Tensor], Tensor]:
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
