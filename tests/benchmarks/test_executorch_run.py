"""What ExecuTorch is given, and how its graphs are read, without ExecuTorch."""

import functools
import sys
from types import SimpleNamespace

import pytest
import torch
from torch.fx import Graph, Node

import microjoule as mj
from benchmarks import executorch_run
from benchmarks.executorch_run import (
    NETWORKS,
    all_at_once,
    branches,
    computation_of,
    is_part,
    main,
    measured,
    packed,
    shapes_run,
    shapes_wanted,
    spoilt,
)
from microjoule.scheduling import buffers_of, peak_bytes


class Spec:
    """Stands for ExecuTorch's class: a value's memory."""

    def __init__(self, size_bytes):
        self.size_bytes = self.allocated_memory = size_bytes

    def realign(self, alignment):
        self.allocated_memory = -(-self.size_bytes // alignment) * alignment


def alloc():
    """Stands for ExecuTorch's function of this name."""


def view():
    """Likewise."""


RELU, CONVOLUTION = torch.ops.aten.relu.out, torch.ops.aten.convolution.out


@pytest.fixture
def lowered():
    """x -> convolution -> relu -> view -> convolution, of 8, 40, 40 and 16 bytes."""
    graph, specs = Graph(), [Spec(size) for size in (8, 40, 40, 16)]

    def compute(target, source: Node, spec):
        out = graph.call_function(alloc)
        out.meta["spec"] = spec
        node = graph.call_function(target, (source,), {"out": out})
        node.meta["spec"] = spec
        return node

    x = graph.placeholder("x")
    x.meta["spec"] = specs[0]
    rectified = compute(RELU, compute(CONVOLUTION, x, specs[1]), specs[2])
    seen = graph.call_function(view, (rectified, [10]))
    seen.meta["spec"] = object()
    graph.output((compute(CONVOLUTION, seen, specs[3]),))
    return SimpleNamespace(graph=graph), specs


def test_kernels_write_what_was_allocated_and_a_view_is_its_input(lowered):
    module, specs = lowered
    found = computation_of(module.graph, specs, in_place=False)
    assert [(one.inputs, one.outputs, one.inplace) for one in found.operators] == [
        ((0,), (1,), None),
        ((1,), (2,), None),
        ((2,), (3,), None),
    ]
    assert [(one.size_bytes, one.is_input, one.is_output) for one in found.values] == [
        (8, True, False),
        (40, False, False),
        (40, False, False),
        (16, False, True),
    ]
    assert peak_bytes(found) == 80


def test_only_an_activation_of_the_same_size_is_written_in_place(lowered):
    module, specs = lowered
    found = computation_of(module.graph, specs, in_place=True)
    assert [one.inplace for one in found.operators] == [None, 1, None]
    assert peak_bytes(found) == 56
    specs[2].allocated_memory = 32
    found = computation_of(module.graph, specs, in_place=True)
    assert [one.inplace for one in found.operators] == [None, None, None]


def test_values_that_need_no_place_are_left_out(lowered):
    module, specs = lowered
    found = computation_of(module.graph, specs[1:], in_place=False)
    assert [one.inputs for one in found.operators] == [(), (0,), (1,)]


@pytest.mark.parametrize(("in_place", "size_bytes"), [(False, 96), (True, 64)])
def test_a_plan_is_aligned_and_as_small_as_the_peak(lowered, in_place, size_bytes):
    module, specs = lowered
    assert packed(in_place=in_place)(16, specs, module, None, 64) == [0, size_bytes + 64]
    assert all(one.mem_id == 1 and one.mem_offset % 16 == 0 for one in specs)
    assert (specs[1].mem_offset == specs[2].mem_offset) == in_place
    lives = buffers_of(computation_of(module.graph, specs, in_place=in_place))
    assert max(one.mem_offset + one.allocated_memory for one in specs) == size_bytes
    assert len(lives.buffers) == 4 - in_place


def test_the_wrong_plan_lays_all_at_the_start(lowered):
    module, specs = lowered
    assert all_at_once(16, specs, module, None, 0) == [0, 48]
    assert {one.mem_offset for one in specs} == {0}


# Orders ---------------------------------------------------------------------------------------------------------------


def test_the_branches_gain_at_least_a_tenth_and_their_orders_can_be_told_apart():
    network = branches()
    ordered = network.copy()
    record = mj.schedule(ordered, simulated=True)
    assert record.optimal
    assert record.after.peak_bytes <= 0.9 * record.before.peak_bytes
    given, best = shapes_wanted(network), shapes_wanted(ordered)
    assert given[:3] == [(32, 16, 16), (32, 16, 16), (24, 16, 16)]
    assert sorted(given) == sorted(best)
    assert not is_part(best, given)
    assert not is_part(given, best)


def test_the_embedded_network_has_the_best_order():
    record = mj.schedule(NETWORKS["digits_mobilenet_v2"](), simulated=True)
    assert (record.after.peak_bytes, record.optimal) == (record.before.peak_bytes, True)


@pytest.mark.parametrize(
    ("wanted", "found", "is_there"),
    [("ab", "ab", True), ("ab", "xaybz", True), ("ab", "ba", False), ("aa", "a", False), ("", "a", True)],
)
def test_a_part_is_in_order(wanted, found, is_there):
    assert is_part(wanted, found) == is_there


def test_shapes_are_of_what_a_kernel_writes_last():
    def call(*arguments):
        return SimpleNamespace(instr_args=SimpleNamespace(args=arguments))

    values = [SimpleNamespace(val=SimpleNamespace(sizes=[1, size])) for size in (3, 4, 5)]
    plan = SimpleNamespace(values=values, chains=[SimpleNamespace(instructions=[call(0, 2), call(2, 1)])])
    assert list(shapes_run(plan)) == [(5,), (4,)]


# The process ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pretended(monkeypatch):
    """Stands for ExecuTorch: a program is the network with its plan, and the wrong plan gives zeros."""
    shapes = functools.cache(shapes_wanted)

    def written(file):
        values = [SimpleNamespace(val=SimpleNamespace(sizes=[1, *shape])) for shape in shapes(file[0])]
        calls = [SimpleNamespace(instr_args=SimpleNamespace(args=[index])) for index in range(len(values))]
        chain = SimpleNamespace(instructions=calls)
        return SimpleNamespace(values=values, chains=[chain], non_const_buffer_sizes=[0, 1000])

    def run(file, inputs):
        network, planner = file
        with torch.no_grad():
            return [network(one) * (planner is not all_at_once) for one in inputs]

    monkeypatch.setattr(executorch_run, "program", lambda network, planner: (network, planner))
    monkeypatch.setattr(executorch_run, "written", written)
    monkeypatch.setattr(executorch_run, "run", run)


def test_all_programs_are_held_against_the_first(pretended):
    found = measured(branches())
    assert set(found["identical"].values()) == {found["samples"]} == {found["spoilt"]}
    assert set(found["follows"].values()) == {True}
    assert len(found["arenas"]) == 6
    assert set(found["arenas"].values()) == {1000}
    assert (found["apart"], found["optimal"]) == (0.0, True)
    assert found["peaks"]["best"] == found["arena"] < found["peaks"]["file"]


def test_a_refused_plan_is_noticed_and_a_harmless_one_is_not(pretended, monkeypatch):
    network, inputs = branches(), [torch.randn(1, 8, 16, 16)]
    with torch.no_grad():
        expected = [network(one) for one in inputs]
    assert spoilt(network, inputs, expected) == 1
    monkeypatch.setattr(executorch_run, "run", lambda *_: expected)
    assert spoilt(network, inputs, expected) == 0

    def refuse(*_):
        raise RuntimeError("method->execute() failed with error 0x12")

    monkeypatch.setattr(executorch_run, "run", refuse)
    assert spoilt(network, inputs, expected) == 1


def test_the_process_writes_what_it_found(tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "branches", lambda: "network")
    monkeypatch.setattr(executorch_run, "measured", lambda network: {"measured": network})
    monkeypatch.setattr(sys, "argv", ["executorch_run", "branches", "--folder", str(tmp_path)])
    main()
    assert (tmp_path / "branches.json").read_text() == '{"measured": "network"}'
