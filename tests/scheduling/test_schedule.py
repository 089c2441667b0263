from itertools import permutations

import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.errors import GraphError, SettingError
from microjoule.execution.arena import run_in_arena
from microjoule.execution.run import run
from microjoule.graph.ops import aten
from microjoule.graph.split import split_concatenations
from microjoule.scheduling.arena import Buffer, Plan
from microjoule.scheduling.check_plan import problems
from microjoule.scheduling.from_graph import computation_of
from microjoule.scheduling.order import order, peak_bytes
from microjoule.scheduling.rewrite import accumulable, accumulate
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


# Sums that are accumulated --------------------------------------------------------------------------------------------


class Cell(nn.Module):
    """Branches of these channels from 4, written side by side, of which a convolution makes 8."""

    def __init__(self, *channels, kernel=1):
        super().__init__()
        torch.manual_seed(0)
        self.branches = nn.ModuleList(nn.Conv2d(4, count, 1) for count in channels)
        self.last = nn.Conv2d(sum(channels), 8, kernel, padding=kernel // 2)

    def forward(self, x):
        return self.last(torch.cat([branch(x) for branch in self.branches], 1))


def split_cell(*channels, **settings):
    network = capture(Cell(*channels, **settings), X)
    split_concatenations(network)
    return network


def test_what_splitting_and_accumulating_give_by_hand():
    """The input has 1024 bytes, a branch 4096, all of them 16384, the output and each part of it 2048."""
    assert schedule(capture(Cell(16, 16, 16, 16), X)).after.peak_bytes == 2 * 16384
    network = split_cell(16, 16, 16, 16)
    alone = schedule(network)
    assert (alone.after.peak_bytes, alone.accumulates) == (1024 + 2048 + 4096 + 2048, False)
    added = schedule(network, accumulates=True)
    assert (added.after.peak_bytes, added.accumulates) == (1024 + 2048 + 4096, True)
    assert added.optimal


@pytest.mark.parametrize("channels", [(2, 3), (16, 1, 8), (1, 4, 2, 3), (4, 4, 16, 2, 2)], ids=str)
def test_the_least_memory_is_that_of_the_rewritten_computation(channels):
    """The rewriting on a computation and that on the network are the same."""
    plain = computation_of(capture(Cell(*channels), X))
    expected = order(accumulate(plain, accumulable(plain))).peak
    assert schedule(split_cell(*channels), accumulates=True).after.peak_bytes == expected


def test_terms_are_added_in_the_order_in_which_they_are_computed():
    """The caller keeps what the first branch reads; the last branch has to come first."""

    def function(m, x):
        first = m.small(x)
        return m.a(first) + m.b(m.large(x)), first

    modules = {"small": nn.Conv2d(4, 8, 1), "large": nn.Conv2d(4, 32, 1), "a": nn.Conv2d(8, 1, 1)}
    network = capture(Function(function, **modules, b=nn.Conv2d(32, 1, 1)), X)
    expected = run(network, (X,))
    record = schedule(network, accumulates=True)
    assert operators(network) == ["large", "b", "small", "a", "add"]
    assert [step.operator for step in record.after.steps] == ["large", "b", "small", "a"]
    assert [one.name for one in network.node("add").args] == ["b", "a"]
    torch.testing.assert_close(run(network, (X,)), expected)


@pytest.mark.parametrize("channels", [(2, 3), (16, 1, 8), (4, 4, 16, 2, 2)], ids=str)
def test_each_add_stands_behind_its_term_and_outputs_are_equal_to_rounding(channels):
    network = split_cell(*channels, kernel=3)
    expected = run(network, (X,))
    record = schedule(network, accumulates=True)
    nodes = operators(network)
    terms = [name for name in nodes if name.startswith("last_branch")]
    assert all(nodes[nodes.index(term) + 1].startswith("add") for term in terms[1:])
    assert [name for name in nodes if not name.startswith("add")] == [step.operator for step in record.after.steps]
    torch.testing.assert_close(run(network, (X,)), expected, rtol=1e-5, atol=1e-6)


def test_adds_are_linked_anew_where_the_order_is_best_already():
    modules = {name: nn.Conv2d(4, 4, 1) for name in "abc"}
    network = capture(Function(lambda m, x: m.a(x) + (m.b(x) + m.c(x)), **modules), X)
    expected = run(network, (X,))
    record = schedule(network, accumulates=True)
    assert record.before == record.after
    assert operators(network) == ["a", "b", "add", "c", "add_1"]
    torch.testing.assert_close(run(network, (X,)), expected)


def test_accumulating_a_second_time_changes_nothing():
    network = split_cell(16, 1, 8)
    first = schedule(network, accumulates=True)
    nodes, expected = operators(network), run(network, (X,))
    second = schedule(network, accumulates=True)
    assert operators(network) == nodes
    assert second.before == second.after == first.after
    assert torch.equal(run(network, (X,)), expected)


def test_a_residual_sum_is_added_to_what_lies_there():
    network = capture(Function(lambda m, x: m.a(x).relu() + m.b(x), a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 4, 1)), X)
    expected = run(network, (X,))
    assert schedule(network.copy()).after.peak_bytes == 3 * 1024
    record = schedule(network, accumulates=True)
    assert record.after.peak_bytes == 2 * 1024
    assert record.arena_bytes == 2 * 1024
    assert operators(network) == ["a", "relu", "b", "add"]
    assert torch.equal(run(network, (X,)), expected)


def test_a_split_network_runs_in_an_arena_as_pytorch_computes_it():
    network = split_cell(16, 1, 8)
    expected = run(network, (X,))
    plan = schedule(network, simulated=True, alignment=64)
    found = run_in_arena(network, (X,), plan.places, plan.arena_bytes, in_place=plan.in_place)
    assert torch.equal(found, expected)


def test_pytorch_does_not_accumulate():
    with pytest.raises(SettingError, match=r"accumulates: .*computes a convolution and an add one by one"):
        schedule(split_cell(2, 3), simulated=True, accumulates=True)
