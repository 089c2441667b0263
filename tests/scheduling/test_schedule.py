from itertools import permutations

import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import GraphError, SettingError
from microjoule.execution.run import run
from microjoule.graph.ops import aten
from microjoule.scheduling.arena import Buffer, Plan
from microjoule.scheduling.check_plan import problems
from microjoule.scheduling.from_graph import computation_of
from microjoule.scheduling.order import peak_bytes
from microjoule.scheduling.schedule import schedule
from tests.capture.models import MODELS, Function
from tests.scheduling.branching import GIVEN, Branching, X

BEST = 1024 + 4096 + 512
"""The input, what grows in the large branch, and what it shrinks to."""

GIVEN_PEAK = BEST + 2048
"""The same, and what grows in the other branch."""


def operators(network):
    return [node.name for node in network.graph.nodes if node.op not in ("placeholder", "output")]


# By hand --------------------------------------------------------------------------------------------------------------


def test_the_peak_by_hand():
    network = capture(Branching(), X)
    record = schedule(network)
    assert (record.before.peak_bytes, record.after.peak_bytes, record.bound_bytes) == (GIVEN_PEAK, BEST, BEST)
    assert record.optimal
    assert network.history[-1] is record
    assert peak_bytes(computation_of(network)) == BEST


def test_no_order_is_better_by_brute_force():
    computation = computation_of(capture(Branching(), X))
    found = []
    for chosen in permutations(range(len(computation.operators))):
        try:
            computation.in_order(chosen)
        except GraphError:
            continue
        found.append(peak_bytes(computation, chosen))
    assert min(found) == BEST


def test_the_nodes_run_in_the_order_of_the_record():
    network = capture(Branching(), X)
    record = schedule(network)
    assert operators(network) == [step.operator for step in record.after.steps] != GIVEN
    assert [step.operator for step in record.before.steps] == GIVEN
    assert sorted(operators(network)) == sorted(GIVEN)
    code = network.module.code
    assert code.index("shrink_a") < code.index("grow_b")


def test_memory_over_time_by_hand():
    record = schedule(capture(Branching(), X))
    assert [step.size_bytes for step in record.before.steps] == [5120, 7168, 7680, 4096, 4096, 2560]
    assert [step.size_bytes for step in record.after.steps] == [5120, 5632, 3584, 4096, 4096, 2560]
    peak = record.before.peak
    assert (peak.operator, peak.size_bytes) == ("shrink_a", GIVEN_PEAK)
    held = [("x", 1024), ("grow_a", 4096), ("grow_b", 2048), ("shrink_a", 512)]
    assert [(one.value, one.size_bytes) for one in peak.values] == held


def test_the_limit_names_an_operator_and_what_must_be_in_memory():
    limit = schedule(capture(Branching(), X)).limit
    assert (limit.operator, limit.size_bytes) == ("shrink_a", BEST)
    assert [(held.value, held.size_bytes) for held in limit.values] == [
        ("x", 1024),
        ("grow_a", 4096),
        ("shrink_a", 512),
    ]


def test_without_a_limiting_operator_there_is_none():
    """Both branches are alike: the second needs what the first gives, and each could be the first."""
    model = Branching()
    model.grow_b, model.shrink_b = nn.Conv2d(4, 16, 1), nn.Conv2d(16, 2, 1)
    record = schedule(capture(model, X))
    assert record.limit is None
    assert record.optimal


def test_inputs_alone_can_be_the_limit():
    limit = schedule(capture(nn.Sequential(nn.Flatten(), nn.Flatten(0)), X[:, :1]), seconds=0).limit
    assert (limit.operator, limit.size_bytes) == ("", 256)
    assert [(held.value, held.size_bytes) for held in limit.values] == [("input_1", 256)]


# The edit -------------------------------------------------------------------------------------------------------------


def test_outputs_are_the_same_bit_for_bit():
    network = capture(Branching(), X)
    expected = run(network, (X,))
    schedule(network)
    assert torch.equal(run(network, (X,)), expected)


def test_a_second_time_changes_nothing():
    network = capture(Branching(), X)
    first = schedule(network)
    nodes = operators(network)
    second = schedule(network)
    assert operators(network) == nodes
    assert second.before == second.after == first.after


def test_an_order_that_is_best_already_is_left_as_it_is():
    network = capture(nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 3)), X)
    nodes = operators(network)
    record = schedule(network)
    assert operators(network) == nodes
    assert record.before == record.after


def late_view(m, x):
    a = m.a(x)
    b = m.b(a)
    return a.flatten(1).sum(1) + b.flatten(1).sum(1)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [MODELS["functional"], (Function(late_view, a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 4, 1)), X)],
    ids=["stored tensors in front of all", "views that could come earlier"],
)
def test_what_could_be_elsewhere_without_gain_stays(model, inputs):
    network = capture(model, inputs)
    nodes = operators(network)
    record = schedule(network)
    assert operators(network) == nodes
    assert record.before == record.after


def test_a_size_comes_after_what_it_is_the_size_of():
    network = capture(Branching(), X)
    grown, shrunk = network.node("grow_b"), network.node("shrink_b")
    with network.graph.inserting_before(shrunk):
        size = network.graph.call_function(aten.sym_size.int, (grown, 1))
    with network.graph.inserting_after(shrunk):
        scaled = network.graph.call_function(aten.mul.Tensor, (shrunk, size))
    shrunk.replace_all_uses_with(scaled, delete_user_cb=lambda user: user is not scaled)
    network.recompile()
    expected = run(network, (X,))
    record = schedule(network)
    assert record.after.peak_bytes < record.before.peak_bytes
    nodes = operators(network)
    assert nodes.index(size.name) == nodes.index("grow_b") + 1
    assert torch.equal(run(network, (X,)), expected)


def test_a_size_of_the_input_comes_before_the_first_operator():
    def function(m, x):
        flat = x.reshape(x.shape[0], 4, 64)
        return m.inner(flat.reshape(x.shape[0], 4, 8, 8))

    network = capture(Function(function, inner=Branching()), X.repeat(2, 1, 1, 1))
    expected = run(network, (X,))
    record = schedule(network)
    assert record.after.peak_bytes < record.before.peak_bytes
    assert torch.equal(run(network, (X,)), expected)


def test_stored_tensors_and_sizes_come_before_who_reads_them():
    def function(m, x):
        a, b = (aten.conv2d(x, grow.weight, grow.bias) for grow in (m.grow_a, m.grow_b))
        a, b = a.reshape(x.shape[0], 16, -1).sum(1), b.reshape(x.shape[0], 8, -1).sum(1)
        return a + b

    model = Branching()
    network = capture(Function(function, grow_a=model.grow_a, grow_b=model.grow_b), X.repeat(2, 1, 1, 1))
    expected = run(network, (X,))
    record = schedule(network)
    assert record.after.peak_bytes < record.before.peak_bytes
    assert torch.equal(run(network, (X,)), expected)


def test_an_error_leaves_the_network_as_it_was():
    network = capture(Branching(), X)
    for wrong in ({"seconds": -1.0}, {"alignment": 0}):
        with pytest.raises(SettingError):
            schedule(network, **wrong)
    assert operators(network) == GIVEN
    assert len(network.history) == 1


def test_without_time_there_is_an_order_and_a_bound():
    record = schedule(capture(Branching(), X), seconds=0)
    assert record.bound_bytes <= BEST <= record.after.peak_bytes <= record.before.peak_bytes
    assert record.arena_bytes >= record.after.peak_bytes


def test_a_network_that_computes_nothing():
    record = schedule(capture(Function(lambda m, x: x), X))
    assert record.before.steps == ()
    assert record.before.peak is None
    assert [held.value for held in record.limit.values] == ["args_0"]
    assert record.arena_bytes == record.before.peak_bytes == 1024


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize("name", MODELS)
def test_every_model_computes_the_same_after(name):
    module, args = MODELS[name]
    network = capture(module, args)
    expected = run(network, args)
    record = schedule(network)
    torch.testing.assert_close(run(network, args), expected, rtol=0, atol=0)
    assert record.bound_bytes <= record.after.peak_bytes <= record.before.peak_bytes


# The arena ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("simulated", [False, True], ids=["as deployed", "in PyTorch"])
@pytest.mark.parametrize("alignment", [1, 64])
def test_the_arena_is_sound(alignment, simulated):
    record = schedule(capture(Branching(), X), alignment=alignment, simulated=simulated)
    buffers = [Buffer(one.values[0], one.first, one.until, one.size_bytes) for one in record.arena]
    plan = Plan(tuple(one.offset for one in record.arena), record.arena_bytes)
    assert problems(plan, buffers, alignment=alignment) == []
    assert record.arena_bytes == record.arena_bound_bytes == BEST


def test_each_value_has_its_bytes_and_views_have_none():
    network = capture(Function(lambda m, x: m.conv(x).relu().flatten(1) + 1, conv=nn.Conv2d(4, 4, 1)), X)
    record = schedule(network, simulated=True)
    assert set(record.places) == {"args_0", "conv", "relu", "add"}
    assert record.places["conv"] == record.places["relu"]
    assert record.in_place == {"relu"}
    assert len(record.places["args_0"]) == 1024


def test_a_value_of_no_bytes_has_no_place():
    network = capture(Function(lambda m, x: torch.cat([x[:, :0].relu(), m.conv(x)], 1), conv=nn.Conv2d(4, 4, 1)), X)
    assert set(schedule(network, simulated=True).places) == {"args_0", "conv", "cat"}
