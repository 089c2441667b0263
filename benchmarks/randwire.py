"""RandWire's cells (Xie et al. 2019, https://arxiv.org/abs/1904.01569) as computations, without their weights."""

from dataclasses import replace

import networkx

from microjoule.scheduling import Computation, Operator, Value

VALUE_BYTES = 1000
"""Each value of a cell is as large as every other."""


def cell(nodes: int, seed: int) -> Computation:
    """A cell wired by Watts and Strogatz's model WS(nodes, 4, 0.75).

    A node adds up what it reads, if that is more than one value, and convolves it depthwise and pointwise; what nobody
    reads is added up at the end.

    Args:
        nodes: of the cell.
        seed: of its wiring, as networkx draws it.
    """
    wiring = networkx.connected_watts_strogatz_graph(nodes, 4, 0.75, tries=200, seed=seed)
    values, operators = [Value("input", VALUE_BYTES, is_input=True)], list[Operator]()

    def made(name: str, inputs: tuple[int, ...], kind: str) -> int:
        values.append(Value(name, VALUE_BYTES))
        operators.append(Operator(name, inputs, (len(values) - 1,), kind=kind))
        return len(values) - 1

    def added(name: str, inputs: tuple[int, ...]) -> int:
        return made(name, inputs, "add") if len(inputs) > 1 else inputs[0]

    out: dict[int, int] = {}
    for node in range(nodes):
        read = tuple(out[one] for one in sorted(wiring.neighbors(node)) if one < node) or (0,)
        depthwise = made(f"depthwise {node}", (added(f"sum {node}", read),), "depthwise")
        out[node] = made(f"pointwise {node}", (depthwise,), "conv")
    unread = tuple(out[node] for node in range(nodes) if all(one < node for one in wiring.neighbors(node)))
    last = added("output", unread)
    values[last] = replace(values[last], is_output=True)
    return Computation(f"WS({nodes}, 4, 0.75) seed {seed}", tuple(values), tuple(operators))


def with_kinds(computation: Computation) -> Computation:
    """A cell from a file without kinds: what reads several values is a sum."""
    operators = tuple(replace(one, kind="add" if len(one.inputs) > 1 else one.kind) for one in computation.operators)
    return replace(computation, operators=operators)
