import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from tests.capture.models import Function, images


class Root(nn.Module):
    def __init__(self):
        super().__init__()
        self.mixer = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        return F.linear(x, self.mixer)


def test_a_parameter_at_the_root_becomes_a_layer_under_its_name():
    module = Root()
    network = capture(module, images(2, 4))
    assert [layer.path for layer in network.layers] == ["mixer"]
    assert network.history[0].moved == {"mixer": "mixer.weight"}
    assert torch.equal(network.state_dict()["mixer.weight"], module.mixer)


def test_a_layer_that_is_the_model_is_called_what_it_is():
    assert [layer.path for layer in capture(nn.Linear(4, 3), images(2, 4)).layers] == ["linear"]


def test_a_weight_that_two_layers_read_differently_stays_shared():
    module = Function(
        lambda m, x: F.linear(F.linear(x, m.a.weight), m.a.weight.T, m.b.bias), a=nn.Linear(4, 3), b=nn.Linear(3, 4)
    )
    network = capture(module, images(2, 4))
    assert len(network.layers) == 2
    assert torch.allclose(network(images(3, 4)), module(images(3, 4)), atol=1e-6)
