import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.graph.shapes import aliases, shapes, typed_shapes
from tests.capture.models import MODELS, Function, images, nested


class Nested(nn.Module):
    """A model that names its inputs."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, pair, *, scale):
        return nested(self, pair, scale=scale)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_shapes_are_those_of_one_sample(batch):
    network = capture(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2)), images(batch, 3, 4, 4))
    found = {node.name: shape for node, shape in shapes(network).items()}
    assert (found["_0"], found["_1"], found["_2"]) == ((1, 4, 2, 2), (1, 16), (1, 2))


def test_a_fixed_batch_keeps_its_size():
    network = capture(Function(lambda m, x: x.reshape(2, 8) * 2), images(2, 8))
    assert set(shapes(network).values()) == {(2, 8)}


def test_types_are_told():
    network = capture(*MODELS["tied"])
    types = [dtype for _, dtype in typed_shapes(network).values()]
    assert types[0] is torch.int64 or torch.int64 in types
    assert torch.float32 in types


def test_inputs_by_keyword_and_in_nests():
    pair = {"a": images(3, 4), "rest": (images(3, 4), images(3, 4))}
    network = capture(Nested(), (pair,), {"scale": torch.tensor(2.0)})
    assert set(shapes(network).values()) == {(1, 4), ()}


def test_an_example_that_begins_with_a_number():
    network = capture(
        Function(lambda m, s, x: s * m.linear(x), linear=nn.Linear(4, 4)), (torch.tensor(2.0), images(3, 4))
    )
    assert set(shapes(network).values()) == {(), (1, 4)}


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
@pytest.mark.parametrize("name", MODELS)
def test_shapes_are_those_that_a_run_gives(name):
    module, args = MODELS[name]
    network = capture(module, args)
    found = shapes(network)
    one = network.bind(*(arg[:1] for arg in args))

    class Check(torch.fx.Interpreter):
        def run_node(self, n):
            result = super().run_node(n)
            assert not isinstance(result, torch.Tensor) or found[n] == tuple(result.shape)
            return result

    with torch.no_grad():
        Check(network.module).run(*one)


def test_nothing_is_computed_and_nothing_changed():
    network = capture(nn.Sequential(nn.BatchNorm2d(3)), images(2, 3, 4, 4)).train()
    before = network.module.state_dict()["0.running_mean"].clone()
    shapes(network)
    assert torch.equal(network.module.state_dict()["0.running_mean"], before)


def test_a_view_shares_memory_with_what_it_reads():
    def function(m, x):
        y = m.conv(x).permute(0, 2, 3, 1)
        return y.flatten(1) + torch.split(y.flatten(1), 8, dim=1)[1].repeat(1, 2)

    network = capture(Function(function, conv=nn.Conv2d(3, 4, 1)), images(2, 3, 2, 2))
    names = {node.name for node in aliases(network)}
    assert {"permute", "split"} < names
    assert not {"args_0", "conv", "flatten", "repeat", "add", "output"} & names


def test_where_a_shape_depends_on_values_the_example_tells_it():
    network = capture(Function(lambda m, x: (x[x[:, 0] > 0].relu(), x + 1)), torch.tensor([[1.0], [-1.0], [2.0]]))
    found = {node.name: shape for node, shape in shapes(network).items()}
    picked = next(node for node in network.graph.nodes if "index" in str(node.target))
    assert found[picked.name][1:] == (1,)
    assert network.history[0].source == "Function"
