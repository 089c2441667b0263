import pytest

from microjoule.compression.approximations import Sizes
from microjoule.compression.prices import Work, currency, works
from microjoule.costs.energy import energy_table
from microjoule.errors import SettingError

SIZES = Sizes((8, 8), (4, 4))


def test_a_layer_by_hand():
    assert works((6, 4, 3, 3), 4, SIZES) == [Work((6, 4, 3, 3), 16, 256, 96)]
    assert works((6, 4, 3, 3), 4, SIZES)[0].macs == 6 * 4 * 9 * 16


def test_a_low_rank_form_is_two_layers():
    first, second = works((6, 4, 3, 3), 4, SIZES, ("spatial", 5))
    assert first == Work((5, 4, 3, 1), 4 * 8, 256, 5 * 32)
    assert second == Work((6, 5, 1, 3), 16, 5 * 32, 96)


def test_a_grouped_layer_reads_all_its_channels():
    (work,) = works((4, 1, 3, 3), 4, SIZES)
    assert (work.read, work.macs) == (4 * 64, 4 * 9 * 16)


def test_a_transposed_layer_works_at_places_of_its_input():
    (work,) = works((6, 4, 2, 2), 4, SIZES, transposed=True)
    assert work == Work((6, 4, 2, 2), 64, 256, 96)


@pytest.mark.parametrize(("name", "unit", "expected"), [("macs", "MACs", 3456), ("bytes", "B", 864)])
def test_prices_by_hand(name, unit, expected):
    found = currency(name)
    assert (found.name, found.unit) == (name, unit)
    assert found.price(Work((6, 4, 3, 3), 16, 256, 96)) == expected


def test_energy_is_that_of_products_and_of_what_is_moved():
    table, work = energy_table("horowitz-45nm"), Work((6, 4, 3, 3), 16, 256, 96)
    expected = 3456 * table.mac_pj(32, 32, floating=True) + table.move_pj(4 * (216 + 256 + 96))
    assert currency("energy").price(work) == expected


def test_another_price_is_refused():
    with pytest.raises(SettingError, match=r"(?s)'gold'.*macs, bytes, energy"):
        currency("gold")
