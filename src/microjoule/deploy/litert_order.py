"""The order of a TensorFlow Lite file: the file as a computation, and the same file in another order.

LiteRT runs operators in the order in which the file has them, so a better order is another order of one vector. As that
vector holds distances, nothing else in the file changes, not its size either.

What LiteRT keeps in its arena, and so what a computation counts:

- values that operators make, and those that the caller gives; constants lie in the file;
- a reshape gives its input, unless one of the two is the caller's, which makes it copy;
- sums, differences, products, quotients and softmax write over an input that nobody else reads;
- a concatenation copies; that it is a view, as papers count it, is an option.

LiteRT frees neither the caller's inputs nor a value that nobody reads; and its fast convolutions of more than one
point unfold their input first (im2col). Both are options as well, as other runtimes for the same file do neither.

Source: Ahn et al. 2020, Ordering Chaos: Memory-Aware Scheduling of Irregularly Wired Neural Networks for Edge Devices,
https://arxiv.org/abs/2003.02369
"""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from microjoule.deploy.litert_file import LiteRtModel, LiteRtOperator, read_litert
from microjoule.errors import FileError, GraphError
from microjoule.records.files import write_atomically
from microjoule.scheduling.computation import Computation, Operator, Value

VIEWS = frozenset(("reshape", "squeeze", "expand_dims", "bitcast"))
"""Operators that only call their input something else."""

IN_PLACE = {"add": 2, "sub": 2, "mul": 2, "div": 2, "softmax": 1, "update_slice": 1}
"""Operators that may write over one of so many first inputs."""

SMALLEST_SHARED_BYTES = 5
"""A value of 4 bytes or less is not written over."""


@dataclass(frozen=True, slots=True)
class Accounting:
    """What is counted, beside the values themselves.

    Args:
        concatenation_is_view: its inputs are made where they will be read together, and it costs nothing.
        in_place: operators write over inputs that nobody else reads.
        keeps_inputs: the caller's inputs, and values that nobody reads, stay until the end.
        workspaces: what fast convolutions unfold their input into.
    """

    concatenation_is_view: bool = False
    in_place: bool = False
    keeps_inputs: bool = False
    workspaces: bool = False


REFERENCE_KERNELS = Accounting(in_place=True, keeps_inputs=True)
"""LiteRT with its plain kernels."""

OPTIMIZED_KERNELS = Accounting(in_place=True, keeps_inputs=True, workspaces=True)
"""LiteRT with its fast kernels, on one thread, without a delegate."""


def litert_computation(path: str | Path, accounting: Accounting | None = None) -> Computation:
    """What a .tflite file computes, as values of some bytes.

    Args:
        path: of the file.
        accounting: what is counted; None for values alone.

    Raises:
        FileError: if there is none, or it is damaged, or another kind of file.
        GraphError: if it holds several graphs, a tensor without a size, or operators out of order.
    """
    return computation_of(read_litert(path), accounting)


def computation_of(model: LiteRtModel, accounting: Accounting | None = None) -> Computation:
    """As `litert_computation`, of a file that was read already."""
    return _Reading(model, accounting or Accounting()).computation()


def write_litert_order(path: str | Path, order: Sequence[int], target: str | Path) -> Path:
    """Write a .tflite file again, with its operators in another order and everything else as it is.

    Args:
        path: of the file.
        order: indices of its operators, each once.
        target: where to write.

    Returns:
        The path that was written.

    Raises:
        FileError: if the file cannot be read or written, is damaged, or names operators by their index elsewhere.
        GraphError: if the order leaves an operator out, has one before what it needs, or changes what a state sees.
    """
    model = read_litert(path)
    if sorted(order) != list(range(len(model.operators))):
        fact = f"has {len(model.operators)} operators, and the order names {len(order)}"
        raise GraphError(model.place, fact, remedy="name each operator once, by its index from 0")
    computation_of(model).in_order(order)
    _require_states(model, order)
    if model.names_operators:
        fact = "says beside the operators which must come after which, by their index"
        raise FileError(model.place, fact, remedy="convert the network without control dependencies")
    return write_atomically(target, _reordered(model, order))


def _reordered(model: LiteRtModel, order: Sequence[int]) -> bytes:
    """The file's bytes with the distances in the vector of operators exchanged."""
    content = bytearray(model.content)
    places = [slot + struct.unpack_from("<I", model.content, slot)[0] for slot in model.slots]
    if min(places) <= model.slots[-1]:
        raise FileError(model.place, "has operators before their vector", remedy="convert the network again")
    for slot, index in zip(model.slots, order, strict=True):
        struct.pack_into("<I", content, slot, places[index] - slot)
    return bytes(content)


def _require_states(model: LiteRtModel, order: Sequence[int]) -> None:
    """What lasts from run to run is changed by who reads it, so its readers must stay in order."""
    for index, tensor in enumerate(model.tensors):
        users = [one for one in order if tensor.is_state and index in model.operators[one].inputs]
        if users != sorted(users):
            fact = f"operators {sorted(users)} use the state {tensor.name!r}, and come in the order {users}"
            raise GraphError(model.place, fact, remedy="keep these operators in the file's order")


class _Reading:
    """One file on its way to a computation."""

    def __init__(self, model: LiteRtModel, accounting: Accounting) -> None:
        self.model, self.accounting = model, accounting
        reads = Counter(one for operator in model.operators for one in operator.inputs)
        made = {one for operator in model.operators for one in operator.outputs}
        states = {one for one in reads if model.tensors[one].is_state}
        given = {one for one in model.inputs if not model.tensors[one].is_constant} | states
        missing = {one for one in reads if not model.tensors[one].is_constant and model.tensors[one].size_bytes}
        self.given, self.wanted = given, set(model.outputs) | states
        if accounting.keeps_inputs:
            self.wanted |= given | {one for one in made if one not in reads}
        self.values = {tensor: value for value, tensor in enumerate(sorted(given | made | missing))}
        self.uses = reads + Counter(model.outputs)
        self.root = {tensor: tensor for tensor in self.values}

    def computation(self) -> Computation:
        tensors = self.model.tensors
        values = tuple(
            Value(tensors[one].name, tensors[one].size_bytes, one in self.given, one in self.wanted)
            for one in self.values
        )
        return Computation(Path(self.model.place).stem, values, tuple(map(self._operator, self.model.operators)))

    def _operator(self, operator: LiteRtOperator) -> Operator:
        inputs = tuple(dict.fromkeys(self.values[one] for one in operator.inputs if one in self.values))
        outputs = tuple(self.values[one] for one in operator.outputs)
        name = self.model.tensors[operator.outputs[0]].name if operator.outputs else operator.kind
        view = self._is_view(operator)
        shared = None if view else self._overwritten(operator)
        if view or shared is not None:
            first = operator.inputs[0] if shared is None else shared
            self.root[operator.outputs[0]] = self.root[first]
        inplace = None if shared is None else self.values[shared]
        workspace = self._unfolded_bytes(operator) if self.accounting.workspaces else 0
        return Operator(name, inputs, outputs, inplace, workspace, view, operator.kind)

    def _is_view(self, operator: LiteRtOperator) -> bool:
        if operator.kind == "concat" and self.accounting.concatenation_is_view:
            return len(set(operator.inputs) & self.values.keys()) == len(operator.inputs)
        return operator.kind in VIEWS and self._may_share(operator.inputs[0], operator.outputs[0])

    def _overwritten(self, operator: LiteRtOperator) -> int | None:
        """The first input over which the operator may write, and does."""
        if not self.accounting.in_place:
            return None
        for one in operator.inputs[: IN_PLACE.get(operator.kind, 0)]:
            size = self.model.tensors[one].size_bytes
            fits = SMALLEST_SHARED_BYTES <= size == self.model.tensors[operator.outputs[0]].size_bytes
            if fits and self._may_share(one, operator.outputs[0]) and self.uses[one] == 1:
                return one if self.uses[self.root[one]] == 1 else None
        return None

    def _may_share(self, first: int, second: int) -> bool:
        """What is the caller's is shared with nothing."""
        return first in self.values and first not in self.given and second not in self.model.outputs

    def _unfolded_bytes(self, operator: LiteRtOperator) -> int:
        """The input of a convolution, once for each point of the kernel: (batch, height, width, points x channels)."""
        if operator.kind != "conv":
            return 0
        given, weight, made = (self.model.tensors[one] for one in (*operator.inputs[:2], operator.outputs[0]))
        points = weight.shape[1:]
        unfolds = operator.kernel != (1, 1, 1, 1) or points[:2] != (1, 1)
        mixed = given.bits != weight.bits  # weights of 8 bits with real inputs go another way
        return 0 if mixed or not unfolds else prod(made.shape[:3]) * prod(points) * given.bits // 8
