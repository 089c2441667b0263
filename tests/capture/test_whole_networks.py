"""Whole networks of the zoo are captured as they are."""

import pytest
import torch
from torch.utils import _pytree as pytree

from microjoule.capture.export import capture
from microjoule.capture.load import load
from microjoule.zoo.cards import card

SMALL = {
    "mobilenet_v1_0.25_224_keras": 96,
    "mobilenet_v2_1.0_224_tf": 96,
    "mobilenet_v3_small": 96,
    "efficientnet_lite0": 96,
    "squeezenet1_1": 96,
    "resnet18": 96,
    "resnet20_cifar10": 32,
    "vit_small": 64,
    "unet_small": 64,
    "ssd_small": 128,
    "deeplabv3_mnv2_pascal_tf": 129,
    "fsrcnn_x2": 32,
    "espcn_x2": 32,
    "kws_dscnn": None,
    "lstm_keywords": None,
}
"""Networks, and the size of their images, where a smaller one will do."""


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_whole_network_is_captured(tmp_path, name):
    chosen = card(name)
    torch.manual_seed(0)
    module = chosen.build().eval()
    size = SMALL[name]
    shape = chosen.input_shape if size is None else (chosen.input_shape[0], size, size)
    network = capture(module, torch.randn(1, *shape))
    record = network.history[0]
    assert record.largest_difference == 0.0
    assert record.functional_layers == ()
    assert set(network.state_dict()) == set(module.state_dict())
    x = torch.randn(3, *shape)
    network.save(tmp_path / "network.mj")
    again = load(tmp_path / "network.mj")
    with torch.no_grad():
        expected = pytree.tree_leaves(module(x))
        for found in (network(x), again(x)):
            for a, b in zip(pytree.tree_leaves(found), expected, strict=True):
                assert torch.equal(a, b)
