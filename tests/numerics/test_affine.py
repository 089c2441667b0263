import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.testing import assert_close

from microjoule.errors import DataError, SettingError
from microjoule.numerics.affine import SMALLEST_SCALE, Affine, affine_from_range, dequantize, fake_quantize, quantize
from microjoule.numerics.grid import IntGrid, Scheme

INT8, UINT8 = IntGrid(8), IntGrid(8, signed=False)

ends = st.floats(-1e6, 1e6, width=32)


@st.composite
def grids(draw):
    bits, signed = draw(st.integers(1, 16)), draw(st.booleans())
    return IntGrid(bits, signed=signed, narrow=signed and bits > 1 and draw(st.booleans()))


schemes = st.builds(Scheme, grids(), symmetric=st.booleans(), power_of_two=st.booleans())


def laid(low: float, high: float, scheme: Scheme) -> Affine:
    return affine_from_range(torch.tensor(low), torch.tensor(high), scheme)


def reach(affine: Affine) -> tuple[float, float]:
    """The smallest and the largest value on the grid."""
    grid, zero_point, scale = affine.grid, int(affine.zero_point), float(affine.scale)
    return (grid.qmin - zero_point) * scale, (grid.qmax - zero_point) * scale


# By hand -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "scheme", "scale", "zero_point"),
    [
        (0.0, 255.0, Scheme(UINT8), 1.0, 0),
        (-128.0, 127.0, Scheme(INT8), 1.0, 0),
        (0.0, 255.0, Scheme(INT8), 1.0, -128),
        (-51.0, 204.0, Scheme(UINT8), 1.0, 51),
        (3.0, 510.0, Scheme(UINT8), 2.0, 0),
        (-510.0, -3.0, Scheme(UINT8), 2.0, 255),
        (-1.0, 254.0, Scheme(INT8, symmetric=True), 2.0, 0),
        (-254.0, 1.0, Scheme(IntGrid(8, narrow=True), symmetric=True), 2.0, 0),
        (-1.0, 254.0, Scheme(UINT8, symmetric=True), 2.0, 128),
        (0.0, 255.0, Scheme(UINT8, power_of_two=True), 1.0, 0),
        (0.0, 255.5, Scheme(UINT8, power_of_two=True), 2.0, 0),
        (-0.25, 255.5, Scheme(UINT8, power_of_two=True), 2.0, 1),  # nearest is 0, which leaves -0.25 out
        (-127.0, 127.0, Scheme(INT8, symmetric=True, power_of_two=True), 1.0, 0),
        (-6.0, 3.0, Scheme(IntGrid(1)), 9.0, -0),
        (-6.0, 3.0, Scheme(IntGrid(2, narrow=True), symmetric=True), 6.0, 0),
    ],
)
def test_the_grid_by_hand(low, high, scheme, scale, zero_point):
    affine = laid(low, high, scheme)
    assert (float(affine.scale), int(affine.zero_point)) == (scale, zero_point)
    assert (affine.scale.dtype, affine.zero_point.dtype) == (torch.float32, torch.int32)


def test_quantize_and_dequantize_by_hand():
    affine = laid(-1.0, 126.5, Scheme(UINT8))  # scale 0.5, zero point 2
    x = torch.tensor([-9.0, -1.0, 0.0, 0.24, 0.26, 0.25, 0.75, 126.5, 999.0])
    q = quantize(x, affine)
    assert q.tolist() == [0, 0, 2, 2, 3, 2, 4, 255, 255]  # ties to even
    assert q.dtype == torch.int32
    assert dequantize(q, affine).tolist() == [-1.0, -1.0, 0.0, 0.0, 0.5, 0.0, 1.0, 126.5, 126.5]


@pytest.mark.parametrize("axis", [1, -2])
def test_each_channel_has_its_own_scale(axis):
    affine = affine_from_range(torch.zeros(2), torch.tensor([255.0, 510.0]), Scheme(UINT8, axis=axis))
    x = torch.full((2, 2, 1), 5.0)
    assert quantize(x, affine).tolist() == [[[5], [2]], [[5], [2]]]
    assert fake_quantize(x, affine).tolist() == [[[5.0], [4.0]], [[5.0], [4.0]]]


def test_channels_of_a_block_share_a_scale_and_the_last_block_may_be_part_of_one():
    affine = affine_from_range(torch.zeros(2), torch.tensor([255.0, 2550.0]), Scheme(UINT8, axis=0, block=2))
    assert quantize(torch.full((3, 1), 20.0), affine).tolist() == [[20], [20], [2]]


def test_one_scale_a_tensor_may_come_from_a_rule_as_a_row():
    affine = affine_from_range(torch.zeros(1), torch.full((1,), 255.0), Scheme(UINT8))
    assert fake_quantize(torch.tensor(3.4), affine).shape == ()
    assert quantize(torch.tensor([[3.4, 9.0]]), affine).tolist() == [[3, 9]]


# By law ------------------------------------------------------------------------------------------


@given(low=ends, high=ends, scheme=schemes)
def test_zero_is_on_the_grid(low, high, scheme):
    assume(low <= high)
    affine = laid(low, high, scheme)
    assert affine.grid.qmin <= int(affine.zero_point) <= affine.grid.qmax
    assert fake_quantize(torch.zeros(3), affine).tolist() == [0.0] * 3
    assert quantize(torch.zeros(()), affine) == affine.zero_point


@given(low=ends, high=ends, grid=grids(), power_of_two=st.booleans(), at=st.floats(0, 1))
def test_a_value_inside_the_range_is_half_a_step_from_the_grid_at_most(low, high, grid, power_of_two, at):
    assume(low <= high)
    affine = laid(low, high, Scheme(grid, power_of_two=power_of_two))
    x = torch.tensor(min(max(low + at * (high - low), low), high), dtype=torch.float64)
    scale = float(affine.scale)
    assume(scale != 1.0 or high - low > SMALLEST_SCALE)
    assert abs(float(x - fake_quantize(x, affine))) <= scale * (0.5 + 1e-6 * affine.grid.steps)


@given(low=ends, high=ends, bits=st.integers(2, 16), narrow=st.booleans())
def test_a_symmetric_grid_covers_the_range_and_stays_in_the_middle(low, high, bits, narrow):
    assume(low <= high and max(-low, high) > 1e-20)
    signed = laid(low, high, Scheme(IntGrid(bits, narrow=narrow), symmetric=True))
    unsigned = laid(low, high, Scheme(IntGrid(bits, signed=False), symmetric=True))
    assert int(signed.zero_point) == 0
    assert int(unsigned.zero_point) == 2 ** (bits - 1)
    for affine in (signed, unsigned):
        bottom, top = reach(affine)
        slack = 1e-6 * max(-low, high)
        assert bottom <= low + slack
        assert top >= high - slack


@given(low=ends, high=ends, grid=grids(), symmetric=st.booleans())
def test_a_power_of_two_scale_is_the_least_that_spans_the_range(low, high, grid, symmetric):
    assume(low <= high and max(-low, high) > 1e-20)
    scheme = Scheme(grid, symmetric=symmetric)
    plain, power = laid(low, high, scheme), laid(low, high, Scheme(grid, symmetric=symmetric, power_of_two=True))
    assert math.frexp(float(power.scale))[0] == 0.5
    assert float(power.scale) / 2 < float(plain.scale) * (1 + 1e-6)
    assert float(plain.scale) <= float(power.scale) * (1 + 1e-6)


sixteenths = st.integers(0, 1600).map(lambda n: n / 16)


@given(below=sixteenths, above=sixteenths, bits=st.integers(1, 6), signed=st.booleans())
def test_a_power_of_two_grid_covers_the_range_if_any_zero_point_does(below, above, bits, signed):
    assume(below + above > 0)
    grid = IntGrid(bits, signed=signed)
    affine = laid(-below, above, Scheme(grid, power_of_two=True))
    bottom, top = -below / float(affine.scale), above / float(affine.scale)
    covering = [z for z in range(grid.qmin, grid.qmax + 1) if grid.qmin - z <= bottom and grid.qmax - z >= top]
    assert int(affine.zero_point) in covering or not covering


@given(low=ends, high=ends, scheme=schemes, seed=st.integers(0, 2**31))
def test_quantizing_twice_changes_nothing_and_both_ways_agree(low, high, scheme, seed):
    assume(low <= high)
    affine = laid(low, high, scheme)
    x = torch.randn(64, generator=torch.Generator().manual_seed(seed)) * max(-low, high)
    once = fake_quantize(x, affine)
    assert torch.equal(fake_quantize(once, affine), once)
    assert torch.equal(dequantize(quantize(x, affine), affine), once)


@pytest.mark.parametrize("bits", [2, 4, 8, 12, 16])
def test_uniform_noise_power_is_a_twelfth_of_a_step_squared(bits):
    """E[e^2] = step^2 / 12 when x is uniform over the grid's cells (Bennett 1948)."""
    grid = IntGrid(bits)
    affine = laid(grid.qmin * 0.5, grid.qmax * 0.5, Scheme(grid))
    steps = torch.linspace(grid.qmin - 0.5, grid.qmax + 0.5, 2_000_003, dtype=torch.float64)[1:-1]
    error = fake_quantize(steps * 0.5, affine) - steps * 0.5
    assert_close(error.square().mean().item(), 0.25 / 12, rtol=1e-2, atol=0)
    assert abs(error.mean().item()) < 1e-3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_counted_in_float32(dtype):
    affine = laid(0.0, 1.0, Scheme(IntGrid(12, signed=False)))
    x = (torch.arange(1000) / 999).to(dtype)
    assert torch.equal(quantize(x, affine), quantize(x.float(), affine))
    assert fake_quantize(x, affine).dtype == dtype
    assert torch.equal(fake_quantize(x, affine), fake_quantize(x.float(), affine).to(dtype))


def test_fake_quantize_leaves_its_input_alone():
    x = torch.randn(8)
    before = x.clone()
    fake_quantize(x, laid(-0.1, 0.1, Scheme(INT8)))
    assert torch.equal(x, before)


# Degenerate --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [Scheme(INT8), Scheme(UINT8, symmetric=True), Scheme(UINT8, power_of_two=True)])
@pytest.mark.parametrize("end", [0.0, 1e-38])
def test_a_range_of_nothing_has_the_scale_one(scheme, end):
    affine = laid(-end, end, scheme)
    assert float(affine.scale) == 1.0
    assert fake_quantize(torch.tensor([0.0, end]), affine).tolist() == [0.0, 0.0]


def test_infinite_values_go_to_the_ends():
    affine = laid(-128.0, 127.0, Scheme(INT8))
    assert quantize(torch.tensor([-math.inf, math.inf]), affine).tolist() == [-128, 127]


# Refusal -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(math.nan, 1.0), (0.0, math.nan), (-math.inf, 1.0), (0.0, math.inf)])
def test_a_range_that_is_not_finite_is_refused(low, high):
    with pytest.raises(DataError, match="range: holds NaN or infinity"):
        laid(low, high, Scheme(INT8))


def test_a_low_above_its_high_is_refused():
    with pytest.raises(SettingError, match="low above its high"):
        laid(2.0, 1.0, Scheme(INT8))


def test_ends_of_different_shapes_are_refused():
    with pytest.raises(SettingError, match=r"low has shape \(2,\) and high \(\)"):
        affine_from_range(torch.zeros(2), torch.tensor(1.0), Scheme(INT8))


def test_a_range_beyond_float32_is_refused():
    with pytest.raises(DataError, match="too wide for a float32 scale"):
        affine_from_range(torch.tensor(0.0), torch.tensor(1e300, dtype=torch.float64), Scheme(INT8))


@pytest.mark.parametrize("scheme", [Scheme(INT8, axis=0), Scheme(INT8, axis=0, block=4), Scheme(INT8)])
def test_a_wrong_number_of_scales_is_refused(scheme):
    affine = affine_from_range(torch.zeros(2), torch.ones(2), scheme)
    with pytest.raises(DataError, match=r"has 2 values for a tensor of shape \(3, 5\), expected"):
        quantize(torch.zeros(3, 5), affine)
