import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from microjoule.numerics.importance import fisher, geometric_median, norms, order_of, taylor


def exactly(*numbers):
    return torch.tensor(numbers, dtype=torch.float64)


def test_what_matters_least_goes_first_and_the_last_stays():
    assert order_of(torch.tensor([3.0, 1.0, 2.0, 9.0])) == [1, 2, 0]


def test_equals_go_in_the_order_of_the_units():
    assert order_of(torch.ones(40)) == list(range(39))


def test_norms_by_hand():
    # squares 25 and 75, 50 on average: 0.5 and 1.5; the other layer's 4 and 12: 0.5 and 1.5, then 16 and 0: 2 and 0
    first, second = torch.tensor([[3.0, 4.0], [5.0, 50**0.5]]), torch.tensor([[2.0], [12**0.5]])
    assert_close(norms([first]), exactly(0.5, 1.5).sqrt())
    assert_close(norms([first, second]), exactly(0.5, 1.5).sqrt())
    assert_close(norms([first, torch.tensor([[4.0], [0.0]])]), exactly(1.25, 0.75).sqrt())


def test_a_layer_of_zeros_counts_for_nothing():
    assert_close(norms([torch.tensor([[1.0], [7.0**0.5]]), torch.zeros(2, 3)]), exactly(0.125, 0.875).sqrt())
    assert_close(geometric_median([torch.zeros(3, 2)]), exactly(0, 0, 0))


@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3))
def test_a_layer_scaled_and_its_reader_scaled_back_have_the_same_norms(seed, scale):
    chooser = torch.Generator().manual_seed(seed)
    maker, reader = (torch.randn(5, n, generator=chooser, dtype=torch.float64) for n in (3, 7))
    assert_close(norms([maker * scale, reader / scale]), norms([maker, reader]))


def test_geometric_median_by_hand():
    # on a line at 0, 3 and 10: 13, 10 and 17 off; the mean square is 109 / 3
    found = geometric_median([torch.tensor([[0.0, 0.0], [3.0, 0.0], [10.0, 0.0]])])
    assert_close(found, exactly(13, 10, 17) / (109 / 3) ** 0.5)
    assert order_of(found) == [1, 0]


def test_filters_of_several_layers_count_alike():
    first, second = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[100.0], [0.0], [500.0]])
    scaled = [first / (5 / 3) ** 0.5, second / (260000 / 3) ** 0.5]
    points = torch.cat(scaled, 1)
    expected = torch.stack([(points - point).norm(dim=1).sum() for point in points]).double()
    assert_close(geometric_median([first, second]), expected, rtol=1e-6, atol=0.0)


def test_many_equal_filters_are_no_distance_apart():
    assert_close(geometric_median([torch.full((60, 9), 0.1)]), torch.zeros(60, dtype=torch.float64), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("importance", "expected"), [(taylor, (2, 1.5)), (fisher, (2.5, 1.25))], ids=["taylor", "fisher"]
)
def test_gradients_by_hand(importance, expected):
    # |1|, |-3| -> 2 and (1 + 9) / 2 / 2; |2|, |1| -> 1.5 and (4 + 1) / 2 / 2
    assert_close(importance(torch.tensor([[1.0, 2.0], [-3.0, 1.0]])), exactly(*expected))
