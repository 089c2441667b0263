"""A network as an ExecuTorch program, in the order of its file and in the best one, in a process of its own.

Both orders are planned three times: by ExecuTorch's own algorithm, by microjoule's packing of the same lifetimes, and
by microjoule with activation functions written where their input lies, which ExecuTorch's own algorithm does not do. As
a counterproof that the runtime obeys, a wrong plan lays every value at byte 0, and has to spoil the outputs.
"""

import argparse
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node

import microjoule as mj
from microjoule.graph.ops import kind
from microjoule.graph.shapes import aliases
from microjoule.scheduling import Computation, Operator, Value, buffers_of, pack, plan_problems

ALIGNMENT, SAMPLES = 16, 8

IN_PLACE = frozenset({"aten.relu.out", "aten.clamp.out", "aten.hardtanh.out"})
"""Kernels that may write where they read: they compute one element from one element."""

Planner = Callable[[int, Sequence[Any], Any, Any, int], list[int]]
"""Alignment, values with their lifetimes, module, signature, bytes to add -> sizes of the arenas, the first 0."""


# Networks -------------------------------------------------------------------------------------------------------------


class Branches(nn.Module):
    """Branches that grow and shrink again, written side by side, all of different widths."""

    def __init__(self) -> None:
        super().__init__()
        widths = {32: 3, 24: 5, 40: 2, 16: 6}
        self.grow = nn.ModuleList(nn.Conv2d(8, wide, 3, padding=1) for wide in widths)
        self.shrink = nn.ModuleList(nn.Conv2d(wide, narrow, 1) for wide, narrow in widths.items())
        self.end = nn.Conv2d(8 + sum(widths.values()), 9, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Grow all, shrink all, join.

        Args:
            x: (n, 8, h, w).

        Returns:
            (n, 9, h, w).
        """
        grown = [grow(x).relu() for grow in self.grow]
        shrunk = [shrink(wide).relu() for shrink, wide in zip(self.shrink, grown, strict=True)]
        found: Tensor = self.end(torch.cat([*shrunk, x], 1))
        return found


def branches() -> mj.Network:
    """The small irregular network."""
    torch.manual_seed(0)
    return mj.capture(Branches().eval(), torch.randn(1, 8, 16, 16))


def mobilenet() -> mj.Network:
    """The embedded network, batch norms folded."""
    network = mj.capture(mj.zoo.load("digits_mobilenet_v2").eval(), torch.randn(1, 1, 8, 8))
    mj.fold_batch_norms(network)
    return network


NETWORKS: dict[str, Callable[[], mj.Network]] = {"branches": branches, "digits_mobilenet_v2": mobilenet}


# Plans ----------------------------------------------------------------------------------------------------------------


def computation_of(graph: Graph, values: Sequence[Any], *, in_place: bool) -> Computation:
    """What an ExecuTorch graph computes, in its order: kernels that write to what was allocated for them.

    Args:
        graph: with the spec of each value, which stands for its memory, at its nodes.
        values: the specs that need a place.
        in_place: write an activation function's output where its input lies, if that is not needed any more.
    """
    number = {id(value): index for index, value in enumerate(values)}

    def read(nodes: Iterable[Node]) -> list[int]:
        found = (number.get(id(spec)) for node in nodes for spec in _specs(node))
        return list(dict.fromkeys(index for index in found if index is not None))

    operators = []
    for node in graph.nodes:
        written = [one for one in node.all_input_nodes if _target(one) == "alloc"]
        if written:
            inputs, outputs = read(one for one in node.all_input_nodes if one not in written), read(written)
            fits = len(inputs) == len(outputs) == 1 and _bytes(values[inputs[0]]) == _bytes(values[outputs[0]])
            place = inputs[0] if in_place and fits and str(node.target) in IN_PLACE else None
            operators.append(Operator(node.name, tuple(inputs), tuple(outputs), place))
    given = set(read(node for node in graph.nodes if node.op == "placeholder"))
    wanted = set(read(graph.output_node().all_input_nodes))
    found = [
        Value(f"value {index}", _bytes(spec), is_input=index in given, is_output=index in wanted)
        for index, spec in enumerate(values)
    ]
    return Computation("ExecuTorch graph", tuple(found), tuple(operators))


def _target(node: Node) -> str:
    return getattr(node.target, "__name__", str(node.target))


def _specs(node: Node) -> list[Any]:
    """What stands for the memory of a node's values; a view lies where its input does."""
    while _target(node) == "view":
        node = node.all_input_nodes[0]
    specs = node.meta.get("spec")
    return list(specs) if isinstance(specs, list | tuple) else [specs]


def _bytes(spec: Any) -> int:
    size: int = spec.allocated_memory
    return size


def packed(*, in_place: bool) -> Planner:
    """ExecuTorch's lifetimes, packed by microjoule."""

    def plan(alignment: int, values: Sequence[Any], module: Any, _signature: Any, more: int) -> list[int]:
        for value in values:
            value.realign(alignment)
        lives = buffers_of(computation_of(module.graph, values, in_place=in_place))
        found = pack(lives.buffers, alignment=alignment).plan
        if wrong := plan_problems(found, lives.buffers):
            raise AssertionError(wrong[0])
        for value, places in zip(values, lives.places, strict=True):
            _place(value, found.offsets[places[0]])
        return [0, found.size_bytes + more]

    return plan


def all_at_once(alignment: int, values: Sequence[Any], _module: Any, _signature: Any, more: int) -> list[int]:
    """A wrong plan: every value at byte 0."""
    for value in values:
        value.realign(alignment)
        _place(value, 0)
    return [0, max(map(_bytes, values)) + more]


def _place(value: Any, offset: int) -> None:
    value.mem_id, value.mem_obj_id, value.mem_offset = 1, 0, offset


PLANNERS: dict[str, Planner | None] = {
    "ExecuTorch": None,
    "microjoule": packed(in_place=False),
    "microjoule, in place": packed(in_place=True),
}
"""None stands for the algorithm that ExecuTorch has."""


# Programs -------------------------------------------------------------------------------------------------------------


def program(network: mj.Network, planner: Planner | None) -> bytes:
    """A network as the bytes of a .pte file."""
    exir = importlib.import_module("executorch.exir")
    passes = importlib.import_module("executorch.exir.passes")
    planning = passes.MemoryPlanningPass(memory_planning_algo=planner, alignment=ALIGNMENT)
    exported = torch.export.export(network.module, network.example.args)
    how = exir.ExecutorchBackendConfig(memory_planning_pass=planning)
    found: bytes = exir.to_edge(exported).to_executorch(how).buffer
    return found


def written(file: bytes) -> Any:
    """The plan of execution that stands in a file."""
    found = importlib.import_module("executorch.exir._serialize._program").deserialize_pte_binary(file)
    return getattr(found, "program", found).execution_plan[0]


def shapes_run(plan: Any) -> Iterator[tuple[int, ...]]:
    """The shape of one sample of what each kernel of a file's plan writes, in the order in which they run."""
    for chain in plan.chains:
        for instruction in chain.instructions:
            yield tuple(plan.values[instruction.instr_args.args[-1]].val.sizes[1:])


def shapes_wanted(network: mj.Network) -> list[tuple[int, ...]]:
    """The shape of one sample of what each operator of a network writes, in its order, without views."""
    views = aliases(network)
    left_out = {"output", "get_attr", "size"}
    nodes = [one for one in network.graph.nodes if one.op != "placeholder" and one not in views]
    return [tuple(one.meta["val"].shape[1:]) for one in nodes if kind(network.module, one) not in left_out]


def is_part(wanted: Iterable[Any], found: Iterable[Any]) -> bool:
    """Whether all that is wanted is found, in the same order, maybe with something in between."""
    rest = iter(found)
    return all(one in rest for one in wanted)


def run(file: bytes, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What ExecuTorch's runtime computes."""
    loaded = importlib.import_module("executorch.runtime").Runtime.get().load_program(file)
    method = loaded.load_method("forward")
    return [method.execute((one,))[0].clone() for one in inputs]


def spoilt(network: mj.Network, inputs: Sequence[Tensor], expected: Sequence[Tensor]) -> int:
    """How many outputs differ, or are refused, where every value lies at byte 0: kernels may check what overlaps."""
    try:
        found = run(program(network, all_at_once), inputs)
    except RuntimeError:
        return len(inputs)
    return len(inputs) - sum(map(torch.equal, found, expected))


# The process ----------------------------------------------------------------------------------------------------------


def measured(network: mj.Network) -> dict[str, Any]:
    """Peaks, arenas and equal outputs of both orders; what the first program gives is what the others should."""
    ordered = network.copy()
    record = mj.schedule(ordered, simulated=True, alignment=ALIGNMENT)
    inputs = [torch.randn_like(network.example.args[0]) for _ in range(SAMPLES)]
    with torch.no_grad():
        exact = [network(one) for one in inputs]
    expected: list[Tensor] = []
    found: dict[str, Any] = {"samples": SAMPLES, "arenas": {}, "identical": {}, "follows": {}}
    for name, one in (("file", network), ("best", ordered)):
        wanted = shapes_wanted(one)
        for planner, algorithm in PLANNERS.items():
            file = program(one, algorithm)
            plan, outputs = written(file), run(file, inputs)
            expected = expected or outputs
            found["arenas"][f"{name}, {planner}"] = sum(plan.non_const_buffer_sizes)
            found["identical"][f"{name}, {planner}"] = sum(map(torch.equal, outputs, expected))
            found["follows"][f"{name}, {planner}"] = is_part(wanted, shapes_run(plan))
    found["apart"] = max((a - b).abs().max().item() for a, b in zip(exact, expected, strict=True))
    found["spoilt"] = spoilt(ordered, inputs, expected)
    peaks = {"file": record.before.peak_bytes, "best": record.after.peak_bytes}
    return found | {"peaks": peaks, "optimal": record.optimal, "arena": record.arena_bytes}


def main() -> None:
    """Write NETWORK.json into the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    found = measured(NETWORKS[options.network]())
    (options.folder / f"{options.network}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
