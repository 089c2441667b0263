"""SAME padding by hand, by its law, and against a padded plain convolution."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from microjoule.zoo.same_padding import SameConv2d, same_padding


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        (224, 3, 2, 1, (0, 1)),
        (513, 3, 2, 1, (1, 1)),
        (49, 10, 2, 1, (4, 5)),
        (65, 3, 1, 4, (4, 4)),
        (8, 1, 2, 1, (0, 0)),
    ],
)
def test_padding_by_hand(size: int, kernel: int, stride: int, dilation: int, expected: tuple[int, int]) -> None:
    assert same_padding(size, kernel=kernel, stride=stride, dilation=dilation) == expected


@given(st.integers(1, 30), st.integers(1, 5), st.integers(1, 3), st.integers(1, 2))
def test_as_many_outputs_as_strides_fit(size: int, kernel: int, stride: int, dilation: int) -> None:
    conv = SameConv2d(1, 1, kernel, stride, dilation=dilation)
    assert conv(torch.zeros(1, 1, size, size)).shape[2] == -(-size // stride)


def test_the_odd_zero_comes_last() -> None:
    torch.manual_seed(0)
    conv, x = SameConv2d(2, 3, 3, 2), torch.randn(1, 2, 6, 6)
    torch.testing.assert_close(conv(x), F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, conv.bias, 2))
