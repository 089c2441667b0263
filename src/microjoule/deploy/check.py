"""Does a file compute what the network computes? Seen in ONNX Runtime on the example, before the file is written.

torch's exporter leaves away attributes of some operators, and ONNX Runtime's integer kernels have faults of their own.
So each file is run at two batch sizes. Every quantized value is compared on its own, in steps of its grid; what is real
is compared relative to its largest value. Where outputs differ, the operators in front of them are looked at one by
one, and the first that differs is named.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import onnx
import torch
from torch import Tensor
from torch.fx import Node

from microjoule.deploy.agreement import Tally, departs
from microjoule.deploy.difference import difference
from microjoule.deploy.flat import Interface
from microjoule.deploy.locate import WrongOperator, first_wrong_operator, place_of
from microjoule.deploy.qdq import QUANTIZED, stored_type
from microjoule.deploy.replay import Substitute, quantizer_nodes, replay
from microjoule.deploy.rounding import rounding_steps
from microjoule.deploy.session import RUNTIME, open_session, run_session
from microjoule.errors import DataError, ExportError, FileError
from microjoule.execution.signature import part_of
from microjoule.graph.network import Network
from microjoule.graph.ops import kind
from microjoule.graph.shapes import typed_shapes
from microjoule.numerics.affine import dequantize, quantize

MOST_SAMPLES = 8
VALUES_AT_ONCE = 2**26
"""Of quantized values, which are in memory together: 64 MiB of 8 bits."""

RELATIVE = 2e-5
"""By how much of its largest value an output may differ: float32 sums of a deep network in another order."""

ACCEPTED = 2e-3
"""By how much it may differ where no operator does: a network can amplify what was summed in another order."""

REMEDY = "write it with check=False to look at the file, and leave that layer in floating point or replace the operator"


def check_file(content: bytes, network: Network, found: Interface, place: str) -> tuple[str, ...]:
    """Raise if ONNX Runtime computes from a file something else than the network does.

    Args:
        content: the file.
        network: on the CPU, in evaluation mode.
        found: what goes into the file and comes out.
        place: what the file is called in messages.

    Returns:
        Notes, in words.

    Raises:
        ExportError: if ONNX Runtime does not run the file, or computes something else; it names the first value or
            operator that differs.
    """
    looks = _Looks(content, network, found, place)
    notes: dict[str, None] = {}
    for leaves in _batches(network):
        notes |= dict.fromkeys(looks.at(leaves))
    return tuple(notes)


def _batches(network: Network) -> Iterator[list[Any]]:
    """The example's inputs at two numbers of samples, or as they are where the batch is fixed."""
    leaves, contract = network.example.tensors, network.contract
    size = contract.samples(leaves)
    if not network.dynamic_batch or size is None:
        yield leaves
        return
    each = sum(_numel(shape) for shape in _quantized_shapes(network))
    most = max(1, min(size, MOST_SAMPLES, VALUES_AT_ONCE // max(each, 1)))
    for samples in (most, most - 1 or 2):
        chosen = torch.arange(samples) % size
        yield part_of(leaves, chosen, contract.batch_axis)


def _quantized_shapes(network: Network) -> list[tuple[int, ...]]:
    shapes = typed_shapes(network)
    return [shapes[node][0] for node in quantizer_nodes(network).values() if node in shapes]


def _numel(shape: tuple[int, ...]) -> int:
    return int(torch.Size(shape).numel())


class _Looks:
    """A file beside its network."""

    def __init__(self, content: bytes, network: Network, found: Interface, place: str) -> None:
        self.network, self.found, self.place = network, found, place
        model = onnx.ModelProto.FromString(content)
        made = {output for node in model.graph.node for output in node.output}
        self.nodes = {n: node for n, node in quantizer_nodes(network).items() if f"{n}{QUANTIZED}" in made}
        for name in self.nodes:
            kind = stored_type(network.quantizers[name].affine.grid).value
            model.graph.output.append(onnx.helper.make_tensor_value_info(f"{name}{QUANTIZED}", kind, None))
        try:
            self.deployed = open_session(content, place)
            self.open = open_session(model.SerializeToString(), place) if self.nodes else self.deployed
        except FileError as error:
            raise ExportError(place, f"would not open in {RUNTIME}: {error.fact}", remedy=REMEDY) from error

    def at(self, leaves: list[Any]) -> Iterator[str]:
        """Compare a batch; gives notes."""
        given = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        got = self._run(self.deployed, given)
        values = got if self.open is self.deployed else self._run(self.open, given)
        integers = dict(zip(self.nodes, values[len(self.found.outputs) :], strict=True))
        tallies: dict[str, Tally] = {}
        expected = self.found.chosen(replay(self.network, leaves, self._substitutes(integers, tallies)))
        yield from self._compare_integers(leaves, tallies, integers)
        wrong = [
            (name, apart)
            for name, a, b in zip(self.found.outputs, expected, values, strict=False)
            if (apart := difference(a, b)) > RELATIVE
        ]
        if wrong:
            yield from self._look_closer(leaves, *max(wrong, key=lambda one: one[1]))
        self._compare_runs(got, values)

    def _run(self, session: Any, given: Sequence[Tensor]) -> list[Tensor]:
        try:
            return [torch.from_numpy(array) for array in run_session(session, tuple(given), None)]
        except DataError as error:
            raise ExportError(self.place, f"would not run in {RUNTIME}: {error.fact}", remedy=REMEDY) from error

    def _substitutes(self, integers: dict[str, Tensor], tallies: dict[str, Tally]) -> dict[Node, Substitute]:
        def substitute(name: str) -> Substitute:
            affine = self.network.quantizers[name].affine
            tallies[name] = Tally(int(affine.zero_point.flatten()[0]))

            def put(value: Tensor) -> Tensor:
                tallies[name].update(quantize(value, affine), integers[name])
                return dequantize(integers[name].to(torch.int32), affine)

            return put

        return {node: substitute(name) for name, node in self.nodes.items()}

    def _compare_integers(
        self, leaves: list[Any], tallies: dict[str, Tally], integers: dict[str, Tensor]
    ) -> Iterator[str]:
        apart = {name: tally for name, tally in tallies.items() if departs(tally.summary(name))}
        noise = rounding_steps(self.network, leaves, integers) if apart else {}
        for name, tally in apart.items():
            tally.rounding = noise.get(name, 0.0)
            found = tally.summary(name)
            if departs(found):
                wrong = first_wrong_operator(self.network, leaves)
                if wrong is not None:
                    raise _wrong(wrong)
                fact = (
                    f"{1 - found.within_one_step_share:.2%} of its integers in the file are more than a step from the "
                    f"network's, the furthest {found.largest_steps:,} steps, in {RUNTIME}"
                )
                raise ExportError(_place(self.network, self.nodes[name]), fact, remedy=REMEDY)
            yield f"{name} is 0 but for float32's rounding, which alone moves it by {tally.rounding:.1f} of its steps"

    def _look_closer(self, leaves: list[Any], name: str, apart: float) -> Iterator[str]:
        wrong = first_wrong_operator(self.network, leaves)
        if wrong is not None:
            raise _wrong(wrong)
        if apart > ACCEPTED:
            fact = f"differs from the network's in {RUNTIME}, by {apart:.3g} of its largest value"
            raise ExportError(f"output {name}", fact, remedy=REMEDY)
        yield f"output {name} differs by {apart:.2g} of its largest value, though no operator differs on its own"

    def _compare_runs(self, got: list[Tensor], shown: list[Tensor]) -> None:
        """The file as it is against the same file when it shows its integers."""
        for name, a, b in zip(self.found.outputs, shown, got, strict=False):
            apart = difference(a, b)
            if apart > 0.5:
                fact = f"differs by {apart:.3g} of its largest value from what its own integers give, in {RUNTIME}"
                raise ExportError(f"output {name}", fact, remedy=REMEDY)


def _wrong(found: WrongOperator) -> ExportError:
    fact = f"differs in the file from the network's, by {found.difference:.3g} of its largest value, in {RUNTIME}"
    return ExportError(found.place, fact, remedy=REMEDY)


def _place(network: Network, quantizer: Node) -> str:
    """A quantized value, and the operators that make it from other quantized values."""
    makers: list[Node] = []
    waiting = list(quantizer.all_input_nodes)
    while waiting:
        node = waiting.pop()
        if (
            node.op in ("call_function", "call_module")
            and kind(network.module, node) != "quantizer"
            and node not in makers
        ):
            makers.append(node)
            waiting += node.all_input_nodes
    name = str(quantizer.target).removeprefix("quantizers.")
    return f"{name}, made by {' and '.join(place_of(network, node) for node in makers[:3])}" if makers else name
