"""Super-resolution networks: names in the file, and a network that copies pixels."""

import pytest
import torch

from microjoule.zoo.super_resolution import Espcn, Fsrcnn, espcn_name, fsrcnn_name


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("kind", [Fsrcnn, Espcn])
def test_each_side_becomes_larger(kind: type[Fsrcnn] | type[Espcn], scale: int) -> None:
    assert kind(scale)(torch.zeros(2, 1, 5, 6)).shape == (2, 1, 5 * scale, 6 * scale)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("f1", "f.0.weight"),
        ("b7", "f.6.bias"),
        ("alpha2", "alpha.1.weight"),
        ("f8", "f.7.weight"),
        ("b8", "bias"),
        ("x", "x"),
    ],
)
def test_names_by_hand(stored: str, expected: str) -> None:
    assert fsrcnn_name(stored) == expected


def test_the_third_bias_of_espcn_belongs_to_its_last_layer() -> None:
    assert espcn_name("b3") == "f.2.bias"


def test_the_last_bias_of_fsrcnn_is_added_to_every_pixel() -> None:
    network, x = Fsrcnn(2), torch.randn(1, 1, 4, 4)
    before = network(x)
    torch.nn.init.constant_(network.bias, 3.0)
    torch.testing.assert_close(network(x), before + 3)
