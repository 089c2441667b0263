import pytest
import torch
from torch import nn
from torch.fx import Graph

from microjoule.graph.file import extent
from microjoule.graph.file.extent import LIVE_BYTES, check_extent
from microjoule.graph.file.operators import operator_at

aten = torch.ops.aten
X = torch.rand(2, 3)


def chain(*steps, root=None, inputs=(X,), stored_bytes=10_000):
    """Check a network of steps, each (operator or path, arguments); "x" is the step before, "0" the input."""
    graph = Graph()
    nodes = [graph.placeholder(f"i{index}") for index in range(len(inputs))]
    first = nodes[0]
    for target, *args in steps:
        given = tuple({"x": nodes[-1], "0": first}.get(a, a) if isinstance(a, str) else a for a in args)
        nodes.append(
            graph.call_module(target, given) if isinstance(target, str) else graph.call_function(target, given)
        )
    graph.output(nodes[-1])
    check_extent(root or nn.Module(), graph, list(inputs), stored_bytes=stored_bytes)


def python(name):
    return operator_at(f"python.{name}", {})


def test_an_ordinary_network_passes():
    root = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)).eval()
    chain(("0", "x"), (aten.relu.default, "x"), ("1", "x"), (aten.softmax.int, "x", -1), root=root)


BOMBS = {
    "zeros": [(aten.zeros.default, [10**6, 10**6])],
    "zeros on a device": [(aten.zeros.default, [10**10])],
    "arange": [(aten.arange.default, 10**12)],
    "expand": [(aten.reshape.default, "x", [6, 1]), (aten.expand.default, "x", [6, 10**10])],
    "repeat": [(aten.repeat.default, "x", [10**6, 10**6])],
    "pad": [(aten.constant_pad_nd.default, "x", [0, 10**12])],
    "distances": [(aten.zeros.default, [10**5, 1]), (aten.cdist.default, "x", "x")],
    "pieces": [(aten.zeros.default, [10**7]), (aten.unbind.int, "x")],
    "indices": [
        (
            aten.zeros.default,
            [1],
        ),
        (aten.repeat_interleave.self_int, "x", 10**12),
    ],
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_network_that_would_take_gigabytes_is_refused(name):
    with pytest.raises(ValueError, match=r"at \w+, (a value|values|it) would take|gives more than"):
        chain(*BOMBS[name])


def test_values_that_are_alive_together_are_added_up():
    half = LIVE_BYTES // 8  # of four bytes each
    graph = Graph()
    graph.placeholder("x")
    made = [graph.call_function(aten.zeros.default, ([half],)) for _ in range(3)]
    graph.output(tuple(made))
    with pytest.raises(ValueError, match="values would take"):
        check_extent(nn.Module(), graph, [X], stored_bytes=0)


def test_values_that_nobody_reads_any_more_are_not():
    half = LIVE_BYTES // 8
    chain(*[(aten.zeros.default, [half]) for _ in range(4)], stored_bytes=0)


def test_what_is_stored_allows_for_more():
    big = [(aten.zeros.default, [LIVE_BYTES // 4 + 1000])]
    with pytest.raises(ValueError, match="would take"):
        chain(*big, stored_bytes=0)
    chain(*big, stored_bytes=10_000)


def test_a_network_that_would_take_hours_is_refused():
    steps = [(aten.zeros.default, [4000, 4000])] + [(aten.mm.default, "x", "x")] * 10
    with pytest.raises(ValueError, match="multiplications"):
        chain(*steps)


@pytest.mark.parametrize(
    ("steps", "fact"),
    [
        ([(aten.reshape.default, "x", [7])], "at reshape_default, .*invalid for input"),
        ([(aten.mm.default, "x", "x")], "at mm"),
        ([(aten.relu.default,)], "missing value for argument|relu"),
        ([(aten.index_select.default, "x", 0, torch.tensor([5]))], "at index_select"),
        ([(python("getitem"), "x", "shape")], "something else than one of several outputs is taken"),
        ([(python("getitem"), "x", 9)], "at getitem"),
        ([(python("mul"), "ab", 10**10)], "mul gets something else than numbers"),
        ([(python("mul"), [1], 10**10)], "mul gets something else than numbers"),
        ([(python("mod"), "%1000000d", 3)], "mod gets something else than numbers"),
        ([(python("add"), "x", 3)], "add gets something else than numbers"),
        ([(python("pow"), 10, 10**10)], "more than 64 bits"),
        ([(python("floordiv"), 1, 0)], "at floordiv"),
        ([(python("getitem"), [1, 2], 0)], None),
    ],
)
def test_a_network_that_does_not_run_on_its_example_is_refused(steps, fact):
    if fact is None:
        chain(*steps)
        return
    with pytest.raises(ValueError, match=fact):
        chain(*steps)


@pytest.mark.parametrize(
    ("module", "x", "fact"),
    [
        (nn.Embedding(5, 3), torch.tensor([[0, 1], [2, 99]]), "index out of range"),
        (nn.Linear(3, 4), torch.rand(2, 4), "at layer"),
        (nn.Linear(3, 4).half(), torch.rand(2, 3), "at layer"),
        (nn.Linear(3, 4), torch.rand(2, 3, dtype=torch.float64), "at layer"),
    ],
)
def test_what_only_values_tell_is_found_by_running(module, x, fact):
    with pytest.raises(ValueError, match=f"it does not run on its own example: at layer, .*{fact}|{fact}"):
        chain(("layer", "x"), root=nn.ModuleDict({"layer": module.eval()}), inputs=(x,))


def test_types_that_kernels_lack_are_found_by_running():
    with pytest.raises(ValueError, match="it does not run on its own example"):
        chain((aten.linalg_inv.default, "x"), inputs=(torch.zeros(2, 2),))
    with pytest.raises(ValueError, match="it does not run on its own example"):
        chain((aten.histc.default, "x"), inputs=(torch.ones(3, dtype=torch.int16),))


@pytest.mark.parametrize(
    ("asked", "runs"),
    [
        ({}, False),
        ({"dtype": torch.float64, "layout": torch.strided, "device": torch.device("cpu"), "pin_memory": False}, False),
        ({"pin_memory": True}, True),
        ({"pin_memory": 65536}, True),
        ({"device": torch.device("xpu:77")}, True),
        ({"layout": torch.sparse_coo}, True),
        ({"dtype": torch.int8}, True),
    ],
)
def test_what_a_machine_may_lack_is_found_by_running(asked, runs):
    graph = Graph()
    graph.output(graph.call_function(aten.zeros_like.default, (graph.placeholder("x"),), asked))
    assert extent._needs_running(nn.Module(), graph, [X]) == runs


def test_a_device_that_is_not_there_is_refused():
    graph = Graph()
    asked = {"device": torch.device("xpu:77")}
    graph.output(graph.call_function(aten.zeros_like.default, (graph.placeholder("x"),), asked))
    with pytest.raises(ValueError, match="it does not run on its own example: at zeros_like"):
        check_extent(nn.Module(), graph, [X], stored_bytes=100)


def test_masks_and_indices_pass_and_are_bounded():
    mask = torch.tensor([True, False, True])
    chain((aten.nonzero.default, "x"), inputs=(mask,))
    chain((aten.masked_select.default, "0", "0"), inputs=(mask,))
    with pytest.raises(ValueError, match="would take"):
        chain((aten.repeat_interleave.Tensor, "x"), inputs=(torch.tensor([10**12]),))
    with pytest.raises(ValueError, match="would take"):
        chain((aten.bincount.default, "x"), inputs=(torch.tensor([10**12]),))


def test_what_the_network_writes_to_is_left_alone(monkeypatch):
    root = nn.Module()
    root.register_buffer("count", torch.zeros(3, dtype=torch.int64))
    graph = Graph()
    graph.placeholder("x")
    count = graph.get_attr("count")
    graph.output(graph.call_function(aten.add_.Tensor, (count, 1)))
    check_extent(root, graph, [X], stored_bytes=10**4)
    assert root.count.tolist() == [0, 0, 0]


class Own(nn.Module):
    def forward(self, x):
        return x * x.sum().item()


def test_a_class_of_ones_own_need_not_know_tensors_without_values():
    chain(("own", "x"), (aten.relu.default, "x"), root=nn.ModuleDict({"own": Own()}))


def test_more_inputs_than_it_takes_are_refused():
    graph = Graph()
    graph.output(graph.placeholder("x"))
    with pytest.raises(ValueError, match="it takes 1 inputs, and its example has 2"):
        check_extent(nn.Module(), graph, [X, X], stored_bytes=0)


def test_elementwise_operators_give_what_they_read():
    """The shortcut tells what calling torch would."""
    for target in extent.ELEMENTWISE:
        args = (X, 0.1, 0.9)[: 3 if target is aten.clamp.default else 1]
        found = target(*args)
        assert (found.shape, found.dtype) == (X.shape, X.dtype)
        chain((target, "x", *args[1:]))
