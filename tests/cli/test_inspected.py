"""What is told of a network."""

import torch
from torch import nn

import microjoule as mj
from microjoule.cli.inspected import bits_of, warnings


def network(**settings):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)).eval()
    return mj.capture(module, torch.rand(2, 1, 8, 8))


def test_bits_of_weights_and_outputs():
    floating = network()
    assert [bits_of(floating, layer.path) for layer in floating.layers] == [("float", ""), ("float", "")]
    mj.fold_batch_norms(floating)
    mj.quantize(floating, weights=4, layers={"4": (8, 16)})
    assert bits_of(floating, "0") == ("4", "8")
    assert bits_of(floating, "4") == ("8", "16")
    assert bits_of(floating, "nowhere") == ("", "")


def test_what_to_mind_is_said_and_nothing_else():
    floating = network()
    assert warnings(floating) == []
    mj.quantize(floating)
    told = warnings(floating)
    assert told[0] == "it is quantized, and 1 batch norms are not folded"
    assert told[1].startswith("these activation quantizers have no range yet: ")
    assert len(told) == 2
