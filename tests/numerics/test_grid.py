import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.errors import SettingError
from microjoule.numerics.grid import IntGrid, Scheme


@pytest.mark.parametrize(
    ("grid", "ends"),
    [
        (IntGrid(8), (-128, 127)),
        (IntGrid(8, signed=False), (0, 255)),
        (IntGrid(8, narrow=True), (-127, 127)),
        (IntGrid(1), (-1, 0)),
        (IntGrid(1, signed=False), (0, 1)),
        (IntGrid(2, narrow=True), (-1, 1)),
        (IntGrid(16, signed=False), (0, 65535)),
    ],
    ids=str,
)
def test_the_ends_by_hand(grid, ends):
    assert (grid.qmin, grid.qmax) == ends


@given(bits=st.integers(1, 16), signed=st.booleans())
def test_a_full_grid_holds_two_to_the_bits_integers_and_zero(bits, signed):
    grid = IntGrid(bits, signed=signed)
    assert grid.steps + 1 == 2**bits
    assert grid.qmin <= 0 <= grid.qmax


@given(bits=st.integers(2, 16))
def test_a_narrow_grid_is_symmetric(bits):
    grid = IntGrid(bits, narrow=True)
    assert grid.qmin == -grid.qmax
    assert grid.steps == 2**bits - 2


def test_size_by_hand():
    assert IntGrid(4).size_bytes == 0.5


@pytest.mark.parametrize("bits", [0, 17, -1, 8.0, True, "8"])
def test_bits_that_are_no_whole_number_from_1_to_16_are_refused(bits):
    with pytest.raises(SettingError, match="1 to 16 bits, got"):
        IntGrid(bits)


def test_a_narrow_unsigned_grid_is_refused():
    with pytest.raises(SettingError, match="must be signed"):
        IntGrid(8, signed=False, narrow=True)


def test_a_narrow_grid_of_one_bit_is_refused():
    with pytest.raises(SettingError, match="holds 0 alone"):
        IntGrid(1, narrow=True)


def test_blocks_without_an_axis_are_refused():
    with pytest.raises(SettingError, match="blocks of channels need an axis"):
        Scheme(IntGrid(8), block=4)


@pytest.mark.parametrize("block", [0, -3])
def test_blocks_of_no_channel_are_refused(block):
    with pytest.raises(SettingError, match=f"holds {block} channels"):
        Scheme(IntGrid(8), axis=0, block=block)
