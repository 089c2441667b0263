import pytest
import torch
from torch import nn

from microjoule.capture.export import capture
from tests.capture.models import Function, images

FORMS = {
    "matmul": (lambda m, x: x @ m.k.weight, (4,)),
    "plus": (lambda m, x: x @ m.k.weight + m.k.bias, (4,)),
    "addmm": (lambda m, x: torch.addmm(m.k.bias, x, m.k.weight), (4,)),
    "scaled addmm": (lambda m, x: torch.addmm(m.k.bias, x, m.k.weight, beta=0.5, alpha=2.0), (4,)),
    "addmm of a value": (lambda m, x: torch.addmm(x.relu(), x, m.k.weight, beta=0.5), (4,)),
    "tokens": (lambda m, x: x @ m.k.weight, (5, 4)),
    "einsum": (lambda m, x: torch.einsum("bsd,dk->bsk", x, m.k.weight), (5, 4)),
    "heads": (lambda m, x: torch.einsum("bsd,hdk->bshk", x, m.k.weight.reshape(2, 4, 2)), (5, 4)),
    "tensordot": (lambda m, x: torch.tensordot(x, m.k.weight, dims=([2], [0])), (5, 4)),
}


class Stored(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(4, 4)), nn.Parameter(torch.randn(4))


@pytest.mark.parametrize("form", FORMS)
def test_a_product_with_a_stored_matrix_is_a_linear_layer(form):
    function, shape = FORMS[form]
    module = Function(function, k=Stored())
    network = capture(module, images(2, *shape))
    assert [layer.kind for layer in network.layers] == ["linear"]
    x = images(3, *shape)
    torch.testing.assert_close(network(x), module(x), rtol=1e-5, atol=1e-5)


def test_a_product_plus_nothing_of_something_that_is_no_number_is_right():
    """With beta = 0 torch does not look at what would be added."""
    module = Function(lambda m, x: torch.addmm(m.k.bias * torch.nan, x, m.k.weight, beta=0, alpha=2.0), k=Stored())
    network = capture(module, images(2, 4))
    assert len(network.layers) == 1
    torch.testing.assert_close(network(images(3, 4)), module(images(3, 4)))


def test_a_product_of_two_inputs_stays():
    network = capture(Function(lambda m, x: x @ x.transpose(1, 2)), images(2, 5, 4))
    assert network.layers == []


def test_a_product_from_the_left_is_right():
    module = Function(lambda m, x: m.k.weight @ x, k=Stored())
    network = capture(module, images(2, 4, 5))
    x = images(3, 4, 5)
    torch.testing.assert_close(network(x), module(x), rtol=1e-5, atol=1e-5)
    assert len(network.layers) == 1
