import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy.flat import flatten, interface
from microjoule.errors import ExportError
from tests.deploy.networks import images


class Nested(nn.Module):
    """Takes a dict, a flag and a number, and gives what people give."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.ones(3))

    def forward(self, batch, *, flag=True, scale=2.0, mask=None):
        y = batch["image"] * scale
        return {
            "the scores": y,
            "boxes": [y + 1, batch["ids"], None],
            "count": 3,
            "weight": self.weight,
            "rows": y.shape[0],
        }


@pytest.fixture
def nested():
    batch = {"image": images(2, 3), "ids": torch.arange(2)}
    return capture(Nested(), (batch,), {"flag": True, "scale": 2.0, "mask": None})


def test_inputs_and_outputs_have_the_names_of_the_model(nested):
    found = interface(nested)
    assert found.inputs == ("batch_image", "batch_ids")
    assert found.outputs == ("the_scores", "boxes_0", "boxes_1", "weight")
    assert found.places == (0, 1, 2, 5)


def test_outputs_that_are_no_tensors_are_told(nested):
    assert interface(nested).left_out == (("count", "the value 3"), ("rows", "a size"))


def test_a_flat_network_computes_the_same_of_tensors_alone(nested):
    batch, found = nested.example.args[0], interface(nested)
    expected = found.chosen(nested(batch, flag=True, scale=2.0, mask=None))
    module = flatten(nested.copy(), found)
    got = module(batch["image"], batch["ids"])
    assert len(got) == len(expected) == 4
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize(
    ("give", "names"),
    [
        (lambda x: x + 1, ("output",)),
        (lambda x: (x + 1,), ("output",)),
        (lambda x: (x, x + 1), ("output_0", "output_1")),
        (lambda x: [x, {"a b": x + 1}], ("output_0", "output_1_a_b")),
        (lambda x: {"x": x + 1, "1": x}, ("x_1", "output_1")),
        (lambda x: {"": x}, ("output",)),
        (lambda x: {"a": {"b": x}, "a_b": x + 1}, ("a_b", "a_b_1")),
    ],
)
def test_names_are_valid_and_each_once(give, names):
    class Model(nn.Module):
        def forward(self, x):
            return give(x)

    assert interface(capture(Model(), images(2, 3))).outputs == names


def test_numbers_among_the_inputs_keep_the_examples_value():
    class Power(nn.Module):
        def forward(self, x, n):
            return x**n

    network = capture(Power(), (torch.tensor([[2.0], [3.0]]), 3))
    module = flatten(network, interface(network))
    assert torch.equal(module(torch.tensor([[2.0]]))[0], torch.tensor([[8.0]]))


def test_a_network_without_a_tensor_to_give_is_refused():
    network = capture(nn.ReLU(), images(2, 3))
    network.graph.output_node().args = ((3,),)
    with pytest.raises(ExportError, match="gives no tensor"):
        interface(network)
