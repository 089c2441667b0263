import pytest
import torch
import torch.nn.functional as F
from torch import nn

from microjoule.capture.export import capture
from microjoule.costs.buffers import Buffers
from microjoule.costs.operations import peak_bytes
from microjoule.graph.edit import insert_quantizer
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.grid import IntGrid, Scheme

X = torch.randn(2, 4, 6, 6)
SIZE = 4 * 6 * 6 * 4
"""Bytes of one sample of X in FP32."""


class Function(nn.Module):
    """A function with a convolution at hand."""

    def __init__(self, function):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.function = function

    def forward(self, x):
        return self.function(self.conv, x)


def buffers(function, x=X):
    return Buffers(capture(Function(function), x))


def twice(y):
    return y + y.relu()


def summed(y):
    return y.sum((1, 2, 3)) + y.flatten(1).relu().sum(1)


def sizes(found):
    return [found.size_bytes(root) for root in found.roots]


@pytest.mark.parametrize(
    "function",
    [
        lambda conv, x: conv(x),
        lambda conv, x: conv(x).relu(),
        lambda conv, x: F.hardswish(conv(x)).sigmoid(),
        lambda conv, x: conv(x).flatten(1),
        lambda conv, x: conv(x).permute(0, 2, 3, 1)[:, 1:],
        lambda conv, x: torch.split(conv(x), 2, dim=1)[0].relu(),
    ],
    ids=["conv", "relu", "two activations", "flatten", "transpose and slice", "one part"],
)
def test_what_lies_on_the_convolutions_output_needs_no_memory(function):
    assert sizes(buffers(function)) == [SIZE, SIZE]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda conv, x: x.relu() + 1, [SIZE, SIZE, SIZE]),
        (lambda conv, x: twice(conv(x)), [SIZE] * 4),
        (lambda conv, x: torch.cat([conv(x), x], 1), [SIZE, SIZE, 2 * SIZE]),
        (lambda conv, x: conv(x).mean((2, 3), keepdim=True).expand(-1, -1, 6, 6), [SIZE, SIZE, 16, SIZE]),
        (lambda conv, x: F.max_pool2d(conv(x), 2), [SIZE, SIZE, SIZE // 4]),
    ],
    ids=["the caller's input", "input is read again", "concat", "expansion", "pooling"],
)
def test_what_needs_memory_of_its_own(function, expected):
    assert sizes(buffers(function)) == expected


def test_a_view_of_what_is_read_again_is_not_written_over():
    found = buffers(lambda conv, x: summed(conv(x)))
    assert sizes(found) == [SIZE, SIZE, 4, SIZE, 4, 4]


def test_a_buffer_is_as_wide_as_its_quantizer_and_moving_keeps_the_width():
    network = capture(Function(lambda conv, x: F.max_pool2d(conv(x).relu(), 2) + 1), X)
    quantizer = Quantizer(Scheme(IntGrid(4, signed=False)))
    insert_quantizer(
        network, network.node(next(n.name for n in network.graph.nodes if "relu" in str(n.target))), quantizer
    )
    network.recompile()
    assert sizes(Buffers(network)) == [SIZE, SIZE // 8, SIZE // 32, SIZE // 4]
    assert sizes(Buffers(network, simulated=True)) == [SIZE, SIZE, SIZE // 4, SIZE // 4]
    quantizer.enabled = False
    assert sizes(Buffers(network)) == [SIZE, SIZE, SIZE // 4, SIZE // 4]


def test_indices_and_half_precision_have_the_width_of_their_type():
    network = capture(nn.Embedding(10, 3), torch.zeros(2, 5, dtype=torch.int64))
    assert sizes(Buffers(network)) == [5 * 8, 5 * 3 * 4]
    half = capture(nn.Linear(4, 3), torch.zeros(2, 4)).to(torch.float16)
    assert sizes(Buffers(half)) == [4 * 2, 3 * 2]


def test_an_lstm_holds_all_its_outputs_that_are_read():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm = nn.LSTM(3, 7, batch_first=True)

        def forward(self, x):
            out, (h, _) = self.lstm(x)
            return out, h

    found = Buffers(capture(Model(), torch.randn(2, 5, 3)))
    lstm = next(root for root in found.roots if root.target == "lstm")
    assert found.size_bytes(lstm) == (5 * 7 + 7) * 4


def test_the_peak_of_a_chain_is_its_widest_step():
    x = torch.randn(2, 4, 6, 6)
    network = capture(nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 2, 1)), x)
    assert peak_bytes(Buffers(network).lifetimes()) == 2 * 8 * 36 * 4


def test_a_residual_is_kept_until_it_is_added():
    found = buffers(lambda conv, x: conv(conv(conv(x).relu()).relu()) + conv(x).relu())
    assert peak_bytes(found.lifetimes()) == 3 * SIZE
