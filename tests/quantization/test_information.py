import pytest
import torch
from torch import nn

import microjoule as mj
from microjoule.execution.batches import batches
from microjoule.quantization.information import channel_information


def test_what_a_channel_matters_by_hand():
    """y = x0 + 3 x1 of one output: with random signs the squared gradients are 1 and 9, 5 on average."""
    layer, last = nn.Linear(2, 2), nn.Linear(2, 1)
    with torch.no_grad():
        last.weight.copy_(torch.tensor([[1.0, 3.0]]))
    x = torch.randn(4, 7, 2)
    network = mj.capture(nn.Sequential(layer, last), x)
    node = network.layers[0].node
    found = channel_information(network, batches(x.permute(0, 1, 2)), [node])
    assert found[node].shape == (7,), "dimension 1 holds the channels"
    flat = mj.capture(nn.Sequential(nn.Linear(2, 2), nn.Unflatten(1, (1, 1, 2)), last), torch.randn(4, 2))
    node = flat.layers[0].node
    found = channel_information(flat, batches(torch.randn(8, 2)), [node])
    assert found[node].tolist() == pytest.approx([0.2, 1.8])


def test_a_class_that_is_certain_matters_less():
    """The gradient of -log p at drawn classes has the mean square p (1 - p) at each logit."""
    scores = torch.tensor([[4.0, 0.0, 0.0]]).repeat(4000, 1)
    network = mj.capture(nn.Sequential(nn.Linear(3, 3, bias=False)), torch.zeros(2, 3))
    with torch.no_grad():
        network.layers[0].stored_weight.copy_(torch.eye(3))
    node = network.layers[0].node
    found = channel_information(network, batches(scores, batch_size=4000), [node], seed=1)[node]
    p = scores[0].softmax(0)
    wanted = p * (1 - p)
    torch.testing.assert_close(found, wanted / wanted.mean(), rtol=0.15, atol=0)


def test_a_value_that_the_output_does_not_depend_on_is_left_out():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 2)

        def forward(self, x):
            return self.layer(x) * 0 + x

    network = mj.capture(Constant(), torch.randn(2, 2))
    assert channel_information(network, batches(torch.randn(4, 2)), [network.layers[0].node]) == {}
