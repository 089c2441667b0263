import pytest
import torch
from torch import nn
from torch.testing import assert_close

from microjoule.capture.export import capture
from microjoule.errors import DataError, GraphError
from microjoule.execution.batches import batches
from microjoule.execution.run import batch_step, outputs, outputs_and_values, run, to_device, visit, visit_all
from microjoule.graph.network import set_submodule
from tests.capture.models import Function, images


@pytest.fixture
def network():
    torch.manual_seed(0)
    return capture(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), images(2, 4))


def test_running_is_calling_without_gradients(network):
    x = images(5, 4)
    result = run(network, (x,))
    assert not result.requires_grad
    assert torch.equal(result, network(x))


def test_nodes_are_visited_in_order_and_only_those_that_were_asked_for(network):
    seen = []
    relu, last = network.node("_1"), network.layers[1].node
    visit(network, (images(5, 4),), [last, relu], lambda node, value: seen.append((node, tuple(value.shape))))
    assert seen == [(relu, (5, 3)), (last, (5, 2))]


def test_what_a_visitor_gives_back_goes_on_in_its_place(network):
    seen = {}

    def visitor(node, value):
        seen[node] = value
        return torch.zeros_like(value) if node is network.node("_1") else None

    visit(network, (images(5, 4),), [network.node("_1"), network.layers[1].node], visitor)
    assert_close(seen[network.layers[1].node], network.layers[1].bias.detach().expand(5, 2))


def test_visiting_all_counts_the_samples(network):
    sizes = []
    data = batches(images(7, 4), batch_size=3)
    assert visit_all(network, data, [network.node("_1")], lambda node, value: sizes.append(len(value))) == 7
    assert sizes == [3, 3, 1]


def test_outputs_come_with_their_targets(network):
    x, targets = images(7, 4), torch.arange(7)
    found = list(outputs(network, batches((x, targets), batch_size=3)))
    assert_close(torch.cat([output for output, _ in found]), network(x).detach())
    assert torch.equal(torch.cat([target for _, target in found]), targets)


def test_only_tensors_are_moved():
    moved = to_device((images(2, 4), "text", {"a": images(2, 1)}), torch.device("meta"))
    assert moved[0].device.type == moved[2]["a"].device.type == "meta"
    assert moved[1] == "text"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((images(5, 3),), r"input: has shape \(5, 3\), and the network was captured for \(n, 4\) for any n"),
        ((images(5, 4), images(5, 4)), r"inputs: are 2, and it takes 1: input \(n, 4\) float32"),
        ((), r"input: is missing"),
        ((torch.arange(4)[None],), r"input: is of type int64, and the network was captured with float32"),
    ],
)
def test_inputs_that_do_not_fit_are_named_with_what_is_expected(network, inputs, said):
    for call in (lambda: run(network, inputs), lambda: visit(network, inputs, [], lambda node, value: None)):
        with pytest.raises(DataError, match=said):
            call()


def test_inputs_that_fit_and_do_not_go_through_are_told_with_what_torch_says():
    network = capture(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), images(2, 2, 2))
    set_submodule(network.module, "1", nn.Linear(5, 3))
    said = r"data: inputs of shape \[\(3, 2, 2\)\] do not go .* takes input \(n, 2, 2\): mat1"
    with pytest.raises(DataError, match=said):
        run(network, (images(3, 2, 2),))


class Named(nn.Module):
    """A model with an input that goes by its name alone."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, *, y):
        return self.linear(x) + y


def test_inputs_are_taken_by_name_and_in_a_dict_everywhere():
    network = capture(Named(), images(2, 4), {"y": images(2, 4)})
    x, y = images(5, 4), images(5, 4) + 1
    inputs = ({"y": y, "x": x},)
    expected = (network.module.linear(x) + y).detach()
    assert torch.equal(run(network, inputs), expected)
    assert torch.equal(outputs_and_values(network, inputs, [])[0], expected)
    result, values = outputs_and_values(network, inputs, [network.layers[0].node])
    assert torch.equal(result, expected)
    seen = []
    visit(network, inputs, [network.layers[0].node], lambda node, value: seen.append(value))
    assert torch.equal(seen[0], values[network.layers[0].node])


def test_inputs_of_another_real_type_are_taken_in_the_networks(network):
    x = images(5, 4)
    assert torch.equal(run(network, (x.double(),)), run(network, (x,)))


def test_samples_are_counted_along_the_networks_axis():
    network = capture(nn.Sequential(nn.GRU(3, 4)), images(7, 2, 3), batch_axis=1)
    assert visit_all(network, batches([images(7, 5, 3), images(7, 4, 3)], network), [], lambda node, value: None) == 9
    assert batch_step(network) == 1
    network.dynamic_batch = False
    assert batch_step(network) == 2


def test_an_error_of_ours_is_not_wrapped(network):
    def visitor(node, value):
        raise GraphError("here", "is wrong", remedy="do something")

    with pytest.raises(GraphError, match="here: is wrong"):
        visit(network, (images(5, 4),), [network.node("_1")], visitor)


def test_values_that_are_no_tensors_are_not_shown():
    network = capture(Function(lambda m, x: torch.cat(x.split(2, 1)[::-1], 1)), images(2, 4))
    seen = []
    visit(network, (images(5, 4),), list(network.graph.nodes), lambda node, value: seen.append(value))
    assert all(isinstance(value, torch.Tensor) for value in seen)


def test_values_inside_come_with_their_gradients(network):
    x, first = images(5, 4), network.layers[0]
    result, values = outputs_and_values(network, (x,), [first.node])
    assert torch.equal(result, network(x))
    assert torch.equal(values[first.node], first.owner(x))
    (gradient,) = torch.autograd.grad(values[first.node].sum(), first.bias)
    assert_close(gradient, torch.full((3,), 5.0))


def test_without_nodes_only_the_outputs_are_computed(network):
    x = images(5, 4)
    result, values = outputs_and_values(network, (x,), [])
    assert values == {}
    assert torch.equal(result, network(x))
    assert result.requires_grad


@pytest.mark.parametrize("nodes", [False, True], ids=["outputs", "values"])
@pytest.mark.parametrize("inputs", [(images(5, 3),), (images(5, 4), images(5, 4))], ids=["shape", "count"])
def test_inputs_that_do_not_fit_are_named(network, nodes, inputs):
    with pytest.raises(DataError, match=r"input: has shape|inputs: are 2"):
        outputs_and_values(network, inputs, [network.layers[0].node] if nodes else [])


def test_channels_that_come_last_are_told():
    network = capture(nn.Conv2d(3, 2, 1), images(2, 3, 8, 8))
    with pytest.raises(DataError, match="channels seem to be last") as refusal:
        run(network, (images(2, 9, 7, 3),))
    assert "movedim(-1, 1)" in refusal.value.remedy
    with pytest.raises(DataError, match="captured for") as refusal:
        run(network, (images(2, 4, 8, 8),))
    assert "channels" not in refusal.value.remedy


def test_a_second_input_that_may_be_the_target_is_told():
    class Two(nn.Module):
        def forward(self, x, y):
            return x @ y.mT

    with pytest.raises(DataError, match="captured for") as refusal:
        run(capture(Two(), (images(2, 4), images(2, 4))), (images(2, 4), images(2, 5)))
    assert "((first, second), target)" in refusal.value.remedy


def test_an_index_that_an_embedding_lacks_is_refused():
    network = capture(nn.Embedding(5, 2), torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(DataError, match="do not go through a network"):
        run(network, (torch.full((2, 3), 7),))


# A fixed batch --------------------------------------------------------------------------------------------------------


@pytest.fixture
def fixed():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    made = capture(model, images(4, 4))
    made.dynamic_batch = False
    return made


def test_a_smaller_batch_is_filled_up_and_what_was_added_is_dropped(fixed):
    x = images(3, 4)
    expected = fixed.module(x)
    sizes = []
    fixed.module.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    assert_close(run(fixed, (x,)), expected)
    found, values = outputs_and_values(fixed, (x,), [fixed.node("_1")])
    assert_close(found, expected)
    assert values[fixed.node("_1")].shape == (3, 3)
    assert_close(outputs_and_values(fixed, (x,), [])[0], expected)
    assert sizes == [4, 4]


def test_visitors_see_the_samples_alone_and_what_they_give_goes_on_for_all(fixed):
    seen = {}

    def visitor(node, value):
        seen[node.name] = value
        return value + 1 if node is fixed.node("_1") else None

    x = images(3, 4)
    hidden = torch.relu(fixed.layers[0].owner(x)).detach()
    visit(fixed, (x,), [fixed.node("_1"), fixed.layers[1].node], visitor)
    assert_close(seen["_1"], hidden)
    assert_close(seen[fixed.layers[1].node.name], fixed.layers[1].owner(hidden + 1).detach())
