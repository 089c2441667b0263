import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import DataError, GraphError
from microjoule.graph.quantizer import Quantizer
from microjoule.numerics.affine import fake_quantize, quantize
from microjoule.numerics.grid import IntGrid, Scheme


def calibrated(scheme, low, high):
    quantizer = Quantizer(scheme)
    quantizer.set_range(torch.tensor(low), torch.tensor(high))
    return quantizer


def test_values_go_to_the_nearest_on_the_grid_by_hand():
    quantizer = calibrated(Scheme(IntGrid(2, signed=False)), 0.0, 3.0)
    x = torch.tensor([-1.0, 0.4, 0.6, 1.4, 2.6, 9.0])
    assert torch.equal(quantizer(x), torch.tensor([0.0, 0.0, 1.0, 1.0, 3.0, 3.0]))


@given(
    bits=st.integers(2, 8), signed=st.booleans(), low=st.floats(-9, 0), high=st.floats(0.1, 9), seed=st.integers(0, 99)
)
def test_the_fast_path_gives_what_the_plain_one_gives(bits, signed, low, high, seed):
    quantizer = calibrated(Scheme(IntGrid(bits, signed=signed)), low, high)
    x = 5 * torch.randn(50, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(quantizer(x), fake_quantize(x, quantizer.affine), rtol=1e-6, atol=1e-6)
    assert torch.equal(quantizer(quantizer(x)), quantizer(x))


def test_one_scale_a_channel():
    quantizer = calibrated(Scheme(IntGrid(8), symmetric=True, axis=0), [-1.0, -100.0], [1.0, 100.0])
    x = torch.tensor([[0.5], [50.0]])
    assert quantizer(x)[0].item() == pytest.approx(0.5, abs=0.01)
    assert quantizer(x)[1].item() == pytest.approx(50, abs=1)


def test_the_input_is_left_alone():
    quantizer = calibrated(Scheme(IntGrid(2)), -1.0, 1.0)
    x = torch.tensor([0.3, 0.7])
    quantizer(x)
    assert torch.equal(x, torch.tensor([0.3, 0.7]))


def test_values_pass_through_before_calibration_and_while_it_is_off():
    quantizer = Quantizer(Scheme(IntGrid(2)))
    x = torch.tensor([0.3, 9.0])
    assert quantizer(x) is x
    assert not quantizer.calibrated
    quantizer.set_range(torch.tensor(-1.0), torch.tensor(1.0))
    assert quantizer.calibrated
    quantizer.enabled = False
    assert quantizer(x) is x


def test_held_integers_stand_whatever_comes_in():
    quantizer = calibrated(Scheme(IntGrid(4)), -1.0, 1.0)
    x = torch.tensor([0.3, -0.7])
    quantizer.hold(quantize(x, quantizer.affine))
    assert torch.equal(quantizer(torch.zeros(2)), fake_quantize(x, quantizer.affine))
    quantizer.release()
    assert torch.equal(quantizer(torch.zeros(2)), torch.zeros(2))


def test_a_new_range_lets_go_of_what_was_held():
    quantizer = calibrated(Scheme(IntGrid(4)), -1.0, 1.0)
    quantizer.hold(torch.tensor([1, 2]))
    quantizer.set_range(torch.tensor(-2.0), torch.tensor(2.0))
    assert quantizer.held is None


def test_the_grid_before_a_range_is_refused():
    with pytest.raises(GraphError, match="has no range yet"):
        _ = Quantizer(Scheme(IntGrid(8))).affine


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_range_that_is_not_finite_is_refused(value):
    with pytest.raises(DataError, match="is not finite"):
        calibrated(Scheme(IntGrid(8)), 0.0, value)


def test_it_says_its_grid():
    assert "uint4, no range yet" in repr(Quantizer(Scheme(IntGrid(4, signed=False))))
    assert "int8, scale=" in repr(calibrated(Scheme(IntGrid(8)), -1.0, 1.0))
    assert "2 scales" in repr(calibrated(Scheme(IntGrid(8), axis=0), [-1.0, -1.0], [1.0, 1.0]))
