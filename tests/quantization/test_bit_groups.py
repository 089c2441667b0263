"""What must have its bits chosen together."""

import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.quantization.bit_groups import BitGroup, find_groups, value_quantizers


def groups(module, *inputs, tied=True):
    network = mj.capture(module.eval(), inputs if len(inputs) > 1 else inputs[0])
    placed = mj.quantize(network, target="per-tensor")
    return find_groups(network, value_quantizers(network, placed), tied=tied)


def test_a_chain_is_a_layer_and_its_input_each():
    found = groups(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)), torch.randn(2, 4))
    assert [(group.layers, group.values) for group in found] == [
        (("0",), ("input_1",)),
        (("2",), ("0",)),
        ((), ("2",)),
    ]
    assert [group.name for group in found] == ["layer 0", "layer 2", "value 2"]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.once, self.again = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.again(self.again(self.once(x)))


def test_a_layer_that_is_called_twice_joins_what_it_reads():
    joined = groups(Twice(), torch.randn(2, 4))[1]
    assert joined == BitGroup(("again",), ("once", "again"))


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.left(x) @ self.right(x).transpose(1, 2)


def test_both_factors_of_a_product_have_the_same_bits():
    found = groups(Product(), torch.randn(2, 3, 4))
    assert found[0].layers == ("left", "right")
    assert found[1] == BitGroup((), ("left", "right"))


@pytest.mark.parametrize("module", [Twice(), Product()], ids=["twice", "product"])
def test_without_widths_of_activations_nothing_is_tied(module):
    found = groups(module, torch.randn(2, 3, 4), tied=False)
    assert [(len(group.layers), group.values) for group in found] == [(1, ())] * 2
