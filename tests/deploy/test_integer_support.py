import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.deploy.integer import IntegerRunner
from microjoule.deploy.integer_support import after_the_last_quantizer, unsupported
from microjoule.quantization.calibrate import calibrate
from microjoule.quantization.simulate import quantize
from tests.deploy.networks import images, quantized


class Given(nn.Module):
    """A function of a layer and any inputs."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function, self.a = function, nn.Conv2d(4, 4, 1)
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs):
        return self.function(self, *inputs)


def of(function, *others, **layers):
    network = capture(Given(function, **layers).eval(), (images(4, 4, 5, 5), *others))
    quantize(network)
    calibrate(network, [(images(4, 4, 5, 5), *others)])
    return network


def names(network):
    return {node.name for node in after_the_last_quantizer(network)}


def test_what_comes_after_the_last_quantizer_is_computed_in_real_numbers():
    """The class of each place, and how sure: on no grid, and nobody puts them on one."""
    network = of(lambda m, x: {"classes": (y := m.a(x)).argmax(1), "entropy": -(y.exp() * y).sum(1).log()})
    assert unsupported(network) == []
    assert "argmax" in names(network)
    x = images(3, 4, 5, 5)
    got = IntegerRunner(network)(x)
    with torch.no_grad():
        expected = network(x)
    assert float((got["classes"] == expected["classes"]).float().mean()) > 0.9


def test_an_operator_before_a_layer_has_no_such_excuse():
    network = of(lambda m, x: m.b(torch.cumsum(m.a(x), 1)), b=nn.Conv2d(4, 2, 1))
    assert names(network) == set()
    assert "cumsum" in unsupported(network)[0]


def test_an_operator_that_reads_an_input_in_real_numbers_has_none_either():
    network = of(lambda m, x, scale: torch.atan2(m.a(x), scale), torch.ones(4, 4, 5, 5))
    assert names(network) == set()
    assert "atan2" in str(unsupported(network))


def test_a_layer_is_never_computed_in_real_numbers():
    network = quantized(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 2, 1)), images(2, 4, 3, 3), layers={"1": None})
    assert names(network) == set()
    assert len(unsupported(network)) == 1


def test_what_has_an_integer_form_is_computed_with_integers_to_the_end():
    network = of(lambda m, x: F.max_pool2d(m.a(x), 2).flatten(1))
    assert names(network) == set()
