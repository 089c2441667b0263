import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from microjoule.capture.export import capture
from microjoule.errors import DataError, GraphError, SettingError
from microjoule.execution.arena import run_in_arena
from microjoule.execution.run import run
from microjoule.graph.ops import aten
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import quantize
from microjoule.scheduling.schedule import schedule
from microjoule.zoo.cards import card
from microjoule.zoo.models import load
from tests.capture.models import MODELS, Function
from tests.scheduling.branching import Branching, X


def planned(module, args, alignment=64):
    """A network in the best order, its plan, and one sample."""
    network = capture(module, args)
    record = schedule(network, simulated=True, alignment=alignment)
    return network, record, tuple(arg[:1] for arg in args) if network.dynamic_batch else args


def in_arena(network, record, inputs, **changed):
    settings = {"places": record.places, "size_bytes": record.arena_bytes, "in_place": record.in_place} | changed
    return run_in_arena(network, inputs, **settings)


def is_equal(one, other):
    """Bit for bit; NaN is not equal to itself."""
    leaves, others = pytree.tree_leaves(one), pytree.tree_leaves(other)
    return all(torch.equal(a, b) for a, b in zip(leaves, others, strict=True))


class Two(nn.Module):
    """x of 1024 bytes, a and b of as many, and their sum if it is wanted."""

    def __init__(self, *, add=False):
        super().__init__()
        self.a, self.b, self.add = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1), add

    def forward(self, x):
        return self.a(x) + x if self.add else self.b(self.a(x))


# The proof ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize("name", MODELS)
def test_a_model_computes_the_same_in_its_arena(name):
    network, record, inputs = planned(*MODELS[name])
    assert is_equal(in_arena(network, record, inputs), run(network, inputs))


ZOO = ["digits_mobilenet_v2", "resnet8_cifar10_mlperftiny", "unet_small", "vit_small", "lstm_keywords", "ssd_small"]


@pytest.mark.parametrize("name", ZOO)
def test_a_network_of_the_zoo_computes_the_same_in_its_arena(name):
    torch.manual_seed(0)
    module = card(name).build().eval() if name == "resnet8_cifar10_mlperftiny" else load(name)
    network, record, inputs = planned(module, (torch.randn(2, *card(name).input_shape),))
    assert is_equal(in_arena(network, record, inputs), run(network, inputs))


@pytest.mark.parametrize("alignment", [4, 16, 64])
def test_the_branching_network_computes_the_same_in_the_smallest_arena(alignment):
    network, record, inputs = planned(Branching(), (X,), alignment)
    assert record.arena_bytes == 5632
    assert is_equal(in_arena(network, record, inputs), run(network, inputs))


def test_a_quantized_network_computes_the_same_in_its_arena():
    network = capture(Branching(), X)
    quantize(network, target="per-tensor")
    calibrate(network, X)
    record = schedule(network, simulated=True, alignment=64)
    assert is_equal(in_arena(network, record, (X,)), run(network, (X,)))


# The proof can fail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["grow_a", "grow_b", "shrink_a", "shrink_b", "cat"])
def test_a_value_that_is_moved_over_another_one_is_seen(name):
    """Each value is moved onto each that is in memory at the same time."""
    network, record, inputs = planned(Branching(), (X,))
    moved = next(one for one in record.arena if one.values[0] == name)
    others = [one for one in record.arena if one.first < moved.until and moved.first < one.until and one is not moved]
    assert others
    expected = run(network, inputs)
    for other in others:
        offset = min(other.offset, record.arena_bytes - moved.size_bytes)
        places = record.places | {name: range(offset, offset + moved.size_bytes)}
        assert not is_equal(in_arena(network, record, inputs, places=places), expected)


def test_one_byte_of_overlap_is_seen():
    network = capture(Two(), X)
    places = {"x": range(1024), "a": range(1024, 2048), "b": range(1024)}
    assert is_equal(run_in_arena(network, (X,), places, 2048), run(network, (X,)))
    over_the_input = places | {"a": range(1020, 2044)}
    assert not is_equal(run_in_arena(network, (X,), over_the_input, 2048), run(network, (X,)))
    over_its_output = places | {"b": range(4, 1028)}
    assert not is_equal(run_in_arena(network, (X,), over_its_output, 2048), run(network, (X,)))


def test_what_was_read_for_the_last_time_is_overwritten():
    """The plan says that x and what the convolution gives lie together, one after the other, and x is read again."""
    network = capture(Two(add=True), X)
    places = {"x": range(1024), "a": range(1024), "add": range(1024, 2048)}
    found = run_in_arena(network, (X,), places, 2048, in_place={"a"})
    assert not is_equal(found, run(network, (X,)))


def test_what_is_overwritten_is_not_a_number():
    """What lay there before can be nearly right: NaN is wrong for certain."""
    network = capture(Two(), X)
    found = run_in_arena(network, (X,), {"x": range(1024), "a": range(1024, 2048), "b": range(2044, 3068)}, 3068)
    assert found.isnan().any()


def test_not_in_place_is_seen():
    network, record, inputs = planned(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sigmoid()), (X,))
    assert record.in_place == {"_1"}
    assert is_equal(in_arena(network, record, inputs), run(network, inputs))
    assert not is_equal(in_arena(network, record, inputs, in_place=()), run(network, inputs))


def test_while_an_operator_runs_only_what_is_needed_is_not_overwritten():
    network, seen = capture(Two(), X), []
    places = {"x": range(1024), "a": range(1024, 2048), "b": range(2048, 3072)}
    layer = network.module.get_submodule("b")
    layer.register_forward_pre_hook(lambda _, args: seen.append(bytes(args[0].untyped_storage())))
    run_in_arena(network, (X,), places, 3072)
    (memory,) = seen
    assert memory[:1024] == memory[2048:] == b"\xff" * 1024
    assert memory[1024:2048] != b"\xff" * 1024


def test_a_view_may_have_a_place_of_its_own():
    network = capture(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Sigmoid()), X)
    places = {"input_1": range(1024), "_0": range(1024, 2048), "_1": range(1024), "_2": range(1024, 2048)}
    assert is_equal(run_in_arena(network, (X,), places, 2048), run(network, (X,)))


def test_outputs_hold_no_arena():
    network, record, inputs = planned(Branching(), (X,))
    assert in_arena(network, record, inputs).untyped_storage().nbytes() == 512


def test_a_size_may_be_read_when_its_value_is_overwritten():
    """Sizes are numbers, so that a plan does not keep a value for them."""
    network, seen = capture(Two(), X), []
    layer = network.module.get_submodule("b")
    layer.register_forward_pre_hook(lambda _, args: seen.append(bytes(args[0].untyped_storage())))
    b = network.node("b")
    with network.graph.inserting_after(b):
        size = network.graph.call_function(aten.sym_size.int, (network.node("x"), 1))
    with network.graph.inserting_after(size):
        scaled = network.graph.call_function(aten.mul.Tensor, (b, size))
    b.replace_all_uses_with(scaled, delete_user_cb=lambda user: user is not scaled)
    network.recompile()
    places = {"x": range(1024), "a": range(1024, 2048), "b": range(2048, 3072), "mul_tensor": range(1024)}
    assert is_equal(run_in_arena(network, (X,), places, 3072), run(network, (X,)))
    assert seen[0][:1024] == b"\xff" * 1024


def test_values_keep_their_strides():
    """Operators may compute in another order on a layout of another kind."""
    network = capture(Function(lambda m, x: m.conv(x).permute(0, 2, 3, 1).sigmoid(), conv=nn.Conv2d(4, 4, 1)), X)
    record = schedule(network, simulated=True)
    found, expected = in_arena(network, record, (X,)), run(network, (X,))
    assert found.stride() == expected.stride() != found.contiguous().stride()
    assert is_equal(found, expected)


def test_an_input_that_nobody_reads_is_overwritten_at_once():
    network, seen = capture(Function(lambda m, x, y: m.conv(x), conv=nn.Conv2d(4, 4, 1)), (X, X)), []
    record = schedule(network, simulated=True)
    layer = network.module.get_submodule("conv")
    layer.register_forward_pre_hook(lambda _, args: seen.append(bytes(args[0].untyped_storage())))
    assert is_equal(in_arena(network, record, (X, X)), run(network, (X, X)))
    unread = record.places[
        next(node.name for node in network.graph.nodes if not node.users and node.op == "placeholder")
    ]
    assert seen[0][unread.start : unread.stop] == b"\xff" * len(unread)


# Refusals -------------------------------------------------------------------------------------------------------------

PLACES = {"x": range(1024), "a": range(1024, 2048), "b": range(1024)}


@pytest.mark.parametrize(
    ("changed", "size_bytes", "error", "told"),
    [
        ({}, 2047, SettingError, r"range\(1024, 2048\) in an arena of 2047 bytes"),
        ({"a": range(-4, 1020)}, 2048, SettingError, "in an arena of"),
        ({"y": range(4)}, 2048, SettingError, "is no node of this network"),
        ({"a": range(1024, 3072, 2)}, 3072, SettingError, "in an arena of 3072 bytes"),
        ({"a": range(1024, 2044)}, 2048, GraphError, "takes 1024 bytes, and its place has 1020"),
        ({"x": range(1020)}, 2048, DataError, "takes 1024 bytes, and its place has 1020"),
        ({"a": range(1025, 2049)}, 2049, GraphError, "starts at byte 1025, and one torch.float32 has 4"),
    ],
    ids=[
        "arena too small",
        "before the arena",
        "no node",
        "every second byte",
        "too small a place",
        "too large an input",
        "not aligned",
    ],
)
def test_a_plan_that_does_not_fit_is_refused(changed, size_bytes, error, told):
    network = capture(Two(), X)
    with pytest.raises(error, match=told):
        run_in_arena(network, (X,), PLACES | changed, size_bytes)


def test_a_value_without_a_place_is_refused():
    network = capture(Two(), X)
    with pytest.raises(GraphError, match="a: has no place in the arena and is no view"):
        run_in_arena(network, (X,), {"x": range(1024)}, 2048)


def test_two_samples_do_not_go_where_one_was_planned():
    network, record, _ = planned(Branching(), (X,))
    with pytest.raises(DataError, match="takes 2048 bytes, and its place has 1024"):
        in_arena(network, record, (X.repeat(2, 1, 1, 1),))


def test_inputs_of_another_shape_are_refused():
    network, record, _ = planned(nn.Sequential(nn.Flatten(), nn.Linear(256, 2)), (X,))
    with pytest.raises(DataError, match="and the network was captured for"):
        in_arena(network, record, (X[:, :3],))
