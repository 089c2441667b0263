from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from microjoule.costs.operations import (
    Lifetime,
    attention_macs,
    conv_macs,
    conv_transpose_macs,
    matmul_macs,
    packed_bytes,
    peak_bytes,
    recurrent_macs,
)

sizes = st.integers(1, 5)


@pytest.mark.parametrize(
    ("out", "weight", "macs"),
    [
        ((1, 8, 10, 10), (8, 3, 3, 3), 8 * 100 * 27),
        ((1, 8, 5, 5), (8, 3, 3, 3), 8 * 25 * 27),
        ((1, 8, 10, 10), (8, 1, 3, 3), 8 * 100 * 9),
        ((1, 8, 10, 10), (8, 2, 3, 3), 8 * 100 * 18),
        ((1, 4, 7), (4, 2, 5), 4 * 7 * 10),
    ],
    ids=["dense", "strided", "depthwise", "grouped", "1d"],
)
def test_a_convolution_by_hand(out, weight, macs):
    assert conv_macs(out, weight) == macs


@given(ins=sizes, outs=sizes, groups=sizes, kernel=sizes, stride=sizes)
def test_a_transposed_convolution_costs_what_its_transpose_costs(ins, outs, groups, kernel, stride):
    """It is the gradient of a convolution to its input, so both make the same products."""
    forward = nn.Conv1d(ins * groups, outs * groups, kernel, stride, groups=groups)
    backward = nn.ConvTranspose1d(outs * groups, ins * groups, kernel, stride, groups=groups)
    assert forward.weight.shape == backward.weight.shape
    x = torch.zeros(2, ins * groups, kernel + 3 * stride)
    y = forward(x)
    assert conv_transpose_macs(tuple(y.shape), tuple(backward.weight.shape)) == conv_macs(
        tuple(y.shape), tuple(forward.weight.shape)
    )


def test_a_linear_layer_by_hand():
    assert matmul_macs((1, 7, 10), 4) == 7 * 10 * 4


def test_attention_is_its_two_products():
    query, key, value = (2, 4, 5, 16), (2, 4, 6, 16), (2, 4, 6, 8)
    scores = matmul_macs((2, 4, 5, 6), 16)
    assert attention_macs(query, key, value) == scores + matmul_macs((2, 4, 5, 8), 6)


@pytest.mark.parametrize(("cell", "gates"), [("lstm", 4), ("gru", 3), ("rnn", 1)])
def test_a_recurrent_cell_by_hand(cell, gates):
    made = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[cell](5, 7, num_layers=2, bidirectional=True)
    expected = 2 * gates * 7 * (5 + 7) + 2 * gates * 7 * (14 + 7)
    assert recurrent_macs(cell, 3, [tuple(p.shape) for p in made.parameters()]) == 3 * expected


@given(out=st.tuples(sizes, sizes, sizes, sizes), inner=sizes, kernel=sizes, factor=sizes)
def test_macs_grow_in_proportion_to_the_batch(out, inner, kernel, factor):
    weight = (out[1], inner, kernel, kernel)
    assert conv_macs((out[0] * factor, *out[1:]), weight) == factor * conv_macs(out, weight)


@pytest.mark.parametrize(("values", "bits", "expected"), [(10, 8, 10), (10, 32, 40), (10, 4, 5), (3, 1, 1), (9, 1, 2)])
def test_packed_bytes_by_hand(values, bits, expected):
    assert packed_bytes(values, bits) == expected


def test_peak_bytes_by_hand():
    assert peak_bytes([]) == 0
    assert peak_bytes([Lifetime(10, 0, 1), Lifetime(20, 1, 2), Lifetime(5, 2, 3)]) == 30
    assert peak_bytes([Lifetime(10, 0, 0), Lifetime(20, 1, 1)]) == 20


@given(
    st.lists(st.builds(lambda s, a, n: Lifetime(s, a, a + n), st.integers(0, 99), st.integers(0, 9), st.integers(0, 9)))
)
def test_peak_bytes_is_what_counting_each_step_gives(lifetimes):
    each = [sum(one.size_bytes for one in lifetimes if one.first <= step <= one.last) for step in range(20)]
    assert peak_bytes(lifetimes) == max(each)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(1, 16))
def test_packed_bytes_hold_all_bits_and_no_whole_byte_more(shape, bits):
    size_bytes = packed_bytes(prod(shape), bits)
    assert 0 <= 8 * size_bytes - prod(shape) * bits < 8
