import pytest
from hypothesis import given
from hypothesis import strategies as st

from microjoule.costs.energy import energy_table, parse, tables
from microjoule.errors import TargetError

HOROWITZ = energy_table("horowitz-45nm")
widths = st.integers(1, 16)

TEXT = """
name = "mine"
source = "measured"
float = { 32 = { add_pj = 1.0, multiply_pj = 4.0 } }
integer = { 8 = { add_pj = 0.1, multiply_pj = 0.2 }, 32 = { add_pj = 0.3, multiply_pj = 3.0 } }
[memory]
access_bits = 32
levels = [{ name = "near", size_bytes = 100, access_pj = 4.0 }, { name = "far", access_pj = 40.0 }]
"""


@pytest.mark.parametrize("name", tables())
def test_every_table_that_is_shipped_can_be_read(name):
    table = energy_table(name)
    assert table.name == name
    assert "https://" in table.source


def test_one_mac_by_hand():
    assert HOROWITZ.mac_pj(32, 32, floating=True) == pytest.approx(3.7 + 0.9)
    assert HOROWITZ.mac_pj(16, 16, floating=True) == pytest.approx(1.1 + 0.4)
    assert HOROWITZ.mac_pj(8, 8, floating=False) == pytest.approx(0.2 + 0.1)
    assert HOROWITZ.mac_pj(4, 8, floating=False) == pytest.approx(0.1 + 0.1)


def test_a_weight_alone_in_integers_is_computed_in_floating_point():
    assert HOROWITZ.mac_pj(4, 32, floating=True) == HOROWITZ.mac_pj(32, 32, floating=True)


def test_a_width_beyond_the_table_is_computed_in_its_widest():
    assert HOROWITZ.mac_pj(64, 64, floating=True) == HOROWITZ.mac_pj(32, 32, floating=True)


@given(weights=widths, activations=widths)
def test_a_mac_never_costs_less_with_a_bit_more(weights, activations):
    one = HOROWITZ.mac_pj(weights, activations, floating=False)
    assert one < HOROWITZ.mac_pj(weights + 1, activations, floating=False)
    assert one < HOROWITZ.mac_pj(weights, activations + 1, floating=False)
    assert one < HOROWITZ.mac_pj(32, 32, floating=True)


@pytest.mark.parametrize(
    ("size_bytes", "per_byte"), [(1, 10 / 8), (8192, 10 / 8), (8193, 20 / 8), (2**20, 100 / 8), (2**20 + 1, 1950 / 8)]
)
def test_a_tensor_lies_in_the_smallest_memory_that_holds_it(size_bytes, per_byte):
    assert HOROWITZ.move_pj(size_bytes) == pytest.approx(size_bytes * per_byte)


def test_nothing_moves_for_nothing():
    assert HOROWITZ.move_pj(0) == 0


@given(a=st.integers(0, 2**22), b=st.integers(0, 2**22))
def test_more_bytes_never_cost_less(a, b):
    assert HOROWITZ.move_pj(a) <= HOROWITZ.move_pj(a + b)


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    table = energy_table(path)
    assert energy_table(table) is table
    assert table.mac_pj(8, 8, floating=False) == pytest.approx(0.5)
    assert table.move_pj(101) == pytest.approx(101 * 10)


@pytest.mark.parametrize(
    ("before", "after", "fact"),
    [
        ('name = "far"', 'name = "far", size_bytes = 200', "may not hold everything"),
        ("size_bytes = 100, access_pj = 4.0", "size_bytes = 100, access_pj = 50.0", "not fall in energy"),
        ("add_pj = 1.0", "add_pj = -1.0", "negative or not finite"),
        ("add_pj = 1.0", "add_pj = nan", "a number is nan"),
        ("add_pj = 1.0, ", "", "add_pj"),
        (", 32 = { add_pj = 0.3, multiply_pj = 3.0 }", "", "integer ones of 8 and 32 bits"),
        ("access_bits = 32", "access_bits = 'x'", "'x' is no number"),
        ("access_bits = 32", "access_bits = true", "True is no number"),
        ("access_bits = 32", "access_bits = 0", "ZeroDivisionError"),
        ("access_bits = 32", "access_bits = nan", "a number is nan"),
        ("[memory]", "[memory", "is not valid TOML"),
    ],
)
def test_a_damaged_table_is_refused(before, after, fact):
    assert before in TEXT
    with pytest.raises(TargetError, match=rf"mine\.toml: does not describe an energy table: .*{fact}"):
        parse(TEXT.replace(before, after), "mine.toml")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(TargetError, match=r"is no energy table\n  use one of horowitz-45nm"):
        energy_table("7nm")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(TargetError, match="cannot be read"):
        energy_table(tmp_path / "none.toml")
